#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Groups of UDP sockets: found from their bind(2) on, any VIP, even, a flow at one socket; one that
# ends moves its own flows alone; drained, restarted, empty, `tundish exec`; dnsmasq.
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
ip -n client route add 198.51.100.0/24 via 10.0.0.1
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services:
	  - {name: dns, vips: [$VIP, "$VIP6", 198.51.100.0/24], protocol: udp, ports: [53], delivery: workers, workers: {listen: "[::]:53", restart_grace: 2s}}
	  - {name: web, vips: [$VIP], ports: [53], delivery: workers, workers: {listen: "[::]:53"}}
	  - {name: second, vips: [$VIP2], protocol: udp, ports: [54], delivery: workers, workers: {listen: "[::]:54"}}
YAML
serve() { # NAME [ARGUMENTS]: one process, one socket unless told
	(exec nsenter --net=/run/netns/edge "$PYTHON" "$TOP/tests/net/udp.py" serve "$1" 53 :: --workers "${2:-1}" >"$T/udp-$1" 2>>"$T/udp.log") &
	PID[$1]=$!
	eventually 10 test -s "$T/udp-$1" || fatal "$1 does not start"
}
end() { kill "${PID[$1]}" && wait "${PID[$1]}" 2>/dev/null; rm -f "$T/udp-$1"; }
workers_are() { [ "$(t --json worker list dns | jq length)" = "$1" ]; }
spread() { sort | uniq -c | awk '{print $1}' | sort -n | xargs; } # of names: how many each
serve a
start edge
check 'one that was there before' eventually 5 workers_are 1
for n in b c d; do serve $n; done
check 'three that came' eventually 5 workers_are 4
is 'TCP at the same address is a group of its own' "$(t --json worker list web | jq length)" 0
is 'rows say whose' "$(t --json worker list dns | jq -r '[.[] | .command] | unique | .[]')" python3
is 'there is no queue' "$(t --json worker list dns | jq -c '[.[] | [.queue_depth, .queue_limit, .state]] | unique')" '[[null,null,"up"]]'
for vip in $VIP $VIP6 198.51.100.77; do
	client=10.0.0.100
	[ $vip = $VIP6 ] && client=fd00::100
	lines=$(udp_get $vip 400)
	is "$vip: all are answered, from there" "$(echo "$lines" | grep -c "^[abcd]0 $client $vip 53$")" 400
	counts=$(echo "$lines" | cut -d' ' -f1 | spread)
	is "$vip: by all four" "$(echo "$counts" | wc -w)" 4
	between "$vip: the least one's share" "${counts%% *}" 60 100
	between "$vip: the largest one's" "${counts##* }" 100 140
done
is 'they are counted' "$(t --json worker list dns | jq '[.[].connections_total] | add')" 1200
is 'in the metrics too' "$(in_ns edge curl -s http://127.0.0.1:9799/metrics | awk '/^tundish_worker_connections_total{service="dns"/ {n += $2} END {print n}')" 1200
is 'this host itself is a client too' "$(in_ns edge "$PYTHON" "$TOP/tests/net/udp.py" get $VIP 53 20 | grep -c "^[abcd]0 .* $VIP 53$")" 20
check 'the file as it is printed is one' bash -c "$BUILD/tundish --control /run/tundish/edge.sock config show >$T/shown.yaml && $BUILD/tundishd --check --config $T/shown.yaml"
is 'UDP elsewhere is as before' "$(PORT=54 udp_get 10.0.0.1 1 | cut -d' ' -f1)" lost

# a flow stays; of one that ends its own alone move
HOLDER=udp.py PORT=53 hold $VIP 60
before=$HELD
steady 'flows stay at their sockets'
end c
after=$(ask)
is 'when one ends all are answered' "$(echo "$after" | grep -c "^[abd]0 ")" 60
moved=$(paste -d' ' <(echo "$before" | cut -d' ' -f1) <(echo "$after" | cut -d' ' -f1) | awk '$1 != "c0" && $1 != $2' | wc -l)
is 'and no other flow has moved' "$moved" 0
check 'it has left' eventually 5 workers_are 3
_told() { t events --once | grep 'worker-leave' | grep -q '53/udp w2'; }
check 'told' eventually 5 _told
serve c
check 'its next one comes in' eventually 5 workers_are 4
is 'and gets those flows back' "$(ask)" "$before"
serve e
check 'one more' eventually 5 workers_are 5
after=$(ask)
between 'gets some flows' "$(echo "$after" | grep -c '^e0 ')" 2 30
moved=$(paste -d' ' <(echo "$before" | cut -d' ' -f1) <(echo "$after" | cut -d' ' -f1) | awk '$2 != "e0" && $1 != $2' | wc -l)
is 'and the others stay' "$moved" 0
end e
check 'it goes' eventually 5 workers_are 4
is 'all are where they were' "$(ask)" "$before"

