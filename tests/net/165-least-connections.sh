#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `scheduler: least-connections`: connections that stay long on one server keep new ones away
# from it, which Maglev does not know of; by weight; in tunnels, past one NIC, translated; what is
# established stays where it is when the scheduler changes, and when the daemon is killed.
# parallel: yes
. "$(dirname "$0")/lib.sh"
two_nics
vips_on_lo $BACKENDS
for b in $BACKENDS; do web "$b"; done
backend_daemons

conf() { # DELIVERY SCHEDULER [WEIGHT of b1]
	local b backends=''
	for b in $BACKENDS; do backends+="{name: $b, address: 10.0.1.1${b#b}, weight: $([ $b = b1 ] && echo ${3:-100} || echo 100)}, "; done
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]
		services:
		  - {name: web, vips: [${VIPS-$VIP, "$VIP6"}], ports: [80], delivery: $1, scheduler: $2, backends: [${backends%, }]}
	YAML
}
# Opens COUNT held connections and tells how many each backend has of them, in order.
held_by() { echo "$HELD" | tally; }
actives() { for b in $BACKENDS; do backend_field "$b" connections_active; done | xargs; }
spread_of() { actives | tr ' ' '\n' | sort -n | sed -n '1p;$p' | xargs | awk '{print $2 - $1}'; }

conf ipip maglev
start edge
_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
eventually 10 _serves || fatal "no service on $VIP within 10 s"
_none_active() { [ "$(actives)" = '0 0 0' ]; }
eventually 10 _none_active
hold $VIP 90
is 'maglev: all are counted' "$(actives | tr ' ' '\n' | awk '{s += $1} END {print s}')" 90
maglev=$(spread_of)

# From one scheduler to the other and back, under those connections.
conf ipip least-connections
reload
steady 'ninety connections stay where they are when the scheduler changes'
is 'it is told' "$(t --json service list | jq -r '.[0].scheduler')" least-connections
is 'it is printed' "$(t config show | grep -c 'scheduler: least-connections')" 1
release >/dev/null
eventually 10 _none_active

hold $VIP 90
between "least-connections: even (by hash the widest gap was $maglev)" "$(spread_of)" 0 4
steady 'they answer from where they are'
conf ipip maglev
reload
steady 'and do so when it is Maglev again'
is 'nothing is unknown to the table' "$(counter flow_unknown)" 0
conf ipip least-connections
reload
steady 'and when it is not'

# One server keeps what it has: 40 connections more go to the others until they are level.
release >/dev/null
eventually 10 _none_active
t backend disable web b2 >/dev/null
t backend disable web b3 >/dev/null
hold $VIP 30
is 'thirty are on one' "$(held_by)" 'b1=30'
t backend enable web b2 >/dev/null
t backend enable web b3 >/dev/null
first=$HELD
lines=$(in_ns client "$PYTHON" - $VIP 40 <<'PY'
import socket, sys
held = []
for i in range(int(sys.argv[2])):
    s = socket.create_connection((sys.argv[1], 80), 5)
    s.sendall(b"GET / HTTP/1.1\r\nHost: v\r\n\r\n")
    print(s.recv(4096).split(b"\r\n\r\n", 1)[1].split()[0].decode(), flush=True)
    held.append(s)
PY
)
between 'of forty more it gets few: those for which it was drawn against itself' "$(echo "$lines" | grep -c b1)" 0 4
HELD=$first
steady 'those that were there stay'
stop edge KILL
steady 'they outlive the daemon'
lines=$(get $VIP 30)
is 'without a daemon all new ones are served' "$(echo "$lines" | grep -c '^b')" 30
between 'and the one with thirty gets few' "$(echo "$lines" | count_of b1)" 0 6
start edge
steady 'and its next start'
release >/dev/null
eventually 10 _none_active

conf ipip least-connections 200
reload
hold $VIP 80
between 'twice the weight, twice the connections' "$(backend_field b1 connections_active)" 36 44
release >/dev/null
eventually 10 _none_active

for way in dsr nat; do
	VIPS=$VIP conf $way least-connections
	stop edge
	t unload >/dev/null 2>&1
	start edge
	if [ $way = nat ]; then
		for b in $BACKENDS; do stop "$b"; tun "$b" unload >/dev/null 2>&1; ip -n "$b" route replace 10.0.0.0/24 via 10.0.1.1; done
	fi
	eventually 10 _serves || fatal "$way: no service on $VIP within 10 s"
	eventually 10 _none_active
	hold $VIP 60
	between "$way: even" "$(spread_of)" 0 4
	steady "$way: they stay"
	release >/dev/null
	eventually 10 _none_active
done
