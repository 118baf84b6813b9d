#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The daemon dies at each step of an apply in turn: the data path is right at every one, and the
# next start goes on with what is left.
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 40
cp "$T/edge.yaml" "$T/first.yaml"
MEMBERS='b1 b3' WEIGHT=50 edge_config dsr
cat >>"$T/edge.yaml" <<YAML
  - name: second
    vips: [$VIP2]
    ports: [80]
    delivery: dsr
    backends: [{name: b2, address: 10.0.0.12}, {name: b3, address: 10.0.0.13}]
YAML
cp "$T/edge.yaml" "$T/second.yaml"

# to WANTED FROM: a start with the wanted file that dies after 1, 2, 3 ... steps, until one does
# not; `applied` becomes the number of deaths.
applied=0
to() {
	local n
	for n in $(seq 1 $((TUNDISH_TEST_SLOW > 1 ? 5 : 1)) 60); do # where it takes minutes, some of them
		stop edge
		cp "$1" "$T/edge.yaml"
		daemon edge TUNDISH_TEST_DIE_AT="$n"
		if ready edge; then
			applied=$((n - 1))
			return
		fi
		steady "dead at step $n: open connections stay"
		[ "$(get $VIP 20 | grep -c '^b[123] ')" = 20 ] || not_ok "dead at step $n: new ones are served"
		# Back to where it began, so that each step is the n-th of the whole change.
		cp "$2" "$T/edge.yaml"
		start edge
		[ "$(get $VIP 20 | grep -c '^b[123] ')" = 20 ] || not_ok "after a death at step $n: new ones are served"
	done
}
to "$T/second.yaml" "$T/first.yaml"
between 'deaths until the change is complete' "$applied" 4 60
lines=$(get $VIP 60)
is 'the removed backend has nothing new' "$(echo "$lines" | count_of b2)" 0
is 'the added service serves' "$(get $VIP2 20 | grep -c '^b[23] ')" 20
to "$T/first.yaml" "$T/second.yaml"
between 'deaths until the way back is complete' "$applied" 4 60
is 'the removed service is gone' "$(get $VIP2 1 | count_of failed)" 1
between 'the backend is back' "$(get $VIP 60 | count_of b2)" 6 40
steady 'the first connections are where they were'
