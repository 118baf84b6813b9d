#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Source ports of a range of a hundred: each figure is what ss counts, those refused are
# told exactly, and who blocks a port is named.
# parallel: yes
. "$(dirname "$0")/lib.sh"
port_host
in_ns edge sh -c 'cd /proc/sys/net/ipv4 && echo 40000 40099 >ip_local_port_range && echo 40010-40019 >ip_local_reserved_ports'
ports_config 'interval: 1s'
port_server client 10.0.0.100 80
port_server client fd00::100 80
start edge

ports_client edge blocker bind 10.0.0.1 5
BLOCKED=$(jq -r '.ports | sort | join(" ")' "$T/blocker.out")
ports_client edge held hold 10.0.0.100 80 30
is 'thirty are open' "$(ports_opened held)" 30
is 'used' "$(port_field --scan 10.0.0.100 used)" 30
is 'usable: the range less reserved and blocked' "$(port_field 10.0.0.100 usable)" 85
is 'by state' "$(port_field 10.0.0.100 states.established)" "$(ss_count 10.0.0.1 10.0.0.100:80 ESTAB)"
is 'who blocks ports' "$(t --json port blocked | jq -r '[.[] | select(.program == "ports.py" or .program == "python3") | .port] | sort | join(" ")')" "$BLOCKED"
is 'why' "$(t --json port blocked | jq -r '.[0].reason')" address-bound
is 'of which process' "$(t --json port blocked | jq -r '.[0].pid')" "$(ports_pid blocker)"

ports_client edge churned churn 10.0.0.100 80 20
is 'twenty closed first are in TIME_WAIT' "$(port_field --scan 10.0.0.100 time_wait)" 20
is 'as ss says' "$(ss_count 10.0.0.1 10.0.0.100:80 TIME-WAIT)" 20
is 'used with them' "$(port_field 10.0.0.100 used)" 50
is 'this host closes first there' "$(t --json timewait | jq -r '.tuples[0].closes_first')" 'this host'

ports_client edge rest hold 10.0.0.100 80 60
is 'thirty-five more are to be had' "$(ports_opened rest)" 35
is 'the others are refused' "$(ports_refused rest)" 25
is 'exactly these are told' "$(port_field 10.0.0.100 failures.EADDRNOTAVAIL)" 25
is 'all are used' "$(port_field --scan 10.0.0.100 used)" 85
is 'nothing is left' "$(port_field 10.0.0.100 utilization) $(port_field 10.0.0.100 seconds_to_exhaustion)" '1 0'
check 'an event of the refusal' eventually 10 has_event 'ports-refused.* of 85 source ports'
check 'an event of the half' eventually 10 has_event ports-half
check 'status tells it' bash -c "$(declare -f in_ns tun t); BUILD=$BUILD; t status | grep -q '85 of 85 source ports'"
in_ns edge curl -s http://127.0.0.1:9799/metrics >"$T/metrics"
TUPLE='local_ip="10.0.0.1",remote_ip="10.0.0.100",remote_port="80"'
is 'metric of the ratio' "$(sed -n "s/^tundish_source_port_utilization_ratio{$TUPLE} //p" "$T/metrics")" 1
is 'metric of the refused' "$(sed -n "s/^tundish_source_port_allocation_failures_total{$TUPLE,errno=\"EADDRNOTAVAIL\"} //p" "$T/metrics")" 25
is 'metric of TIME_WAIT' "$(sed -n "s/^tundish_source_ports_used{source=\"host\",$TUPLE,state=\"time_wait\"} //p" "$T/metrics")" 20
is 'every line is well formed' "$(grep -vcE '^(# (HELP|TYPE|UNIT|EOF)|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.eE+-]+( [0-9.]+)?$)' "$T/metrics")" 0
is 'no series twice' "$(grep -v '^#' "$T/metrics" | sed 's/ [^ ]*$//' | sort | uniq -d | wc -l)" 0

ports_end held
ports_end rest
ports_end blocker
is 'what was closed rests' "$(port_field --scan 10.0.0.100 time_wait)" "$(ss_count 10.0.0.1 10.0.0.100:80 TIME-WAIT)"
is 'and nobody is remembered for a port that is free again' "$(bpftool -j map dump pinned /sys/fs/bpf/edge/port_owners | jq length)" 0
ports_client edge six hold fd00::100 80 40
is 'IPv6' "$(port_field --scan fd00::100 used) $(port_field fd00::100 states.established)" '40 40'
