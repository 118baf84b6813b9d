#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A million sockets in TIME_WAIT: counted tuple by tuple, at a cost that is kept, while the
# daemon goes on answering.
. "$(dirname "$0")/lib.sh"
N=1000000
free=$(($(sed -n 's/^MemFree: *\([0-9]*\).*/\1/p' /proc/meminfo) / 1024))
if [ "$TUNDISH_TEST_SLOW" -gt 1 ]; then
	skip 'a million in TIME_WAIT' 'this machine is slow, and TIME_WAIT lasts a minute'
	exit
elif [ "$free" -lt 3000 ]; then
	skip 'a million in TIME_WAIT' "they take 1 GiB of kernel memory, and $free MiB are free"
	exit
fi
port_host
in_ns edge sh -c 'cd /proc/sys/net/ipv4 && echo 1024 65535 >ip_local_port_range && echo 2000000 >tcp_max_tw_buckets &&
	echo 0 >tcp_tw_reuse'
ports_config 'interval: 1s, cpu: 10%'
start edge
population() { in_ns edge sed -n 's/^TCP:.* tw \([0-9]*\) .*/\1/p' /proc/net/sockstat; }
began=$SECONDS
in_ns edge timeout 80 "$BUILD/bench/ports" fill $N >/dev/null || echo 'stopped before all were made'
took=$((SECONDS - began))
made=$(population)
echo "$made in TIME_WAIT after $took s"
if [ "$made" -lt $((N * 95 / 100)) ]; then # else the first have ended before the last began
	skip 'a million in TIME_WAIT' "this machine took $took s for them, and $made are left"
	exit
fi
before=$(population)
listed=$(t --json port list --scan --top 100)
after=$(population)
sum=$(jq '[.[].time_wait] | add' <<<"$listed")
between 'all of them are counted' "$sum" "$after" "$before"
is 'in 32 tuples of as many' "$(jq "[.[] | select(.time_wait > $after / 32 * 0.9)] | length" <<<"$listed")" 32
between 'status answers within a second while scans run (ms)' \
	"$(s=$(date +%s%N) && t status >/dev/null && echo $((($(date +%s%N) - s) / 1000000)))" 0 1000
is 'timewait tells the population' "$(t --json timewait | jq ".sockets > $((N / 2)) and .limit == 2000000")" true
read -r interval cpu < <(t --json status | jq -r '.source_ports.scan | "\(.interval_seconds) \(.cpu_seconds)"')
echo "a scan took $cpu s of CPU, the interval is $interval s"
is 'the interval keeps to the share' "$(jq -n "$interval >= 1 and $interval * 0.101 >= $cpu")" true
