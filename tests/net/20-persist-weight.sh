#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Open connections stay where they are when weights change; new ones follow the weights.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 60

check 'weight is accepted' t backend weight web b1 10
is 'weight is shown' "$(backend_field b1 weight)" 10
steady 'sixty connections stay with their backends'
between 'b1 has a twentieth of the new ones' "$(get $VIP 120 | count_of b1)" 0 18
check 'weight 0 is accepted' t backend weight web b1 0
steady 'they stay with weight 0 too'
is 'b1 has none of the new ones' "$(get $VIP 60 | count_of b1)" 0
check 'the weight comes back' t backend weight web b1 100
steady 'they stay when it comes back'
between 'b1 has its share again' "$(get $VIP 60 | count_of b1)" 6 40
