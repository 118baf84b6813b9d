#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# HAProxy, master and worker with a listener for each thread, reloaded again and again under
# load: no connection is lost.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
app_config
start edge
group_haproxy 4
check 'its listeners are found' eventually 10 workers_are 4
flood_start load $VIP 500 60000 --http --check
flood_goes load
flood $VIP6 1000 1000 --http --check
all_answered 'IPv6'
for i in 1 2 3 4 5; do
	before=$(children "${PID[group_haproxy]}")
	kill -USR2 "${PID[group_haproxy]}"
	check "reload $i" eventually 20 renewed "${PID[group_haproxy]}" "$before"
done
check 'four listeners are left' eventually 10 workers_are 4
_pids_are() { [ "$(t --json worker list app | jq -r '.[].pid' | sort -u)" = "$(children "${PID[group_haproxy]}")" ]; }
check 'of the process that accepts' eventually 5 _pids_are
flood_end load
all_answered 'throughout'
