#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `tundish exec`: the group's sockets outlive the program that serves them, through restarts
# under load and through its death.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
app_config
start edge
(exec nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock --pin /sys/fs/bpf/edge \
	exec app --workers 4 -- "$BUILD/bench/server" --workers 4 --pids "$T/x.pids" --name x >"$T/exec.log" 2>&1) &
PID[exec]=$!
check 'the server has its sockets' eventually 10 test -s "$T/x.pids"
is 'four' "$(workers)" 4
flood_start load $VIP 500 60000 --check
flood_goes load
flood $VIP6 1000 1000 --check
all_answered 'IPv6'
is 'all four serve' "$(echo "$RESULT" | jq -r '.tally | keys | join(" ")')" 'x0 x1 x2 x3'
server=$(children "${PID[exec]}")
for i in 1 2 3 4 5; do
	kill -HUP "${PID[exec]}"
	_other() { [ "$(children "${PID[exec]}" | wc -w)" = 1 ] && [ "$(children "${PID[exec]}")" != "$server" ]; }
	check "restart $i" eventually 20 _other
	server=$(children "${PID[exec]}")
done
is 'the group is the same' "$(t --json worker list app | jq -r '[.[].worker] | join(" ")')" 'w0 w1 w2 w3'
flood_end load
all_answered 'throughout'
timely 'none waited for a retransmission' "$(result slow)" 0 0

# Stopped, so that connections wait; then killed with all its workers.
for k in 0 1 2 3; do kill -STOP "$(worker_pid x $k)"; done
OPEN=40 flood_start queue $VIP 1000 40
check 'forty wait' eventually 5 queued_are 40
kill -KILL "$server"
check 'it is started again' eventually 10 renewed "${PID[exec]}" "$server"
flood_wait queue
all_answered 'those that waited'

kill -TERM "${PID[exec]}"
wait "${PID[exec]}"
is 'ends with its program' "$?" 0
check 'then the group is empty' eventually 5 workers_are 0
in_ns edge "$BUILD/tundish" --control /run/tundish/edge.sock exec app -- "$T/nothing" >"$T/none.log" 2>&1
is 'no such program' "$?" 127
is 'in one sentence' "$(wc -l <"$T/none.log")" 1
refused 'no such service' 4 nosuch t exec nosuch -- true
