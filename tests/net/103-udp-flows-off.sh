#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# flows: off: the hash alone decides, nothing is remembered, and a change of the pool moves at once.
# parallel: yes
. "$(dirname "$0")/lib.sh"
FLOWS=off three_udp dsr
export HOLDER=udp.py PORT=53
before=$(counter flow_lookup)
hold $VIP 60
for b in $BACKENDS; do
	between "$b has its share" "$(echo "$HELD" | count_of $b)" 6 40
done
steady 'a flow goes the same way each time'
is 'no flow is looked up' "$(counter flow_lookup)" "$before"
is 'none is remembered' "$(udp_flows)" 0
is 'a service says so' "$(t --json service show dns | jq .flows)" false
is 'trace says what decides' "$(t --json trace --protocol udp 10.0.0.100:40000 $VIP:53 | jq -r .reason | grep -c '^Maglev slot')" 1
is 'packets are counted' "$(t --json backend list dns | jq '[.[].packets] | add')" 132
FLOWS=off MEMBERS='b1 b3' udp_config dsr
check 'b2 is taken out of the file' t config apply "$T/edge.yaml"
now=$(ask)
is 'it gets nothing from then on' "$(echo "$now" | count_of b2)" 0
is 'all are answered' "$(echo "$now" | grep -c '^b[13] ')" 60
is 'of the others most stay' "$([ "$(diff <(echo "$HELD") <(echo "$now") | grep -c '^< b[13]')" -le 4 ] && echo yes)" yes
MEMBERS='b1 b3' udp_config dsr
check 'flows: on' t config apply "$T/edge.yaml"
HELD=$(ask)
is 'now they are remembered' "$(udp_flows)" 60
udp_config dsr
check 'b2 comes back' t config apply "$T/edge.yaml"
steady 'and stay'
