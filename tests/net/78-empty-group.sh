#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# An empty group drops SYNs for `restart_grace`, so that clients come again, and resets after
# it; with the daemon dead too.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
grace=$((TUNDISH_TEST_SLOW > 1 ? 12 : 2)) # longer than a server takes to start
app_config "restart_grace: ${grace}s"
serve s --workers 2
start edge
health() { t --json service list | jq -r '.[] | select(.service == "app") | "\(.health): \(.reason)"'; }
health_is() { [ "$(health)" = "$1" ]; }
up() { in_ns edge curl -gsm 5 http://127.0.0.1:9799/metrics | sed -n 's/^tundish_backend_up{service="app",backend="local"} //p'; }
# It is told where an operator looks, and a program that can withdraw the VIP.
told() {
	check 'told as an event' eventually 10 eval 't events --once | grep -q "backend app/local: *down: nothing listens on \[::\]:8080"'
	is 'in service list' "$(health)" 'down: nothing listens on [::]:8080'
	is 'as a metric' "$(up)" 0
	is 'once in status' "$(t --json status | jq '[.attention[].why | select(test("nothing listens"))] | length')" 1
}
for how in 'with the daemon' 'without'; do
	[ "$how" = 'with the daemon' ] || stop edge KILL
	flood $VIP 1000 100
	all_answered "$how: at first"
	drops=$(counter drop_no_worker)
	end_server s
	flood_start wait $VIP 1000 20
	_dropped() { [ "$(counter drop_no_worker)" -ge $((drops + 20)) ]; }
	check "$how: SYNs are dropped" eventually 5 _dropped
	serve s --workers 2
	flood_wait wait
	all_answered "$how: they come again and are served"
	is "$how: a second later" "$(result slow)" 20

	end_server s
	flood $VIP 1000 20
	# The first is dropped, and the one a second later; that after three seconds is reset (or the
	# one after fifteen).
	is "$how: after the time they are reset" "$(result refused answered timed_out)" '20 0 0'
	between "$how: not before" "$(result seconds | cut -d. -f1)" $((TUNDISH_TEST_SLOW > 1 ? grace / 2 : grace)) $((5 * TUNDISH_TEST_SLOW))
	flood $VIP6 1000 20
	is "$how: then all are" "$(result refused)" 20
	timely "$how: at once" "$(result seconds | cut -d. -f1)" 0 0
	[ "$how" = without ] || told
	serve s --workers 2
done
flood $VIP6 1000 100
all_answered 'at last'
start edge
check 'up again' eventually 10 health_is 'up: null'
is 'as the metric says' "$(up)" 1
