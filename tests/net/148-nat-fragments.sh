#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# UDP requests and answers larger than the MTU through nat and fullnat, in both families.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 1
for b in $BACKENDS; do
	udp_server "$b" 5353 10.0.0.1"${b#b}" fd00::1"${b#b}" --bytes 3000
done
for delivery in nat fullnat; do
	sources=''
	[ $delivery = nat ] || sources='sources: [10.0.0.250, "fd00::250"],'
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - {name: four, vips: [$VIP], protocol: udp, ports: [53], delivery: $delivery, $sources
		     backends: [{name: a, address: 10.0.0.11, port: 5353}, {name: b, address: 10.0.0.12, port: 5353}]}
		  - {name: six, vips: ["$VIP6"], protocol: udp, ports: [53], delivery: $delivery, $sources
		     backends: [{name: a, address: "fd00::11", port: 5353}, {name: b, address: "fd00::12", port: 5353}]}
		limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 16384, lanes: 64}
	YAML
	if [ $delivery = nat ]; then start edge; else reload; fi || fatal 'no configuration'
	for vip in $VIP $VIP6; do
		family=4
		[ $vip = $VIP ] || family=6
		_all() { [ "$(udp_get $vip 12 --bytes 3000 | grep -c 'whole.*whole$')" = 12 ]; }
		check "$delivery, $vip: large ones come through" eventually 20 _all
		before=$(counter sent_$delivery) followed=$(counter fragment_followed) back=$(counter sent_reply)
		lines=$(udp_get $vip 30 --bytes 3000)
		is "$delivery, $vip: thirty of thirty are whole, both ways" \
			"$(echo "$lines" | grep -c "^b[12] $(seen_as $delivery $family) .* 5353 3000 whole 3000 whole$")" 30
		is "$delivery, $vip: three fragments each, both ways" \
			"$(($(counter sent_$delivery) - before)) $(($(counter sent_reply) - back)) $(($(counter fragment_followed) - followed))" \
			'90 90 120'
	done
done
is 'no fragment was dropped' "$(counter drop_fragment)" 0
