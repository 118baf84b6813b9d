#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A hundred reloads, by signal and by command, of files that differ in members, weights, sources,
# services and timeouts, with drains and weights by command between them and health that changes,
# under wrk on every delivery: no failed request, no broken connection, nothing leaked.
# shellcheck source=tests/soak/lib.sh
. "$(dirname "$0")/lib.sh"
soak_begins
refused=0
for ((n = 1; n <= ${SOAK_COUNT:-100}; n++)); do
	cp "$T/$([ $((n % 2)) = 0 ] && echo first || echo second).yaml" "$T/edge.yaml"
	if [ $((n % 5)) = 0 ]; then # one after another, without waiting for the end of any
		for _ in 1 2 3; do
			kill -HUP "${PID[edge]}"
			moment 20
		done
	fi
	if [ $((n % 3)) = 0 ]; then reload; else t config apply "$T/edge.yaml" >/dev/null; fi || {
		refused=$((refused + 1))
		echo "reload $n is refused"
	}
	health_changes
	d=$(one_of dsr ipip gue)
	case $((n % 4)) in
	0) t backend drain "$d" b2 && moment && t backend enable "$d" b2 ;;
	1) t backend weight "$d" b1 $((20 + RANDOM % 200)) ;;
	2) t backend drain nat n2 && moment && t backend enable nat n2 ;;
	esac >/dev/null || refused=$((refused + 1))
	seen
	moment 300
done
is 'reloads and commands refused' $refused 0
traffic_ends
# Weights by command stay until the file's change.
for d in dsr ipip gue; do t backend weight "$d" b1 100 >/dev/null; done
leaks_end
