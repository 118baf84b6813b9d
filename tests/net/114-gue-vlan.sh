#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# GUE to backends in a VLAN, from clients in another: one tag ends, the other is pushed in front of the
# tunnel; the backends' XDP unwraps behind theirs.
# needs: vlan
# parallel: yes
. "$(dirname "$0")/devices.sh"
one_nic
vips_on_lo $BACKENDS
vlan_clients
vlan edge 200 10.0.200.1/24 fd00:200::1/64
for b in $BACKENDS; do
	vlan "$b" 200 10.0.200.1"${b#b}"/24 fd00:200::1"${b#b}"/64
	web "$b"
done
backend_daemons
for family in 4 6; do
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - name: web
		    vips: [$VIP, "$VIP6"]
		    ports: [80]
		    delivery: gue
		    backends:
		$(for b in $BACKENDS; do
			address=10.0.200.1${b#b}
			[ $family = 4 ] || address="\"fd00:200::1${b#b}\""
			echo "      - {name: $b, address: $address}"
		done)
	YAML
	if [ $family = 4 ]; then start edge; else reload || fatal 'reload'; fi
	_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ] && [ "$(get $VIP6 12 | grep -c '^b')" = 12 ]; }
	eventually 10 _serves || fatal "no service over IPv$family within 10 s"
	before=$(counter sent_gue)
	spread "IPv4 over IPv$family" $VIP 10.0.100.100
	spread "IPv6 over IPv$family" $VIP6 fd00:100::100
	between "in tunnels over IPv$family" $(($(counter sent_gue) - before)) 360 4000
done
for b in $BACKENDS; do
	between "$b unwrapped some" "$(NS=$b counter pass_decapsulated)" 100 8000
	between "$b: behind a tag" "$(NS=$b counter vlan)" 100 8000
done
