#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The alert rules are valid, do what they say, and name only metrics that there are.
set -u
TOP=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cp "$TOP/scripts/prometheus/tundish.rules.yaml" "$TOP/tests/prometheus/tundish.rules.test.yaml" "$dir"
status=0
try() { # NAME COMMAND...
	local name=$1 output
	shift
	if output=$("$@" 2>&1); then
		echo "ok - $name"
	else
		echo "not ok - $name"
		echo "$output" | sed 's/^/  | /'
		status=1
	fi
}
known() {
	local name
	for name in $(grep -o 'tundish_[a-z_]*' "$dir/tundish.rules.yaml" | sort -u); do
		grep -q "\"$name\"" "$TOP"/userspace/daemon/*metrics.c || { echo "there is no metric $name" && return 1; }
	done
}
# A rule that never fires is caught by its test.
broken() {
	sed 's/>= 0.5/>= 0.51/' "$TOP/scripts/prometheus/tundish.rules.yaml" >"$dir/tundish.rules.yaml"
	! (cd "$dir" && promtool test rules tundish.rules.test.yaml)
}
cd "$dir" || exit 1
try 'the rules are valid' promtool check rules tundish.rules.yaml
try 'each alert comes when it shall' promtool test rules tundish.rules.test.yaml
try 'their metrics exist' known
try 'the test can fail' broken
exit $status
