#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The daemon dies at each step of what follows from a check, to and fro: the next one ends where
# this one would have ended, and connections at other servers never notice.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 2
VIPS=$VIP
translated fullnat 4 '    health: {type: tcp, interval: 50ms, timeout: 500ms, rise: 1, fall: 1}'
start edge
state_is() { [ "$(backend_field "$1" state)/$(backend_field "$1" health)" = "$2" ]; }
who() { get $VIP 30 | awk '{print $1}' | sort -u | xargs; }
_all() { [ "$(who)" = 'b1 b2 b3' ]; }
check 'all are used' eventually 10 _all
hold $VIP 30
others=$(echo "$HELD" | grep -cE '^b[13] ')

right=0 wrong='' deaths=0
for step in {1..24}; do
	stop edge
	daemon edge TUNDISH_TEST_DIE_AT="$step"
	if [ $((step % 2)) = 1 ]; then
		kill -KILL "${PID[web-b2]}" && wait "${PID[web-b2]}" 2>/dev/null
		wanted=down/down used='b1 b3'
	else
		web b2
		wanted=up/up used='b1 b2 b3'
	fi
	_ended_or_done() { ended edge || state_is b2 "$wanted"; }
	eventually 10 _ended_or_done
	! ended edge || deaths=$((deaths + 1))
	stop edge KILL
	start edge
	# What the dead one had found out holds at once; what it had not is found out again.
	eventually 10 state_is b2 "$wanted" && [ "$(who)" = "$used" ] && right=$((right + 1)) ||
		wrong="$wrong $step:$(backend_field b2 state)/$(backend_field b2 health):$(who)"
done
is "each time it ends right$wrong" "$right" 24
between 'and it has died on the way' "$deaths" 4 24
is 'connections at others are what they were' "$(ask | grep -cE '^b[13] ')" "$others"
