#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# UDP of the edge host's own programs to its VIPs: sockets that are connected and those that are
# not, both families and those that differ, dig, and dnsmasq as a forwarder.
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
for b in $BACKENDS; do
	udp_server "$b" 54 10.0.0.1"${b#b}" fd00:0::1"${b#b}"
	(exec nsenter --net=/run/netns/"$b" dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root \
		--pid-file="$T/dnsmasq-$b.pid" --txt-record=who.test,"$b" --address=/name.test/192.0.2.77 --max-ttl=1 \
		>"$T/dnsmasq-$b.log" 2>&1) &
done
VIP3=192.0.2.30 VIP63=2001:db8::30
services() { # DELIVERY
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - {name: four, vips: [$VIP, "$VIP6"], protocol: udp, ports: [53-54], delivery: $1, backends: [
		      {name: b1, address: 10.0.0.11}, {name: b2, address: 10.0.0.12}, {name: b3, address: 10.0.0.13}]}
		  - {name: six, vips: [$VIP2, "$VIP62"], protocol: udp, ports: [53-54], delivery: $1, backends: [
		      {name: b1, address: "fd00:0::11"}, {name: b2, address: "fd00:0::12"}, {name: b3, address: "fd00:0::13"}]}
		  - {name: both, vips: [$VIP3, "$VIP63"], protocol: udp, ports: [53-54], delivery: $1, backends: [
		      {name: b1, address: 10.0.0.11}, {name: b2, address: "fd00:0::12"}]}
		  - {name: web, vips: [$VIP, "$VIP6"], ports: [80], delivery: $1, backends: [{name: b1, address: 10.0.0.11}]}
	YAML
}
services ipip
start edge
own() { in_ns edge "$PYTHON" "$TOP/tests/net/own_udp.py" "$@"; } # HOW ADDRESS PORT MORE
dig_edge() { in_ns edge dig +short +tries=1 +time=$((3 * TUNDISH_TEST_SLOW)) +notcp "@$1" "${@:2}"; }
total() { t --json backend list | jq "[.[] | select(.service == \"$1\") | .connections_total] | add"; }
active() { t --json backend list | jq '[.[].connections_active] | add'; }
active_is() { [ "$(active)" = "$1" ]; }
counter() { t --json status | jq ".counters.$1 // 0"; }
who() { cut -d' ' -f1 | sort -u | xargs; }
check 'dnsmasq answers' eventually 10 dig_edge $VIP name.test

# connected: everything that the program hears is of the VIP
got=$(own connected $VIP 54 40)
is 'connected: all are answered, by the VIP' "$(echo "$got" | grep -cE "^b[123] 10.0.0.1 10.0.0.1[123] 54 peer $VIP 54 from $VIP 54$")" 40
is 'by all backends' "$(echo "$got" | who)" 'b1 b2 b3'
got=$(own connected $VIP62 54 40)
is 'IPv6' "$(echo "$got" | grep -cE "^b[123] fd00::1 fd00::1[123] 54 peer $VIP62 54 from $VIP62 54$")" 40
is 'by all too' "$(echo "$got" | who)" 'b1 b2 b3'
is 'a VIP with IPv6, servers with IPv4' "$(own connected $VIP6 54 20 | grep -cE "^b[123] 10.0.0.1 .* peer $VIP6 54 from $VIP6 54$")" 20
is 'a socket for IPv6, a VIP with IPv4' "$(own connected $VIP 54 20 --mapped | grep -cE "^b[123] 10.0.0.1 .* peer ::ffff:$VIP 54 from ::ffff:$VIP 54$")" 20
is 'the same, servers with IPv6' "$(own connected $VIP2 54 20 --mapped | grep -cE "^b[123] fd00::1 .* peer ::ffff:$VIP2 54 from ::ffff:$VIP2 54$")" 20
before=$(total four)
own connected $VIP 54 10 >/dev/null
is 'counted' "$(($(total four) - before))" 10
check 'and given back' eventually 5 active_is 0

# not connected: datagram by datagram, all of a socket to one backend
got=$(own each $VIP 54 40)
is 'not connected: all are answered, by the VIP' "$(echo "$got" | grep -cE "^b[123] .* from $VIP 54$")" 40
is 'by all backends' "$(echo "$got" | who)" 'b1 b2 b3'
got=$(own each $VIP62 54 40)
is 'IPv6' "$(echo "$got" | grep -cE "^b[123] fd00::1 .* from $VIP62 54$")" 40
is 'by all too' "$(echo "$got" | who)" 'b1 b2 b3'
is 'a socket for IPv6, a VIP with IPv4' "$(own each $VIP 54 20 --mapped | grep -cE "^b[123] .* from ::ffff:$VIP 54$")" 20
is 'one socket, one backend' "$(own one $VIP 54 20 | grep -v lost | sort | uniq -c | awk '{print $1}')" 20
is 'who turns to a server itself is told so' "$(own both $VIP 54 10.0.0.11 | sed 's/.* from //' | xargs)" "$VIP 54 10.0.0.11 54 $VIP 54"
for n in 1 2 3; do # one of these is the server that the VIP led to
	is "whichever it is ($n)" "$(own both $VIP 54 10.0.0.1$n | sed 's/.* from //' | sed -n 2p)" "10.0.0.1$n 54"
