#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Source ports of translated connections: `port list` knows them exactly, without scans; all of
# a pool can be held at once, what is beyond it is refused and counted; what is at rest does not
# count as taken; half, exhaustion and refusals are told; and a daemon that is killed knows it all
# again.
# parallel: yes
. "$(dirname "$0")/translated.sh"
MEMBERS='b1 b2'
plain_servers 1
translated fullnat 4 'ports: {watch: off}'
sed -i 's/^    sources: .*/&\n    source_ports: "2000-2039"/' "$T/edge.yaml"
start edge

ports() { t --json port list | jq -r "$1"; }
used() { ports '[.[] | .used] | add // 0'; }
used_is() { [ "$(used)" = "$1" ]; }
told() { t --json events --once | jq -e "[.[] | select(.event == \"$1\" and (.reason | test(\"$2\")))] | length > 0"; }
metric() { in_ns edge curl -s http://127.0.0.1:9799/metrics | grep -E "$1" | awk '{n += $2} END {print n + 0}'; }

is 'without connections there are no rows' "$(ports length)" 0
refused 'sockets of this host are not watched' 1 'not watched' t port blocked
hold $VIP 30
is 'each connection has a port' "$(used)" 30
is 'rows say what they are of' "$(ports '[.[] | "\(.source) \(.service) \(.local_ip) \(.remote_ip) \(.remote_port) \(.protocol) \(.usable)"] | sort | join(",")')" \
	'nat web 10.0.0.250 10.0.0.11 8080 tcp 40,nat web 10.0.0.250 10.0.0.12 8080 tcp 40'
_counted_states() { [ "$(ports '[.[] | .states.established] | add')" = 30 ]; }
check 'a pass knows their states' eventually 10 _counted_states
is 'no port becomes dear' "$(ports '[.[] | .seconds_to_cliff] | unique | .[]')" null
release >/dev/null

# All of it: over both servers, since the one that is full passes new ones on to the other.
check 'closed by the client they are at rest, and soon free' eventually 25 used_is 0
hold $VIP 80
is 'all eighty ports are in use' "$(used)" 80
is 'and each of the two tuples is full' "$(ports '[.[] | .utilization] | unique | .[]')" 1
is 'five more are refused' "$(get $VIP 5 | grep -c '^b')" 0
is 'refusals are counted' "$(ports '[.[] | .failed] | add')" 5
is 'in metrics too' "$(metric '^tundish_source_port_allocation_failures_total.*source="nat".*EADDRNOTAVAIL')" 5
is 'used, by metrics' "$(metric '^tundish_source_ports_used\{source="nat"')" 80
is 'fullest, by metrics' "$(metric '^tundish_source_port_utilization_max_ratio')" 1
check 'the half is told' eventually 10 told ports-half '40 NAT source ports'
check 'that it is full is told' eventually 10 told ports-exhausting 'all 40 NAT source ports are used.*add a source'
check 'refusals are told' eventually 5 told ports-refused 'NAT source ports.*add a source'
check 'status names them' grep -q '40 of 40 NAT source ports are used.*refused' <(attention)
is 'status has the fullest' "$(t --json status | jq .nat.fullest.utilization)" 1
is 'held ones go on' "$(ask)" "$HELD"

# Killed and started again: known again at once, exactly.
stop edge KILL
start edge
check 'a new daemon knows all eighty' eventually 10 used_is 80
is 'and that they were refused' "$(ports '[.[] | .failed] | add')" 5
release >/dev/null
_at_rest() { [ "$(ports '[.[] | .utilization] | max')" = 0 ]; }
check 'at rest they are not taken' eventually 15 _at_rest
is 'so that new connections get them again' "$(get $VIP 20 | grep -c '^b')" 20
check 'of which some were at rest still' test "$(metric '^tundish_nat_early_reuse_total')" -ge 1
check 'in the end all are free' eventually 30 used_is 0
