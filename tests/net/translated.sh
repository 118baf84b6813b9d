# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Plain servers behind an edge that translates: nothing is set on them but a route to it.
# The client is in a network of its own, 10.0.9.0/24 and fd00:9::/64.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

FAR=10.0.9.100 FAR6=fd00:9::100

# plain_servers NICS: nginx on b1 b2 b3; NET is theirs, 0 where the edge has one NIC.
plain_servers() {
	local b
	NET=$(($1 - 1))
	_parts "$NET"
	[ "$NET" = 0 ] || add_xdp_nic edge eth1 back
	[ "$NET" = 0 ] || add_address edge eth1 10.0.1.1/24 fd00:1::1/64
	ip -n client addr flush dev eth0 scope global
	add_address client eth0 $FAR/24 $FAR6/64
	add_address edge eth0 10.0.9.1/24 fd00:9::1/64
	ip -n client route add 192.0.2.0/24 via 10.0.9.1
	ip -n client route add 2001:db8::/64 via fd00:9::1
	in_ns edge sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding'
	for b in $BACKENDS; do
		ip -n "$b" route add default via 10.0."$NET".1
		ip -n "$b" route add default via fd00:"$NET"::1
		web "$b"
	done
}

# translated DELIVERY [FAMILY of the servers] [MORE of the service]: `web`, 80 of the first VIP
# pair before 8080 of the servers. SOURCES of full NAT.
translated() {
	local b address backends='' sources=''
	for b in ${MEMBERS:-$BACKENDS}; do
		address=10.0.$NET.1${b#b}
		[ "${2:-4}" = 6 ] && address="\"fd00:$NET::1${b#b}\""
		backends+="{name: $b, address: $address, port: 8080}, "
	done
	[ "$1" != fullnat ] || sources="sources: [${SOURCES-10.0.$NET.250, \"fd00:$NET::250\"}]"
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}$([ "$NET" = 1 ] && echo ', {name: eth1, attach: native}')]
		services:
		  - name: web
		    vips: [${VIPS-$VIP, \"$VIP6\"}]
		    ports: [80]
		    delivery: $1
		    $sources
		    backends: [${backends%, }]
		${3-}
		limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: ${LIMIT_NAT:-16384}, lanes: 64}
	YAML
}

# no_way_to_clients: the servers have no route but to their own network.
no_way_to_clients() {
	local b
	for b in $BACKENDS; do
		ip -n "$b" route del default
		ip -n "$b" -6 route del default
	done
}

# seen_as DELIVERY FAMILY VIP: who the servers say their client is.
seen_as() {
	case $1,$2 in
	nat,4) echo $FAR ;;
	nat,6) echo $FAR6 ;;
	fullnat,4) echo 10.0."$NET".250 ;;
	fullnat,6) short fd00:"$NET"::250 ;;
	esac
}
short() { echo "${1/:0::/::}"; } # as programs print it

# served NAME DELIVERY FAMILY VIP: small and large, both ways, spread over all servers.
served() {
	local name=$1 lines b server
	_here() { [ "$(get "$1" 6 | grep -c '^b')" = 6 ]; }
	eventually 10 _here "$4" || fatal "$name: no service on $4 within 10 s"
	lines=$(get "$4" 60)
	for b in ${MEMBERS:-$BACKENDS}; do
		server=10.0.$NET.1${b#b}
		[ "$3" = 6 ] && server=$(short fd00:"$NET"::1"${b#b}")
		between "$name: $b has its share, and sees its own address and port" \
			"$(echo "$lines" | grep -cx "$b $(seen_as "$2" "$3") $server 8080")" 6 50
	done
	is "$name: all are served" "$(echo "$lines" | grep -c '^b')" 60
	is "$name: 4 MiB come whole" "$(in_ns client curl -gsm 20 "http://$(bracket "$4")/big" | sha1sum)" "$(sha1sum <"$T/big")"
	is "$name: 1 MiB goes whole" "$(in_ns client "$PYTHON" "$TOP/tests/net/client.py" post "$4" 80 1048576 | cut -d' ' -f2)" 1048576
	check "$name: the VIP answers ping" in_ns client ping -c 1 -W 2 "$4"
}
bracket() { case $1 in *:*) echo "[$1]" ;; *) echo "$1" ;; esac; }

# both_families DELIVERY: each VIP before servers of its family; connections outlive the daemon.
both_families() {
	local vip family
	for family in 4 6; do
		vip=$VIP
		[ $family = 4 ] || vip=$VIP6
		VIPS="\"$vip\"" translated "$1" $family
		if [ $family = 4 ]; then start edge; else reload; fi || fatal 'no configuration'
		served "IPv$family" "$1" $family $vip
		is "IPv$family: the reset of a closed port is the server's" "$(in_ns client curl -gsm 3 -o /dev/null -w '%{http_code}' "http://$(bracket $vip):81/")" 000
	done
	hold $VIP6 10
	stop edge KILL
	steady "$1: ten connections outlive the daemon"
	is "$1: new ones come without it" "$(get $VIP6 20 | grep -c '^b')" 20
	start edge
	steady "$1: and its next start"
	is "$1: nothing was dropped" "$(t --json status | jq -c '[.drops | to_entries[] | select(.value > 0)]')" '[]'
}
