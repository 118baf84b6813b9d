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

t port list --scan >/dev/null
t port list --scan >/dev/null
is 'once each' "$(t events --once | grep -c 'not watched')" 2

add_ns later
ip -n later addr add 10.9.9.9/32 dev lo
port_server later 10.9.9.9 80
# Of an even number: of an odd one connect(2) leaves out one that depends on where it begins.
in_ns later sh -c 'echo 50000 50003 >/proc/sys/net/ipv4/ip_local_port_range'
check 'it is watched when it appears' eventually 15 has_event 'is there now, and watched'
ports_client later late hold 10.9.9.9 80 6
check 'and counted' eventually 15 is_field 10.9.9.9 used 4
is 'and no longer told' "$(attention | grep -c /run/netns/later)" 0
# Another one under this name, from one scan to the next.
add_ns other
ip -n other addr add 10.9.9.9/32 dev lo
port_server other 10.9.9.9 81
ports_client other beside hold 10.9.9.9 81 3
mount --bind /run/netns/other /run/netns/later
check 'another one under the name is known for another' eventually 15 has_event 'another one is there under this name'
port_of() { t --json port list --scan | jq -c '[.[] | select(.remote_ip == "10.9.9.9") | [.remote_port, .used]]'; }
other_alone() { [ "$(port_of)" = '[[81,3]]' ]; }
check 'its own are counted, and those of the former are gone' eventually 15 other_alone
ports_end beside
kill "${PID[serve-10.9.9.9-80]}" "${PID[serve-10.9.9.9-81]}"
umount /run/netns/later
ip netns del other
ports_end late
ip netns del later
check 'and let go when it vanishes' eventually 15 is_field 10.9.9.9 used null
failures() { in_ns edge curl -s http://127.0.0.1:9799/metrics | sed -n 's/^tundish_source_port_allocation_failures_total{local_ip="other",.*EADDRNOTAVAIL"} //p'; }
is 'but the two that it refused stay counted' "$(failures)" 2
is 'the others are counted on' "$(field 10.0.0.1 used)" 20

# What one scan wrote stays until the next one has ended: they write in turn.
numbers() { bpftool -j map dump pinned /sys/fs/bpf/edge/spaces | jq -c '[.[].formatted | {key: "\(.key)", value: .value.scan}] | from_entries'; }
scan_and_read() { t port list --scan >/dev/null && numbers; }
in_turn() {
	jq -en --argjson a "$(scan_and_read)" --argjson b "$(scan_and_read)" '[$a | keys[] | ($b[.] - $a[.]) % 2] | unique == [1]'
}
check 'scans of several namespaces write in turn' eventually 10 in_turn # a round of its own may have come between
names=$(capsh --decode="$(sed -n 's/^CapEff:\t//p' /proc/"${PID[edge]}"/status)")
check 'the capability to enter others is kept' grep -q cap_sys_admin <<<"$names"
ports_config 'interval: 1s'
check 'others are let go by a reload' t config apply "$T/edge.yaml"
check 'what was counted there too' eventually 15 is_field 10.0.0.1 used null
spaces_counted() { bpftool -j map dump pinned /sys/fs/bpf/edge/ports | jq -c '[.[].formatted.key.space] | unique'; }
one_counted() { [ "$(spaces_counted)" = '[1]' ]; }
check 'and out of the table' eventually 15 one_counted
is 'by the kernel too' "$(bpftool -j map dump pinned /sys/fs/bpf/edge/spaces | jq length)" 1
is 'their own are counted on' "$(field 10.0.0.100 used)" 7
