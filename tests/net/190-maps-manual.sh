#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Each example with bpftool in tundish-maps(7) tells what the daemon tells.
# parallel: yes
. "$(dirname "$0")/lib.sh"
# Small tables: bpftool writes every entry of one.
LIMITS='{flows: 4096, flows6: 4096, tuples: 4096, backends: 64}'
three_backends dsr
hold $VIP 12

# The commands of the manual's examples, those of one map.
run() { # MAP
	awk -v map="$1" '/^\.Bd/ {on = 1; text = ""; next}
		/^\.Ed/ {if (on && text ~ "pinned [^ ]*" map " ") print text; on = 0} on {text = text $0 "\n"}' \
		"$TOP/scripts/man/tundish-maps.7" | sed 's|\\e|\\|g; s|/sys/fs/bpf/tundish|/sys/fs/bpf/edge|' >"$T/example"
	[ -s "$T/example" ] || fatal "tundish-maps(7) has no example with $1"
	in_ns edge bash -c 'cd /sys/fs/bpf/edge && . "$1"' - "$T/example"
}
is 'backends' "$(run backends | jq -r '"\(.name) \(.state) \(.weight)"' | sort -u | xargs)" 'b1 1 100 b2 1 100 b3 1 100'
_same() {
	[ "$(run backends | jq -s 'map(.connections_active) | add')" -ge 12 ] &&
		[ "$(run backends | jq -s 'map(.connections_active) | add')" = "$(t --json backend list | jq 'map(.connections_active) | add')" ]
}
check 'and their connections' eventually 10 _same
is 'a VIP' "$(run vips | jq -c '[.ranges[] | [.first, .last, .protocol]]')" '[[80,80,6]]'
is 'established flows' "$(run flows | jq -s 'length >= 12')" true
is 'their port' "$(run flows | jq -s -c 'map(.port_be) | unique')" '[20480]'
is 'counters' "$(run counters | jq '.sent_dsr > 0')" true
is 'the layout' "$(run settings)" "$(sed -n 's/.*LAYOUT_VERSION \([0-9]*\).*/\1/p' "$TOP/include/tundish/limits.h")"
is 'tuples in use' "$(run tuples | jq -s 'map(.value.raw % 16777216) | max >= 12')" true