# where one would go, and goes
for port in 40001 40002 40003; do
	name=$(t --json trace --protocol udp 10.0.0.100:$port $VIP:53 | jq -r .target)
	pid=$(t --json worker list dns | jq ".[] | select(.worker == \"$name\") | .pid")
	asked=$(in_ns client "$PYTHON" -c 'import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.bind(("10.0.0.100", int(sys.argv[1]))); s.connect((sys.argv[2], 53)); s.send(b"?"); print(s.recv(99).decode()[0])' $port $VIP)
	is "trace: from port $port" "${PID[$asked]}" "$pid"
done

# drained by command
worker=$(t --json worker list dns | jq -r ".[] | select(.pid == ${PID[b]}) | .worker")
check 'drain' timeout 20 "$BUILD/tundish" --control /run/tundish/edge.sock worker drain dns "$worker" --wait
is 'a drained one gets nothing' "$(udp_get $VIP 100 | grep -c '^[acd]0 ')" 100
is 'its flows are elsewhere' "$(ask | grep -c '^[acd]0 ')" 60
check 'all of them' t worker drain dns all
is 'silence, for they come back' "$(udp_get $VIP 1)" 'lost TimeoutError'
check 'enable' t worker enable dns all
is 'then they are back' "$(ask)" "$before"
refused 'adopt' 1 'found by itself' t worker adopt dns "${PID[a]}"

# restarted one after the other, the next one first; and while no daemon runs
(in_ns client "$PYTHON" "$TOP/tests/net/udp.py" stream $VIP 53 "$T/enough" >"$T/stream") &
streaming=$!
for n in a b c d; do
	serve "next-$n"
	check "the next $n is in" eventually 5 workers_are 5
	end $n
	check "the former $n is out" eventually 5 workers_are 4
done
stop edge KILL
is 'without a daemon' "$(udp_get $VIP 100 | grep -c '^next-[abcd]0 ')" 100
end next-d
is 'one that ends meanwhile' "$(udp_get $VIP 100 | grep -c '^next-[abc]0 ')" 100
serve late
start edge
check 'one that came meanwhile is found' eventually 5 workers_are 4
touch "$T/enough"
wait $streaming
read -r asked lost <"$T/stream"
between 'questions all the while' "$asked" 100 10000000
between 'lost with those that ended' "$lost" 0 2

# nobody there: silent, then refused
for n in next-a next-b next-c late; do end $n; done
check 'the group is empty' eventually 5 workers_are 0
is 'silent at first' "$(udp_get $VIP 1)" 'lost TimeoutError'
check 'then told' eventually 10 bash -c "[ \"\$(nsenter --net=/run/netns/client $PYTHON $TOP/tests/net/udp.py get $VIP 53 1)\" = 'lost Connection refused' ]"
between 'counted' "$(t --json service show dns | jq .workers.refused.empty)" 2 100
check 'in the attention' bash -c "$BUILD/tundish --control /run/tundish/edge.sock --json status | jq -e '[.attention[] | select(.do | test(\"ss -lunp\"))] | length >= 1'"

# its sockets outlive it
(exec nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock --pin /sys/fs/bpf/edge \
	exec dns --workers 4 -- "$PYTHON" "$TOP/tests/net/udp.py" serve x 53 --inherited >"$T/exec.log" 2>&1) &
