#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# An interface that goes and comes back, and one whose program somebody took off, are served again.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr

native() { [ "$(mode_of eth0)" = native ]; }
ip -n edge link del eth0
_told() { t --json status | jq -e '.attention[] | select(.what == "interface eth0")'; }
check 'status says that it is gone' eventually 5 _told
add_xdp_nic edge eth0 front
add_address edge eth0 10.0.0.1/24 fd00:0::1/64
check 'attached again' eventually 5 native
_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
check 'and serving' eventually 10 _serves
check 'an event says so' eventually 5 grep -q 'attach eth0: native mode.* again' "$T/tundishd-edge.log"
not_told() { ! _told; }
check 'status has no complaint any more' eventually 5 not_told

in_ns edge ip link set dev eth0 xdpdrv off
check 'attached again after it was taken off' eventually 5 native
spread 'again' $VIP 10.0.0.100
stop edge
start edge
is 'once' "$(t --json status | jq -r '.interfaces | length')" 1
