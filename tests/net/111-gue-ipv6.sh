#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Both families in GUE over IPv6, without UDP checksums, to a port of the file's; the port changes
# while connections are open.
# parallel: yes
. "$(dirname "$0")/lib.sh"
GUE_PORT=7777 three_backends gue 6

spread 'IPv4 in IPv6' $VIP 10.0.0.100
spread 'IPv6 in IPv6' $VIP6 fd00::100
for b in $BACKENDS; do
	between "$b unwrapped some" "$(NS=$b counter pass_decapsulated)" 40 4000
done
hold $VIP 30
before=$(NS=b1 counter pass_decapsulated)
is 'another port' "$(sed -i 's/7777/7778/' "$T"/*.yaml && for b in edge $BACKENDS; do kill -HUP "${PID[$b]}"; done; echo $?)" 0
_changed() { [ "$(bpftool -j map dump pinned /sys/fs/bpf/b1/settings | jq '.[0].formatted.value.gue_port_be')" = $((7778 >> 8 | (7778 & 255) << 8)) ]; }
check 'is known at the backends' eventually 10 _changed
_told() { [ "$(t --json service show web | jq .gue_port)" = 7778 ]; }
check 'and at the edge' eventually 10 _told
spread 'through the other port' $VIP6 fd00::100
is 'connections stay' "$(ask | grep -vc '^lost')" 30
is 'it was said why' "$(t events --once | grep -c 'another port for GUE in the file')" 3
between 'unwrapped there' $(($(NS=b1 counter pass_decapsulated) - before)) 20 4000

# What is not plain data is for the stack.
passed=$(NS=b1 counter pass_gue)
in_ns edge "$PYTHON" - <<-'PY'
	import socket
	s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
	for head in (b"\x20\x04\0\0", b"\x01\x29\0\0" + bytes(4), b"\0\x04\x80\0", b"\x80\x04\0\0", b"\0\x2f\0\0"):
	    s.sendto(head + bytes(40), ("fd00:0::11", 7778))
PY
_odd() { [ $(($(NS=b1 counter pass_gue) - passed)) = 5 ]; }
check 'control messages, private data, flags, variants and protocols are counted' eventually 5 _odd
