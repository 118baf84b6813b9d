#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# doctor names a process that is short of descriptors, a range of ports that is used up, and a
# service's port in the range; and the setting that it names cures it.
. "$(dirname "$0")/lib.sh"
doctor_host
in_ns client sysctl -qw net.ipv4.ip_local_port_range='10000 60999'

# ---- RLIMIT_NOFILE: a server that keeps what it accepts
(exec nsenter --net=/run/netns/edge "$PYTHON" -c '
import resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
s = socket.create_server(("10.0.0.1", 8080), backlog=500)
kept = []
while True:
    try:
        kept.append(s.accept())
    except OSError:
        __import__("time").sleep(0.05)' >"$T/keeper.log" 2>&1) &
keeper=$!
_listens() { in_ns edge ss -Hltn 'sport = :8080' | grep -q .; }
eventually 10 _listens || fatal 'the server does not listen'
# Connections are held until a line comes.
coproc CLIENT { in_ns client "$PYTHON" -c '
import socket, sys
kept = []
for line in sys.stdin:
    kept += [socket.create_connection(("10.0.0.1", 8080)) for _ in range(int(line))]
    print(len(kept), flush=True)'; }
hold_more() {
	echo "$1" >&"${CLIENT[1]}"
	read -r -t 10 _ <&"${CLIENT[0]}"
}
files() { find /proc/$keeper/fd -mindepth 1 | wc -l; }
_files_are() { [ "$(files)" -ge "$1" ]; }
hold_more 60
check 'sixty are open' eventually 10 _files_are 64
doctor
doctor_quiet 'two thirds of its descriptors'
# One that waits in accept() has a number for the next already, and nothing behind it.
between 'as many as it has' "$(doctor_row process_files value)" "$(files)" $(($(files) + 1))
is 'of as many as it may' "$(doctor_row process_files limit)" 100
hold_more 25
check 'more are open' eventually 10 _files_are 89
doctor
doctor_says 'nearly all of its descriptors' process_files warn "LimitNOFILE=65536 .*prlimit --pid $keeper --nofile=65536" \
	"python3[.0-9]* \(pid $keeper\) has used over 80%"
hold_more 30
check 'all are open' eventually 10 _files_are 100
doctor
doctor_says 'all of its descriptors' process_files bad "prlimit --pid $keeper" 'has no descriptor left: accept\(\)'
prlimit --pid $keeper --nofile=2000: # as far as a test may, which may lack CAP_SYS_RESOURCE
_served() { [ "$(in_ns edge ss -Hltn 'sport = :8080' | awk '{print $2}')" = 0 ]; }
check 'with the setting it goes on' eventually 10 _served
doctor
doctor_quiet 'and nothing is wrong any more'
kill $keeper
wait $keeper 2>/dev/null

# ---- source ports: a range of 100, used up by connections that this end closes first
in_ns edge sysctl -qw net.ipv4.ip_local_port_range='50000 50099'
SERVE_NS=client ADDRESSES=10.0.0.100:9090 serve upstream --workers 1
refusals=$(in_ns edge "$PYTHON" -c '
import errno, socket
n = 0
for _ in range(130):
    s = socket.socket()
    try:
        s.connect(("10.0.0.100", 9090))
    except OSError as e:
        n += e.errno == errno.EADDRNOTAVAIL
    s.close()
print(n)')
between 'the last ones find no port' "$refusals" 30 130
doctor
doctor_says 'a range that is used up' port_range warn '^sysctl -w net.ipv4.ip_local_port_range="16384 65535"$' \
	'only 100 ports .*, while [0-9]+ are open or in TIME_WAIT: .*EADDRNOTAVAIL'
in_ns edge sh -c "$(doctor_row port_range setting)" >/dev/null
check 'with the setting it connects' in_ns edge bash -c 'exec 3<>/dev/tcp/10.0.0.100/9090'
doctor
doctor_quiet 'and nothing is wrong any more'

# ---- a service in the range
in_ns edge sysctl -qw net.ipv4.ip_local_reserved_ports=20000-20001
ADDRESSES='0.0.0.0:40000 [::]:40001' serve app --workers 2
ADDRESSES=127.0.0.1:40002 serve local --workers 1
doctor
doctor_says 'services in the range' port_overlap warn '^sysctl -w net.ipv4.ip_local_reserved_ports=20000-20001,40000-40001$' \
	'\(40000-40002; server among them\)'
in_ns edge sh -c "$(doctor_row port_overlap setting)" >/dev/null
doctor
doctor_quiet 'reserved, nothing is wrong any more'
is 'what is on loopback is a note' "$(doctor_row port_overlap verdict) $(doctor_row reserved_ports value)" 'note 4'
