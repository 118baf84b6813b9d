#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Beside checks: clients' connections eject what the checks find well, and good checks bring it
# back; what checks have ejected, connections do not bring back.
# parallel: yes
. "$(dirname "$0")/passive.sh"
plain_servers 2
# On each server something else than what serves answers the checks.
for b in $BACKENDS; do
	(exec nsenter --net=/run/netns/"$b" "$PYTHON" -m http.server 8082 --directory "$T" >"$T/checked-$b.log" 2>&1) &
	PID[checked-$b]=$!
done
TYPE='http, port: 8082, path: /, interval: 200ms, rise: 3, fall: 2, slow_start: 4s'
watched fullnat 'hold_down: 2s'
start edge
check 'all are up' eventually 20 all_are up/up
checked() { backend_field "$1" check.result; }
weight_now() { t --json backend list | jq -r ".[] | select(.name == \"$1\") | .weight_now // .weight"; }

dies b2
_out() { get $VIP 20; state_is b2 down/down; }
check 'who refuses is ejected' eventually 10 _out
check 'by connections' grep -q '^refused' <<<"$(why b2)"
is 'its check is good all the time' "$(checked b2)" good
kill -KILL "${PID[checked-b2]}"
_bad() { [ "$(checked b2)" = refused ]; }
check 'then that fails too' eventually 10 _bad
web b2
_held() { [ "$(backend_field b2 passive.seconds_to_return | cut -d. -f1)" = 0 ]; }
check 'its time is over' eventually 20 _held
check 'but the check holds it' state_is b2 down/down
stop edge KILL
start edge
check 'with the next daemon too' state_is b2 down/down
(exec nsenter --net=/run/netns/b2 "$PYTHON" -m http.server 8082 --directory "$T" >"$T/checked-b2.log" 2>&1) &
check 'with both it is back' eventually 20 state_is b2 up/up
between 'slowly' "$(weight_now b2)" 5 95
_whole() { [ "$(weight_now b2)" = 100 ]; }
check 'and wholly in the end' eventually 20 _whole
is 'all are used' "$(who)" 'b1 b2 b3'
