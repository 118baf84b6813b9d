# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Devices of the kernel's own, for scenarios that have them in common: VLANs on the NICs, and
# tunnels that backends unwrap by nothing else. Sourced in place of lib.sh.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# ---- VLANs ---------------------------------------------------------------------------------
vlan() { # NAMESPACE ID ADDRESS...
	ip -n "$1" link add link eth0 name eth0."$2" type vlan id "$2" || fatal "a VLAN device in $1"
	ip -n "$1" link set eth0."$2" up
	add_address "$1" eth0."$2" "${@:3}"
}

# vlan_clients: on one NIC, requests come to the edge in VLAN 100, and answers leave backends in it.
vlan_clients() {
	local ns b
	# Tags shall be in the frames, as XDP sees them of a NIC that does not strip them.
	for ns in client edge $BACKENDS; do
		in_ns "$ns" ethtool -K eth0 txvlan off rxvlan off >/dev/null 2>&1
		in_ns switch ethtool -K "$ns-eth0" txvlan off rxvlan off >/dev/null 2>&1
	done
	vlan client 100 10.0.100.100/24 fd00:100::100/64
	vlan edge 100 10.0.100.1/24 fd00:100::1/64
	ip -n client route replace 192.0.2.0/24 via 10.0.100.1
	ip -n client -6 route del 2001:db8::/64
	ip -n client route add 2001:db8::/64 via fd00:100::1
	for b in $BACKENDS; do
		vlan "$b" 100 10.0.100.1"${b#b}"/24 fd00:100::1"${b#b}"/64
	done
}

# ---- tunnels -------------------------------------------------------------------------------
# tunnel_backends: nginx behind one device for whatever comes, from any edge host: no remote address.
tunnel_backends() {
	local b device
	vips_on_lo $BACKENDS
	for b in $BACKENDS; do
		web "$b"
		ip -n "$b" link add k4in4 type ipip external || fatal 'an ipip device'
		ip -n "$b" link add k6 type ip6tnl external || fatal 'an ip6tnl device'
		# sit has no `external`; unlike the former it looks at the outer destination alone.
		ip -n "$b" link add k6in4 type sit local 10.0.0.1"${b#b}" || fatal 'a sit device'
		for device in k4in4 k6 k6in4; do
			ip -n "$b" link set $device up
		done
	done
}
unwrapped() { # BACKEND DEVICE: packets that came out of it
	ip -n "$1" -s -j link show "$2" | jq '.[0].stats64.rx.packets'
}
_through() { # NAME ADDRESS CLIENT DEVICE
	local before after b
	before=$(for b in $BACKENDS; do unwrapped "$b" "$4"; done | xargs)
	spread "$1" "$2" "$3"
	for b in $BACKENDS; do
		after=$(unwrapped "$b" "$4")
		between "$1: $b unwrapped some in $4" $((after - ${before%% *})) 20 2000
		before=${before#* }
	done
	is "$1: a long upload arrives" "$(in_ns client "$PYTHON" "$TOP/tests/net/client.py" post "$2" 80 300000 |
		sed 's/^b[123] //')" 300000
}
_over_ipv6() { # the neighbours of the new backends are known
	local before b after=0
	before=$(for b in $BACKENDS; do unwrapped "$b" k6; done | awk '{s += $1} END {print s}')
	[ "$(get $VIP 12 | grep -c '^b')" = 12 ] || return
	for b in $BACKENDS; do
		after=$((after + $(unwrapped "$b" k6)))
	done
	[ $((after - before)) -ge 24 ]
}
# through_tunnels DELIVERY IN: both families of clients over both families of backends, each seen to come
# out of its device. IN is what stands between "IPv4" and "IPv6" in the cases' names.
through_tunnels() {
	local sent
	edge_config "$1" 4
	start edge
	_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
	eventually 10 _serves || fatal "no service on $VIP within 10 s"
	_through "IPv4 $2 IPv4" $VIP 10.0.0.100 k4in4
	_through "IPv6 $2 IPv4" $VIP6 fd00::100 k6in4
	sent=$(counter "sent_$1")
	edge_config "$1" 6
	reload || fatal 'reload'
	eventually 10 _over_ipv6 || fatal "no service over IPv6 tunnels within 10 s"
	_through "IPv4 $2 IPv6" $VIP 10.0.0.100 k6
	_through "IPv6 $2 IPv6" $VIP6 fd00::100 k6
	between 'all of it left the edge in tunnels' $(($(counter "sent_$1") - sent)) 360 20000
}
