#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Fragments out of order, of a backend that is disabled meanwhile, beside a flood of first ones, and to a
# service of this host on a VIP that other hosts serve too.
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
vips_on_lo $BACKENDS
for b in $BACKENDS; do
	udp_server "$b" 53
done
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services:
	  - name: dns
	    vips: [$VIP]
	    protocol: udp
	    ports: [53]
	    delivery: dsr
	    backends: [{name: b1, address: 10.0.0.11}, {name: b2, address: 10.0.0.12}, {name: b3, address: 10.0.0.13}]
	  - {name: here, vips: [$VIP], protocol: udp, ports: [54], delivery: workers}
	limits: {fragments: 1024}
YAML
start edge
udp_server edge 54 $VIP
_answers() { [ "$(udp_get $VIP 12 | grep -c '^b')" = 12 ]; }
eventually 10 _answers || fatal "no service on $VIP within 10 s"
ask_in() { # ORDER
	in_ns client "$PYTHON" "$TOP/tests/net/fragments.py" ask 10.0.0.100 "$FROM" $VIP 53 "$1"
}
FROM=41000
whole='^b[123] 10.0.0.100 192.0.2.10 53 2392 whole$'
check 'in order' grep -q "$whole" <<<"$(ask_in 012)"
check 'the later ones in another order' grep -q "$whole" <<<"$(ask_in 021)"
check 'the first one twice' grep -q "$whole" <<<"$(ask_in 0012)"
before=$(counter drop_fragment)
is 'one that overtakes the first is dropped' "$(ask_in 1022) $(($(counter drop_fragment) - before))" 'lost 1'
check 'and may come again' grep -q "$whole" <<<"$(ask_in 1012)"

# the backend is disabled between the first one and the others
coproc ASK { ask_in 0-12; }
exec {ASK_IN}>&"${ASK[1]}" {ASK_OUT}<&"${ASK[0]}"
read -r -t 10 line <&"$ASK_OUT"
is 'the first one is on its way' "$line" waiting
owner=$(t --json flow list client-port=$FROM | jq -r '.[0].backend')
check "its backend $owner is disabled" t backend disable dns "$owner"
before=$(counter drop_fragment)
echo >&"$ASK_IN"
read -r -t 20 line <&"$ASK_OUT"
is 'the others are dropped' "$line $(($(counter drop_fragment) - before))" 'lost 2'
FROM=$((FROM + 1))
check 'it is enabled' t backend enable dns "$owner"

# drained, it keeps what it has begun
coproc ASK { ask_in 0-12; }
exec {ASK_IN}>&"${ASK[1]}" {ASK_OUT}<&"${ASK[0]}"
read -r -t 10 line <&"$ASK_OUT"
owner=$(t --json flow list client-port=$FROM | jq -r '.[0].backend')
check "a backend, $owner, is drained" t backend drain dns "$owner"
echo >&"$ASK_IN"
read -r -t 20 line <&"$ASK_OUT"
check 'the others follow' grep -q "^$owner .* whole$" <<<"$line"
FROM=$((FROM + 1))
check 'it is enabled' t backend enable dns "$owner"

# to this host itself, on a VIP that others serve too
_here() { PORT=54 udp_get $VIP 1 --bytes 3000 | grep -q '^edge .* 54 3000 whole$'; }
check 'large ones reach a service of this host' eventually 10 _here
# who floods with first fragments takes the place of older ones, and no more
in_ns client "$PYTHON" "$TOP/tests/net/fragments.py" flood $VIP 53 3000
between 'the flood came' "$(counter sent_dsr)" 2500 4000
between 'the table is bounded' "$(bpftool -j map dump pinned /sys/fs/bpf/edge/fragments | jq length)" 500 1024
is 'large ones come through behind it' "$(udp_get $VIP 30 --bytes 3000 | grep -c ' 3000 whole$')" 30
