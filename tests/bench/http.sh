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
# close: a connection for each request; keepalive: 32 connections; p99: from when a request is
# due, 1,000 new connections a second. nginx has the first CPU, the client the last. Over
# veth an XDP program pays for turning the stack's buffer into a frame, which no NIC does:
# hence the comparison with the limit. All have the same
# raised priority, so that whatever else runs here shows less.
. "$(dirname "$0")/lib.sh"

WAYS='direct limit tundish nftables haproxy'

add_ns client
add_ns server
wire client ret server ret
add_address client ret 10.21.0.1/24
add_address server ret 10.21.0.2/24

k=0
for way in $WAYS; do
	k=$((k + 1))
	vip=192.0.2.$((10 + k))
	ADDRESS[$way]=$vip
	if [ $way = direct ]; then
		wire client c-$way server s-$way
		add_address client c-$way 10.20.$k.100/24
		add_address server s-$way 10.20.$k.1/24
	else
		add_ns $way
		wire client c-$way $way in
		wire $way out server s-$way
		add_address client c-$way 10.20.$k.100/24
		add_address $way in 10.20.$k.1/24
		add_address $way out 10.22.$k.1/24
		add_address server s-$way 10.22.$k.2/24
		ip -n $way neigh add 10.22.$k.2 lladdr "$(mac server s-$way)" dev out nud permanent
	fi
	ip -n client route add $vip/32 via 10.20.$k.1
	case $way in
	direct | limit | tundish)
		add_address server lo $vip/32
		in_ns server sysctl -qw net.ipv4.conf.lo.arp_ignore=1
		[ $way = direct ] || ip -n server route add 10.20.$k.0/24 via 10.21.0.1
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
	nftables)
		many_connections
		in_ns nftables sysctl -qw net.ipv4.ip_forward=1
		in_ns nftables nft -f - <<-NFT || fail "no nftables"
			table ip nat {
				chain prerouting {
					type nat hook prerouting priority dstnat; policy accept;
					ip daddr $vip tcp dport 80 dnat to 10.22.$k.2
				}
			}
		NFT
		;;
	haproxy)
		start_haproxy haproxy $vip 10.22.$k.2
		;;
	esac
done

serve_web server

_answers() { in_ns client curl -sf -m 1 -o /dev/null "http://${ADDRESS[$way]}/"; }
for way in $WAYS; do
	eventually 10 _answers || fail "no answer by way of $way: $(tail -n 2 "$T/web.log" "$T/haproxy.log")"
done

# ---- measuring ------------------------------------------------------------------------
round() {
	local way
	for way in $WAYS; do requests close $way 'Connection: close'; done
	for way in $WAYS; do requests keepalive $way; done
	# At a tenth of what they can do nobody is starved by real-time priority, and other
	# programs' time slices are not in the tail.
	real_time web haproxy
	for way in $WAYS; do p99 $way; done
	usual_time web haproxy
}
for ((i = 0; i < ROUNDS; i++)); do
	round
done
[ "$(tun tundish --json flow count | jq '[.. | numbers] | max')" -ge 100 ] || fail "tundish has no flows"

jq -sc "$SAMPLES"'
	("close", "keepalive", "p99") as $kind
	| (if $kind == "p99" then "us" else "per s" end) as $unit
	| (("direct", "limit", "nftables", "haproxy") as $way
		| row("http_\($kind)_\($way)"; of($kind; $way) | median; $unit; against($kind; $way; "direct"); null; null)),
	  (against($kind; "tundish"; "limit") as $r | (of($kind; "tundish") | median) as $v
		| if $kind == "p99" then
			row("http_p99_tundish"; $v; $unit; $r; "at most 1/0.97 of the limit"; $r <= 1 / 0.97)
		  else
			row("http_\($kind)_tundish"; $v; $unit; $r; "at least 0.97 x the limit"; $r >= 0.97)
		  end),
	  (("nftables", "haproxy") as $way | against($kind; "tundish"; $way) as $r
		| row("http_\($kind)_tundish_over_\($way)"; $r; "times"; $r; if $kind == "p99" then "below 1" else "above 1" end;
			if $kind == "p99" then $r < 1 else $r > 1 end))
' "$T/samples"
