#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# VIPs: added where missing, answered by ARP and ND, taken away with the service, never what was there before.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
mac=$(ip -n edge -j link show eth0 | jq -r '.[0].address')
neighbour() { ip -n client -j neigh show "$1" | jq -r '.[0].lladdr // empty'; }
for address in $VIP $VIP6; do
	ip -n client neigh flush to $address
	get $address 1 >/dev/null
	is "$address is answered by the edge" "$(neighbour $address)" "$mac"
done
has() { ip -n edge addr show | grep -q " $1/"; }
check 'added' has $VIP
sed -i "s/vips: .*/vips: [$VIP2]/" "$T/edge.yaml"
check 'the VIP is changed' t config apply "$T/edge.yaml"
check 'the new one is added' eventually 3 has $VIP2
gone() { ! has $VIP && ! has $VIP6; }
check 'the old ones are taken away' eventually 3 gone
is 'the new one serves' "$(get $VIP2 12 | grep -c '^b')" 12
sed -i "s/    delivery:/    own: false\n    delivery:/" "$T/edge.yaml"
check 'own: false' t config apply "$T/edge.yaml"
gone2() { ! has $VIP2; }
check 'takes it away' eventually 3 gone2
