#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A packet too big for the tunnel is answered with ICMP, and large transfers work from then on.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends ipip
post() { in_ns client "$PYTHON" "$TOP/tests/net/client.py" post "$1" 80 300000; }
path_mtu() { ip -n client -j route get "$1" | jq '.[0].metrics[0].mtu // .[0].metrics.mtu // 1500'; }
mtu_of() { ip -n client route get "$1" | grep -oE 'mtu [0-9]+' | head -n 1; }

is 'IPv4: a body of 300,000 bytes arrives' "$(post $VIP | cut -d' ' -f2)" 300000
is 'IPv4: the client learnt the MTU' "$(mtu_of $VIP)" 'mtu 1480'
is 'IPv6: a body of 300,000 bytes arrives' "$(post $VIP6 | cut -d' ' -f2)" 300000
is 'IPv6: the client learnt the MTU' "$(mtu_of $VIP6)" 'mtu 1480'
between 'the data path sent ICMP' "$(counter sent_icmp_too_big)" 2 1000
for address in $VIP "[$VIP6]"; do
	is "4 MiB come back from $address" "$(in_ns client curl -sm 20 http://"$address"/big | cmp - "$T/big" && echo same)" same
done
