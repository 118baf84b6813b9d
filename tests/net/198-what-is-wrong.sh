#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What takes no connections is not called up: a service whose workers are not there or take no IPv4, one whose
# checks all fail, one with a server that does not answer on the link. It is told since when, and by an event.
. "$(dirname "$0")/lib.sh"
BACKENDS='b1 b2'
one_nic
vips_on_lo b1 b2
web b1
ip -n b2 link set eth0 down
config edge <<YAML
interfaces: [{name: eth0, attach: native}]
services:
  - name: silent
    vips: [$VIP]
    ports: [80]
    delivery: dsr
    backends: [{name: b1, address: 10.0.0.11}, {name: b2, address: 10.0.0.12}]
  - name: failing
    vips: [$VIP]
    ports: [81]
    delivery: dsr
    health: {type: tcp, port: 9, interval: 200ms, timeout: 100ms, rise: 1, fall: 1}
    backends: [{name: b1, address: 10.0.0.11}]
  - name: app
    vips: [$VIP2, "$VIP62"]
    ports: [80]
    delivery: workers
    workers: {listen: "[::]:8080", restart_grace: 0s}
YAML
start edge

state() { t --json service show "$1" | jq -r '"\(.state) \(.backends_up)/\(.backends)"'; }
reason() { t --json service show "$1" | jq -r .reason; }
becomes() { # NAME SERVICE STATE
	_state() { [ "$(state "$2")" = "$1" ]; }
	check "$1" eventually 20 _state "$3" "$2"
}
why() { t --json status | jq -r --arg w "$1" '.attention[] | select(.what == $w) | .why'; }
events() { t --json events --once --event "$1" --service "$2" | jq -r '.[].reason'; }

becomes 'where nothing listens a service is down' app 'down 0/1'
check 'and why is told' eval 'reason app | grep -q "nothing listens"'
# A server that takes IPv6 alone.
listener() { # V6ONLY
	(exec nsenter --net=/run/netns/edge $PYTHON -c '
import socket, sys, time
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(sys.argv[1]))
s.bind(("::", 8080))
s.listen(16)
time.sleep(3600)' "$1") &
	LISTENER=$!
}
listener 1
becomes 'where workers take one family of two it is degraded' app 'degraded 1/1'
is 'and why is told' "$(reason app)" 'no worker takes IPv4'
check 'what to do too' eval 'why "service app" | grep -q "no worker on \[::\]:8080 takes IPv4"'
is 'which is so' "$(t --json trace 10.0.0.100:1000 $VIP2:80 | jq -r .reason)" 'refused: the group had no worker'
ADDRESSES="vips: [$VIP2]"
sed -i "s/vips: \[$VIP2.*/$ADDRESSES/" "$T/edge.yaml"
reload
becomes 'where they take none that it has it is down' app 'down 1/1'
kill $LISTENER
wait $LISTENER 2>/dev/null
listener 0
_target() { [ "$(t --json trace 10.0.0.100:1000 $VIP2:80 | jq -r .target)" = w0 ]; }
check 'one that takes both gets them' eventually 10 _target
becomes 'and the service is up' app 'up 1/1'
is 'and nothing is said of it' "$(why 'service app')" ''
check 'it is drained' t worker drain app w0
becomes 'one that takes none by command is as one that is not there' app 'down 1/1'
is 'and what to do is another thing' "$(t --json status | jq -r '.attention[] | select(.what == "service app") | .do' | grep -c "worker enable app all")" 1
check 'it takes some again' t worker enable app w0
becomes 'and the service is up again' app 'up 1/1'

becomes 'a service whose checks all fail has none up' failing 'degraded 0/1'
_none_up() {
	[ "$(curl -s --unix-socket /run/tundish/edge.sock 'http://localhost/v1/history?service=failing' |
		jq '.[0].up[-1]')" = 0 ]
}
check 'nor does the last hour count it' eventually 60 _none_up
check 'the status says since when' eval 't status | grep -qE "^! backend failing/b1, for [0-9]"'

becomes 'one with a silent server is degraded' silent 'degraded 2/2'
check 'and why is told' eval 'reason silent | grep -q "^b2 has no next hop: the neighbour 10.0.0.12 on eth0 does not answer"'
is 'which is the reason of that backend' "$(backend_field b2 reason silent)" "$(reason silent | sed 's/^b2 has no next hop: //')"
check 'and an event of its service' eval 'events next-hop silent | grep -q "^10.0.0.12: .*; packets to it are dropped"'
check 'the status says since when' eval 't status | grep -qE "^! backend silent/b2, for [0-9]"'
ip -n b2 link set eth0 up
becomes 'until it answers' silent 'up 2/2'
check 'which is an event too' eval 'events next-hop silent | tail -n 1 | grep -qx "10.0.0.12 is reachable again"'
is 'of each one alone' "$(events next-hop silent | wc -l)" 2

# The way to the only server is gone.
cp "$T/edge.yaml" "$T/without.yaml"
ip -n edge route add 10.0.9.0/24 via 10.0.0.11
cat >>"$T/edge.yaml" <<YAML
  - name: far
    vips: [$VIP]
    ports: [82]
    delivery: ipip
    backends: [{name: b1, address: 10.0.9.1}]
YAML
reload
becomes 'a service with a way to its server is up' far 'up 1/1'
ip -n edge route del 10.0.9.0/24
becomes 'without it the service is down' far 'down 1/1'
check 'and why is told' eval 'reason far | grep -q "^b1 has no next hop: .*10.0.9.1"'
cp "$T/without.yaml" "$T/edge.yaml"
reload

# What no time is kept of: the daemon has found it while nobody asked.
kill $LISTENER
wait $LISTENER 2>/dev/null
sleep $((16 * TUNDISH_TEST_SLOW)) # well more than the ten seconds in which it looks by itself
found() { t --json status | jq -r '.attention[] | select(.what == "service app") | .seconds'; }
first=$(found) first=${first:-0}
between 'that nothing listens is known for some time' "${first:-0}" 1 1000
_longer() { [ "$(found)" -gt "$first" ]; }
check 'and goes on' eventually 10 _longer
listener 0
becomes 'until somebody listens' app 'up 1/1'
_gone() { [ -z "$(found)" ]; } # looked at meanwhile: what is back before anybody looks was never away
check 'when nothing is said of it any more' eventually 10 _gone
kill $LISTENER
wait $LISTENER 2>/dev/null
_again() { [ -n "$(found)" ]; }
check 'of the next time' eventually 10 _again
between 'it begins anew' "$(found)" 0 "$first"
