#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `tundish capture` of each delivery, both families: a packet as it arrives, as it leaves, and why it is
# dropped, with checksums that are right as it leaves. ipip and fullnat are those of 194 and 195.
. "$(dirname "$0")/translated.sh"
. "$(dirname "$0")/capture.sh"
VIP3=192.0.2.30 VIP63=2001:db8::30
plain_servers 1
vips_on_lo $BACKENDS
# nat's answers come back by the edge, those of the others go the near way
for b in $BACKENDS; do
	for family in -4 -6; do
		ip -n "$b" $family route add default dev eth0 table 7
	done
	ip -n "$b" rule add from 192.0.2.0/24 table 7
	ip -n "$b" -6 rule add from 2001:db8::/64 table 7
	config "$b" <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services: [{name: inner, vips: [$VIP2, "$VIP62"], ports: [8080], own: false, delivery: workers}]
	YAML
	start "$b"
done
LISTEN="[::]:8080"
group_nginx 1

# before [FAMILY [MORE]]: the three servers.
before() {
	local b address
	for b in $BACKENDS; do
		address=10.0.0.1${b#b}
		[ "${1-4}" = 4 ] || address="\"fd00::1${b#b}\""
		echo "{name: $b, address: $address${2-}}"
	done | paste -sd,
}
config edge <<YAML
interfaces: [{name: eth0, attach: native}]
services:
  - {name: nat4, vips: [$VIP], ports: [80], delivery: nat, backends: [$(before 4 ', port: 8080')]}
  - {name: nat6, vips: ["$VIP6"], ports: [80], delivery: nat, backends: [$(before 6 ', port: 8080')]}
  - {name: direct, vips: [$VIP2, "$VIP62"], ports: [80], delivery: dsr, backends: [$(before)]}
  - {name: tunnel, vips: [$VIP2, "$VIP62"], ports: [8080], delivery: gue, backends: [$(before)]}
  - {name: local, vips: [$VIP3, "$VIP63"], ports: [80], delivery: workers, workers: {listen: "$LISTEN", restart_grace: 1m}}
  - {name: nowhere, vips: [$VIP2], ports: [81], delivery: dsr, backends: [{name: lost, address: 10.0.0.77}]}
limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 16384, lanes: 64}
YAML
start edge
_serves() { [ "$(get "$1" 3 | grep -cE '^(b|[0-9])')" = 3 ]; }
for address in $VIP $VIP6 $VIP2 $VIP62 $VIP3 $VIP63; do
	eventually 10 _serves $address || fatal "no service on $address"
done
PORT=8080 eventually 10 _serves $VIP2 || fatal 'no service by tunnel'

# Lines, with what servers, and clients' ports, have in common; each kind once.
alike() {
	sed -E "s/\bb[123]\b/b/g; s/10\.0\.0\.1[123]\b/SERVER/g; s/fd00::1[123]\b/SERVER/g; s/($FAR|$FAR6)\b/CLIENT/g" | sort -u
}
mac() { ip -j -n "$1" link show eth0 | jq -r '.[0].address'; }
row() { printf '%s\t' "$@" | sed 's/\t$/\n/'; }
IN=0x00000001 OUT=0x00000002 GOOD=1 BAD=0 PASS=2 TX=3 # as tshark prints them

# talks NAME ADDRESS [ARGUMENTS]: captured while six clients ask.
talks() {
	local name=$1 address=$2
	shift 2
	captures "$name" --snaplen 2048 "$@"
	is "$name: clients are served meanwhile" "$(get "$address" 6 | grep -cE '^(b|[0-9])')" 6
	enough "$name"
	shown "$name" frame.number >/dev/null
	is "$name: tshark has nothing to say" "$(grep -cv 'Running as user' "$T/$name.tshark")" 0
}
# addresses NAME: IPv4 or IPv6, of both ends.
addresses() { shown "$1" frame.packet_flags_direction ip.src ipv6.src ip.dst ipv6.dst frame.comment | sed 's/\t\t*/\t/g' | alike; }

