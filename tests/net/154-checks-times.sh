#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# How long a dead server gets new connections: one that refuses no longer than an interval, one whose
# host is gone fall intervals and a timeout; and checks leave nothing behind.
. "$(dirname "$0")/translated.sh"
plain_servers 2
VIPS=$VIP
translated fullnat 4 '    health: {type: tcp, interval: 500ms, timeout: 300ms, rise: 2, fall: 3}'
start edge
state_is() { [ "$(backend_field "$1" state)/$(backend_field "$1" health)" = "$2" ]; }
all_are() { for b in $BACKENDS; do state_is "$b" "$1" || return 1; done; }
check 'all are up' eventually 10 all_are up/up

# out BACKEND SINCE: milliseconds from then until its slots were another's.
out() {
	local at
	at=$(t --json events --once | jq -r "[.[] | select(.event == \"slots\" and (.reason | startswith(\"$1 gets no new\")))][-1].time // empty")
	[ -n "$at" ] && echo $(($(date -d "$at" +%s%3N) - $2 / 1000))
}
worst=0
for round in 1 2 3 4; do
	kill -KILL "${PID[web-b2]}" && wait "${PID[web-b2]}" 2>/dev/null
	since=${EPOCHREALTIME/./} # it refuses from here on at the latest
	eventually 5 state_is b2 down/down
	took=$(out b2 "$since")
	[ "${took:-9999}" -le $worst ] || worst=${took:-9999}
	web b2
	eventually 10 state_is b2 up/up
done
timely 'refused: out within an interval of 500 ms' "$worst" 0 600

since=${EPOCHREALTIME/./}
ip -n b3 link set eth0 down
check 'a host that is gone is out' eventually 10 state_is b3 down/down
timely 'within three intervals and a timeout, 1800 ms' "$(out b3 "$since")" 300 2100
check 'its reason' grep -qE 'no connection within 300 ms, 3 in a row|No route to host, 3 in a row' <<<"$(backend_field b3 reason)"
ip -n b3 link set eth0 up
ip -n b3 route add default via 10.0.1.1 2>/dev/null
check 'and comes back' eventually 15 state_is b3 up/up

# The wish for many: every 10 ms.
files() { ls "/proc/${PID[edge]}/fd" | wc -l; }
before=$(files)
translated fullnat 4 '    health: {type: http, path: /, body: 10.0.1.250, interval: 10ms, timeout: 300ms}' # by the pool's source
check 'reload' reload
done_so_far() { in_ns edge curl -s http://127.0.0.1:9799/metrics | sed -n 's/^tundish_checks_total{result="good"} //p'; }
_many() { [ "$(done_so_far)" -gt 1500 ]; }
check 'fifteen hundred checks' eventually 60 _many
between 'no descriptor is left of them' $(($(files) - before)) -20 20
is 'no TIME_WAIT either' "$(in_ns edge ss -Htan state time-wait | grep -c ':8080' || true)" 0
is 'all is well' "$(t --json backend list | jq '[.[] | select(.state == "up")] | length')" 3
