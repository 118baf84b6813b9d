#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# nat before plain servers whose own network has clients too, which they would answer past the
# edge: servers that call their VIP, and a neighbour of theirs.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 1
VIPS="$VIP, \"$VIP6\""
MORE="  - name: six
    vips: [\"$VIP6\"]
    ports: [80]
    delivery: nat
    backends: [{name: b1, address: \"fd00:0::11\", port: 8080}, {name: b2, address: \"fd00:0::12\", port: 8080}]"
VIPS=$VIP translated nat 4 "$MORE"
start edge || fatal 'tundishd does not start'
served 'a stranger' nat 4 $VIP
add_address client eth0 10.0.0.100/24 fd00:0::100/64

answers() { # NAMESPACE VIP [ARGUMENTS of curl]
	local i
	for i in {1..12}; do in_ns "$1" curl -gsm 3 "${@:3}" "http://$(bracket "$2")/"; done | awk '{print $2}' | sort | uniq -c | tr -s ' '
}
is 'a server that calls its own VIP is answered, in the name of the edge' "$(answers b1 $VIP)" ' 12 10.0.0.1'
is 'over IPv6 too' "$(answers b1 $VIP6)" ' 12 fd00::1'
is 'so is a neighbour' "$(answers client $VIP --interface 10.0.0.100)" ' 12 10.0.0.1'
between 'hairpins were counted' "$(counter hairpin)" 36 60
ip -n client addr del 10.0.0.100/24 dev eth0
is 'a stranger keeps its address' "$(answers client $VIP)" " 12 $FAR"
is 'this host has no connection of theirs' "$(in_ns edge ss -Htan | wc -l)" "$(in_ns edge ss -Htln | wc -l)"
is 'nothing was dropped' "$(t --json status | jq -c '[.drops | to_entries[] | select(.value > 0)]')" '[]'
