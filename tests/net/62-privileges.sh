#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The daemon holds few privileges once it runs, and can still do all its work.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
held=$(sed -n 's/^CapEff:\t//p' /proc/"${PID[edge]}"/status)
names=$(capsh --decode="$held")
check "not all capabilities: $names" test $((16#$held)) -lt $((16#000001ffffffffff))
check 'not CAP_SYS_ADMIN' bash -c "! echo '$names' | grep -q cap_sys_admin"
is 'no new privileges' "$(sed -n 's/^NoNewPrivs:\t//p' /proc/"${PID[edge]}"/status)" 1
MEMBERS='b1 b2' edge_config dsr
check 'an apply works with them' t config apply "$T/edge.yaml"
sed -i "s/vips: .*/vips: [$VIP, $VIP2]/" "$T/edge.yaml"
check 'and one that adds an address' t config apply "$T/edge.yaml"
is 'which serves' "$(get $VIP2 10 | grep -c '^b[12]')" 10