# ---- nat ------------------------------------------------------------------------------------
translation() { # NAME VIP
	talks "$1" "$2" service "$1"
	is "$1: to the server and back, both as they come and as they leave" "$(addresses "$1")" \
		"$(row $IN CLIENT "$2" "to b of $1 by nat" &&
			row $IN SERVER CLIENT "answer of b of $1" &&
			row $OUT "$2" CLIENT "answer of b of $1" &&
			row $OUT CLIENT SERVER "to b of $1 by nat")"
	case $2 in *:*) field=ipv6.addr ;; *) field=ip.addr ;; esac
	is "$1: with the server's port behind the VIP's" "$(SHOWN="$field == $2" shown "$1" tcp.port | grep -cvE '\b80\b')/$(
		SHOWN="!($field == $2)" shown "$1" tcp.port | grep -cvE '\b8080\b')" 0/0
	is "$1: each stands there twice" "$(shown "$1" frame.packet_id | sort | uniq -c | awk '{print $1}' | sort -u)" 2
	is "$1: TX, and checksums are right" "$(shown "$1" frame.verdict.ebpf_xdp tcp.checksum.status | sort -u)" "$(row $TX $GOOD)"
}
translation nat4 $VIP
is 'nat4: the header has its own right too' "$(shown nat4 ip.checksum.status | sort -u)" $GOOD
translation nat6 $VIP6

# A sender that leaves checksums to its NIC is seen so, and does not hand that on.
offload() { in_ns client ethtool -K eth0 tx "$1" && in_ns switch ethtool -K edge-eth0 tx "$1"; } >/dev/null 2>&1
offload on
captures partial --snaplen 2048 service nat4 src host $FAR
in_ns client curl -sm 5 http://$VIP/ >/dev/null
enough partial
# of what the socket itself has sent: for one that has closed the kernel answers, with whole checksums
is 'partial: checksums that a NIC is to complete arrive wrong, and leave right' \
	"$(SHOWN='tcp.len > 0 || tcp.flags.syn == 1' shown partial frame.packet_flags_direction tcp.checksum.status | sort -u)" "$(row $IN $BAD && row $OUT $GOOD)"
offload off

# ---- dsr --------------------------------------------------------------------------------------
direct() { # VIP
	talks direct "$1" service direct
	is "dsr $1: the way there, and no answer" "$(addresses direct)" \
		"$(row $IN CLIENT "$1" 'to b of direct by dsr' && row $OUT CLIENT "$1" 'to b of direct by dsr')"
	is "dsr $1: from MAC to MAC, by its name" "$(
		shown direct frame.packet_flags_direction eth.src eth.dst frame.comment | sort -u |
			sed -E "s/$(mac client)/client/; s/$(mac edge)/edge/g; s/$(mac b1)/b1/; s/$(mac b2)/b2/; s/$(mac b3)/b3/; s/to (b.).*/\1/" |
			sed -E 's/\b(b.)\t\1/SAME/; s/b.$/b/' | sort -u
	)" "$(row $IN client edge b && row $OUT edge SAME)"
	is "dsr $1: a hop less, TX, and checksums are right" \
		"$(shown direct frame.packet_flags_direction ip.ttl ipv6.hlim frame.verdict.ebpf_xdp tcp.checksum.status | sed 's/\t\t*/\t/g' | sort -u)" \
		"$(row $IN 64 $TX $GOOD && row $OUT 63 $TX $GOOD)"
}
direct $VIP2
is 'dsr: the header has its own right too' "$(shown direct ip.checksum.status | sort -u)" $GOOD
direct $VIP62

# ---- gue --------------------------------------------------------------------------------------
tunnel() { # VIP
	PORT=8080 talks tunnel "$1" service tunnel
	is "gue $1: as it arrives" "$(SHOWN='!udp' addresses tunnel)" "$(row $IN CLIENT "$1" 'to b of tunnel by gue')"
	is "gue $1: as it leaves, with what is in it" "$(SHOWN=udp shown tunnel ip.src ip.dst ipv6.src ipv6.dst udp.dstport tcp.dstport frame.comment | alike)" "$(
		if [ "$1" = $VIP2 ]; then
			row 10.0.0.1,CLIENT "SERVER,$1" '' '' 6080 8080 'to b of tunnel by gue'
		else
			row 10.0.0.1 SERVER CLIENT "$1" 6080 8080 'to b of tunnel by gue'
		fi
	)"
	is "gue $1: checksums are right" "$(shown tunnel tcp.checksum.status | sort -u)/$(
		SHOWN=udp shown tunnel ip.checksum.status | sort -u)" "$GOOD/$(if [ "$1" = $VIP2 ]; then echo $GOOD,$GOOD; else echo $GOOD; fi)"
}
tunnel $VIP2
tunnel $VIP62

