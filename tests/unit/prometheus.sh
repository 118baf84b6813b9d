#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Rules, dashboard and example are valid, do what they say, and name only metrics that there are; and any
# metric with any label is what promtool and Prometheus' own parser of OpenMetrics take for right.
set -u
TOP=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cp "$TOP"/scripts/prometheus/* "$TOP/tests/prometheus/tundish.rules.test.yaml" "$dir"
BUILD=$(cd "$TOP" && realpath "${BUILD:-build}")
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
known() { "$TOP/tests/prometheus/names.py" tundish.rules.yaml tundish.recording.yaml tundish.dashboard.json; }
# unknown FILE SED SENTENCE: is found, with this change.
unknown() {
	sed "$2" "$1" >"changed.$1"
	! cmp -s "$1" "changed.$1" && "$TOP/tests/prometheus/names.py" "changed.$1" >said && return 1
	grep -q "$3" said
}
dashboard() {
	"$TOP/tests/prometheus/names.py" --rules tundish.dashboard.json >asked.yaml
	grep -q record asked.yaml && promtool check rules asked.yaml
}
example() {
	sed "s|/usr/share/tundish/prometheus|$dir|" prometheus.example.yaml >prometheus.yml
	grep -q "$dir" prometheus.yml && promtool check config prometheus.yml
}
text() { "$BUILD/tests/test_exposition" text >text && promtool check metrics <text; }
open_metrics() { "$BUILD/tests/test_exposition" open >open && "$TOP/tests/prometheus/openmetrics.py" open text; }
unclean() { ! promtool check metrics < <(sed 's/_total/_count/' text); }
# A rule that never fires is caught by its test.
broken() {
	sed 's/ratio >= 0.5/ratio >= 0.51/' "$TOP/scripts/prometheus/tundish.rules.yaml" >"$dir/tundish.rules.yaml"
	! (cd "$dir" && promtool test rules tundish.rules.test.yaml)
}
cd "$dir" || exit 1
try 'the rules are valid' promtool check rules tundish.rules.yaml tundish.recording.yaml
try 'what the dashboard asks is valid' dashboard
try 'the example is valid' example
try 'each alert comes when it shall' promtool test rules tundish.rules.test.yaml
try 'their metrics exist' known
try 'one that does not is found' unknown tundish.rules.yaml 's/tundish_table_entries/tundish_table_used/' 'no metric tundish_table_used'
try 'in the dashboard too' unknown tundish.dashboard.json 's/tundish_worker_refusals_total/tundish_worker_refused_total/' 'no metric tundish_worker_refused_total'
try 'and what is not recorded' unknown tundish.dashboard.json 's/service:tundish_bytes:rate1m/service:tundish_bytes:rate2m/' 'rate2m'
try 'a label that a metric has not is found' unknown tundish.dashboard.json 's/tundish_build_info, i/tundish_build_info{service=\\"x\\"}, i/' 'tundish_build_info has no label service'
try 'and a reason that there is not' unknown tundish.rules.yaml 's/no_nexthop/no_route/' 'no reason no_route'
try 'promtool takes all metrics, whatever the labels are' text
try "and Prometheus' parser of OpenMetrics" open_metrics
try 'what is wrong promtool does not take' unclean
try 'the test can fail' broken
exit $status
