#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A worker without a descriptor left accepts nothing: it gets nothing new, and what waits in
# its queue is served when it has one again.
# parallel: yes
. "$(dirname "$0")/lib.sh"
PRIORITY=$REAL_TIME # whatever else runs here
group_host
app_config
serve s --workers 3
serve poor --workers 1 --nofile 16
start edge
poor=$(worker_pid poor 0)
OPEN=80 flood_start hold $VIP 1000 80 --timeout 20000 --hold $((4000 * TUNDISH_TEST_SLOW))
check 'it is reported' eventually 5 worker_is "$poor" stalled
between 'with some in its queue' "$(worker_field "$poor" queue_depth)" 1 20
flood $VIP 2000 $((TUNDISH_TEST_SLOW > 1 ? 1000 : 3000)) # while those are held
all_answered 'the others serve'
timely 'few waited (a busy machine)' "$(result starved)" 0 100
is 'it got nothing' "$(answered_by ^poor)" 0
flood_wait hold
all_answered 'those that were held'
between 'it had its part of them' "$(answered_by ^poor)" 5 25
check 'it is up again' eventually 5 worker_is "$poor" up
flood $VIP 2000 2000
all_answered 'afterwards'
between 'it has its share again' "$(answered_by ^poor)" 400 600
end_server poor
between 'it was out of descriptors' "$(jq .no_descriptor "$T/poor.out")" 10 100000
