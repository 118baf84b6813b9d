#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A group is found: listeners from before the daemon, from beside it, and from while it is dead;
# nobody else's, and none is kept alive.
# parallel: yes
. "$(dirname "$0")/lib.sh"
PRIORITY=$REAL_TIME # whatever else runs here
group_host
app_config
serve a --workers 2
start edge
is 'those that were there' "$(workers)" 2
is 'the workers are the processes' "$(t --json worker list app | jq -r '.[].pid' | sort)" "$(sort "$T/a.pids")"
serve b --workers 1
check 'one that comes is there at once' workers_are 3
LISTEN='[::]:8081' serve other --workers 1
SERVE_NS=client serve foreign --workers 1
is 'neither another port nor another namespace' "$(workers)" 3

flood $VIP 2000 600
all_answered 'all workers serve'
is 'the three, and no other' "$(echo "$RESULT" | jq -r '.tally | keys | join(" ")')" 'a0 a1 b0'

stop edge KILL
serve c --workers 1
flood $VIP 2000 800
all_answered 'with the daemon dead'
between 'the one that came meanwhile has its share' "$(answered_by ^c)" 160 240
end_server b
flood $VIP6 2000 600
all_answered 'one left meanwhile'
is 'it gets none' "$(answered_by ^b)" 0
between 'the others do' "$(answered_by ^c)" 150 250

start edge
eventually 5 workers_are 3
is 'the next daemon knows the three' "$(workers)" 3
is 'by their processes' "$(t --json worker list app | jq -r '.[].pid' | sort)" "$(sort "$T"/[ac].pids)"
end_server a
end_server c
eventually 5 workers_are 0
is 'none is left' "$(workers)" 0
is 'and no listener' "$(in_ns edge ss -Hltn 'sport = :8080')" ''
