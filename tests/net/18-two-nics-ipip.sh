#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Backends behind another NIC than the clients: packets are redirected, and the host forwards nothing itself.
# parallel: yes
. "$(dirname "$0")/lib.sh"
NET=1 three_backends ipip

is 'eth0 native' "$(mode_of eth0)" native
is 'eth1 native' "$(mode_of eth1)" native
spread 'ipip over IPv4' $VIP 10.0.0.100
spread 'ipip over IPv6' $VIP6 fd00::100
is 'the host does not forward' "$(in_ns edge cat /proc/sys/net/ipv4/ip_forward)" 0
