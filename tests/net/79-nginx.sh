#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# nginx with `reuseport`, reloaded again and again under load: no connection is lost.
# parallel: yes
. "$(dirname "$0")/lib.sh"
PRIORITY=$REAL_TIME # shares of work, whatever else runs here
group_host
app_config
start edge
group_nginx 4
check 'its listeners are found' eventually 10 workers_are 4
flood_start load $VIP 500 60000 --http --check
flood_goes load
flood $VIP6 1000 1000 --http --check
all_answered 'IPv6'
is 'each worker serves' "$(echo "$RESULT" | jq -c '.tally | keys')" \
	"$(children "${PID[group_nginx]}" | tr ' ' '\n' | sort | jq -Rsc 'split("\n")[:-1]')"
between 'evenly' "$(echo "$RESULT" | jq '[.tally[]] | max')" 250 $((TUNDISH_TEST_SLOW > 1 ? 400 : 300))
_pids_are() { [ "$(t --json worker list app | jq -r '.[].pid' | sort -n | xargs)" = "$(children "${PID[group_nginx]}")" ]; }
check 'a worker is the process that accepts' eventually 5 _pids_are
for i in 1 2 3 4 5; do
	before=$(children "${PID[group_nginx]}")
	kill -HUP "${PID[group_nginx]}"
	check "reload $i" eventually 20 renewed "${PID[group_nginx]}" "$before"
done
check 'after them too' eventually 5 _pids_are
flood_end load
all_answered 'throughout'
timely 'none waited for a retransmission' "$(result slow)" 0 0