# The end of the tunnel has a daemon of its own.
NS=b1 captures unwrapped service inner
PORT=8080 get $VIP2 40 >/dev/null
enough unwrapped
is 'gue: at its end, as it arrives and without its tunnel' "$(shown unwrapped frame.packet_flags_direction ip.src ip.dst frame.verdict.ebpf_xdp frame.comment | alike)" \
	"$(row $IN 10.0.0.1,CLIENT "SERVER,$VIP2" $PASS 'passed: decapsulated, service inner, backend local' &&
		row $OUT CLIENT $VIP2 $PASS 'passed: decapsulated, service inner, backend local')"
is 'gue: what is unwrapped is 32 bytes shorter' \
	"$(shown unwrapped frame.packet_id frame.packet_flags_direction frame.len | awk '{len[$1] += $2 == "0x00000001" ? $3 : -$3} END {for (i in len) print len[i]}' | sort -u)" 32

# ---- workers ----------------------------------------------------------------------------------
local_delivery() { # VIP
	talks local "$1" service local
	is "workers $1: as they arrive alone, passed to this host's stack" "$(addresses local)" \
		"$(row $IN CLIENT "$1" 'passed: workers, service local, backend local')"
	is "workers $1: PASS" "$(shown local frame.verdict.ebpf_xdp | sort -u)" $PASS
	talks local "$1" --point out
	is "workers $1: out is nothing, neither they nor answers of this host" "$(shown local frame.number | wc -l)" 0
}
local_delivery $VIP3
local_delivery $VIP63

# ---- dropped ----------------------------------------------------------------------------------
# dropped VIP:PORT...: what is said of packets to there.
dropped() {
	local to
	captures dropped --point dropped --seconds 3600
	for to; do in_ns client curl -gsm 1 "http://$to/" >/dev/null; done
	enough dropped
	shown dropped frame.packet_flags_direction frame.verdict.ebpf_xdp frame.comment | alike
}
says() { # COMMENT...
	local comment
	for comment; do row $IN 1 "dropped: $comment"; done | sort
}
in_ns client sh -c 'echo 1 >/proc/sys/net/ipv4/ip_default_ttl; echo 1 >/proc/sys/net/ipv6/conf/eth0/hop_limit'
is 'dropped: at their last hop, but by workers' "$(dropped $VIP [$VIP6] $VIP2 [$VIP62] $VIP2:8080 [$VIP62]:8080 $VIP3 [$VIP63])" \
	"$(says 'ttl, service nat4, backend b' 'ttl, service nat6, backend b' 'ttl, service direct, backend b' 'ttl, service tunnel, backend b')"
in_ns client sh -c 'echo 64 >/proc/sys/net/ipv4/ip_default_ttl; echo 64 >/proc/sys/net/ipv6/conf/eth0/hop_limit'
is 'dropped: before a server that nobody finds' "$(dropped $VIP2:81)" "$(says 'no_nexthop, service nowhere, backend lost')"
for b in $BACKENDS; do
	for service in nat4 nat6 direct tunnel; do t backend disable $service "$b" >/dev/null; done
done
kill "${PID[group_nginx]}"
_gone() { [ -z "$(in_ns edge ss -Hltn sport = :8080)" ]; }
eventually 10 _gone
is 'dropped: where nobody serves' "$(dropped $VIP [$VIP6] $VIP2 [$VIP62] $VIP2:8080 [$VIP62]:8080 $VIP3 [$VIP63])" \
	"$(says 'no_backend, service nat4' 'no_backend, service nat6' 'no_backend, service direct' 'no_backend, service tunnel' 'no_worker, service local')"
