#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A disabled backend gets nothing at all; its connections are moved at once, the others stay.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 60
others=$(echo "$HELD" | grep -vc '^b2 ')

check 'disable' t backend disable web b2
is 'state' "$(backend_field b2 state)" disabled
in_ns b2 nft add table ip watch
in_ns b2 nft 'add chain ip watch arrivals { type filter hook input priority 0; }'
in_ns b2 nft add rule ip watch arrivals ip daddr $VIP counter
lines=$(ask)
is 'those of b1 and b3 stay' "$(echo "$lines" | grep -c '^b[13] ')" "$others"
is 'those of b2 are reset by whom they reach' "$(echo "$lines" | grep -c '^lost')" $((60 - others))
is 'no packet reaches b2 any more' "$(in_ns b2 nft -j list ruleset | jq '[.. | .counter? // empty | .packets] | add')" 0
is 'new ones are served by the others' "$(get $VIP 60 | grep -c '^b[13] ')" 60
check 'enable' t backend enable web b2
between 'b2 has its share again' "$(get $VIP 60 | count_of b2)" 6 40
