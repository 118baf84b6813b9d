#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Backends that unwrap GUE by nothing but their kernel's own fou in front of its tunnel devices (ipip,
# ip6tnl, sit), both families of clients over both families of backends.
# needs: gue
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
vips_on_lo $BACKENDS
for b in $BACKENDS; do
	web "$b"
	# One device for whatever comes, from any edge host: no remote address.
	ip -n "$b" link add k4in4 type ipip external || fatal 'an ipip device'
	ip -n "$b" link add k6 type ip6tnl external || fatal 'an ip6tnl device'
	# sit has no `external`; unlike the former it looks at the outer destination alone.
	ip -n "$b" link add k6in4 type sit local 10.0.0.1"${b#b}" || fatal 'a sit device'
	for device in k4in4 k6 k6in4; do
		ip -n "$b" link set $device up
	done
	ip -n "$b" fou add port 6080 gue || fatal 'GUE over IPv4'
	ip -n "$b" -6 fou add port 6080 gue || fatal 'GUE over IPv6'
done
unwrapped() { # BACKEND DEVICE: packets that came out of it
	ip -n "$1" -s -j link show "$2" | jq '.[0].stats64.rx.packets'
}
through() { # NAME ADDRESS CLIENT DEVICE
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

edge_config gue 4
start edge
_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
eventually 10 _serves || fatal "no service on $VIP within 10 s"
through 'IPv4 in GUE over IPv4' $VIP 10.0.0.100 k4in4
through 'IPv6 in GUE over IPv4' $VIP6 fd00::100 k6in4
sent=$(counter sent_gue)

edge_config gue 6
reload || fatal 'reload'
over_ipv6() { # the neighbours of the new backends are known
	local before b after=0
	before=$(for b in $BACKENDS; do unwrapped "$b" k6; done | awk '{s += $1} END {print s}')
	[ "$(get $VIP 12 | grep -c '^b')" = 12 ] || return
	for b in $BACKENDS; do
		after=$((after + $(unwrapped "$b" k6)))
	done
	[ $((after - before)) -ge 24 ]
}
eventually 10 over_ipv6 || fatal "no service over IPv6 tunnels within 10 s"
through 'IPv4 in GUE over IPv6' $VIP 10.0.0.100 k6
through 'IPv6 in GUE over IPv6' $VIP6 fd00::100 k6
between 'all of it left the edge in tunnels' $(($(counter sent_gue) - sent)) 360 20000
