#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# IPv4 packets in IPv6 tunnels; the backends' own tundishd unwraps them in XDP.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends ipip 6

is 'attached natively' "$(mode_of eth0)" native
before=$(counter sent_ipip)
spread ipip $VIP 10.0.0.100
between 'they went through tunnels' $(($(counter sent_ipip) - before)) 180 2000
for b in $BACKENDS; do
	between "$b unwrapped some" "$(NS=$b counter pass_decapsulated)" 20 2000
done
