#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Programs of the edge host itself and VIPs of translated services: a server's addresses in turn,
# its own port, both families and those that differ, TCP and UDP, beside clients from elsewhere.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 2
for b in $BACKENDS; do
	add_address "$b" eth0 10.0.1.2"${b#b}"/24 fd00:1::2"${b#b}"/64
	udp_server "$b" 54 10.0.1.1"${b#b}" fd00:1::1"${b#b}"
done
# backends FAMILY PORT [ONE]: with two addresses each.
backends() {
	local b n list=''
	for b in ${3:-$BACKENDS}; do
		n=${b#b}
		if [ "$1" = 4 ]; then
			list+="{name: $b, addresses: [10.0.1.1$n, 10.0.1.2$n], port: $2}, "
		else
			list+="{name: $b, addresses: [\"fd00:1::1$n\", \"fd00:1::2$n\"], port: $2}, "
		fi
	done
	echo "[${list%, }]"
}
services() { # DELIVERY
	local across=''
	sources=''
	if [ "$1" = fullnat ]; then
		sources='sources: [10.0.1.250, "fd00:1::250"],'
		across="- {name: across4, vips: [\"$VIP62\"], ports: [80], delivery: $1, $sources backends: $(backends 4 8080)}
  - {name: across6, vips: [$VIP2], ports: [80], delivery: $1, $sources backends: $(backends 6 8080)}"
	fi
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]
		services:
		  - {name: four, vips: [$VIP], ports: [80], delivery: $1, $sources backends: $(backends 4 8080)}
		  - {name: six, vips: ["$VIP6"], ports: [80], delivery: $1, $sources backends: $(backends 6 8080)}
		  - {name: one, vips: [$VIP], ports: [81], delivery: $1, $sources backends: $(backends 4 8080 b1)}
		  - {name: ports, vips: [$VIP], ports: [8080], delivery: $1, $sources backends: [{name: b2, address: 10.0.1.12}]}
		  - {name: dns4, vips: [$VIP], protocol: udp, ports: [53], delivery: $1, $sources backends: [{name: b1, address: 10.0.1.11, port: 54}, {name: b2, address: 10.0.1.12, port: 54}]}
		  - {name: dns6, vips: ["$VIP6"], protocol: udp, ports: [53], delivery: $1, $sources backends: [{name: b1, address: "fd00:1::11", port: 54}, {name: b2, address: "fd00:1::12", port: 54}]}
		  $across
		limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 16384, lanes: 128}
	YAML
}
# own URL COUNT: by curl on the edge host; who answered, at which address and port, to whom.
own() {
	for _ in $(seq "$2"); do in_ns edge curl -gsS --max-time $((3 * TUNDISH_TEST_SLOW)) "$1" 2>&1; done
}
own_udp() { in_ns edge "$PYTHON" "$TOP/tests/net/own_udp.py" "$@"; }
sorted() { sort | uniq -c | awk '{$1 = $1; print}' | paste -sd, -; }
counter() { t --json status | jq ".counters.$1 // 0"; }
active() { t --json backend list | jq '[.[].connections_active] | add'; }
none_active() { [ "$(active)" = 0 ]; }
total() { t --json backend list | jq "[.[] | select(.service == \"$1\") | .connections_total] | add"; }
told() { t --json status | jq -e '[.attention[] | select(.what == "own connections")] | length == 1'; }

