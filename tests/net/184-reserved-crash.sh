#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Ports that are kept from the host's own sockets, and a daemon that dies at each step of taking them
# and of giving them back: who comes next, a daemon or an unload, gives all of them back.
# parallel: yes
. "$(dirname "$0")/lib.sh"
BACKENDS='b1 b2'
one_nic
web b1
in_ns edge sysctl -qw net.ipv4.ip_local_port_range='32768 60999' # or `auto` would keep some too
file() { # [LINES of the service]
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - name: shop
		    vips: [$VIP]
		    ports: [80]
		    delivery: fullnat
		    sources: [10.0.0.1]
		    ${1-}
		    backends: [{name: b1, address: 10.0.0.11}, {name: b2, address: 10.0.0.12}]
		own_connections: off
		limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 1024, lanes: 16, ports: 1024}
	YAML
}
reserved() { in_ns edge cat /proc/sys/net/ipv4/ip_local_reserved_ports; }
RANGE='source_ports: 40000-41000'
file "$RANGE"
start edge
is 'they are kept' "$(reserved)" 40000-41000
t unload >/dev/null
eventually 10 ended edge
is 'and given back' "$(reserved)" ''

# ended_or_reloaded: the daemon has died, or taken the other file.
ended_or_reloaded() { ended edge || grep -q 'edge.yaml: SIGHUP' "$T/tundishd-edge.log"; }
deaths=0 held=0 after_unload='' after_start='' unloads=0
for ((n = 1; n <= 120; n++)); do
	: >"$T/tundishd-edge.log"
	file "$RANGE"
	daemon edge TUNDISH_TEST_DIE_AT=$n
	if ready edge; then
		file
		kill -HUP "${PID[edge]}"
		eventually 10 ended_or_reloaded || fatal "step $n: neither dead nor reloaded"
		ended edge || break
	fi
	wait "${PID[edge]}" 2>/dev/null
	deaths=$((deaths + 1))
	[ -z "$(reserved)" ] || held=$((held + 1))
	if [ -n "$(reserved)" ] && [ $((n % 2)) = 0 ]; then
		unloads=$((unloads + 1))
		t unload >/dev/null 2>&1
		[ -z "$(reserved)" ] || after_unload+="$n: $(reserved) "
	else
		file
		start edge
		stop edge
		[ -z "$(reserved)" ] || after_start+="$n: $(reserved) "
	fi
	in_ns edge sh -c 'echo >/proc/sys/net/ipv4/ip_local_reserved_ports'
done
echo "deaths at $deaths steps, with ports kept at $held of them, $unloads unloads"
between 'it died at each step' "$deaths" 5 119
between 'with ports kept' "$held" 2 119
is 'after an unload none is left' "$after_unload" ''
is 'after a start with the other file none is left' "$after_start" ''
stop edge
