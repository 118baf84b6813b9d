#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `ports: {failures: all}`: calls of bind(2) that get no port are counted, exactly, for the
# address that was asked for, and no other failure is.
# parallel: yes
. "$(dirname "$0")/lib.sh"
port_host
in_ns edge sh -c 'echo 40000 40099 >/proc/sys/net/ipv4/ip_local_port_range'
in_ns edge ip address add 10.0.0.7/24 dev eth0
ports_config 'interval: 1s'
start edge

# bind_errors NAME: those of a client, as "EADDRINUSE 20".
bind_errors() { jq -r '.errors | to_entries | map("\(.key) \(.value)") | join(" ")' "$T/$1.out"; }
# bind_failures LOCAL PROTOCOL: as counted. A scan, for a table that took long to read is not read
# anew at once.
bind_failures() {
	t --json port list --scan | jq "[.[] | select(.local_ip == \"$1\" and .protocol == \"$2\" and .remote_ip == null) | .failures.EADDRINUSE] | add // 0"
}
attached() { find /sys/fs/bpf/edge -name link_port_bind 2>/dev/null | wc -l; }
# The table is not read anew for each question.
_counted() { [ "$(bind_failures "$1" "$2")" = "$3" ]; }
counted() { check "$1" eventually 10 _counted "$2" "$3" "$4"; } # NAME LOCAL PROTOCOL WANTED
# fails NAME N ARGUMENTS: N binds of one client that is ended at once.
fails() {
	ports_client edge "$1" bind "${@:3}"
	ports_end "$1"
	is "$1: as the program was told" "$(bind_errors "$1")" "$2"
}
# Other errors than EADDRINUSE, and other sockets with it.
others() {
	in_ns edge $PYTHON - <<-'PY'
		import socket
		def told(call):
		    try:
		        call()
		    except OSError as e:
		        return e.errno
		s = socket.socket()
		s.bind(("10.0.0.7", 40001))
		u, v = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
		u.bind("\0bind-failures")
		print(told(lambda: s.bind(("10.0.0.7", 0))),
		      told(lambda: socket.socket().bind(("10.9.9.9", 0))),
		      told(lambda: v.bind("\0bind-failures")))
	PY
}

ports_client edge all bind 10.0.0.7 100
fails 'not asked for' 'EADDRINUSE 3' 10.0.0.7 3
is 'not counted where nobody asks' "$(bind_failures 10.0.0.7 tcp) $(attached)" '0 0'
ports_config 'interval: 1s, failures: all'
check 'asked for by reload' t config apply "$T/edge.yaml"
is 'attached' "$(attached)" 1
fails 'none left' 'EADDRINUSE 20' 10.0.0.7 20
counted 'counted exactly' 10.0.0.7 tcp 20
fails 'taken, in the range' 'EADDRINUSE 2' 10.0.0.7 2 --asked 40007
counted 'counted too' 10.0.0.7 tcp 22
is 'nothing is used by that row' "$(t --json port list | jq -r '.[] | select(.local_ip == "10.0.0.7") | "\(.used) \(.remote_port) \(.seconds_to_exhaustion)"')" '0 null null'
check 'an event, with the program' eventually 10 bash -c "$(declare -f in_ns tun t); BUILD=$BUILD; t events --once | grep -q 'ports-refused.*10.0.0.7 (bind).*bind(2) of .*EADDRINUSE'"
check 'status tells it' bash -c "$(declare -f in_ns tun t); BUILD=$BUILD; t status | grep -q 'bind(2) got EADDRINUSE'"

ports_client edge service bind 10.0.0.1 1 --asked 8080
fails 'of a service, beside the range' 'EADDRINUSE 1' 10.0.0.1 1 --asked 8080
ports_end all
is 'metric' "$(in_ns edge curl -s http://127.0.0.1:9799/metrics | sed -n 's/^tundish_source_port_allocation_failures_total{local_ip="10.0.0.7",remote_ip="",remote_port="",errno="EADDRINUSE"} //p')" 22
is 'bound already, not of this host, AF_UNIX' "$(others)" '22 99 98'
is 'none of these is counted' "$(t --json port list --scan | jq '[.[] | .failures.EADDRINUSE] | add')" 22

ports_client edge udp bind 10.0.0.7 100 --udp
fails 'UDP' 'EADDRINUSE 4' 10.0.0.7 4 --udp
counted 'counted apart' 10.0.0.7 udp 4
is 'and not there' "$(bind_failures 10.0.0.7 tcp)" 22
ports_client edge six bind fd00::1 100
fails 'IPv6' 'EADDRINUSE 5' fd00::1 5
counted 'IPv6 counted' fd00::1 tcp 5

stop edge KILL
fails 'while no daemon runs' 'EADDRINUSE 6' fd00::1 6
start edge
counted 'known to the next one' fd00::1 tcp 11
is 'which adopts the program' "$(attached)" 1
ports_config 'interval: 1s'
check 'no more, by reload' t config apply "$T/edge.yaml"
is 'taken off' "$(attached)" 0
fails 'nobody asks' 'EADDRINUSE 1' fd00::1 1
is 'not counted' "$(bind_failures fd00::1 tcp)" 11
ports_config 'interval: 1s, failures: all'
check 'asked for again' t config apply "$T/edge.yaml"
is 'nothing of binds is told as exhausted' "$(t events --once | grep -c 'exhausting.*(bind)')" 0
check 'unload' t unload
is 'nothing is left' "$(attached) $(find /sys/fs/bpf/edge -name '*port*' 2>/dev/null | wc -l)" '0 0'
