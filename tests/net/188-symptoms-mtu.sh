#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# "Troubleshooting" in README.md: ICMP "too big" that does not arrive, and generic mode.
# parallel: yes
. "$(dirname "$0")/lib.sh"
BACKENDS=b1
three_backends ipip
counter() { t --json status | jq "(.counters + .drops).$1 // 0"; }
upload() { in_ns client timeout 5 "$PYTHON" "$TOP/tests/net/client.py" post "$VIP" 80 300000; }
uploads() { [ "$(upload | cut -d' ' -f2)" = 300000 ]; }

in_ns client nft -f - <<-'NFT'
	table inet wall { chain in { type filter hook prerouting priority -300; icmp type destination-unreachable drop; }; }
NFT
in_ns client sysctl -qw net.ipv4.tcp_mtu_probing=0
check 'small answers work' test "$(get $VIP 2 | grep -c '^b1')" = 2
is 'uploads hang' "$(upload 2>/dev/null)" ''
between 'the counter shows it' "$(counter sent_icmp_too_big)" 1 1000
ip -n b1 route replace 10.0.0.0/24 dev eth0 advmss 1440
check 'a lower MSS on the way to clients ends it' eventually 10 uploads

sed -i 's/attach: native/attach: generic/' "$T/edge.yaml"
check 'generic mode' t config apply "$T/edge.yaml"
is 'is told by status' "$(t --json status | jq -r '.interfaces[0].mode')" generic