done
is 'no VIP, no change' "$(own each 10.0.0.12 54 3 | sort -u)" 'b2 10.0.0.1 10.0.0.12 54 from 10.0.0.12 54'
is 'a port without a service is as before' "$(own connected $VIP 55 1)" 'lost Connection refused'

# where the families differ
refusals=$(counter own_no_family)
is 'IPv4 to servers with IPv6: refused' "$(own connected $VIP2 54 3 | sort -u)" 'lost Connection refused'
is 'datagrams too' "$(own each $VIP2 54 3 | sort -u)" 'lost Connection refused'
is 'datagrams over IPv6 to servers with IPv4 too' "$(own each $VIP6 54 3 | sort -u)" 'lost Connection refused'
is 'counted' "$(($(counter own_no_family) - refusals))" 9
told() { t --json status | jq -e '[.attention[] | select(.what == "own connections")] | length == 1'; }
check 'and told' eventually 10 told
is 'of both the one that can be reached' "$(own connected $VIP3 54 20 | who)" b1
is 'datagrams too' "$(own each $VIP3 54 20 | who)" b1
is 'over IPv6 both, connected' "$(own connected $VIP63 54 40 | who)" 'b1 b2'
is 'and one, datagram by datagram' "$(own each $VIP63 54 20 | who)" b2

# real programs
for vip in $VIP $VIP62; do # dig's sockets have IPV6_V6ONLY
	lines=$(for _ in {1..20}; do dig_edge "$vip" txt who.test; done | tr -d '"')
	is "dig @$vip: twenty of twenty" "$(echo "$lines" | grep -c '^b[123]$')" 20
	between "dig @$vip: by several" "$(echo "$lines" | sort -u | wc -l)" 2 3
done
(exec nsenter --net=/run/netns/edge dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --port=5300 \
	--pid-file="$T/dnsmasq-edge.pid" --bind-interfaces --listen-address=127.0.0.1 --cache-size=0 --server=$VIP --server="/six.test/$VIP62" \
	>"$T/dnsmasq-edge.log" 2>&1) &
forwarded() { in_ns edge dig +short +tries=1 +time=$((3 * TUNDISH_TEST_SLOW)) -p 5300 @127.0.0.1 "$@" | grep .; }
check 'dnsmasq forwards to a VIP' eventually 10 forwarded name.test
is 'all of it' "$(for _ in {1..20}; do forwarded name.test; done | grep -c '^192.0.2.77$')" 20

# changes
check 'drain' t backend drain four b2
is 'a drained one gets no new ones' "$(own connected $VIP 54 30 | who)" 'b1 b3'
is 'datagrams neither' "$(own each $VIP 54 30 | who)" 'b1 b3'
check 'enable' t backend enable four b2
stop edge KILL
is 'without a daemon: connected' "$(own connected $VIP 54 20 | grep -c "from $VIP 54$")" 20
is 'without a daemon: not connected' "$(own each $VIP 54 20 | grep -c "from $VIP 54$")" 20
start edge
is 'with the next one' "$(own each $VIP 54 20 | grep -c "from $VIP 54$")" 20
for d in dsr gue; do
	services $d
	sed -i "${d:+/name: six/,+1 s/delivery: dsr/delivery: ipip/; /name: both/,+1 s/delivery: dsr/delivery: ipip/; /name: four/,+1 s/, \"$VIP6\"//; /name: web/ s/, \"$VIP6\"//}" "$T/edge.yaml"
	check "$d" t config apply "$T/edge.yaml"
	is "$d: connected" "$(own connected $VIP 54 10 | grep -c "from $VIP 54$")" 10
	is "$d: not connected" "$(own each $VIP 54 10 | grep -c "from $VIP 54$")" 10
done

# whoever sends elsewhere pays nothing where no service is UDP
pins() { find /sys/fs/bpf/edge -name 'link_own_*' -printf '%f\n' | grep -E 'send|recv' | sort | xargs; }
is 'in force' "$(pins)" 'link_own_recv4 link_own_recv6 link_own_send4 link_own_send6'
sed -i '/name: four/,+2d; /name: six/,+2d; /name: both/,+2d' "$T/edge.yaml"
sed -i '/name: b[12], address/d' "$T/edge.yaml"
cat >>"$T/edge.yaml" <<<"  - {name: tcp, vips: [$VIP2], ports: [80], delivery: dsr, backends: [{name: b1, address: 10.0.0.11}]}"
check 'without a UDP service' t config apply "$T/edge.yaml"
is 'nothing is led any more' "$(pins)" 'link_own_recv4 link_own_recv6'
check 'unload' t unload
is 'nothing is left' "$(pins)" ''
