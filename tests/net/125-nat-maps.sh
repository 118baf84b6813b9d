#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Services of nat and fullnat as they come into the maps, change there and go: lanes, hosts,
# fans, ports kept from the host's own sockets, sources on the host; and a daemon that dies
# at each step of that.
# parallel: yes
. "$(dirname "$0")/lib.sh"
two_nics
in_ns edge sh -c 'echo 32768 60999 >/proc/sys/net/ipv4/ip_local_port_range
	echo 40000,50000-50001 >/proc/sys/net/ipv4/ip_local_reserved_ports'

# nat_config SOURCES PORTS BACKENDS [MORE]
nat_config() {
	config edge <<-YAML
		interfaces: [{name: eth0}, {name: eth1}]
		services:
		  - name: full
		    vips: [$VIP]
		    ports: [80, 8080]
		    delivery: fullnat
		    sources: [$1]
		    source_ports: $2
		    backends:
		$(for b in $3; do echo "      - {name: $b, addresses: [10.0.1.1${b#b}, 10.0.1.2${b#b}]}"; done)
		  - name: nat
		    vips: [$VIP2]
		    ports: [443]
		    delivery: nat
		    mss: auto
		    client_address: toa
		    backends: [{name: n1, addresses: [10.0.1.11, 10.0.1.12], port: 8080}]
		${4-}
		limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 1024, lanes: 60}
	YAML
}
dump() { bpftool -j map dump pinned /sys/fs/bpf/edge/"$1" | jq -c "[.[] | .formatted | ${2-.}]"; }
# lanes FILTER: a line each, what does not depend on when it was made
lanes() {
	dump lanes '.value | select(.number != 0)' |
		jq -c ".[] | select($1) | [.source.word[3], .host.word[3], .port_be, .flags, .first, .last, .usable, .used]" |
		sort
}
n_lanes() { lanes "$1" | wc -l; }
alive='.flags % 16 < 8'
reserved() { in_ns edge cat /proc/sys/net/ipv4/ip_local_reserved_ports; }
has_source() { ip -n edge -o addr show to "$1" | grep -q "$1"; }
hosts() { dump nat_hosts | jq length; }
_is() { [ "$("$1" "$2")" = "$3" ]; }

nat_config '10.0.1.250, 10.0.1.251' 20000-20015 'b1 b2'
start edge || fatal 'tundishd does not start'
is 'a lane for each source, address and port' "$(n_lanes '.flags == 1')" 16
is 'each has its sixteen ports' "$(lanes '.flags == 1 and .first == 20000 and .last == 20015 and .usable == 16' | wc -l)" 16
is 'nat keeps the clients, where they are not near' "$(n_lanes '.flags == 0 and .usable == 4294967295')" 2
is 'and has this host for those that are' "$(n_lanes '.flags == 7')" 2
is 'which leaves its own ports to it' "$(lanes '.flags == 7' | jq '.[6]' | sort -u)" $((64512 - 28232))
is 'hosts have numbers' "$(hosts)" 7
is 'as many as the data path is told' "$(dump nat_settings | jq '.[0].value.n_hosts')" 7
is 'the network of nat servers is near' "$(dump nat_near | jq -c '[.[].key.length]')" '[120]'
is 'a backend has its lanes' "$(dump fans 'select(.value.n_addresses == 2) | .value | [.n_sources, .n_ports, .flags, (.lane | map(select(. != 0)) | length)]')" \
	'[[2,2,1,8],[2,2,1,8],[1,0,3,4]]'
is 'mss follows the links, with room for the client'"'"'s address' "$(dump deliveries 'select(.value.flags == 1) | .value.mss')" '[1440]'
check 'sources are put on the host' eventually 5 has_source 10.0.1.251
_resolved() { [ "$(dump lanes '.value | select(.number != 0 and .nexthop == 0)')" = '[]' ]; }
check 'each lane has a next hop' eventually 5 _resolved
is 'service show tells sources and ports' "$(t --json service show full | jq -c '[.sources, .source_ports]')" \
	'[["10.0.1.250","10.0.1.251"],"20000-20015"]'
is 'backend list tells addresses and port' "$(t --json backend list nat | jq -c '.[0] | [.addresses, .port]')" \
	'[["10.0.1.11","10.0.1.12"],8080]'

# Another range for this host's sockets is noticed.
in_ns edge sh -c 'echo 30768 60999 >/proc/sys/net/ipv4/ip_local_port_range'
_left() { [ "$(lanes '.flags == 7' | jq '.[6]' | sort -u)" = $((64512 - 30232)) ]; }
check 'the lanes follow' eventually 20 _left
in_ns edge sh -c 'echo 32768 60999 >/proc/sys/net/ipv4/ip_local_port_range'

