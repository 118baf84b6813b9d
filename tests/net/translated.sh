# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Plain servers behind an edge that translates: nothing is set on them but a route to it.
# The client is in a network of its own, 10.0.9.0/24 and fd00:9::/64.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

FAR=10.0.9.100 FAR6=fd00:9::100

# plain_servers NICS: nginx on b1 b2 b3; NET is theirs, 0 where the edge has one NIC.
plain_servers() {
	local b
	NET=$(($1 - 1))
	_parts "$NET"
	[ "$NET" = 0 ] || add_xdp_nic edge eth1 back
	[ "$NET" = 0 ] || add_address edge eth1 10.0.1.1/24 fd00:1::1/64
	ip -n client addr flush dev eth0 scope global
	add_address client eth0 $FAR/24 $FAR6/64
	add_address edge eth0 10.0.9.1/24 fd00:9::1/64
	ip -n client route add 192.0.2.0/24 via 10.0.9.1
	ip -n client route add 2001:db8::/64 via fd00:9::1
	in_ns edge sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding'
	for b in $BACKENDS; do
		ip -n "$b" route add default via 10.0."$NET".1
		ip -n "$b" route add default via fd00:"$NET"::1
		web "$b"
	done
}

# translated DELIVERY [FAMILY of the servers] [MORE of the service]: `web`, 80 of the first VIP
# pair before 8080 of the servers. SOURCES of full NAT.
translated() {
	local b address backends='' sources=''
	for b in ${MEMBERS:-$BACKENDS}; do
		address=10.0.$NET.1${b#b}
		[ "${2:-4}" = 6 ] && address="\"fd00:$NET::1${b#b}\""
		backends+="{name: $b, address: $address, port: 8080}, "
	done
	[ "$1" != fullnat ] || sources="sources: [${SOURCES-10.0.$NET.250, \"fd00:$NET::250\"}]"
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}$([ "$NET" = 1 ] && echo ', {name: eth1, attach: native}')]
		services:
		  - name: web
		    vips: [${VIPS-$VIP, \"$VIP6\"}]
		    ports: [80]
		    delivery: $1
		    $sources
		    backends: [${backends%, }]
		${3-}
		limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: ${LIMIT_NAT:-16384}, lanes: 64}
	YAML
}
