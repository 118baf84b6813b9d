#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The next hop follows the network: a backend's MAC changes, a backend is silent at first.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 30
ip -n b2 link set eth0 address 02:00:00:00:99:02
ip -n b2 neigh flush dev eth0
in_ns b2 ping -c 1 -W 2 10.0.0.1 >/dev/null
b2_back() { [ "$(get $VIP 30 | grep -c '^b[123]')" = 30 ]; }
check 'new connections follow the new MAC' eventually 10 b2_back
steady 'open ones too'
