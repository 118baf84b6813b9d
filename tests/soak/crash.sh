#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A hundred SIGKILLs at moments that nobody chose: idle, in a reload, in a start, in a re-execution, in a
# command, as health changes, under wrk on every delivery. No failed request, no broken connection, no
# map, program, address or port left behind, and all is as it was.
# shellcheck source=tests/soak/lib.sh
. "$(dirname "$0")/lib.sh"
soak_begins
kinds=
for ((n = 1; n <= ${SOAK_COUNT:-100}; n++)); do
	other_file
	health_changes
	seen
	case $((RANDOM % 6)) in
	0) kind=idle && moment 600 ;;
	1) kind=reload && kill -HUP "${PID[edge]}" && moment 80 ;;
	2) kind=start && stop edge KILL && daemon edge && moment 300 ;;
	3) kind=reexec && kill -USR2 "${PID[edge]}" && moment 400 ;;
	4) kind="command" && { t backend drain dsr b3 >/dev/null 2>&1 & } && moment 30 ;;
	5) kind=health && rm -f "$T/healthy-b1" && moment 600 && touch "$T/healthy-b1" ;;
	esac
	seen
	stop edge KILL
	kinds+="$kind "
	[ $((n % 10)) != 0 ] || _serves_all || not_ok "$n, $kind: new connections are served without a daemon"
	start edge
done
echo "kills: $(echo "$kinds" | tr ' ' '\n' | grep . | sort | uniq -c | xargs)"
traffic_ends
t backend enable dsr b3 >/dev/null 2>&1
leaks_end
