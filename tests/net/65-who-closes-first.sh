#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Who closes first, by destination and by service, and whether TIME_WAIT matters.
# parallel: yes
. "$(dirname "$0")/lib.sh"
port_host
in_ns edge sh -c 'echo 40000 40199 >/proc/sys/net/ipv4/ip_local_port_range'
# A tuple without sockets, and its counts, leave the table after two scans.
ports_config "interval: $((5 * TUNDISH_TEST_SLOW))s"
port_server client 10.0.0.100 80
port_server client 10.0.0.100 81 --close-first
port_server edge 10.0.0.1 8080 --close-first
start edge
say() { t --json timewait | jq -r ".$1"; }
of_port() { say "tuples[] | select(.remote_port == $1) | .$2"; }

is 'nothing is no problem' "$(say verdict)" fine
ports_client edge far churn 10.0.0.100 81 30 --wait-peer
is 'the server closes first' "$(of_port 81 closes_first)" 'the other end'
is 'thirty times' "$(of_port 81 closed_there) $(of_port 81 closed_here)" '30 0'
is 'and has the TIME_WAITs' "$(of_port 81 time_wait)" 0
ports_client client near churn 10.0.0.1 8080 25 --wait-peer
_this_host() { [ "$(say 'services[] | select(.local_port == 8080) | .closes_first')" = 'this host' ]; }
check 'a service of this host that closes first' eventually 5 _this_host
is 'twenty-five times' "$(say 'services[] | select(.local_port == 8080) | .closed_here')" 25
is 'it holds TIME_WAITs and no source port' "$(t port list --scan >/dev/null; say sockets) $(say outbound)" '25 0'
is 'which is no problem' "$(say verdict)" fine
check 'and said so' grep -q '^not a problem' <<<"$(t timewait)"

ports_client edge churned churn 10.0.0.100 80 110
# A rate takes two looks half a second apart, and is that between them: read before another one makes it none.
rate() { t port list --scan >/dev/null && [ "$(say 'entered_per_second > 0')" = true ]; }
check 'so many a second' eventually 5 rate
is 'this host closes first there' "$(of_port 80 closes_first)" 'this host'
is 'as the kernel counts' "$(say sockets)" 135
is 'most of them of outbound connections' "$(say outbound)" 110
is 'a cause' "$(say verdict)" cause
check 'in one sentence with a remedy' grep -q '10.0.0.1 to 10.0.0.100:80 .*110 of the 110 .*let the other end close' <<<"$(t timewait)"
in_ns edge curl -s http://127.0.0.1:9799/metrics >"$T/metrics"
is 'metric' "$(sed -n 's/^tundish_time_wait_sockets //p' "$T/metrics")" 135

ports_client edge classic churn 10.0.0.100 80 3 --source 10.0.0.1 --classic
t port list --scan >/dev/null
is 'bound ports stay blocked in TIME_WAIT, when nobody has them' "$(t --json port blocked | jq -c '[.[] | [.reason, .pid]]')" '[["left",null],["left",null],["left",null]]'
is 'and are not lost to their own tuple' "$(port_field 10.0.0.100 usable)" 200
ports_client edge udp hold 10.0.0.100 53 9 --udp
is 'UDP: a port counts for its address' "$(t --json port list --scan | jq -r '.[] | select(.protocol == "udp" and .local_ip == "10.0.0.1") | "\(.used) \(.remote_ip)"')" '9 null'
ports_client edge any bind 0.0.0.0 4 --udp
is 'and one without an address is in the way of all' "$(t --json port list --scan | jq -c '[.[] | select(.protocol == "udp") | [.local_ip, .used, .usable]] | sort')" '[["0.0.0.0",4,191],["10.0.0.1",9,196]]'

in_ns edge sh -c 'echo 20 >/proc/sys/net/ipv4/tcp_max_tw_buckets'
ports_client edge skipped churn 10.0.0.100 80 6
t port list --scan >/dev/null
between 'connections that skip TIME_WAIT are counted' "$(say overflowed)" 6 7
check 'which is a cause, and told' grep -q '^a cause: the limit of 20 is reached' <<<"$(t timewait)"
