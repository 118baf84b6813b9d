#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# config check, diff, apply and show.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr

check 'show' t config show
t config show >"$T/shown.yaml"
check 'what show prints passes the check' t config check "$T/shown.yaml"
is 'and differs in nothing' "$(t --json config diff "$T/shown.yaml" | jq -c '.steps // .changes // .')" '[]'
cp "$T/edge.yaml" "$T/first.yaml"

MEMBERS='b1 b2' edge_config dsr
check 'diff names what goes' bash -c "$(declare -f t tun in_ns); BUILD=$BUILD; t config diff $T/edge.yaml | grep -q b3"
between 'diff changed nothing' "$(get $VIP 60 | count_of b3)" 6 40
check 'apply' t config apply "$T/edge.yaml"
is 'apply changed it' "$(get $VIP 60 | count_of b3)" 0
check 'apply it again' t config apply "$T/edge.yaml"
check 'apply the first' t config apply "$T/first.yaml"
between 'and b3 is back' "$(get $VIP 60 | count_of b3)" 6 40

printf 'services:\n  - name: x\n    vips: [192.0.2.300]\n' >"$T/bad.yaml"
refused 'check tells the place' 1 'bad.yaml:3:[0-9]+: .*192.0.2.300' t config check "$T/bad.yaml"
refused 'apply tells the place' 1 'bad.yaml:3:[0-9]+: .*192.0.2.300' t config apply "$T/bad.yaml"
refused 'a file that is not there' 1 'nowhere.yaml' t config apply "$T/nowhere.yaml"
refused 'the daemon checks as well' 1 'bad.yaml:3:[0-9]+: .*192.0.2.300' "$BUILD/tundishd" --check --config "$T/bad.yaml"
check 'and accepts what is right' "$BUILD/tundishd" --check --config "$T/first.yaml"
is 'nothing changed by any of it' "$(get $VIP 20 | grep -c '^b')" 20
