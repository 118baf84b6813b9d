#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Former versions, built from the repository's own history (kept in $BUILD/versions): each with traffic on
# every delivery, then upgraded to this build, as a package does it and by re-execution; and back: done
# where the layout is the same, else refused with a sentence and nothing touched. No request fails, no
# connection breaks.
#
#   tests/soak/versions.sh [DIRECTORY package|reexec]
# shellcheck source=tests/soak/lib.sh
if [ $# = 0 ]; then
	cd "$(dirname "$0")/../.." || exit 1
	BUILD=$(realpath "${BUILD:-build}") tried=0 status=0
	export BUILD
	# The last commit of each layout that is gone on from.
	for pair in '2 16c36208' '3 033b7b6d'; do
		read -r layout commit <<<"$pair"
		dir=$BUILD/versions/$layout
		if [ ! -x "$dir/build/tundishd" ]; then
			git -c safe.directory='*' cat-file -e "$commit^{commit}" 2>/dev/null || {
				echo "skip - layout $layout: commit $commit is not in this repository's history"
				continue
			}
			rm -rf "$dir" && mkdir -p "$dir" && git -c safe.directory='*' archive "$commit" | tar -x -C "$dir" &&
				make -s -C "$dir" -j2 all BUILD=build >"$dir.log" 2>&1 || {
				echo "not ok - layout $layout does not build, see $dir.log"
				status=1
				continue
			}
		fi
		# In namespaces of their own: servers of one have nothing of another's in TIME_WAIT.
		for way in package reexec; do
			tried=$((tried + 1))
			bash "$0" "$dir" $way || status=1
		done
	done
	[ $tried -gt 0 ] || echo 'skip - former versions: none could be built from the history of this repository'
	exit $status
fi
dir=$1 way=$2
HEALTH= # which the oldest of them do not know
. "$(dirname "$0")/lib.sh"
soak_host
layout() { dump settings | jq '.[0].formatted.value.layout_version'; }
layout_of() { sed -n 's/^#define TUNDISH_LAYOUT_VERSION \([0-9]*\)/\1/p' "$1/include/tundish/limits.h"; }
# as dpkg does it
tundishd() { cp "$1" "$T/tundishd.next" && mv "$T/tundishd.next" "$T/tundishd"; }
now=$(layout_of "$TOP") was=$(layout_of "$dir")
name="layout $was by $way"
tundishd "$dir/build/tundishd"
TUNDISHD=$T/tundishd
begin_edge
is "$name: the former version runs" "$(layout)" "$was"
: >"$T/seen"
seen
traffic_begins
moment 900
attached=$(program)
seen
tundishd "$BUILD/tundishd"
if [ "$way" = package ]; then
	stop edge
	moment
	start edge
else
	before=$(began)
	check "$name: it is asked" t daemon reexec
	check "$name: the next one begins" eventually 60 more_than "$before"
	check "$name: and answers" eventually 20 t status
fi
is "$name: it runs over maps of its own layout" "$(layout)" "$now"
check "$name: its programs are attached" test "$(program)" != "$attached"
check "$name: each service serves" _serves_all
moment 900 # of traffic over it
seen

# Back.
attached=$(program)
tundishd "$dir/build/tundishd"
if [ "$was" = "$now" ]; then
	stop edge
	start edge
	check "$name: back: the former programs are attached again" test "$(program)" != "$attached"
	check "$name: back: each service serves" _serves_all
	seen
	tundishd "$BUILD/tundishd"
	stop edge
	start edge
else
	refused "$name: back by re-execution is refused" 1 "have layout $now and this tundishd has layout $was" t daemon reexec
	check "$name: and the daemon goes on" t status
	stop edge
	daemon edge
	eventually 20 ended edge
	check "$name: back by a start is refused" grep -q "have layout $now and this tundishd has layout $was" "$T/tundishd-edge.log"
	is "$name: nothing of it is touched" "$(program) $(layout)" "$attached $now"
	check "$name: and the data path serves" _serves_all
	tundishd "$BUILD/tundishd"
	start edge
fi
seen
traffic_ends
check "$name: unload" t unload
eventually 10 ended edge
_none_alive() { [ -z "$(alive)" ]; }
eventually 20 _none_alive
is "$name: nothing is left in the kernel" "$(left_over)" ''
