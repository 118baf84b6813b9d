#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A flood from spoofed sources against a table that it fills takes nothing from live flows, of UDP and of TCP.
. "$(dirname "$0")/lib.sh"
export LIMITS='{flows: 1024, flows6: 1024}'
three_udp dsr
for b in $BACKENDS; do web $b; done
eventually 10 get $VIP 3 >/dev/null
flood_udp() { in_ns client "$PYTHON" "$TOP/tests/net/udp.py" flood "$1" 53 20000; }
for vip in $VIP $VIP6; do
	hold $vip 60
	tcp_in=$HOLD_IN tcp_out=$HOLD_OUT tcp=$HELD
	HOLDER=udp.py PORT=53 hold $vip 60 2>/dev/null # another coprocess; the first one's descriptors are copies
	udp_counted 60 $vip
	before=$(counter flow_evicted) drops=$(counter drop_malformed)
	check "$vip: the flood" flood_udp $vip
	between "$vip: its flows gave way to each other" $(($(counter flow_evicted) - before)) 5000 20000
	is "$vip: nothing was malformed" "$(counter drop_malformed)" "$drops"
	MEMBERS='b1 b3' udp_config dsr
	check "$vip: the pool changes" t config apply "$T/edge.yaml"
	steady "$vip: sixty UDP flows stay"
	release >/dev/null
	HELD=$tcp HOLD_IN=$tcp_in HOLD_OUT=$tcp_out
	steady "$vip: sixty connections stay"
	release >/dev/null
	udp_config dsr
	t config apply "$T/edge.yaml" >/dev/null
done
is 'who counted are those that were held' "$(t --json tuple list | jq '[.[] | select(.protocol == "udp") | .total] | add')" 120
