#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A worker that accepts nothing gets nothing, and is served again when it goes on.
# parallel: yes
. "$(dirname "$0")/lib.sh"
PRIORITY=$REAL_TIME # whatever else runs here
group_host
app_config
serve s --workers 4
start edge
flood_start load $VIP 730 60000 # in no step with the others
flood_goes load
pid=$(worker_pid s 0)
kill -STOP "$pid"
check 'it is reported' eventually 5 worker_is "$pid" stalled
is 'it is one' "$(workers stalled)" 1
before=$(worker_field "$pid" connections_total)
flood $VIP 2000 3000
all_answered 'the others serve meanwhile'
timely 'few of them waited (a busy machine)' "$(result starved)" 0 100
is 'it got nothing' "$(answered_by '^s0$')" 0
# Where handshakes take long some had begun before.
between 'nor anything into its queue' "$(worker_field "$pid" connections_total)" "$before" \
	$((before + (TUNDISH_TEST_SLOW > 1 ? 30 : 0)))
# All at once, so that the others' queues grow beyond its own.
OPEN=400 flood $VIP 1000000 400
all_answered 'a burst'
is 'nothing of that either' "$(answered_by '^s0$')" 0
kill -CONT "$pid"
check 'it is up again' eventually 5 worker_is "$pid" up
flood $VIP 2000 3000
all_answered 'afterwards'
between 'it has its share again' "$(answered_by '^s0$')" 600 900
flood_end load
all_answered 'throughout'
timely 'only what had been given to it before waited' "$(result starved)" 0 200
