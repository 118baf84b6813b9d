#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Frames with a VLAN tag (and with two) are balanced like any other, and counted.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
# The switch would keep a tag beside the packet, as a NIC that strips tags does: it shall be in the frame.
in_ns switch ethtool -K edge-eth0 txvlan off tx-vlan-stag-hw-insert off >/dev/null 2>&1
for b in $BACKENDS; do
	in_ns "$b" nft add table netdev watch
	in_ns "$b" nft 'add chain netdev watch arrivals { type filter hook ingress device eth0 priority 0; }'
	for address in "ip daddr $VIP" "ip6 daddr $VIP6"; do
		# shellcheck disable=SC2086 # an expression
		in_ns "$b" nft add rule netdev watch arrivals $address 'tcp flags & (syn|ack) == syn counter'
	done
done
arrived() { # [BACKEND...]: SYNs that came to them, without a tag
	local b
	# shellcheck disable=SC2048 # names
	for b in ${*:-$BACKENDS}; do
		in_ns "$b" nft -j list ruleset | jq '.. | .counter? // empty | .packets'
	done | awk '{s += $1} END {print s + 0}'
}
send() { # TAGS COUNT: SYNs in both families, with so many tags
	in_ns client "$PYTHON" - "$1" "$2" "$(ip -n edge -j link show eth0 | jq -r '.[0].address')" $VIP $VIP6 <<-'PY'
		import sys, logging
		logging.getLogger("scapy").setLevel(logging.ERROR)
		from scapy.all import Ether, Dot1Q, IP, IPv6, TCP, sendp
		tags, count, mac, vip, vip6 = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
		head = Ether(dst=mac, type=0x88a8 if tags == 2 else 0x8100)
		for tag in range(tags):
		    head = head / Dot1Q(vlan=100 + tag)
		sendp([head / ip / TCP(sport=40000 + tags * 1000 + i, dport=80, flags="S")
		       for i in range(count)
		       for ip in (IP(src="10.0.0.100", dst=vip), IPv6(src="fd00::100", dst=vip6))], iface="eth0", verbose=False)
	PY
}
for tags in 1 2; do
	before=$(arrived) vlan=$(counter vlan)
	send $tags 10
	all() { [ $(($(arrived) - before)) = 20 ]; }
	check "twenty SYNs with $tags tags reach the backends" eventually 3 all
	is "and are counted as tagged" $(($(counter vlan) - vlan)) 20
done
for b in $BACKENDS; do
	between "$b has its share" "$(arrived "$b")" 1 39
done
