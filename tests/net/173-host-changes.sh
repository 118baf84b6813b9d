#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What others do to the host: VIPs that somebody deletes come back, and it is told; so does service after
# this host's own NIC, or a backend's, got another MAC address; connections that are open go on.
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 30
has() { ip -n edge -o addr show dev eth0 | grep -q " $1/"; }
added() { grep -c "address host: added $1/" "$T/tundishd-edge.log"; }
told_again() { [ "$(added "$1")" -gt "$2" ]; }
for address in $VIP $VIP6; do
	before=$(added "$address")
	check "$address is on the host" has "$address"
	ip -n edge addr del "$address/$([ "$address" = $VIP ] && echo 32 || echo 128)" dev eth0
	check "$address comes back" eventually 10 has "$address"
	check "$address: and that is told" eventually 5 told_again "$address" "$before"
done
ip -n edge addr flush dev eth0 scope global
add_address edge eth0 10.0.0.1/24 fd00:0::1/64
check 'both come back where all were flushed' eventually 10 has $VIP
check 'both of them' eventually 10 has $VIP6
steady 'the open connections go on'
serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
check 'new ones too' eventually 10 serves

# Only a new hello tells the switch and the client of the new address.
ip -n edge link set eth0 address 02:00:00:00:77:01
check 'another MAC address of the NIC: new connections are served' eventually 20 serves
steady 'another MAC address of the NIC: the open ones go on'
for b in $BACKENDS; do
	ip -n "$b" link set eth0 address 02:00:00:00:88:0"${b#b}"
	ip -n "$b" neigh flush dev eth0
	in_ns "$b" ping -c 1 -W 2 10.0.0.1 >/dev/null # as any traffic of its own would
done
check 'others of all backends: new connections are served' eventually 60 serves
steady 'others of all backends: the open ones go on'
is 'all three serve' "$(get $VIP 60 | cut -d' ' -f1 | sort -u | xargs)" 'b1 b2 b3'