for d in nat fullnat; do
	services $d
	if [ $d = nat ]; then
		start edge || fatal 'tundishd does not start'
	else
		reload
	fi
	before=$(total four)
	got=$(own http://$VIP/ 60)
	is "$d: IPv4: this host's own address is met at the servers' own port" "$(echo "$got" | grep -cE '^b[123] 10\.0\.1\.1 10\.0\.1\.[12][123] 8080$')" 60
	for b in $BACKENDS; do between "$d: $b has its share" "$(echo "$got" | count_of "$b")" 5 45; done
	is "$d: at all addresses" "$(echo "$got" | cut -d' ' -f3 | sort -u | wc -l)" 6
	is "$d: counted" "$(($(total four) - before))" 60
	check "$d: and given back" eventually 5 none_active
	got=$(own "http://[$VIP6]/" 30)
	is "$d: IPv6" "$(echo "$got" | grep -cE '^b[123] fd00:1::1 fd00:1::[12][123] 8080$')" 30
	is "$d: all servers" "$(echo "$got" | cut -d' ' -f1 | sort -u | xargs)" 'b1 b2 b3'
	is "$d: addresses in turn" "$(own http://$VIP:81/ 20 | sorted)" '10 b1 10.0.1.1 10.0.1.11 8080,10 b1 10.0.1.1 10.0.1.21 8080'
	is "$d: the service's port where the server has no other" "$(own http://$VIP:8080/ 2 | sorted)" '2 b2 10.0.1.1 10.0.1.12 8080'
	is "$d: whole" "$(in_ns edge curl -gsm 20 http://$VIP/big | sha1sum)" "$(sha1sum <"$T/big")"
	is "$d: the peer is the VIP" "$(in_ns edge curl -gs -o /dev/null -w '%{remote_ip} %{remote_port}' http://$VIP/)" "$VIP 80"
	is "$d: UDP, connected" "$(own_udp connected $VIP 53 12 | grep -cE "^b[12] 10.0.1.1 10.0.1.1[12] 54 peer $VIP 53 from $VIP 53$")" 12
	is "$d: UDP, not connected" "$(own_udp each $VIP 53 12 | grep -cE "^b[12] 10.0.1.1 .* from $VIP 53$")" 12
	is "$d: UDP, IPv6" "$(own_udp each $VIP6 53 12 | grep -cE "^b[12] fd00:1::1 .* from $VIP6 53$")" 12
	is "$d: clients from elsewhere meanwhile" "$(get $VIP 20 | grep -c '^b')" 20
	is "$d: over IPv6 too" "$(get $VIP6 20 | grep -c '^b')" 20
done

# where the families differ
got=$(own "http://[$VIP62]/" 30)
is 'a VIP with IPv6, servers with IPv4' "$(echo "$got" | grep -cE '^b[123] 10\.0\.1\.1 10\.0\.1\.[12][123] 8080$')" 30
is 'all servers' "$(echo "$got" | cut -d' ' -f1 | sort -u | xargs)" 'b1 b2 b3'
before=$(counter own_no_family)
refused 'a VIP with IPv4, servers with IPv6: refused' 7 'refused|connect to' in_ns edge curl -gsS --max-time 3 http://$VIP2/
is 'counted' "$(($(counter own_no_family) - before))" 1
check 'and told' eventually 10 told
is 'clients from elsewhere are served' "$(get $VIP2 20 | grep -c '^b[123] fd00:1::250 ')" 20

# changes
check 'drain' t backend drain four b2
is 'a drained one gets none' "$(own http://$VIP/ 30 | count_of b2)" 0
check 'enable' t backend enable four b2
stop edge KILL
got=$(own http://$VIP/ 30)
is 'without a daemon' "$(echo "$got" | grep -cE '^b[123] 10\.0\.1\.1 .* 8080$')" 30
is 'addresses in turn' "$(own http://$VIP:81/ 10 | cut -d' ' -f3 | sorted)" '5 10.0.1.11,5 10.0.1.21'
start edge
is 'with the next one' "$(own http://$VIP/ 20 | grep -c '^b[123] 10.0.1.1 ')" 20
sed -i 's/addresses: \[10.0.1.11, 10.0.1.21\]/address: 10.0.1.21/; s/port: 8080}, {name: b2, addr/port: 80}, {name: b2, addr/' "$T/edge.yaml"
check 'another address and port' t config apply "$T/edge.yaml"
is 'are taken' "$(own http://$VIP/ 40 | grep '^b1 ' | sort -u)" 'b1 10.0.1.1 10.0.1.21 80'
check 'nothing is left active' eventually 5 none_active
