#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# While rounds of scans run, requests are answered as ever: with 400,000 open files, with 300,000
# sockets in TIME_WAIT, and with 64,000 UDP sockets that are a tuple each; and one that waits for
# a scan keeps nobody waiting.
. "$(dirname "$0")/lib.sh"
free=$(($(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo) / 1024))
if [ "$free" -lt 3000 ]; then
	skip 'answers while scans run' "the crowds take 2 GiB of memory, and $free MiB are free"
	exit
fi
port_host
in_ns edge sh -c 'cd /proc/sys/net/ipv4 && echo 1024 65535 >ip_local_port_range && echo 500000 >tcp_max_tw_buckets && echo 0 >tcp_tw_reuse'
ports_config 'interval: 1s, cpu: 100%'
start edge
[ -z "$REAL_TIME" ] || chrt -a -f -p 1 "${PID[edge]}"
rounds() { t --json status | jq '.source_ports.scan'; }
ask() { # NAME [PATH]
	local found
	found=$(in_ns edge $REAL_TIME $PYTHON "$TOP/tests/net/crowd.py" ask /run/tundish/edge.sock "${2:-/v1/status}" 5)
	echo "$1: $found"
	timely "$1: the 99th in a hundred (ms)" "$(jq '.p99 | ceil' <<<"$found")" 0 20
	# A round a second: what would stop requests in each would stop five of them.
	timely "$1: the longest but two (ms)" "$(jq '.third | ceil' <<<"$found")" 0 50
}
sockets() { t --json status | jq .source_ports.scan.sockets; }
scanned() { [ "$(sockets)" -ge "$1" ]; }

ask 'nothing'
crowd files 400 1000
ask 'many files'
crowd_end

in_ns edge timeout 80 "$BUILD/bench/ports" fill 300000 >/dev/null || echo 'stopped before all were made'
eventually 20 scanned 200000 || skip 'many in TIME_WAIT' "this machine is slow: only $(sockets) are there"
ask 'many in TIME_WAIT'
# With a pause between them: a daemon of real-time priority that is busy all the time is stopped
# by the kernel for 50 ms of each second.
(exec nsenter --net=/run/netns/edge $PYTHON "$TOP/tests/net/crowd.py" ask /run/tundish/edge.sock '/v1/ports?scan=1&top=10' 6 0.1 >"$T/scans.out" 2>"$T/scans.log") &
PID[scans]=$!
ask 'while others wait for scans'
wait "${PID[scans]}"
between 'who have them' "$(jq .n "$T/scans.out")" 3 1000

crowd udp 8 8000
is_listed() { [ "$(t --json port list --scan --top 10 | jq '.[-1].tuples')" -gt 60000 ]; }
check 'as many tuples are listed' eventually 20 is_listed
is 'the last row is all others' "$(t --json port list --top 10 | jq '[.[].used] | add >= 64000')" true
ask 'many tuples'
ask 'many tuples, listed' '/v1/ports?top=10'
ask 'many tuples, in TIME_WAIT' /v1/timewait
in_ns edge timeout 20 "$BUILD/bench/ports" fill 5000 >/dev/null # the first ones have ended by now
crowd_end
none() { [ "$(t --json port list --scan --top 10 | jq '[.[] | select(.protocol == "udp")] | length')" = 0 ]; }
check 'they go' eventually 20 none
is 'and those in TIME_WAIT stay' "$(t --json timewait | jq '.tuples | length > 5')" true
