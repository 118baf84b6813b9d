#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Source ports of several network namespaces, each with its own range; one that is not there
# is told, taken in when it appears, and let go when it vanishes.
# parallel: yes
. "$(dirname "$0")/lib.sh"
port_host
in_ns client sh -c 'echo 50000 50049 >/proc/sys/net/ipv4/ip_local_port_range'
ports_config 'interval: 1s, namespaces: [/run/netns/client, /run/netns/later, /run/netns/edge]'
port_server client 10.0.0.100 80
port_server edge 10.0.0.1 80
port_server edge fd00::1 80
start edge
field() { # REMOTE FIELD
	t --json port list --scan | jq -r "[.[] | select(.remote_ip == \"$1\")][0].$2"
}
is_field() { [ "$(field "$1" "$2")" = "$3" ]; }
attention() { t --json status | jq -r '.attention[].why'; }
told() { attention | grep -q "$1"; }

ports_client edge own hold 10.0.0.100 80 7
ports_client client other hold 10.0.0.1 80 20
ports_client client six hold fd00::1 80 11
is 'the own one' "$(field 10.0.0.100 used) $(field 10.0.0.100 namespace)" '7 null'
is 'another' "$(field 10.0.0.1 used) $(field 10.0.0.1 namespace)" '20 /run/netns/client'
is 'with its own range' "$(field 10.0.0.1 usable)" 50
is 'IPv6' "$(field fd00::1 used)" 11
is 'as ss tells it there' "$(ss_count 10.0.0.100 10.0.0.1:80 ESTAB client)" 20
in_ns edge curl -s http://127.0.0.1:9799/metrics >"$T/metrics"
check 'its metrics bear its name' grep -q '^tundish_source_ports_usable{local_ip="10.0.0.100",remote_ip="10.0.0.1",remote_port="80",namespace="/run/netns/client"} 50' "$T/metrics"
is 'no series twice' "$(grep -v '^#' "$T/metrics" | sed 's/ [^ ]*$//' | sort | uniq -d | wc -l)" 0
check 'one that is not there is told' eventually 10 told '/run/netns/later'
check 'one that stands twice is told' eventually 10 told "same as the daemon's own"

add_ns later
ip -n later addr add 10.9.9.9/32 dev lo
port_server later 10.9.9.9 80
ports_client later late hold 10.9.9.9 80 5
check 'it is taken in when it appears' eventually 15 is_field 10.9.9.9 used 5
is 'and no longer told' "$(attention | grep -c /run/netns/later)" 0
kill "${PID[serve-10.9.9.9-80]}"
ports_end late
ip netns del later
check 'and let go when it vanishes' eventually 15 is_field 10.9.9.9 used null
is 'the others are counted on' "$(field 10.0.0.1 used)" 20

names=$(capsh --decode="$(sed -n 's/^CapEff:\t//p' /proc/"${PID[edge]}"/status)")
check 'the capability to enter others is kept' grep -q cap_sys_admin <<<"$names"
ports_config 'interval: 1s'
check 'others are let go by a reload' t config apply "$T/edge.yaml"
check 'what was counted there too' eventually 15 is_field 10.0.0.1 used null
is 'their own are counted on' "$(field 10.0.0.100 used)" 7
