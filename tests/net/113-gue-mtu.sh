#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A packet too big for GUE is answered with ICMP, and large transfers work from then on; a path too
# narrow for what clients may send is told.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends gue
post() { in_ns client "$PYTHON" "$TOP/tests/net/client.py" post "$1" 80 300000; }
mtu_of() { ip -n client route get "$1" | grep -oE 'mtu [0-9]+' | head -n 1; }

is 'IPv4: a body of 300,000 bytes arrives' "$(post $VIP | cut -d' ' -f2)" 300000
is 'IPv4: the client learnt the MTU' "$(mtu_of $VIP)" 'mtu 1468'
is 'IPv6: a body of 300,000 bytes arrives' "$(post $VIP6 | cut -d' ' -f2)" 300000
is 'IPv6: the client learnt the MTU' "$(mtu_of $VIP6)" 'mtu 1468'
between 'the data path sent ICMP' "$(counter sent_icmp_too_big)" 2 1000
for address in $VIP "[$VIP6]"; do
	is "4 MiB come back from $address" "$(in_ns client curl -sm 20 http://"$address"/big | cmp - "$T/big" && echo same)" same
done
is 'nothing to tell' "$(attention | grep -c 'tunnel')" 0

edge_config gue 6
reload || fatal 'reload'
ip -n client route flush cache
ip -n client -6 route flush cache
_over_v6() { post $VIP && [ "$(mtu_of $VIP)" = 'mtu 1448' ]; }
check 'IPv4 over IPv6: the client learns the smaller MTU' eventually 10 _over_v6
is 'and its body arrives' "$(post $VIP | cut -d' ' -f2)" 300000

# 1331 bytes are one too few for 1280 and 52.
for b in $BACKENDS; do
	ip -n edge -6 route add fd00:0::1"${b#b}"/128 dev eth0 mtu 1331
done
_narrow() { [ "$(attention | grep -c '1331 bytes, and the tunnel.s headers are 52 of them')" = 3 ]; }
check 'a path too narrow for IPv6 in GUE is told' eventually 10 _narrow
for b in $BACKENDS; do
	ip -n edge -6 route change fd00:0::1"${b#b}"/128 dev eth0 mtu 1332
done
_wide() { [ "$(attention | grep -c tunnel)" = 0 ]; }
check 'and one that is wide enough is not' eventually 10 _wide
