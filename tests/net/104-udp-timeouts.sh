#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# UDP flows end by their timeouts, and not while they are used; what they stood for in the counts ends too.
# parallel: yes
. "$(dirname "$0")/lib.sh"
export TIMEOUTS='{udp_new: 3s, udp: 6s}'
three_udp dsr
export HOLDER=udp.py PORT=53
is 'the timeouts in force' "$(t config show | grep -o 'udp_new: 3s, udp: 6s')" 'udp_new: 3s, udp: 6s'
udp_get $VIP 40 >/dev/null
between 'forty queries, forty flows and those before' "$(udp_flows)" 40 80
check 'they are gone' eventually 20 udp_flows_are 0
is 'they counted nowhere' "$(t --json backend list dns | jq '[.[].connections_total] | add')" 0
hold $VIP6 20
udp_counted 20 $VIP6
MEMBERS='b1 b3' udp_config dsr
check 'the pool changes' t config apply "$T/edge.yaml"
# longer than the timeout in all, each time shorter
end=$((SECONDS + 14 * TUNDISH_TEST_SLOW)) used=yes
while [ $SECONDS -lt $end ]; do
	[ "$(ask)" = "$HELD" ] || used=no
	sleep 1
done
is 'who asks again in time stays' $used yes
is 'they count' "$(t --json tuple list | jq '[.[] | select(.protocol == "udp") | .active] | add')" 20
check 'who is silent is gone' eventually 30 udp_flows_are 0
is 'and does not count as active' "$(t --json backend list dns | jq '[.[].connections_active] | add') $(t --json tuple list | jq '[.[] | select(.protocol == "udp") | .active] | add')" '0 0'
is 'but in total' "$(t --json tuple list | jq '[.[] | select(.protocol == "udp") | .total] | add')" 20
is 'and moves when it asks again' "$(ask | count_of b2)" 0
