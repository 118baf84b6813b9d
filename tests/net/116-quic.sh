#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# QUIC: a client stays with its server when its port and its address change, by the server id in the
# connection ids, over changes of the pool and without the daemon.
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
vips_on_lo $BACKENDS
add_address client eth0 10.0.0.101/24 fd00:0::101/64
for b in $BACKENDS; do
	(exec nsenter --net=/run/netns/"$b" "$PYTHON" "$TOP/tests/net/quic.py" serve "$b" 443 "0a0${b#b}" --config 2 $VIP $VIP6 \
		>"$T/quic-$b" 2>"$T/quic-$b.log") &
	PID[quic-$b]=$!
	eventually 10 test -s "$T/quic-$b" || fatal "the server in $b does not start"
done
quic_config() { # QUIC, such as `quic: {...},`; MEMBERS, FLOWS as for udp_config
	local b backends=
	for b in ${MEMBERS:-$BACKENDS}; do
		backends+="{name: $b, address: 10.0.0.1${b#b}${1:+, server_id: \"0a0${b#b}\"}}, "
	done
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - name: h3
		    vips: [$VIP, "$VIP6"]
		    protocol: udp
		    ports: [443]
		    delivery: dsr
		    flows: ${FLOWS:-on}
		    ${1:+quic: {$1\}}
		    backends: [${backends%, }]
	YAML
}
# begin VIP COUNT [ARGUMENTS]: HELD has a line of each connection.
begin() {
	coproc HOLD { in_ns client "$PYTHON" "$TOP/tests/net/quic.py" hold "$1" 443 "${@:2}" 2>"$T/hold.log"; }
	exec {HOLD_IN}>&"${HOLD[1]}" {HOLD_OUT}<&"${HOLD[0]}"
	HELD=$(_hold_reply)
	is "$2 connections to $1 are made" "$(echo "$HELD" | grep -c '^b[123] ')" "$2"
}
move() {
	echo "move $*" >&"$HOLD_IN"
	_hold_reply
}
servers() { cut -d' ' -f1 <<<"$1" | xargs; }
stays() { is "$1" "$(servers "$2")" "$(servers "$HELD")"; } # NAME LINES
close() {
	release >/dev/null
	wait "$HOLD_PID" 2>/dev/null
}

# without ids it is by chance that a client that moves meets its server again
quic_config ''
start edge
begin $VIP 30
between 'without quic: those that move are lost to another server' "$(move | grep -c '^reset')" 8 30
close

quic_config 'config: 2, server_id_length: 2'
check 'quic comes into the file' t config apply "$T/edge.yaml"
is 'service show tells it' "$(t --json service show h3 | jq -c .quic)" '{"config":2,"server_id_length":2}'
is 'backend list tells the ids' "$(t --json backend list h3 | jq -r '[.[].server_id] | join(" ")')" '0a01 0a02 0a03'
is 'nothing is left to change' "$(t --json config diff "$T/edge.yaml" | jq -c .changes)" '[]'
for vip in $VIP $VIP6; do
	other=10.0.0.101
	[ $vip = $VIP6 ] && other=fd00::101
	begin $vip 30
	for b in $BACKENDS; do
		between "$vip: $b has its share" "$(echo "$HELD" | count_of $b)" 1 24
	done
	stays "$vip: they stay" "$(ask)"
	stays "$vip: and with another port" "$(move)"
	now=$(move $other)
	stays "$vip: and with another address" "$now"
	is "$vip: the servers see the new address" "$(echo "$now" | grep -c " $other ")" 30
	between "$vip: it was by their ids" "$(counter quic_routed)" 90 1000
	close
done
before=$(counter quic_unroutable)

begin $VIP 30
MEMBERS='b1 b3' quic_config 'config: 2, server_id_length: 2'
check 'b2 is taken out of the file' t config apply "$T/edge.yaml"
stays 'those of b2 stay, and may move' "$(move)"
quic_config 'config: 2, server_id_length: 2'
check 'b2 comes back' t config apply "$T/edge.yaml"
check 'b1 is drained' t backend drain h3 b1
stays 'they stay, and may move, when one drains' "$(move 10.0.0.101)"
stop edge KILL
stays 'and without the daemon' "$(move)"
start edge
stays 'and with the next one' "$(move)"
is 'it finds nothing to change' "$(t --json config diff "$T/edge.yaml" | jq -c '[.changes[] | select(.kind != "run-time")]')" '[]'
is 'none of their packets named nobody' $(($(counter quic_unroutable) - before)) 0

# which backend an id names, asked of the program
id=40$(printf '0a0300112233')
told=$(t --json trace 10.0.0.100:4711 $VIP:443 --connection-id "$id")
is 'trace --connection-id tells the backend' "$(jq -r '"\(.target) \(.reason)"' <<<"$told")" \
	'b3 the QUIC connection id names b3'
is 'of a known id alone' "$(t --json trace 10.0.0.100:4711 $VIP:443 --connection-id 400affffffffff | jq -r '.path[] | select(test("QUIC"))')" \
	'QUIC connection id names no usable backend'
refused 'a connection id of letters' 2 'not 1 to 20 octets' t trace 10.0.0.100 $VIP:443 --connection-id xyz1
refused 'a connection id with TCP' 2 'protocol udp' t trace 10.0.0.100 $VIP:443 --protocol tcp --connection-id 0011

# one that is disabled has lost its connections, however they are named
check 'b1 is disabled' t backend disable h3 b1
now=$(move)
is 'its connections end' "$(echo "$now" | grep -c "^reset b[23]")" "$(echo "$HELD" | count_of b1)"
is 'those of others stay' "$(echo "$now" | grep -c '^b[23] ')" "$(echo "$HELD" | grep -c '^b[23] ')"
check 'b1 is enabled' t backend enable h3 b1
close

# connections to several servers from one port of a client
begin $VIP 12 --shared
is 'all over one port: one server' "$(servers "$HELD" | tr ' ' '\n' | sort -u | wc -l)" 1
close
FLOWS=off quic_config 'config: 2, server_id_length: 2'
check 'flows: off' t config apply "$T/edge.yaml"
begin $VIP 30
stays 'without flows: they stay, and may move' "$(move 10.0.0.101)"
MEMBERS='b1 b2 b3' FLOWS=off quic_config 'config: 2, server_id_length: 2'
check 'b3 drains' t backend drain h3 b3
stays 'and stay where their slots have changed hands' "$(move)"
close
