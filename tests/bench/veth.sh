#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2086 # names without spaces
#
# SYNs per second through an edge host, beside other ways to forward them. The
# sources are live frames, 1,024 flows over and over, then ever new ones; generator, edge
# and receiver share one CPU (bench_net.c). The ways take turns in every round.
#
#   direct     no edge: one veth pair, what generator and receiver take by themselves
#   limit      an XDP program that writes two MAC addresses and redirects
#   tundish    the daemon with its defaults, four backends; ipip and dsr
#   routing    the kernel forwards
#   nftables   the kernel forwards, after DNAT
. "$(dirname "$0")/lib.sh"

add_ns source
add_ns sink
in_ns sink sysctl -qw net.ipv4.conf.all.arp_ignore=0
wire source g-direct sink s-direct

edge() { # NAME
	add_ns "$1"
	wire source "g-$1" "$1" in
	wire "$1" out sink "s-$1"
	add_address "$1" in 10.9.0.1/24
	add_address "$1" out 10.9.1.1/24
	for i in 2 3 4 5; do
		ip -n "$1" neigh add 10.9.1.$i lladdr "$(mac sink "s-$1")" dev out nud permanent
	done
}

for way in limit ipip dsr routing nftables; do
	edge $way
done

# The sink's programs take everything; those of redirect's targets must be there first.
for way in limit ipip dsr; do
	in_ns $way sysctl -qw net.ipv4.ip_forward=0
done
"$NET" attach limit in limit $VIP out "$(mac sink s-limit)" || fail "no limit"

for way in ipip dsr; do
	config $way <<-YAML
		interfaces:
		  - {name: in, attach: native}
		services:
		  - name: web
		    vips: [$VIP]
		    ports: [80]
		    delivery: $way
		    backends:
		$(for i in 2 3 4 5; do echo "      - {name: b$i, address: 10.9.1.$i}"; done)
		metrics: {listen: "off"}
	YAML
	start_tundish $way
done

many_connections
for way in routing nftables; do
	in_ns $way sysctl -qw net.ipv4.ip_forward=1
	ip -n $way route add $VIP/32 via $SINK dev out
done
in_ns nftables nft -f - <<-NFT || fail "no nftables"
	table ip nat {
		chain prerouting {
			type nat hook prerouting priority dstnat; policy accept;
			ip daddr $VIP tcp dport 80 dnat to $SINK
		}
	}
NFT

declare -A NAMED=([ipip]=tundish_ipip [dsr]=tundish_dsr)
ways=("direct=g-direct,$(mac sink s-direct),s-direct")
for way in limit ipip dsr routing nftables; do
	ways+=("${NAMED[$way]:-$way}=g-$way,$(mac $way in),s-$way")
done
"$NET" send source sink $VIP "${ways[@]}" || fail "could not send"

# Were the others really at work?
[ "$(in_ns nftables cat /proc/sys/net/netfilter/nf_conntrack_count)" -ge 100000 ] ||
	fail "nftables tracked no connections: what was measured is not DNAT"
for way in ipip dsr; do
	[ "$(tun $way --json flow count | jq '[.. | numbers] | max')" -ge 100000 ] ||
		fail "tundish has no flows: what was measured is not $way"
done
