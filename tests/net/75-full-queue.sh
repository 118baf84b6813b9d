#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A full queue gets nothing: the SYN is dropped and comes again, or is reset, as configured.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
app_config
serve s --workers 2 --backlog 1
start edge
each() { for k in 0 1; do kill "$1" "$(worker_pid s $k)"; done; }
_refused() { [ "$(refused_syns app full)" -ge "$1" ]; }

each -STOP
flood_start drop $VIP 100 20 --timeout 20000
check 'the queues are full' eventually 5 workers_are 2 full
is 'a limit of one holds two, as in the kernel' "$(queued)" 4
check 'what was refused is counted' eventually 5 _refused 16
each -CONT
flood_wait drop
all_answered 'those that were dropped came again'
is 'none was refused' "$(result refused reset)" '0 0'

sed -i 's/workers: {/&refuse: reset, /' "$T/edge.yaml"
check 'another answer' reload
before=$(refused_syns app full)
each -STOP
flood_start reset $VIP 100 20 --timeout 20000
check 'the resets are counted' eventually 5 _refused $((before + 16))
each -CONT
flood_wait reset
is 'four were served, the others reset at once' "$(result answered refused reset timed_out)" '4 16 0 0'
