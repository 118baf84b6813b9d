#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `max_connections` and `least-connections` where packets are translated, of UDP, and of this host's own
# programs; slow servers beside fast ones.
# parallel: yes
BACKENDS='b1 b2'
. "$(dirname "$0")/translated.sh"
BACKENDS='b1 b2'
plain_servers 2
actives() { for b in $BACKENDS; do backend_field "$b" connections_active "${1:-web}"; done | xargs; }
actives_are() { [ "$(actives "${2:-web}")" = "$1" ]; }

for delivery in nat fullnat; do
	for vip in $VIP "\"$VIP6\""; do
		family=4
		[ "$vip" = $VIP ] || family=6
		VIPS=$vip translated $delivery $family "    max_connections: 8
    scheduler: least-connections"
		# shellcheck disable=SC2015
		[ -n "${PID[edge]-}" ] && reload || start edge
		vip=${vip//\"/}
		_here() { [ "$(get "$vip" 6 | grep -c '^b')" = 6 ]; }
		eventually 10 _here || fatal "$delivery: no service on $vip within 10 s"
		eventually 10 actives_are '0 0' || fatal "$delivery: connections that do not end"
		hold "$vip" 16
		is "$delivery, IPv$family: full, each with its part" "$(actives)" '8 8'
		is "$delivery, IPv$family: the next ones are refused" "$(get "$vip" 5 | grep -c '^failed')" 5
		steady "$delivery, IPv$family: the sixteen stay"
		release >/dev/null
		eventually 10 actives_are '0 0'
		is "$delivery, IPv$family: there is room again" "$(get "$vip" 8 | grep -c '^b')" 8
		eventually 10 actives_are '0 0'
	done
done
between 'answered with a reset' "$(counter sent_rst_full)" 20 40
is 'not for want of source ports' "$(counter sent_rst_ports)" 0

# This host's own programs: by the same counts, to the same limit.
VIPS=$VIP translated fullnat 4 "    max_connections: 3"
reload
own=$(in_ns edge "$PYTHON" - $VIP <<'PY'
import socket, sys
held, refused = [], 0
for i in range(10):
    try:
        held.append(socket.create_connection((sys.argv[1], 80), 3))
    except ConnectionRefusedError:
        refused += 1
print(len(held), refused)
PY
)
is 'own connections have the limit too' "$own" '6 4'
eventually 10 actives_are '0 0' || not_ok 'own connections are given back'

# UDP: a flow holds a place once it goes on.
for b in $BACKENDS; do udp_server "$b" 5353 10.0.1.1"${b#b}"; done
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]
	services:
	  - {name: dns, vips: [$VIP], protocol: udp, ports: [5353], delivery: fullnat, sources: [10.0.1.250], max_connections: 2,
	     scheduler: least-connections, backends: [{name: b1, address: 10.0.1.11}, {name: b2, address: 10.0.1.12}]}
YAML
reload
PORT=5353 HOLDER=udp.py hold $VIP 4
_counted_all() {
	ask >/dev/null
	actives_are '2 2' dns
}
check 'four flows of UDP fill two backends' eventually 10 _counted_all
before=$(counter drop_full)
in_ns client "$PYTHON" "$TOP/tests/net/udp.py" get $VIP 5353 3 >"$T/udp" 2>&1
is 'more are not answered' "$(grep -c '^b' "$T/udp")" 0
between 'and counted' "$(($(counter drop_full) - before))" 1 100
ask >/dev/null
is 'those that were there go on' "$(actives dns)" '2 2'
release >/dev/null

# A slow server and a fast one: by hash each gets half of the connections, and the slow one's pile up.
cat >"$T/timed.py" <<'PY'
import asyncio, sys
name, seconds, port = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
async def serve(r, w):
    try:
        await r.readuntil(b"\r\n\r\n")
        await asyncio.sleep(seconds)
        body = (name + "\n").encode()
        w.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await w.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    w.close()
async def main():
    s = await asyncio.start_server(serve, "0.0.0.0", port, backlog=1024)
    await s.serve_forever()
asyncio.run(main())
PY
(exec nsenter --net=/run/netns/b1 "$PYTHON" "$T/timed.py" b1 0.9 8090 >"$T/slow.log" 2>&1) &
(exec nsenter --net=/run/netns/b2 "$PYTHON" "$T/timed.py" b2 0.03 8090 >"$T/fast.log" 2>&1) &
timed() { # SCHEDULER
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]
		services:
		  - {name: web, vips: [$VIP], ports: [8090], delivery: nat, scheduler: $1, backends: [{name: b1, address: 10.0.1.11}, {name: b2, address: 10.0.1.12}]}
	YAML
	reload
	_up() { [ "$(PORT=8090 get $VIP 8 | grep -c '^b')" = 8 ]; }
	eventually 15 _up || fatal "$1: no service"
	(exec nsenter --net=/run/netns/client wrk -t1 -c12 -d 6s --latency -H 'Connection: close' "http://$VIP:8090/" >"$T/wrk-$1" 2>&1)
	awk '/requests in/ {print $1}' "$T/wrk-$1"
}
maglev=$(timed maglev)
least=$(timed least-connections)
between "a slow server beside a fast one: requests in the same time, of $maglev by hash" "$least" $((maglev * 2)) 10000000
is 'none failed' "$(grep -cE 'Socket errors|Non-2xx' "$T/wrk-maglev" "$T/wrk-least-connections" | cut -d: -f2 | xargs)" '0 0'
