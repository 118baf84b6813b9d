#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# UDP through tunnels, in all four pairs of families; the backends' tundishd unwraps it for UDP workers.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_udp ipip 4
for family in 4 6; do
	udp_config ipip $family
	check "backends over IPv$family" t config apply "$T/edge.yaml"
	for vip in $VIP $VIP6; do
		client=10.0.0.100
		[ $vip = $VIP6 ] && client=fd00::100
		_all() { [ "$(udp_get $vip 12 | grep -c '^b')" = 12 ]; }
		eventually 10 _all
		before=$(counter sent_ipip)
		lines=$(udp_get $vip 60)
		is "$vip in IPv$family: sixty of sixty are answered" "$(echo "$lines" | grep -c "^b[123] $client $vip 53$")" 60
		for b in $BACKENDS; do
			between "$vip in IPv$family: $b has its share" "$(echo "$lines" | count_of $b)" 6 40
		done
		is "$vip in IPv$family: they went through tunnels" $(($(counter sent_ipip) - before)) 60
	done
done
for b in $BACKENDS; do
	between "$b unwrapped them" "$(NS=$b counter pass_decapsulated)" 24 400
done
