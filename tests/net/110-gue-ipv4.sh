#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Both families in GUE over IPv4; the backends' own tundishd unwraps it in XDP. Flows have source ports
# of their own.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends gue 4

is 'attached natively' "$(mode_of eth0)" native
before=$(counter sent_gue)
spread 'IPv4 in IPv4' $VIP 10.0.0.100
spread 'IPv6 in IPv4' $VIP6 fd00::100
between 'they went through tunnels' $(($(counter sent_gue) - before)) 360 4000
is 'and no other ones' "$(counter sent_ipip)" 0
for b in $BACKENDS; do
	between "$b unwrapped some" "$(NS=$b counter pass_decapsulated)" 40 4000
	is "$b left none to its stack" "$(NS=$b counter pass_gue)" 0
done
is 'service show tells the port' "$(t --json service show web | jq -c '[.delivery, .gue_port]')" '["gue",6080]'
traced() { t --json trace 10.0.0.100:"$1" $VIP:80; }
between 'flows have source ports of their own' "$(for port in {40000..40015}; do
	traced "$port" | jq -r '.path[] | select(test("GUE from UDP port"))'
done | sort -u | wc -l)" 12 16
