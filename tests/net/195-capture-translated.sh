#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `tundish capture` of translated connections: a client's address shows both directions, although
# servers never see it; and which NIC a packet leaves by.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 2
translated fullnat
start edge
_serves() { [ "$(get $VIP 3 | grep -c '^b')" = 3 ]; }
eventually 10 _serves || fatal "no service on $VIP"

(exec nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock \
	capture host $FAR and port 80 --write $T/c.pcapng 2>$T/c.err) &
PID[c]=$!
eventually 10 test -s $T/c.pcapng || fatal "no capture: $(cat $T/c.err)"
get $VIP 4 >/dev/null
kill -INT "${PID[c]}"
wait "${PID[c]}"
shown() { tshark -r $T/c.pcapng -Y "$1" -T fields -e frame.interface_name -e ip.src -e ip.dst -e frame.comment 2>/dev/null | sort -u; }
is "a client's packets as they arrive" "$(shown 'frame.packet_flags_direction == 1' | sed 's/b[123]/b/' | sort -u)" \
	"eth0	$FAR	$VIP	to b of web by fullnat"
is 'and as they leave' "$(shown 'frame.packet_flags_direction == 2 && ip.dst != '$FAR | awk '{print $1, $2, "10.0.1.1" substr($5, 2) == $3, $6, $7, $8, $9}' | sort -u)" \
	'eth1 10.0.1.250 1 of web by fullnat'
is "servers' answers as they leave" "$(shown "ip.dst == $FAR" | sed 's/b[123]/b/' | sort -u)" "eth0	$VIP	$FAR	answer of b of web"
is 'nothing else' "$(tshark -r $T/c.pcapng -Y "!(ip.addr == $FAR) && ip.dst == 10.0.1.250" 2>/dev/null | wc -l)" 0

# without a filter the other half of the answers too
(exec nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock \
	capture service web and tcp --write $T/c.pcapng 2>$T/c.err) &
PID[c]=$!
eventually 10 test -s $T/c.pcapng || fatal "no capture: $(cat $T/c.err)"
get $VIP 4 >/dev/null
kill -INT "${PID[c]}"
wait "${PID[c]}"
is 'all four ways of them by the service' "$(tshark -r $T/c.pcapng -T fields -e frame.interface_name -e frame.packet_flags_direction -e frame.comment 2>/dev/null |
	sed 's/b[123]/b/' | sort -u)" "eth0	0x00000001	to b of web by fullnat
eth0	0x00000002	answer of b of web
eth1	0x00000001	answer of b of web
eth1	0x00000002	to b of web by fullnat"

# what matches only as it leaves: by which NIC, and of which service
for how in '' 'service web and '; do
	rm $T/c.pcapng
	(exec nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock \
		capture "${how}dst net 10.0.1.8/29" --write $T/c.pcapng 2>$T/c.err) &
	PID[c]=$!
	eventually 10 test -s $T/c.pcapng || fatal "no capture: $(cat $T/c.err)"
	get $VIP 4 >/dev/null
	kill -INT "${PID[c]}"
	wait "${PID[c]}"
	is "${how}servers: as packets leave for them" "$(tshark -r $T/c.pcapng -Y tcp.port==8080 -T fields -e frame.interface_name \
		-e frame.packet_flags_direction -e frame.comment 2>/dev/null | sed 's/b[123]/b/' | sort -u)" \
		"eth1	0x00000002	$([ -z "$how" ] && echo 'sent: fullnat' || echo 'to b of web by fullnat')"
done
