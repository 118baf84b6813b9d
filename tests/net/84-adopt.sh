#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `worker adopt`: listeners of a process come into a group by hand, and go with the process.
# parallel: yes
. "$(dirname "$0")/lib.sh"
PRIORITY=$REAL_TIME # shares of work, whatever else runs here
group_host
app_config
start edge
serve s --workers 1
LISTEN='[::]:9090' serve other --workers 1
pid=$(worker_pid other 0)
is 'a listener elsewhere is not of the group' "$(workers)" 1
check 'adopt' t worker adopt app "$pid"
is 'it is a worker now' "$(worker_field "$pid" state)" up
flood $VIP 1000 400 --check
all_answered 'both serve'
between 'half of them by it' "$(answered_by ^other)" 190 210
check 'once more changes nothing' t worker adopt app "$pid"
is 'it is one worker' "$(workers)" 2
end_server other
check 'it goes with its process' eventually 5 workers_are 1
is 'no listener is left' "$(in_ns edge ss -Hltn 'sport = :9090')" ''
flood $VIP 1000 100
all_answered 'afterwards'

refused 'a process that has ended' 4 "$pid" t worker adopt app "$pid"
refused 'a process without listeners' 1 "$$" t worker adopt app $$
refused 'no such service' 4 nosuch t worker adopt nosuch $$
refused 'no process at all' 2 abc t worker adopt app abc
