#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A drained backend keeps what it has and gets nothing new.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 60

check 'drain' t backend drain web b2
is 'state' "$(backend_field b2 state)" drain
steady 'sixty connections stay, those to b2 too'
lines=$(get $VIP 60)
is 'b2 gets nothing new' "$(echo "$lines" | count_of b2)" 0
is 'all are served' "$(echo "$lines" | grep -c '^b')" 60
check 'enable' t backend enable web b2
is 'state afterwards' "$(backend_field b2 state)" up
between 'b2 has its share again' "$(get $VIP 60 | count_of b2)" 6 40
steady 'the sixty are where they were'
refused 'a backend that is not there' 4 'b9' t backend drain web b9
refused 'a service that is not there' 4 'wob' t backend drain wob b1
