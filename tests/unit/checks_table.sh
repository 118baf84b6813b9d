#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The tables of what HAProxy and keepalived document of checks: each row of checks.table is whole, and has a name of
# its own; each of checks_told.table names a test that is there and says so, or what to do instead.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0
wrong() {
	echo "not ok - $*"
	failed=1
}
trim() { sed 's/^[[:space:]]*//; s/[[:space:]]*$//'; }

n=0
while IFS= read -r line; do
	n=$((n + 1))
	[ "$(awk -F' [|] ' '{print NF}' <<<"$line")" = 8 ] || wrong "checks.table: not eight cells: $line"
	[[ "$line" =~ \|\ (up|down)\ /\ (up|down|-)\ \| ]] || wrong "checks.table: no verdict: $line"
done < <(grep -v '^#' tests/net/checks.table)
[ "$(grep -v '^#' tests/net/checks.table | cut -d'|' -f1 | sort | uniq -d)" = '' ] || wrong 'checks.table: a name stands twice'
[ "$n" -ge 30 ] || wrong "checks.table: only $n rows"

n=0
while IFS='|' read -r peer there here test; do
	n=$((n + 1))
	test=$(trim <<<"$test") here=$(trim <<<"$here")
	if [ -z "$(trim <<<"$there")" ] || [ -z "$here" ] || [ -z "$test" ]; then
		wrong "checks_told.table: $peer: a cell is empty"
	elif [ "$here" = - ] || [ "${test:0:1}" = - ]; then
		[ ${#test} -ge 10 ] || wrong "checks_told.table: $peer: no word of what to do instead"
	elif [ ! -e "tests/${test%%:*}" ]; then
		wrong "checks_told.table: $peer: there is no tests/${test%%:*}"
	elif ! grep -qF -- "$(trim <<<"${test#*:}")" "tests/${test%%:*}"; then
		wrong "checks_told.table: $peer: tests/${test%%:*} does not say \"$(trim <<<"${test#*:}")\""
	fi
done < <(grep -v '^#' tests/net/checks_told.table)
[ "$n" -ge 40 ] || wrong "checks_told.table: only $n rows"
[ $failed = 1 ] || echo 'ok - each row of both tables has its test, or says what to do instead'
exit $failed
