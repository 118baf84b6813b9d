#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `tundish capture` on more NICs than it tells apart: 64, one for each direction of each NIC.
# parallel: yes
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/capture.sh"
NICS=40
add_ns client
add_ns edge
add_address edge lo 10.0.0.1/24
for ((i = 0; i < NICS; i++)); do
	ip link add n$i netns edge type veth peer name n$i netns client
	ip -n edge link set n$i up
	ip -n client link set n$i up
done
config edge <<YAML
interfaces: [$(for ((i = 0; i < NICS; i++)); do printf '{name: n%d, attach: generic}, ' $i; done | sed 's/, $//')]
services: [{name: web, vips: [$VIP], ports: [80], delivery: dsr, backends: [{name: b1, address: 10.0.0.11}]}]
YAML
start edge

captures many ip and icmp --count $((2 * NICS)) --seconds 3600
# a ping of the VIP to each NIC, which answers it itself
pings() {
	in_ns client "$PYTHON" - "$VIP" "$NICS" <<-'PY'
		import os, socket, sys
		from scapy.all import ICMP, IP, Ether, raw
		# in order to the end: the CPU that sends one takes it through the edge
		os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
		for i in range(int(sys.argv[2])):
		    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
		    s.bind((f"n{i}", 0))
		    mac = ":".join(f"{b:02x}" for b in s.getsockname()[4])
		    s.send(raw(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / IP(src="10.0.9.100", dst=sys.argv[1]) / ICMP(seq=i)))
	PY
}
check 'a ping to each' pings
captured many
is 'all are captured' "$?/$(shown many frame.number | wc -l)" "0/$((2 * NICS))"
is 'tshark has nothing to say' "$(grep -cv 'Running as user' "$T/many.tshark")" 0
# those that were there at the beginning come first, as packets arrive
names() {
	SHOWN="frame.packet_flags_direction == $1" shown many frame.interface_name | sort | uniq -c |
		awk '$2 == "others" {others = $1; next} $1 == 1 {own++} END {print own, others}'
}
is 'as they arrive: 32 NICs by name' "$(names 1)" '32 8'
is 'as they leave: 31, and the last place is for all others' "$(names 2)" '31 9'
