#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# VLAN devices on the NIC: clients come in one VLAN, backends are in another; tundish is attached to
# the NIC below, ends the one tag and pushes the other.
# needs: vlan
# parallel: yes
. "$(dirname "$0")/devices.sh"
one_nic
vips_on_lo $BACKENDS
vlan_clients
vlan edge 200 10.0.200.1/24
for b in $BACKENDS; do
	vlan "$b" 200 10.0.200.1"${b#b}"/24
	web "$b"
	in_ns "$b" nft add table netdev watch
	in_ns "$b" nft 'add chain netdev watch arrivals { type filter hook ingress device eth0.200 priority 0; }'
	for address in "ip daddr $VIP" "ip6 daddr $VIP6"; do
		# shellcheck disable=SC2086 # an expression
		in_ns "$b" nft add rule netdev watch arrivals $address 'tcp flags & (syn|ack) == syn counter'
	done
done
arrived() { # SYNs out of VLAN 200, over all backends
	local b
	for b in $BACKENDS; do
		in_ns "$b" nft -j list ruleset | jq '.. | .counter? // empty | .packets'
	done | awk '{s += $1} END {print s + 0}'
}
serve_on() { # INTERFACE ATTACH
	config edge <<-YAML
		interfaces: [{name: $1, attach: $2}]
		services:
		  - name: web
		    vips: [$VIP, "$VIP6"]
		    ports: [80]
		    delivery: dsr
		    backends: [{name: b1, address: 10.0.200.11}, {name: b2, address: 10.0.200.12}, {name: b3, address: 10.0.200.13}]
	YAML
	start edge
	_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
	eventually 10 _serves || fatal "no service on $VIP through $1 within 10 s"
}

serve_on eth0 native
before=$(arrived) tagged=$(counter vlan)
spread 'IPv4' $VIP 10.0.100.100
spread 'IPv6' $VIP6 fd00:100::100
between 'their SYNs came to the backends in VLAN 200' $(($(arrived) - before)) 120 130
between 'and to the edge with a tag' $(($(counter vlan) - tagged)) 360 4000
for address in $VIP $VIP6; do
	check "a ping of $address is answered into the client's VLAN" \
		in_ns client ping -c 3 -i 0.2 -w $((5 * TUNDISH_TEST_SLOW)) "$address"
done
check 'unload' t unload
stop edge
