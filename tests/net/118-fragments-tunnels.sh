#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# UDP requests larger than the MTU through tunnels, ipip and gue, in all pairs of families: the tunnel's
# packet is whole, the fragment in it; the backends' tundishd unwraps it for UDP workers.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_udp ipip 4
for delivery in ipip gue; do
	for family in 4 6; do
		udp_config $delivery $family
		check "$delivery over IPv$family" t config apply "$T/edge.yaml"
		for vip in $VIP $VIP6; do
			client=10.0.0.100
			[ $vip = $VIP6 ] && client=fd00::100
			# the client learns how large its fragments may be
			_all() { [ "$(udp_get $vip 12 --bytes 3000 | grep -c 'whole$')" = 12 ]; }
			check "$vip, $delivery over IPv$family: large ones come through" eventually 20 _all
			before=$(counter sent_$delivery) followed=$(counter fragment_followed)
			lines=$(udp_get $vip 30 --bytes 3000)
			is "$vip, $delivery over IPv$family: thirty of thirty are whole" \
				"$(echo "$lines" | grep -c "^b[123] $client $vip 53 3000 whole$")" 30
			is "$vip, $delivery over IPv$family: three fragments each" \
				"$(($(counter sent_$delivery) - before)) $(($(counter fragment_followed) - followed))" '90 60'
		done
	done
done
for b in $BACKENDS; do
	between "$b unwrapped them" "$(NS=$b counter pass_decapsulated)" 60 4000
	is "$b left none in its tunnel" "$(NS=$b counter pass_fragment) $(NS=$b counter pass_gue)" '0 0'
done