PID[exec]=$!
check 'exec: its sockets are found' eventually 10 workers_are 4
rm -f "$T/enough"
check 'exec: it answers' eventually 10 bash -c "nsenter --net=/run/netns/client $PYTHON $TOP/tests/net/udp.py get $VIP 53 1 | grep -q ^x"
(in_ns client "$PYTHON" "$TOP/tests/net/udp.py" stream $VIP 53 "$T/enough" >"$T/stream") &
streaming=$!
for i in 1 2; do
	server=$(pgrep -P "${PID[exec]}")
	kill -HUP "${PID[exec]}"
	_other() { [ "$(pgrep -P "${PID[exec]}" | wc -w)" = 1 ] && [ "$(pgrep -P "${PID[exec]}")" != "$server" ]; }
	check "exec: restart $i" eventually 20 _other
done
touch "$T/enough"
wait $streaming
read -r asked lost <"$T/stream"
between 'exec: questions all the while' "$asked" 100 10000000
between 'exec: lost in what an instance had read' "$lost" 0 2
kill "${PID[exec]}"
wait "${PID[exec]}"
check 'exec: then the group is empty' eventually 5 workers_are 0

# a real server, any address of the prefix
(exec nsenter --net=/run/netns/edge dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root \
	--pid-file="$T/dnsmasq.pid" --address=/name.test/192.0.2.77 >"$T/dnsmasq.log" 2>&1) &
sed 's/delivery: workers, workers: {listen: "\[::\]:53"/delivery: workers, workers: {listen: ["0.0.0.0:53", "[::]:53"]/' "$T/edge.yaml" >"$T/two.yaml"
check 'it has a socket for each family' t config apply "$T/two.yaml"
dig_vip() { in_ns client dig +short +tries=1 +time=$((3 * TUNDISH_TEST_SLOW)) +notcp "@$1" name.test; }
check 'dnsmasq answers' eventually 10 dig_vip $VIP
for vip in $VIP $VIP6 198.51.100.1 198.51.100.200; do
	is "dig @$vip" "$(for _ in {1..10}; do dig_vip $vip; done | grep -c '^192.0.2.77$')" 10
done
check 'TCP of the same program is the other group' eventually 5 in_ns client dig +short +tcp +tries=1 +time=3 @$VIP name.test
# one of several: while nobody is there new flows go to the other host (of a VIP that has no old ones)
sed '/name: dns/d; /name: web/d; /name: second/d' "$T/edge.yaml" >"$T/several.yaml"
cat >>"$T/several.yaml" <<YAML
  - {name: dns, vips: [$VIP2], protocol: udp, ports: [53], delivery: dsr, workers: {listen: "[::]:53", restart_grace: 1s},
     backends: [{name: here, address: 10.0.0.1}, {name: b1, address: 10.0.0.11}]}
YAML
kill "$(cat "$T/dnsmasq.pid")"
vips_on_lo b1
udp_server b1 53
add_address client eth0 10.0.0.101/24
check 'one of several' t config apply "$T/several.yaml"
serve y
check 'its socket is found' eventually 10 workers_are 1
both() { [ "$(udp_get $VIP2 40 | cut -d' ' -f1 | sort -u | xargs)" = "$1" ]; }
check 'both answer' eventually 20 both 'b1 y0'
end y
here_is() { [ "$(t --json backend list | jq -r '.[] | select(.backend == "here" or .name == "here") | .state')" = "$1" ]; }
check 'without it this host is down' eventually 20 here_is down
is 'and the other one does' "$(udp_get $VIP2 40 --source 10.0.0.101 | cut -d' ' -f1 | sort -u | xargs)" b1 # no flow of it is known
serve y
check 'it comes back' eventually 20 here_is up
check 'and both again' eventually 20 both 'b1 y0'
for n in 1 2 3 4; do serve "more$n" 20; done # of 64 places
_full() { [ "$(t --json worker list dns | jq length)" = 64 ]; }
check 'all places are taken' eventually 10 _full
check 'the group is full, and says so once' eventually 5 bash -c "$BUILD/tundish --control /run/tundish/edge.sock events --once | grep -c 'no place for a further UDP socket' | grep -qx 1"
is 'all are served all the same' "$(udp_get $VIP2 100 | grep -c lost)" 0
check 'a file without UDP' t config apply <(sed '/protocol: udp/d' "$T/edge.yaml")
is 'leaves it to the kernel' "$(t --json worker list | jq '[.[] | select(.listen | test("udp"))] | length')" 0
