#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Backends behind another NIC than the clients: packets in GUE are redirected, and the host forwards nothing itself.
# parallel: yes
. "$(dirname "$0")/lib.sh"
NET=1 three_backends gue

is 'eth0 native' "$(mode_of eth0)" native
is 'eth1 native' "$(mode_of eth1)" native
before=$(counter sent_gue)
spread 'gue over IPv4' $VIP 10.0.0.100
spread 'gue over IPv4, IPv6 clients' $VIP6 fd00::100
NET=1 edge_config gue 6
check 'reload' reload
_over_v6() { [ "$(get $VIP6 12 | grep -c '^b')" = 12 ]; }
check 'backends by their IPv6 addresses' eventually 10 _over_v6
spread 'gue over IPv6' $VIP6 fd00::100
between 'in tunnels' $(($(counter sent_gue) - before)) 500 8000
is 'the host does not forward' "$(in_ns edge cat /proc/sys/net/ipv4/ip_forward)" 0
