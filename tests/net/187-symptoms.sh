#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The usual mistakes of "Troubleshooting" in README.md, each made: the command that is told there
# shows it, and the remedy ends it.
# parallel: yes
. "$(dirname "$0")/lib.sh"
BACKENDS=b1
three_backends dsr
served() { [ "$(get $VIP 2 | grep -c '^b1')" = 2 ]; }
hangs() { [ "$(in_ns client timeout 20 curl -s -o "$T/answer" -w '%{http_code}' --connect-timeout 2 http://$VIP/)" = 000 ]; }
counted() { in_ns "$1" nstat -asz "$2" | awk -v n="$2" '$1 == n {print $2}'; }
counter() { t --json status | jq "(.counters + .drops).$1 // 0"; }
check 'well at first' served

# The VIP is not the server's own: the packet reaches it, and is nobody's.
ip -n b1 address del $VIP/32 dev lo
check 'a VIP that is missing at the server: clients hang' hangs
is 'ip address show to it is empty there' "$(ip -n b1 address show to $VIP)" ''
add_address b1 lo $VIP/32
check 'put there, it is served' eventually 5 served

# A server that answers ARP for the VIP: clients go past the edge.
in_ns b1 sysctl -qw net.ipv4.conf.all.arp_ignore=0
mac=$(ip -n b1 -j link show eth0 | jq -r '.[0].address')
_taken() {
	ip -n client neigh flush all
	in_ns client arping -c 3 -w 3 -I eth0 $VIP 2>/dev/null | grep -qi "$mac"
}
check 'ARP by a server: arping names its MAC' eventually 15 _taken
in_ns b1 sysctl -qw net.ipv4.conf.all.arp_ignore=1
_not_taken() { ! in_ns client arping -c 3 -w 3 -I eth0 $VIP 2>/dev/null | grep -qi "$mac"; }
check 'with arp_ignore the edge alone answers' eventually 15 _not_taken
ip -n client neigh flush all

# rp_filter at the server, whose route to the client leads elsewhere.
ip -n b1 link add elsewhere type veth peer nowhere
ip -n b1 link set nowhere up
ip -n b1 link set elsewhere up
ip -n b1 route add 10.0.0.100/32 dev elsewhere
in_ns b1 sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1
before=$(counted b1 TcpExtIPReversePathFilter)
check 'rp_filter: clients hang' hangs
between 'its counter at the server shows it' "$(($(counted b1 TcpExtIPReversePathFilter) - before))" 1 1000
in_ns b1 sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
check 'asymmetric: they hang still, for the answers take the other way' hangs
check 'ip route get shows it' bash -c "ip -n b1 route get 10.0.0.100 | grep -q 'dev elsewhere'"
check 'the edge sees SYNs alone' test "$(t --json flow list --state syn | jq length)" -ge 1
ip -n b1 link del elsewhere
check 'with the right route it is served' eventually 5 served

# A firewall of the server.
in_ns b1 nft -f - <<-'NFT'
	table inet wall { chain in { type filter hook input priority 0; tcp dport 80 counter drop; }; }
NFT
check 'a firewall at the server: clients hang' hangs
between 'its counter shows it' "$(in_ns b1 nft list ruleset | sed -n 's/.*counter packets \([0-9]*\).*/\1/p')" 1 1000
in_ns b1 nft delete table inet wall
check 'without, it is served' eventually 5 served

# A router on the way back that tracks connections: it sees the answers alone.
ip -n switch address add 10.0.0.254/24 dev front
in_ns switch sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.front.send_redirects=0
in_ns switch sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null # or the bridge tracks the SYN for it
ip -n b1 route add 10.0.0.100/32 via 10.0.0.254
check 'a router on the way back' eventually 5 served
in_ns switch nft -f - <<-'NFT'
	table inet wall { chain through { type filter hook forward priority 0; ct state invalid counter drop; }; }
NFT
check 'connection tracking there, which has not seen the SYN: clients hang' hangs
between 'its rule for what is invalid counts' "$(in_ns switch nft list ruleset | sed -n 's/.*counter packets \([0-9]*\).*/\1/p')" 1 1000
in_ns switch nft delete table inet wall
check 'without that rule it is served' eventually 5 served
ip -n b1 route del 10.0.0.100/32

# A firewall of the edge never sees what XDP sends on.
in_ns edge nft -f - <<-'NFT'
	table inet wall { chain in { type filter hook prerouting priority -300; tcp dport 80 counter drop; }; }
NFT
check "the edge's own firewall stops nothing" served
is 'and counts nothing' "$(in_ns edge nft list ruleset | sed -n 's/.*counter packets \([0-9]*\).*/\1/p')" 0
in_ns edge nft delete table inet wall

# A neighbour that is missing.
ip -n b1 link set eth0 down
_lost() { t --json status | jq -e '[.attention[] | select(.what | test("backend web/b1"))] | length > 0'; }
ip -n edge neigh flush all
check 'a backend that answers no ARP is told in status' eventually 60 _lost
ip -n b1 link set eth0 up
add_address b1 eth0 fd00:0::11/64
check 'and well again with its link' eventually 60 served

# A tunnel without an end.
edge_config ipip
t config apply "$T/edge.yaml" >/dev/null || not_ok 'ipip is applied'
before=$(counted b1 IpInUnknownProtos)
check 'ipip without an end of the tunnel: clients hang' hangs
between 'the server counts an unknown protocol' "$(($(counted b1 IpInUnknownProtos) - before))" 1 1000

# An MTU that has no room for the tunnel's header.
in_ns client timeout 10 "$PYTHON" - $VIP <<-'PY'
	import socket, sys
	s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
	s.setsockopt(socket.IPPROTO_IP, 10, 3)  # IP_MTU_DISCOVER: PROBE, so DF
	import struct
	for port in range(40000, 40020):
	    h = struct.pack("!HHIIBBHHH", port, 80, 1, 1, 0x50, 0x10, 1000, 0, 0)
	    s.sendto(h + bytes(1460), (sys.argv[1], 0))
PY
_too_big() { [ "$(counter sent_icmp_too_big)" -ge 1 ]; }
check 'segments of 1500 bytes are answered with ICMP, and counted' eventually 10 _too_big
is 'status shows how each interface is attached' "$(t --json status | jq -r '.interfaces[0].mode')" native
