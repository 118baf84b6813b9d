#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `accept_times: all`: how long connections wait is known of a program too that does not ask
# accept(2) for the client's address, and who accepts; for as long as a service says so.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
other() { # [KEYS]: a second service before the same group
	printf '  - {name: other, vips: [%s], ports: [81], delivery: workers, workers: {listen: "%s"%s}}\n' \
		$VIP "$LISTEN" "${1:+, $1}"
}
metric() { in_ns edge curl -s http://127.0.0.1:9799/metrics | awk -v m="$1" '$1 == m {print $2}'; }
waits() { metric "tundish_accept_wait_seconds_count{service=\"$1\"}"; } # SERVICE
pinned() { find /sys/fs/bpf/edge -name link_sys_exit | wc -l; }
link() { bpftool -j link show pinned /sys/fs/bpf/edge/link_sys_exit | jq .id; }
no_link() { ! bpftool link show id "$1" >/dev/null 2>&1; }
apply() { check 'the file is applied' t config apply "$T/edge.yaml"; }
answers() { # NAME ADDRESS [ARGUMENTS]: 100 connections
	flood "$2" 1000 100 --http "${@:3}"
	all_answered "$1"
}

app_config '' "$(other)"
start edge
(exec nsenter --net=/run/netns/edge "$PYTHON" "$TOP/tests/net/server.py" --blind py 2 "$LISTEN" >"$T/python.log" 2>&1) &
PID[python]=$!
check 'a program that does not ask for addresses' eventually 10 workers_are 2
answers 'IPv4' $VIP
answers 'IPv6' $VIP6
is 'without the key no wait is known' "$(waits app)" 0
is 'nothing is attached to system calls' "$(pinned)" 0
is 'the key as it is printed' "$(t config show | grep -o 'accept_times: [a-z]*' | sort -u)" 'accept_times: address'

app_config 'accept_times: all' "$(other)"
apply
is 'its link is pinned' "$(pinned)" 1
id=$(link)
answers 'IPv4, seen' $VIP
is 'each has waited for some time' "$(waits app)" 100
answers 'IPv6, seen' $VIP6
is 'with IPv6 too' "$(waits app)" 200
is 'from the SYN on too' "$(metric 'tundish_syn_accept_seconds_count{service="app"}')" 200
is 'by worker' "$(in_ns edge curl -s http://127.0.0.1:9799/metrics |
	awk '/^tundish_worker_accept_wait_seconds_count{service="app"/ {s += $2} END {print s}')" 200
is 'it is known how long' "$(t --json service show app | jq '.workers.accept_wait_seconds | .p50 > 0 and .p50 <= .p99')" true
PORT=81 answers 'another service of the same group' $VIP
is 'is not counted, for it did not ask' "$(waits other) $(waits app)" '0 200'
is 'who accepts is known' "$(t --json worker list app | jq -r '[.[].pid] | sort | map(tostring) | join(" ")')" \
	"$(children "${PID[python]}" | tr ' ' '\n' | sort -n | xargs)"
is 'the key as it is printed' "$(t config show | grep -o 'accept_times: [a-z]*' | sort | xargs)" 'accept_times: address accept_times: all'

# With an address, beside it: once each.
serve s --workers 2
flood $VIP 1000 200 --http
all_answered 'with programs that ask'
is 'each is counted once' "$(waits app)" 400
end_server s

stop edge KILL
answers 'without a daemon' $VIP
start edge
is 'it was seen' "$(waits app)" 500
is 'by the same link' "$(link)" "$id"

app_config '' "$(other 'accept_times: all')"
apply
is 'it stays while any service asks' "$(link)" "$id"
PORT=81 answers 'now the other one' $VIP
is 'is counted' "$(waits other) $(waits app)" '100 500'

app_config '' "$(other)"
apply
is 'its pin goes with the last one' "$(pinned)" 0
check 'its link too' eventually 10 no_link "$id"
answers 'afterwards' $VIP
is 'they are not seen' "$(waits other) $(waits app)" '100 500'

app_config 'accept_times: all' "$(other)"
apply
answers 'once more' $VIP
is 'they are seen' "$(waits app)" 600
id=$(link)
stop edge
check 'unload' t unload
check 'takes it down' eventually 10 no_link "$id"
