#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `backend drain --wait` and `--deadline`: under load no request fails, though the daemon is killed
# meanwhile; it ends when the last connection has; what is left at the timeout is told; a deadline
# outlives restart, crash and reload, and then moves what is left.
# parallel: yes
. "$(dirname "$0")/lib.sh"
NET=1 three_backends ipip
actives() { backend_field "$1" connections_active; }
state_is() { [ "$(backend_field "$1" state)" = "$2" ]; }

(exec nsenter --net=/run/netns/client wrk -t2 -c20 -d 12s -H 'Connection: close' "http://$VIP/" >"$T/wrk" 2>&1) &
PID[wrk]=$!
_busy() { [ "$(actives b1)" -gt 0 ]; }
eventually 5 _busy || fatal 'no load on b1'
check 'drain --wait ends when nothing is left' t backend drain web b1 --wait --timeout 10s
is 'nothing is left' "$(actives b1)" 0
is 'and it drains' "$(backend_field b1 state)" drain
t backend enable web b1 >/dev/null
_again() { [ "$(backend_field b1 connections_total)" -gt "$1" ]; }
eventually 5 _again "$(backend_field b1 connections_total)" || fatal 'b1 gets nothing again'
in_ns edge "$BUILD/tundish" --control /run/tundish/edge.sock backend drain web b2 --wait --timeout 60s >"$T/drained" 2>&1 &
waiter=$!
state_is b2 drain || eventually 5 state_is b2 drain
stop edge KILL
sleep 1
start edge
wait $waiter
is 'a daemon that is killed meanwhile does not end the wait' "$? $(cat "$T/drained")" '0 web/b2 state drain'
is 'b2 has nothing left' "$(actives b2)" 0
wait "${PID[wrk]}"
is 'no request has failed' "$(grep -cE 'Socket errors|Non-2xx' "$T/wrk")" 0
between 'of many' "$(awk '/requests in/ {print $1}' "$T/wrk")" 500 100000000
t backend enable web b2 >/dev/null

hold $VIP 30
left=$(actives b3)
between 'b3 has some' "$left" 1 29
refused 'what is left at the timeout is told' 1 "^tundish: $left connections are left on web/b3 after 2 s" t backend drain web b3 --wait --timeout 2s
steady 'and lives on'
t backend drain web b3 --wait --timeout 60s >"$T/drained" 2>&1 &
waiter=$!
sleep 0.5
release >/dev/null
wait $waiter
is 'the wait ends with the last one' "$?" 0
t backend enable web b3 >/dev/null

# Deadlines.
hold $VIP 30
between 'b3 has some again' "$(actives b3)" 1 29
check 'a deadline' t backend drain web b3 --deadline 60s
between 'the list tells when it is over' "$(backend_field b3 seconds_to_disabled)" 40 60
steady 'until then nothing changes'
stop edge
start edge
between 'it outlives a restart' "$(backend_field b3 seconds_to_disabled)" 1 60
stop edge KILL
start edge
echo '# changed' >>"$T/edge.yaml"
reload
between 'and a crash, and a reload' "$(backend_field b3 seconds_to_disabled)" 1 60
is 'it drains still' "$(backend_field b3 state)" drain
check 'it is given less time' t backend drain web b3 --deadline 2s
stop edge KILL
start edge
check 'then it is disabled' eventually 20 state_is b3 disabled
_disabled() { t events --once | grep -q 'disable backend web/b3: the deadline of its drain is over'; }
check 'an event says why' eventually 5 _disabled
is 'no deadline is left' "$(backend_field b3 seconds_to_disabled)" null
stop edge KILL
start edge
is 'it stays disabled' "$(backend_field b3 state)" disabled
t backend enable web b3 >/dev/null
check 'enable takes it back' eventually 5 state_is b3 up
release >/dev/null

t backend drain web b1 --deadline 2s >/dev/null
stop edge KILL
sleep 2.5
start edge
check 'a deadline that passed while no daemon was there' eventually 5 state_is b1 disabled
t backend drain web b1 --deadline 5s >/dev/null
t backend enable web b1 >/dev/null
sleep 5.5
is 'enable forgets the deadline' "$(backend_field b1 state)" up
post() { in_ns edge curl -sm 5 --unix-socket /run/tundish/edge.sock -o "$T/answer" -w '%{http_code}' -X POST "$@"; }
is 'by curl, as a query' "$(post 'http://x/v1/backends/web/b1/drain?deadline=10m') $(jq .seconds_to_disabled "$T/answer" | grep -cE '^(600|599)$')" '200 1'
is 'by curl, as a body' "$(post -d '{"deadline": "1h"}' http://x/v1/backends/web/b1/drain) $(jq .seconds_to_disabled "$T/answer" | grep -cE '^(3600|3599)$')" '200 1'
for bad in '{"deadline": 5}' '{"deadline": "5x"}' '{"deadline": "9999999999s"}' '{"wait": true}' '[]' '{' '{"deadline": "1s", "deadline": "2s"}'; do
	is "refused: $bad" "$(post -d "$bad" http://x/v1/backends/web/b1/drain)" 400
done
refused 'a timeout without --wait' 2 'add --wait' t backend drain web b1 --timeout 5s
refused 'a timeout that is none' 2 'no duration' t backend drain web b1 --wait --timeout soon
refused 'a deadline that is none' 2 'no duration' t backend drain web b1 --deadline soon
