#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What does not fit: a source that is not on this host, a server behind a NIC that does not carry
# the program, an address of a server to which there is no way, or at which nobody answers. Each is told in status, with what to
# do, and no more when it is right. And what the data path knows of NICs follows them; a way back to
# clients is free again when no connection has it.
# parallel: yes
. "$(dirname "$0")/translated.sh"
MEMBERS='b1 b2'
plain_servers 2
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services:
	  - name: web
	    vips: [$VIP]
	    ports: [80]
	    own: false
	    delivery: fullnat
	    sources: [10.0.1.250]
	    backends: [{name: b1, addresses: [10.0.1.11, 203.0.113.7], port: 8080}, {name: b2, address: 10.0.1.12, port: 8080}]
	limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 1024, lanes: 64}
	timeouts: {syn: 5s}
YAML
add_address edge eth0 $VIP/32
start edge

why() { attention | grep -E "$1"; }
quiet() { ! why "$1"; }
told() { t --json events --once | jq -e ".[] | select(.event == \"$1\" and (.object | test(\"$2\")))"; }
row() { t --json doctor --interval 0 | jq -r ".[] | select(.id == \"nat_$1\") | \"\(.verdict) \(.value)\""; }
link() { in_ns edge bpftool -j map dump pinned /sys/fs/bpf/edge/links | jq -r ".[] | .formatted.value | \"\(.flags) \(.mtu)\"" | sort | xargs; }
link_is() { [ "$(link)" = "$1" ]; }

check 'a source that is not here' why 'source 10.0.1.250: not an address of this host'
check 'an event' told source-missing 10.0.1.250
is 'doctor warns' "$(row sources)" 'warn 1'
add_address edge eth1 10.0.1.250/32
check 'it comes' eventually 5 quiet 'not an address of this host'
check 'that is told' told source 10.0.1.250
is 'doctor is content' "$(row sources)" 'ok 0'

check 'servers behind a NIC without the program' why 'backend web/b2: the way to 10.0.1.12 goes by eth1, which is not among interfaces'
is 'doctor warns of both' "$(row nics)" 'warn 2'
check 'an event of each' eventually 10 told nic-missing web/b2
check 'an address that is out of reach' why 'backend web/b1: no next hop for 203.0.113.7: there is no route'
is 'NICs: one, with partial checksums' "$(link)" '2 1500'

sed -i 's/^interfaces: .*/interfaces: [{name: eth0, attach: native}, {name: eth1, attach: generic}]/' "$T/edge.yaml"
reload edge
check 'a NIC more in the file' eventually 5 quiet 'not among interfaces'
check 'that is told' eventually 10 told nic web/b2
is 'it is known, generic' "$(link)" '2 1500 3 1500'
ip -n edge link set eth1 mtu 1400
check 'its MTU is followed' eventually 5 link_is '2 1500 3 1400'
ip -n edge route add 203.0.113.0/24 via 10.0.1.13
check 'a route for the address' eventually 10 quiet 'there is no route'
sed -i 's/203.0.113.7\]/10.0.1.99]/' "$T/edge.yaml"
reload edge
of_server() { t --json events --once --event next-hop | jq -r '.[] | select(.object == "server 10.0.1.99") | .reason'; }
_silent() { of_server | grep 'the neighbour 10.0.1.99 on eth1 does not answer.*; packets to it are dropped$' >/dev/null; }
check 'an address that nobody answers at is told' eventually 20 _silent
add_address b1 eth0 10.0.1.99/32
_back() { [ "$(of_server | tail -n 1)" = '10.0.1.99 is reachable again' ]; }
check 'and when it does' eventually 20 _back
is 'each once' "$(of_server | wc -l)" 2

# Ways back: made by connections, free when none has them.
ways() { in_ns edge bpftool -j map dump pinned /sys/fs/bpf/edge/return_ids | jq length; }
valid() { in_ns edge bpftool -j map dump pinned /sys/fs/bpf/edge/returns | jq '[.[] | select(.formatted.value.state != 0)] | length'; }
sed -i 's/addresses: \[10.0.1.11, 10.0.1.99\]/address: 10.0.1.11/' "$T/edge.yaml"
reload edge
hold $VIP 4
is 'connections have a way back' "$(ways) $(valid)" '1 1'
not_same() { [ "$(ways) $(valid)" != '1 1' ]; }
never() { ! eventually "$@"; }
check 'which stays while they do, over two passes' never 9 not_same
release >/dev/null
gone_ways() { [ "$(ways) $(valid)" = '0 0' ]; }
check 'and goes after them' eventually 40 gone_ways
hold $VIP 4
is 'a new one is made' "$(ways) $(valid)" '1 1'
