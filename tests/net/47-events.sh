#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# events tells the daemon's acts, each with a reason.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
(exec nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock events >"$T/events" 2>&1) &
PID[events]=$!
t backend drain web b2
told() { grep -q "b2" "$T/events"; }
check 'a drain is told' eventually 5 told
kill "${PID[events]}"
