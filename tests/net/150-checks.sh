#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Health checks of plain servers, by tcp and http, with nat and fullnat: who dies leaves the pool
# within an interval, established connections elsewhere stay, and who comes back is back after
# hold_down; the last ones stay in; nothing is left in TIME_WAIT.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 2
VIPS=$VIP

HEALTH='interval: 200ms, timeout: 500ms, rise: 2, fall: 3'
state_is() { [ "$(backend_field "$1" state)/$(backend_field "$1" health)" = "$2" ]; }
all_are() { for b in $BACKENDS; do state_is "$b" "$1" || return 1; done; }
# Names that answer forty connections, which are all answered.
who() { get $VIP 40 | awk '{print $1}' | sort -u | xargs; }
dies() { kill -KILL "${PID[web-$1]}" && wait "${PID[web-$1]}" 2>/dev/null; }
checks() { in_ns edge curl -s http://127.0.0.1:9799/metrics | sed -n "s/^tundish_checks_total{result=\"$1\"} //p"; }

for way in 'nat tcp' 'fullnat http'; do
	delivery=${way% *} TAG=$way
	[ "${way#* }" = tcp ] || extra=', path: /healthz, host: web.example'
	translated "$delivery" 4 "    health: {type: ${way#* }, $HEALTH, hold_down: 2s${extra-}}"
	if [ "$delivery" = nat ]; then start edge; else check "$TAG: reload" reload; fi
	check "$TAG: all are up" eventually 10 all_are up/up
	is "$TAG: all are used" "$(who)" "b1 b2 b3"
	between "$TAG: checks are good" "$(checks good)" 3 100000

	hold $VIP 30
	HELD=$(ask)
	others=$(echo "$HELD" | grep -vc '^b2 ')
	dies b2
	check "$TAG: a dead one is down" eventually 5 state_is b2 down/down
	is "$TAG: nobody is sent to it" "$(who)" "b1 b3"
	is "$TAG: connections at others stay" "$(ask | grep -cE '^b[13] ')" "$others"
	check "$TAG: the reason is listed" grep -q 'port 8080: connection refused' <<<"$(backend_field b2 reason)"
	check "$TAG: in events too" grep -qE 'health.*backend web/b2.*down: .*connection refused' <<<"$(t events --once)"
	check "$TAG: and in the status" grep -q 'backend web/b2: .*connection refused' <<<"$(attention)"
	is "$TAG: so says the metric" "$(in_ns edge curl -s http://127.0.0.1:9799/metrics |
		sed -n 's/^tundish_backend_up{service="web",backend="b2"} //p')" 0
	release >/dev/null

	# A daemon that begins thinks the same, before it has asked anybody.
	stop edge KILL
	start edge
	is "$TAG: a daemon that begins thinks the same" "$(backend_field b2 state)" down
	is "$TAG: and sends nobody there" "$(who)" "b1 b3"

	since=${EPOCHREALTIME/./}
	web b2
	check "$TAG: it comes back" eventually 10 state_is b2 up/up
	is "$TAG: and is used" "$(who)" "b1 b2 b3"
	is "$TAG: no check is left in TIME_WAIT" "$(in_ns edge ss -Htan state time-wait | grep -c ':8080' || true)" 0

	for b in $BACKENDS; do dies "$b"; done
	check "$TAG: all are unhealthy" eventually 5 eval '[ "$(t --json backend list | jq "[.[] | select(.health == \"down\")] | length")" = 3 ]'
	check "$TAG: and in use all the same" eventually 5 eval '[ "$(t --json backend list | jq "[.[] | select(.state == \"up\")] | length")" = 3 ]'
	check "$TAG: which is told" grep -q 'no other backend is left' <<<"$(attention)"
	for b in $BACKENDS; do web "$b"; done
	check "$TAG: they come back" eventually 10 all_are up/up
	is "$TAG: all of them" "$(who)" "b1 b2 b3"
done

# Without checks nothing is known any more.
translated fullnat
check 'reload without checks' reload
check 'health is unknown' eventually 5 all_are up/none
