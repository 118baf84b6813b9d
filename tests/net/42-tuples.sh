#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Connections per (client, VIP, port) are counted exactly, open ones and all there were.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
add_address client eth0 10.0.0.101/24 fd00::101/64
tuple() { # CLIENT VIP FIELD
	t --json tuple list | jq -r --arg c "$1" --arg v "$2" '.[] | select(.client == $c and .vip == $v and .port == 80) | '".$3"
}
counted() { [ "$(tuple "$1" "$2" "$3")" = "$4" ]; }
get $VIP 25 --source 10.0.0.101 >/dev/null
get $VIP6 17 --source fd00::101 >/dev/null
check '25 connections over IPv4 in total' eventually 3 counted 10.0.0.101 $VIP total 25
is 'of them none open' "$(tuple 10.0.0.101 $VIP active)" 0
check '17 connections over IPv6 in total' eventually 3 counted fd00::101 $VIP6 total 17
is 'of them none open ' "$(tuple fd00::101 $VIP6 active)" 0
before=$(tuple 10.0.0.100 $VIP total)
hold $VIP 30
is '30 open' "$(tuple 10.0.0.100 $VIP active)" 30
is '30 more in total' "$(tuple 10.0.0.100 $VIP total)" $((before + 30))
is 'the other client is counted apart' "$(tuple 10.0.0.101 $VIP total)" 25
stop edge KILL
start edge
is 'the counts survive the daemon' "$(tuple 10.0.0.100 $VIP active) $(tuple 10.0.0.101 $VIP total)" '30 25'
release
check 'closing them brings it to none' eventually 5 counted 10.0.0.100 $VIP active 0
is 'the backends agree' "$(t --json backend list | jq '[.[].connections_active] | add')" 0
