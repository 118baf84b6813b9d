#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Open connections outlive the removal of their backend from the file, and additions to it.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 60

MEMBERS='b1 b3' edge_config dsr
check 'b2 is taken out of the file' t config apply "$T/edge.yaml"
steady 'sixty connections stay, those to b2 too'
lines=$(get $VIP 60)
is 'b2 has none of the new ones' "$(echo "$lines" | count_of b2)" 0
is 'all new ones are served' "$(echo "$lines" | grep -c '^b[13] ')" 60
edge_config dsr
check 'b2 comes back' t config apply "$T/edge.yaml"
steady 'they stay when it comes back'
between 'b2 has its share again' "$(get $VIP 60 | count_of b2)" 6 40
is 'the counts of b2 went on' "$(backend_field b2 connections_active)" "$(echo "$HELD" | count_of b2)"
