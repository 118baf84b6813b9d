#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `tundish capture` of translated connections: a client's address shows both directions, although
# servers never see it; and which NIC a packet leaves by.
# parallel: yes
. "$(dirname "$0")/translated.sh"
. "$(dirname "$0")/capture.sh"
plain_servers 2
translated fullnat
start edge
_serves() { [ "$(get $VIP 3 | grep -c '^b')" = 3 ]; }
eventually 10 _serves || fatal "no service on $VIP"

captures c host $FAR and port 80
get $VIP 4 >/dev/null
enough c
told() { tshark -r $T/c.pcapng -Y "$1" -T fields -e frame.interface_name -e ip.src -e ip.dst -e frame.comment 2>/dev/null | sort -u; }
is "a client's packets as they arrive" "$(told 'frame.packet_flags_direction == 1' | sed 's/b[123]/b/' | sort -u)" \
	"eth0	$FAR	$VIP	to b of web by fullnat"
is 'and as they leave' "$(told 'frame.packet_flags_direction == 2 && ip.dst != '$FAR | awk '{print $1, $2, "10.0.1.1" substr($5, 2) == $3, $6, $7, $8, $9}' | sort -u)" \
	'eth1 10.0.1.250 1 of web by fullnat'
is "servers' answers as they leave" "$(told "ip.dst == $FAR" | sed 's/b[123]/b/' | sort -u)" "eth0	$VIP	$FAR	answer of b of web"
is 'nothing else' "$(tshark -r $T/c.pcapng -Y "!(ip.addr == $FAR) && ip.dst == 10.0.1.250" 2>/dev/null | wc -l)" 0

# without a filter the other half of the answers too
captures c service web and tcp
get $VIP 4 >/dev/null
enough c
is 'all four ways of them by the service' "$(tshark -r $T/c.pcapng -T fields -e frame.interface_name -e frame.packet_flags_direction -e frame.comment 2>/dev/null |
	sed 's/b[123]/b/' | sort -u)" "eth0	0x00000001	to b of web by fullnat
eth0	0x00000002	answer of b of web
eth1	0x00000001	answer of b of web
eth1	0x00000002	to b of web by fullnat"

# what matches only as it leaves: by which NIC, and of which service
for how in '' 'service web and '; do
	captures c "${how}dst net 10.0.1.8/29"
	get $VIP 4 >/dev/null
	enough c
	is "${how}servers: as packets leave for them" "$(tshark -r $T/c.pcapng -Y tcp.port==8080 -T fields -e frame.interface_name \
		-e frame.packet_flags_direction -e frame.comment 2>/dev/null | sed 's/b[123]/b/' | sort -u)" \
		"eth1	0x00000002	$([ -z "$how" ] && echo 'sent: fullnat' || echo 'to b of web by fullnat')"
done

# ---- what is asked for goes ----------------------------------------------------------------
# gone NAME WHY: it ends by itself, with what was captured.
gone() {
	captured "$1"
	is "$1: its end is told" "$?/$(sed -n 's/^tundish: [1-9][0-9]* packets; //p' "$T/$1.err")" "0/$2"
	check "$1: what was captured is whole" test "$(shown "$1" frame.number | wc -l)" -ge 4
}
captures service service web and tcp
get $VIP 1 >/dev/null
config edge <<<'interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]'
reload
gone service 'the service web is gone'
translated fullnat
reload
eventually 10 _serves
captures nic interface eth1 --seconds 3600
get $VIP 1 >/dev/null
ip -n edge link del eth1
gone nic 'the interface eth1 is gone'
lost() { [ "$(t --json status | jq -r '.interfaces[] | select(.name == "eth1") | .mode')" != native ]; }
eventually 5 lost # which it notices a moment later
refused 'it is not captured any more' 4 'tundish runs on no interface "eth1"; did you mean "eth0"' t capture interface eth1 --write "$T/x"
captures left icmp --count 2
in_ns client ping -c 1 -W 2 $VIP >/dev/null
captured left
is 'another NIC is' "$?/$(shown left frame.interface_name | sort -u)" 0/eth0