# Without a route of its own to a server this host has no source for hairpins.
ip -n edge route add 10.0.1.11/32 via 10.0.0.100 src 10.0.0.1
_from() { [ "$(lanes '.flags == 7 or .flags == 15' | jq -c '[.[0, 3]]' | sort | tr -d '\n')" = "$1" ]; }
check 'a hairpin comes from where the route says' eventually 10 _from '[16777226,7][16842762,15][16842762,7]'
ip -n edge route del 10.0.1.11/32
check 'and back' eventually 30 _from '[16842762,7][16842762,7]'

# A reload keeps the lanes that there are.
ids() { dump lanes | jq -c "[.[] | select(.value.number != 0 and .value$alive) | .key]"; }
before=$(ids)
nat_config '10.0.1.250, 10.0.1.251, 10.0.1.252' 20000-20031 'b1 b2'
check 'reload' t config apply "$T/edge.yaml"
is 'eight lanes more' "$(n_lanes '.flags == 1 and .usable == 32')" 24
is 'the others are where they were' "$(dump lanes | jq -c "[.[] | select(.value.number != 0 and .key <= 20) | .key]")" "$before"
nat_config '10.0.1.250' 20000-20015 b1
check 'reload' t config apply "$T/edge.yaml"
check 'lanes that nothing uses are freed' eventually 30 _is n_lanes true 8
_five() { [ "$(hosts)" = 5 ]; }
check 'and their hosts' eventually 5 _five
check 'its source is taken from the host' eventually 5 eval '! has_source 10.0.1.252'
check 'the other stays' has_source 10.0.1.250

# On an address of the host's own a range is kept from its sockets; what others reserved stays.
nat_config '10.0.1.1' 50000-50999 b1
check 'reload' t config apply "$T/edge.yaml"
is 'ports are kept from the host' "$(reserved)" 40000,50000-50999
is 'and marked' "$(n_lanes '.flags == 19 and .usable == 1000')" 4
nat_config '10.0.1.1' 33000-60900 b1
refused 'too few would stay' 1 'would leave [0-9]+ of its 32768-60999' t config apply "$T/edge.yaml"
is 'nothing has changed' "$(reserved)" 40000,50000-50999
nat_config '10.0.1.1' 20000-20015 b1
check 'reload' t config apply "$T/edge.yaml"
is 'they are given back' "$(reserved)" 40000,50000-50001

# Death at each step of a change; ports in the map afterwards are those of a change without one.
nat_config '10.0.1.250' 20000-20015 'b1 b2'
cp "$T/edge.yaml" "$T/first.yaml"
check 'reload' t config apply "$T/edge.yaml"
check 'it settles' eventually 30 _is n_lanes "$alive | not" 0
is_first=$(lanes true)
nat_config '10.0.1.251, 10.0.1.1' 50000-50100 'b1'
cp "$T/edge.yaml" "$T/second.yaml"
check 'reload' t config apply "$T/edge.yaml"
is_second=$(lanes "$alive")
to() { # FILE WANTED: deaths at each step on the way there
	local n
	for n in $(seq 1 $((TUNDISH_TEST_SLOW > 1 ? 9 : 2)) 150); do
		stop edge
		cp "$1" "$T/edge.yaml"
		daemon edge TUNDISH_TEST_DIE_AT="$n"
		if ready edge; then
			[ "$(lanes "$alive")" = "$2" ] || not_ok "after deaths, the last at step $n, lanes are as wanted"
			deaths=$n
			return
		fi
	done
	not_ok 'the change ends'
}
to "$T/first.yaml" "$is_first"
between 'deaths on the way back' "$deaths" 8 150
to "$T/second.yaml" "$is_second"
between 'deaths on the way there' "$deaths" 8 150
is 'ports are kept' "$(reserved)" 40000,50000-50100

# Without a daemon all goes too.
stop edge KILL
check 'unload without a daemon' t unload
is 'ports are given back, but those it cannot tell from others' "$(reserved)" 40000
has_source 10.0.1.251 && not_ok 'the source is gone' || ok 'the source is gone'
check 'the own address is not' has_source 10.0.1.1

# What one half of that cannot do keeps nothing from the other.
start edge
is 'ports are kept again' "$(reserved)" 40000,50000-50100
stop edge KILL
read_only() { unshare -m sh -c 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"' - "$@"; }
refused 'ports cannot be given back' 1 'cannot write net.ipv4.ip_local_reserved_ports' \
	read_only nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock --pin /sys/fs/bpf/edge unload
has_source 10.0.1.251 && not_ok 'the source goes all the same' || ok 'the source goes all the same'
