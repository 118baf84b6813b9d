#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Equal workers get equally many, whatever their number.
# parallel: yes
. "$(dirname "$0")/lib.sh"
PRIORITY=$REAL_TIME # equal workers, whatever else runs here
group_host
app_config
start edge
for n in 1 2 4 16 64; do
	serve s --workers $n
	flood $VIP 4000 $((TUNDISH_TEST_SLOW > 1 ? 1280 : n < 16 ? 3000 : 6400))
	all_answered "$n workers"
	worst=$(echo "$RESULT" | jq "(.answered / $n) as \$even
		| [.tally[] | (. / \$even - 1) * 1000 | fabs] | max | round")
	is "$n workers: each serves" "$(echo "$RESULT" | jq '.tally | length')" $n
	between "$n workers: per mille from even" "$worst" 0 $((TUNDISH_TEST_SLOW > 1 ? 400 : 50))
	end_server s
done
