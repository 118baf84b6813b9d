#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What `worker list`, metrics and maps say of connections is what the clients counted.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
app_config
serve s --workers 4 --backlog 500
start edge
metric() { in_ns edge curl -s http://127.0.0.1:9799/metrics | awk -v m="$1" '$1 == m {print $2}'; }
flood $VIP 2000 3000
all_answered 'IPv4'
first=$RESULT
flood $VIP6 2000 1000
all_answered 'IPv6'
by_worker=$(jq -n "$first, $RESULT" | jq -sc '[.[].tally | to_entries[]] | group_by(.key) | map({(.[0].key): (map(.value) | add)}) | add')
# A queue holds one more than listen(2) was told.
list=$(t --json worker list app)
for k in 0 1 2 3; do
	pid=$(worker_pid s $k)
	n=$(echo "$by_worker" | jq .s$k)
	row=$(echo "$list" | jq ".[] | select(.pid == $pid)")
	name=$(echo "$row" | jq -r .worker)
	is "s$k: connections" "$(echo "$row" | jq .connections_total)" "$n"
	is "s$k: share" "$(echo "$row" | jq '.connections_share * 1000 | round')" $(((n * 1000 + 2000) / 4000))
	is "s$k: state, queue" "$(echo "$row" | jq -r '"\(.state) \(.queue_depth) \(.queue_limit) \(.command) \(.service) \(.stalled)"')" \
		'up 0 501 server app false'
	is "s$k: waits are known" "$(echo "$row" | jq ".accept_wait_seconds | .p50 > 0 and .p50 <= .p99 and .p99 < $TUNDISH_TEST_SLOW")" true
	is "s$k: metric" "$(metric "tundish_worker_connections_total{service=\"app\",worker=\"$name\"}")" "$n"
	is "s$k: queue's metrics" "$(metric "tundish_worker_queue_depth{service=\"app\",worker=\"$name\"}") $(
		metric "tundish_worker_queue_limit{service=\"app\",worker=\"$name\"}")" '0 501'
done
is 'all of them' "$(echo "$list" | jq '[.[].connections_total] | add')" 4000
is 'the service' "$(metric 'tundish_connections_total{service="app",target="local"}')" 4000
is 'each has waited for some time' "$(metric 'tundish_accept_wait_seconds_count{service="app"}')" 4000
is 'of the service as it is shown' "$(t --json service show app | jq '.workers | .connections_total, .up' | xargs)" '4000 4'
is 'tuples too' "$(t --json tuple list --top 1000 | jq '[.[].total] | add')" 4000

kill -STOP "$(worker_pid s 0)"
flood_start queue $VIP 2000 2000
check 'a stopped one is told' eventually 5 worker_is "$(worker_pid s 0)" stalled
check 'in status too' sh -c "echo '$(t --json status | jq -c .attention)' | grep -q '1 of 4 workers'"
name=$(worker_field "$(worker_pid s 0)" worker)
_depths() { # the others' queues are empty now and then only
	depth=$(worker_field "$(worker_pid s 0)" queue_depth)
	sum=$(in_ns edge ss -Hltn 'sport = :8080' | awk '{s += $2} END {print s}')
	[ "$depth" = "$sum" ]
}
eventually 5 _depths
is 'its queue is the kernel'\''s' "$depth" "$sum"
is 'and the metric' "$(metric "tundish_worker_queue_depth{service=\"app\",worker=\"$name\"}")" "$depth"
is '`trace` names another' "$(t --json trace 10.0.0.151 $VIP:80 | jq -r ".target != \"$name\" and (.target | test(\"^w[0-3]$\"))")" true
kill -CONT "$(worker_pid s 0)"
flood_wait queue
all_answered 'when it goes on'
