#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The wall clock jumps, a day ahead and years back. All that tundish does goes by the clock that does not:
# connections are neither aged nor kept longer, rates and timers go on, and a start in the wrong year adopts.
. "$(dirname "$0")/lib.sh"
${CC:-cc} -shared -fPIC -O1 -o "$T/wall.so" "$TOP/tests/net/wall.c" || fatal 'tests/net/wall.c does not compile'
three_backends dsr
stop edge
wall=$T/wall
jump() { echo "$(($1 * 86400))" >"$wall.new" && mv "$wall.new" "$wall"; } # DAYS
jump 0
fake() {
	daemon edge LD_PRELOAD="$T/wall.so" WALL_FILE="$wall"
	ready edge || fatal 'it does not start'
}
fake
hold $VIP 40
load $VIP
flows() { t --json backend list | jq '[.[].connections_active] | add'; }
# as the daemon tells the time of its last act
day() { in_ns edge curl -s --unix-socket /run/tundish/edge.sock http://x/v1/events | jq -r '.[-1].time[:10]'; }
told=0
for by in 1 -3650 3650 0; do
	jump "$by"
	check "$by days: a weight by command" t backend weight web b1 $((50 + ++told))
	is "$by days: events have the time of the wall" "$(day)" "$(date -u -d "$by days" +%F)"
	steady "$by days: the open connections stay"
	before=$(t --json status | jq '[.services[].connections_total] | add')
	more() { [ "$(t --json status | jq '[.services[].connections_total] | add')" -gt "$before" ]; }
	check "$by days: counting goes on" eventually 10 more
	rate() { t --json service list | jq -e '[.[].packets_per_second] | add > 0' >/dev/null; }
	check "$by days: rates too" eventually 10 rate
	between "$by days: none is taken for old" "$(flows)" 40 10000
done
jump -7000
stop edge KILL
fake
check 'a start in the wrong year adopts' grep -q 'the pinned maps were adopted' "$T/tundishd-edge.log"
steady 'and the open connections stay'
end_load >/dev/null
between 'requests were made' "$REQUESTS" 100 10000000
is 'none failed' "$FAILURES" 0
is 'none was slow' "$SLOW" 0
