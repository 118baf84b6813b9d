#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A list of flows comes in pieces, over the tables of IPv4, IPv6 and translated connections: each flow is in
# it once, as many as are asked for and no more, and one that is the last of all is found. Of tuples those
# with the most connections are first.
. "$(dirname "$0")/lib.sh"
three_backends dsr
cat >>"$T/edge.yaml" <<YAML
  - name: far
    vips: [$VIP2]
    ports: [80]
    delivery: nat
    backends: [{name: b1, address: 10.0.0.11}]
limits: {flows: 20000, flows6: 1024, nat: 4096}
YAML
stop edge
tun edge unload >/dev/null
start edge
spoof() { in_ns client $PYTHON "$TOP/tests/net/syns.py" "$@" --rate 20000; } # VIP 80 COUNT
spoof $VIP 80 6000 --answered
get $VIP6 3 >/dev/null
hold $VIP6 5
spoof $VIP2 80 90
# Of bursts on a busy machine some are lost, and nothing but this sends them again.
_there() {
	[ "$(t --json flow count | jq -c '[.flows >= 6000, .flows6 >= 5, .nat >= 90]')" = '[true,true,true]' ] || {
		spoof $VIP 80 6000 --answered
		spoof $VIP2 80 90
		false
	}
}
check 'there are flows in all tables' eventually 20 _there
ids() { jq -c '[length, (map(.id) | unique | length)]'; }
all=$(t --json flow count | jq '.flows + .flows6 + .nat')
t --json flow list --limit 1000000 >"$T/list"
is 'each is in the list once' "$(ids <"$T/list")" "[$all,$all]"
is 'in the order of their numbers' "$(jq 'map(.id) == (map(.id) | sort)' "$T/list")" true
is 'translated ones too' "$(jq 'map(select(.service == "far")) | length >= 90' "$T/list")" true
is 'and those over IPv6' "$(jq 'map(select(.vip == "'$VIP6'")) | length >= 5' "$T/list")" true
for n in 1 64 65 4160 4161; do
	is "the first $n" "$(t --json flow list --limit $n | ids)" "[$n,$n]"
done
is 'none' "$(t --json flow list --limit 0)" '[]'
is 'as a table' "$(t flow list --limit 5000 | wc -l)" 5001
last=$(jq -c 'map(select(.service == "web" and (.vip | contains(":") | not))) | last' "$T/list")
is 'the last of the first table is found by its client' \
	"$(t --json flow list "client=$(jq -r .client <<<"$last")" "client-port=$(jq -r .client_port <<<"$last")" | jq -c 'map(.id)')" "[$(jq .id <<<"$last")]"
is 'a service has its own' "$(t --json flow list --service far --limit 100000 | jq -c '[length >= 90, (map(.service) | unique)]')" '[true,["far"]]'
is 'a backend, too' "$(t --json flow list --service far --backend b1 --limit 100000 | jq -c 'map(.backend) | unique')" '["b1"]'
is 'one that has none' "$(t --json flow list --service far --backend b1 --state udp)" '[]'

# Tuples: one client with five over IPv6, and all others with one.
of_all() { t --json tuple list --top "$1" | jq -c '[.[0].active, length, map([.active, .total]) == (map([.active, .total]) | sort | reverse)]'; }
is 'of all tuples those with most are first' "$(of_all 10000 | jq -c '[.[0] >= 5, .[1] >= 6000, .[2]]')" '[true,true,true]'
is 'as a table' "$(t tuple list --top 10000 | wc -l)" $(($(t --json tuple list --top 10000 | jq length) + 1))
# Who reads a page, and the others later, has all of them.
(t tuple list --top 10000; echo "left with $?" >"$T/left") | {
	head -c 2000 >"$T/page"
	sleep 12 # more than the 10 s that the daemon waits for who does not read
	cat >>"$T/page"
}
is 'read page by page it is whole' "$(wc -l <"$T/page") $(cat "$T/left")" "$(($(t --json tuple list --top 10000 | jq length) + 1)) left with 0"
# The first rows are shown before the last have come: an answer that stops in its midst.
cat >"$T/half.py" <<-'PY'
	import os, socket, sys, time
	there, here, go = sys.argv[1:]
	s = socket.socket(socket.AF_UNIX)
	s.bind(here)
	s.listen()
	client, _ = s.accept()
	daemon = socket.socket(socket.AF_UNIX)
	daemon.connect(there)
	daemon.sendall(client.recv(65536))
	sent = 0
	while part := daemon.recv(16384):
	    while sent > 300000 and not os.path.exists(go):
	        time.sleep(0.05)
	    client.sendall(part)
	    sent += len(part)
PY
(exec nsenter --net=/run/netns/edge $PYTHON "$T/half.py" /run/tundish/edge.sock "$T/half.sock" "$T/go" 2>"$T/half.log") &
eventually 5 eval 'in_ns edge ss -xlH src "$T/half.sock" | grep . >/dev/null'
in_ns edge "$BUILD/tundish" --control "$T/half.sock" tuple list --top 10000 >"$T/rows" &
half=$!
check 'of very many the first ones are shown before the last have come' eventually 10 eval '[ "$(wc -l <"$T/rows")" = 65 ]'
touch "$T/go"
wait $half
is 'and then the others' "$? $(wc -l <"$T/rows")" "0 $(($(t --json tuple list --top 10000 | jq length) + 1))"
lines() { in_ns edge curl -s --unix-socket /run/tundish/edge.sock "http://t/v1/tuples?top=$1"; }
is 'each row ends a line, that the first ones can be taken before the last' \
	"$(lines 10000 | wc -l) $(lines 2 | sed 's/^\[//; s/[],]$//' | jq -s length)" "$(($(lines 10000 | jq length) - 1)) 2"
is 'of none' "$(lines 0)" '[]'
is 'of some too' "$(of_all 5 | jq -c '[.[0] >= 5, .[1], .[2]]')" '[true,5,true]'
is 'and of one' "$(of_all 1 | jq -c '[.[0] >= 5, .[1]]')" '[true,1]'
