#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What is remembered of tuples from scan to scan: one without sockets is forgotten, one that was
# refused a port stays for a while. And of blocked ports whose they are, in each namespace.
# parallel: yes
. "$(dirname "$0")/lib.sh"
port_host
in_ns edge sh -c 'cd /proc/sys/net/ipv4 && echo 40000 40019 >ip_local_port_range && echo 40018,40019 >ip_local_reserved_ports'
in_ns client sh -c 'echo 40000 40019 >/proc/sys/net/ipv4/ip_local_port_range'
ports_config 'interval: 60s, namespaces: [/run/netns/client]'
port_server client 10.0.0.100 80
port_server client 10.0.0.100 81 --close-first
port_server client 10.0.0.100 83
port_server client 10.0.0.100 40015
port_server edge 10.0.0.1 40015
port_server edge 10.0.0.1 40019
start edge
scan() { t port list --scan >/dev/null; }
of() { t --json port list | jq -r "[.[] | select(.remote_port == $1)][0].$2"; }
in_map() { # PORT: how many such tuples the kernel's table has
	bpftool -j map dump pinned /sys/fs/bpf/edge/ports |
		jq "[.[].formatted | select(.key.space == 1 and .key.remote_port_be == $(($1 % 256 * 256 + $1 / 256)))] | length"
}
scan
is 'blocked ports, each of its own namespace, and no reserved one' \
	"$(t --json port blocked | jq -c '[.[] | [.port, .namespace, .reason, .pid]]')" \
	"[[40015,null,\"listening\",${PID[serve-10.0.0.1-40015]}],[40015,\"/run/netns/client\",\"listening\",${PID[serve-10.0.0.100-40015]}]]"

ports_client edge slow hold 10.0.0.100 83 6 --per-second 10
scan
is 'a new tuple has a rate at its first scan' "$(of 83 'opening_rate > 0')" true

ports_client edge over churn 10.0.0.100 81 6 --wait-peer
scan
is 'one that has ended is still there' "$(in_map 81)" 1
scan && scan && scan
is 'and is forgotten when scans find nothing' "$(in_map 81)" 0

ports_client edge full hold 10.0.0.100 80 20
is 'a full one' "$(ports_opened full) $(ports_refused full)" '17 3'
scan
says() { t --json timewait | jq -r .why; }
check 'it found no port' grep -q '10.0.0.1 to 10.0.0.100:80 found no port' <<<"$(says)"
kill "${PID[serve-10.0.0.100-80]}" # so that nothing of it comes into TIME_WAIT
none_open() { [ "$(ss_count 10.0.0.1 10.0.0.100:80 ESTAB)" = 0 ]; }
check 'the server closes all' eventually 10 none_open
ports_end full
scan && scan && scan && scan
is 'it is kept although nothing is left of it' "$(in_map 80) $(of 80 used) $(of 80 failed)" '1 0 3'
is 'and told together where it has no row' "$(t --json port list --top 1 | jq -c '[.[] | [.local_ip, .used, .failed]]')" '[["10.0.0.1",6,0],["other",0,3]]'
metric() { in_ns edge curl -s http://127.0.0.1:9799/metrics | sed -n "s/^tundish_source_port_allocation_failures_total{local_ip=\"$1\",.*EADDRNOTAVAIL\"} //p" | paste -sd+ | bc; }
is 'metric of the refused' "$(metric 10.0.0.1) $(metric other)" '3 0'
