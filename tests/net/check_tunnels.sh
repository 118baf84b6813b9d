# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154 # of lib.sh
#
# Health checks that go to the VIP in tunnels, for each pair of families: sourced with DELIVERY
# set, and GUE_PORT where that is gue.
. "$(dirname "$0")/lib.sh"
way_host
config b1 <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services:
	  - {name: web, vips: [$VIP, "$VIP6"], ports: [80, 81], own: false, delivery: workers}
	  - {name: dns, vips: [$VIP, "$VIP6"], protocol: udp, ports: [53, 54], own: false, delivery: workers}
	${GUE_PORT:+gue: {port: $GUE_PORT\}}
YAML
start b1
unwrapped() { NS=b1 counter pass_decapsulated; }

BEFORE=$(unwrapped)
is 'IPv4 in IPv4' "$(way $VIP 80 "$DELIVERY" 10.0.0.11)" "right 10.0.0.1 $VIP 80 led"
between 'in tunnels' $(($(unwrapped) - BEFORE)) 4 20
is 'IPv6 in IPv6' "$(way $VIP6 80 "$DELIVERY" fd00::11)" "right fd00::1 $VIP6 80 led"
is 'IPv6 in IPv4' "$(SOURCE=fd00::1 way $VIP6 80 "$DELIVERY" 10.0.0.11)" "right fd00::1 $VIP6 80 led"
is 'IPv4 in IPv6' "$(SOURCE=10.0.0.1 way $VIP 80 "$DELIVERY" fd00::11)" "right 10.0.0.1 $VIP 80 led"
is 'UDP' "$(udp_way $VIP 53 "$DELIVERY" 10.0.0.11) $(udp_way $VIP6 53 "$DELIVERY" fd00::11)" 'b1 1 b1 1'
is 'UDP across families' "$(SOURCE=10.0.0.1 udp_way $VIP 53 "$DELIVERY" fd00::11) $(SOURCE=fd00::1 udp_way $VIP6 53 "$DELIVERY" 10.0.0.11)" \
	'b1 1 b1 1'
is 'refused at once' "$(way $VIP 81 "$DELIVERY" 10.0.0.11) $(UDP=1 way $VIP6 54 "$DELIVERY" fd00::11)" \
	'Connection refused led Connection refused led'

# Much to send: whole segments with the tunnel's headers fit the link, cut by TCP or later.
posts() {
	is "$1: IPv4 in IPv4" "$(POST=300000 way $VIP 80 "$DELIVERY" 10.0.0.11)" '300000 led'
	is "$1: IPv6 in IPv6" "$(POST=300000 way $VIP6 80 "$DELIVERY" fd00::11)" '300000 led'
	is "$1: IPv6 in IPv4" "$(POST=300000 SOURCE=fd00::1 way $VIP6 80 "$DELIVERY" 10.0.0.11)" '300000 led'
	is "$1: IPv4 in IPv6" "$(POST=300000 SOURCE=10.0.0.1 way $VIP 80 "$DELIVERY" fd00::11)" '300000 led'
}
# retransmitted: segments, which would be many where one is too large or cut wrongly.
retransmitted() { in_ns edge nstat -asz TcpRetransSegs | awk '/Retrans/ {print $2}'; }
BEFORE=$(retransmitted)
posts 'by TCP'
in_ns edge ethtool -K eth0 gso on tx on >/dev/null
posts 'by the device'
between 'hardly anything twice' $(($(retransmitted) - BEFORE)) 0 8

vip_web_ends right
vip_web b1 wrong 10.0.0.11 fd00::11
is 'the own address is not asked' "$(way $VIP 80 "$DELIVERY" 10.0.0.11) $(way $VIP6 80 "$DELIVERY" fd00::11)" \
	'Connection refused led Connection refused led'
