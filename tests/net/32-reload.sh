#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# SIGHUP reads the file again: what is right is applied, what is wrong changes nothing.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 30

MEMBERS='b1 b2' edge_config dsr
reload
only_two() { [ "$(t --json backend list | jq '[.[] | select(.state == "up")] | length')" = 2 ]; }
check 'the change arrives' eventually 5 only_two
is 'new connections follow' "$(get $VIP 40 | grep -c '^b[12] ')" 40
steady 'open ones stay'

echo '    no_such_key: 1' >>"$T/edge.yaml"
reload
told() { grep -q 'edge.yaml:[0-9]*:[0-9]*:.*no_such_key' "$T/tundishd-edge.log"; }
check 'the mistake is told with its place' eventually 5 told
is 'and nothing changed' "$(get $VIP 40 | grep -c '^b[12] ')" 40
check 'the daemon lives' t status
steady 'open ones stay after the refusal'
