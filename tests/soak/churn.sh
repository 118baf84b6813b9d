#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# An hour of churn on 1,000 services with 100 backends each, and what memory of its own the daemon has at each
# minute of it: connections of ever other clients, which open and close; a reload each half a minute, with 1 % of the
# services changed, by turns with the way back; a backend drained and enabled; /metrics read each 15 s, the
# lists, `status` and `events` now and then. In its last third it may have no more than in its first one, and a twentieth.
#
#   CHURN_MINUTES=60 tests/soak/churn.sh
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/../net/lib.sh"
minutes=${CHURN_MINUTES:-60} # three at least
one_nic
$PYTHON "$TOP/tests/net/large.py" 1000 100 >"$T/base.yaml"
$PYTHON "$TOP/tests/net/large.py" 1000 100 --weight 50 --every 100 >"$T/one.yaml"
cp "$T/base.yaml" "$T/edge.yaml"
ip -n edge route add 10.100.0.0/14 via 10.0.0.11
ip -n client route add 198.19.0.0/16 via 10.0.0.1
daemon edge
eventually 120 tun edge status || fatal 'tundishd does not start'

own() { awk '$1 == "RssAnon:" {print $2}' /proc/"${PID[edge]}"/status; } # KiB, without the maps
cpu_ms() { awk '{print int($1 / 1000000)}' /proc/"${PID[edge]}"/schedstat; }
descriptors() { find /proc/"${PID[edge]}"/fd -mindepth 1 | wc -l; }
(exec nsenter --net=/run/netns/client "$PYTHON" "$TOP/tests/net/syns.py" 198.19.0.1 80 $((minutes * 60 * 50)) --closed --rate 50) &
PID[clients]=$!

begin=$EPOCHSECONDS files=$(descriptors) began_cpu=$(cpu_ms)
scrapes=0 reloads=0 scraped_ms=0 failed=0 first=0 last=0
scrape() {
	local cpu
	cpu=$(cpu_ms)
	in_ns edge curl -sfm 60 -o "$T/answer" http://127.0.0.1:9799/metrics || failed=$((failed + 1))
	scraped_ms=$((scraped_ms + $(cpu_ms) - cpu)) scrapes=$((scrapes + 1))
}
for ((quarter = 0; quarter < minutes * 4; quarter++)); do
	scrape
	case $((quarter % 4)) in
	0)
		cp "$T/one.yaml" "$T/edge.yaml"
		kill -HUP "${PID[edge]}" && reloads=$((reloads + 1))
		;;
	1) t status >/dev/null && t service list >/dev/null && t events --once >/dev/null || failed=$((failed + 1)) ;;
	2) t config apply "$T/base.yaml" >/dev/null && reloads=$((reloads + 1)) || failed=$((failed + 1)) ;;
	3)
		t backend drain s$((RANDOM % 1000)) b1 >/dev/null && t tuple list >/dev/null 2>&1 && t backend list >/dev/null || failed=$((failed + 1))
		now=$(own)
		[ $quarter -ge $((minutes * 4 / 3)) ] || first=$((now > first ? now : first))
		[ $quarter -lt $((minutes * 8 / 3)) ] || last=$((now > last ? now : last))
		echo "figures: minute $((quarter / 4 + 1)): $now KiB"
		;;
	esac
	next=$((begin + (quarter + 1) * 15))
	[ $next -le $EPOCHSECONDS ] || sleep $((next - EPOCHSECONDS))
done
is 'requests that failed' $failed 0
check "memory is bounded: $first KiB at most in the first third, $last in the last" [ "$last" -le $((first + first / 20)) ]
between 'descriptors' "$(descriptors)" 0 "$files"
check 'the tuples were those of ever other clients' [ "$(awk '/^tundish_connections_total/ {n += $2} END {print n}' "$T/answer")" -ge $((minutes * 60 * 40)) ]
echo "figures: $reloads reloads, $scrapes readings of /metrics of $(wc -c <"$T/answer") bytes: $((scraped_ms / scrapes)) ms of CPU each," \
	"the whole $((($(cpu_ms) - began_cpu) / 10 / (EPOCHSECONDS - begin + 1))) % of a core"
