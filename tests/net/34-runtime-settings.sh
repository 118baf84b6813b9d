#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Weights and drains set by command survive restart, SIGKILL and reload, until the same key
# changes in the file; config diff shows them.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
check 'drain b1' t backend drain web b1
check 'weight of b2' t backend weight web b2 7
state() { t --json backend list | jq -r '[.[] | "\(.name) \(.state) \(.weight)"] | join(", ")'; }
set_now='b1 drain 100, b2 up 7, b3 up 100'
is 'set' "$(state)" "$set_now"
stop edge
start edge
is 'after a restart' "$(state)" "$set_now"
stop edge KILL
start edge
is 'after SIGKILL' "$(state)" "$set_now"
reload
is 'after a reload' "$(state)" "$set_now"
t config diff "$T/edge.yaml" >"$T/diff" 2>&1
check 'config diff shows the weight' grep -q 'b2' "$T/diff"
check 'config diff shows the drain' grep -q 'b1' "$T/diff"
sed -i 's/\(name: b2.*weight: \)100/\130/' "$T/edge.yaml"
check 'the weight of b2 changes in the file' t config apply "$T/edge.yaml"
is 'the file wins for that key alone' "$(state)" 'b1 drain 100, b2 up 30, b3 up 100'
