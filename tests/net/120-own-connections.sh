#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Programs of the edge host itself reach its VIPs: by weight, IPv4 and IPv6, told the VIP as
# their peer, counted, and also while no daemon runs.
. "$(dirname "$0")/lib.sh"
three_backends dsr

# own ADDRESS COUNT: so many connections of the edge's own; a line for each.
own() { in_ns edge "$PYTHON" "$TOP/tests/net/client.py" get "$1" 80 "$2"; }
# peer ADDRESS: what getpeername(2) tells of a connection to it.
peer() {
	in_ns edge "$PYTHON" - "$1" <<-'PY'
		import socket, sys
		s = socket.create_connection((sys.argv[1], 80), 5)
		print(*s.getpeername()[:2])
	PY
}
active() { t --json backend list | jq "[.[] | select(.service == \"web\" and .address == \"$1\")][0].connections_active"; }
all_active() { t --json backend list | jq '[.[].connections_active] | add'; }
total() { t --json backend list | jq '[.[].connections_total] | add'; }
counter() { t --json status | jq ".counters.$1 // 0"; }

GOT=$(own $VIP 60)
is 'all answered' "$(echo "$GOT" | grep -c '^b[123] ')" 60
is 'by all backends' "$(echo "$GOT" | cut -d' ' -f1 | sort -u | xargs)" 'b1 b2 b3'
is 'IPv6' "$(own $VIP6 12 | grep -c '^b[123] ')" 12
is 'the peer is the VIP' "$(peer $VIP)" "$VIP 80"
is 'IPv6 too' "$(peer $VIP6)" "$VIP6 80"
BEFORE=$(total)
own $VIP 20 >/dev/null
is 'counted' "$(($(total) - BEFORE))" 20
none_active() { [ "$(all_active)" = 0 ]; }
check 'and given back' eventually 5 none_active
# hurried COUNT: closed about when the answer to the SYN comes, which no lock keeps apart.
hurried() {
	in_ns edge "$PYTHON" - $VIP "$1" <<-'PY'
		import socket, sys, threading, time
		def many(n):
		    for i in range(n):
		        s = socket.socket()
		        s.setblocking(False)
		        s.connect_ex((sys.argv[1], 80))
		        until = time.perf_counter() + i % 50 * 2e-6
		        while time.perf_counter() < until: pass
		        s.close()
		threads = [threading.Thread(target=many, args=(int(sys.argv[2]) // 2,)) for _ in range(2)]
		[t.start() for t in threads]
		[t.join() for t in threads]
	PY
}
check 'closed while they are answered' hurried 3000
check 'these are given back too' eventually 5 none_active
refused 'a port without a service is as before' 7 'connect' in_ns edge curl -sS --max-time 2 http://$VIP:81/

# A program of the host with a pool of source addresses: not for VIPs.
cgroups app
in_ns edge ip address add 10.0.0.7/24 dev eth0
(cat "$T/edge.yaml" && printf 'egress:\n  - {name: app, cgroup: %s, sources: 10.0.0.7}\n' "$CG/app") >"$T/pool.yaml"
check 'a pool' t config apply "$T/pool.yaml"
source_of() { # ADDRESS PORT: of a connection by a process of that cgroup
	(echo $BASHPID >"$CG/app/cgroup.procs" && exec nsenter --net=/run/netns/edge "$PYTHON" -c 'import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); print(s.getsockname()[0], s.getpeername()[0])' "$1" "$2")
}
is 'elsewhere from the pool' "$(source_of 10.0.0.11 80)" "10.0.0.7 10.0.0.11"
is 'to a VIP not' "$(source_of $VIP 80)" "10.0.0.1 $VIP"
is 'and told so' "$(t --json status | jq '.egress[0].left_alone.vip')" 1
check 'without it' t config apply "$T/edge.yaml"

check 'drain' t backend drain web b2
is 'a drained one gets none' "$(own $VIP 40 | count_of b2)" 0
check 'enable' t backend enable web b2

in_ns edge "$PYTHON" "$TOP/tests/net/client.py" get $VIP 80 1 >/dev/null
stop edge KILL
is 'without a daemon' "$(own $VIP 20 | grep -c '^b[123] ')" 20
start edge
is 'with the next one' "$(own $VIP 20 | grep -c '^b[123] ')" 20

(cat "$T/edge.yaml" && echo 'own_connections: off') >"$T/off.yaml"
check 'off' t config apply "$T/off.yaml"
is 'not led any more' "$(own $VIP 3 | grep -c '^b[123] ')" 0
check 'on again' t config apply "$T/edge.yaml"
is 'led again' "$(own $VIP 12 | grep -c '^b[123] ')" 12
is 'clients all the while' "$(get $VIP 12 | grep -c '^b[123] ')" 12
check 'unload' t unload
is 'nothing is left' "$(find /sys/fs/bpf/edge -name '*own*' 2>/dev/null | wc -l)" 0
is 'and nobody is led' "$(own $VIP 3 | grep -c '^b[123] ')" 0
