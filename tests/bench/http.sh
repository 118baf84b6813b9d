#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2086 # names without spaces
#
# Is anything harmed? HTTP from a real stack to a real nginx, by five ways that take turns:
#
#   direct     one veth pair
#   limit      an XDP program that writes two MAC addresses and redirects; direct return
#   tundish    the daemon with its defaults, delivery dsr; direct return
#   nftables   DNAT, both ways through the edge
#   haproxy    mode tcp
#
#   client ── c-NAME ═ in [NAME] out ═ s-NAME ── server        ret ═ ret: direct return
#
# What is measured lib.sh says. Over veth an XDP program pays for turning the stack's buffer into
# a frame, which no NIC does: hence the comparison with the limit. All have the same raised
# priority, so that whatever else runs here shows less.
. "$(dirname "$0")/lib.sh"

WAYS='direct limit tundish nftables haproxy'

add_ns client
add_ns server
wire client ret server ret
add_address client ret 10.21.0.1/24
add_address server ret 10.21.0.2/24
in_ns server sysctl -qw net.ipv4.conf.lo.arp_ignore=1

k=0
for way in $WAYS; do
	k=$((k + 1))
	make_way $way $k
	vip=${ADDRESS[$way]}
	case $way in
	limit | tundish)
		add_address server lo $vip/32
		ip -n server route add 10.20.$k.0/24 via 10.21.0.1
		;;
	nftables) ip -n server route add 10.20.$k.0/24 via 10.22.$k.1 ;;
	esac
	case $way in
	limit) "$NET" attach limit in limit $vip out "$(mac server s-limit)" || fail "no limit" ;;
	tundish)
		config tundish <<-YAML
			interfaces:
			  - {name: in, attach: native}
			services:
			  - name: web
			    vips: [$vip]
			    ports: [80]
			    delivery: dsr
			    backends: [{name: server, address: 10.22.$k.2}]
			metrics: {listen: "off"}
		YAML
		start_tundish tundish
		;;
	nftables) start_nftables nftables $vip 10.22.$k.2 ;;
	haproxy) start_haproxy haproxy $vip 10.22.$k.2 ;;
	esac
done

serve_web server

for way in $WAYS; do
	eventually 10 way_answers $way || fail "no answer by way of $way: $(tail -n 2 "$T/web.log" "$T/haproxy.log")"
done

# ---- measuring ------------------------------------------------------------------------
close() { requests close $1 'Connection: close'; } # WAY
take_turns close web haproxy
[ "$(tun tundish --json flow count | jq '[.. | numbers] | max')" -ge 100 ] || fail "tundish has no flows"

jq -sc "$SAMPLES"'compare("http"; 0.97; ["nftables", "haproxy"])' "$T/samples"
