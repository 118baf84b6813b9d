#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A network namespace that vanishes, or is replaced, or is taken out of the file, while it is
# being scanned: told at the end of that scan, let go, and watched again when it comes back;
# nothing of it is taken for another one's, and the others' figures go on.
. "$(dirname "$0")/lib.sh"
port_host
GONE=/run/netns/gone
populate() { # 50,000 in TIME_WAIT, so that a scan takes long enough to be met
	in_ns gone sh -c 'cd /proc/sys/net/ipv4 && echo 0 >tcp_tw_reuse && echo 200000 >tcp_max_tw_buckets'
	in_ns gone timeout 60 "$BUILD/bench/ports" fill 50000 >/dev/null || fatal 'no TIME_WAITs'
}
add_ns gone
populate
ports_config "interval: 1s, cpu: 100%, namespaces: [/run/netns/client, $GONE]"
port_server client 10.0.0.100 80
port_server edge 10.0.0.1 80
start edge
ports_client edge own hold 10.0.0.100 80 7
ports_client client other hold 10.0.0.1 80 20

inode_of() { stat -L -c %i "$1"; }
descriptors() { find /proc/"${PID[edge]}"/fd -mindepth 1 -printf '%l\n' 2>/dev/null; }
stopped() { grep -q '^State:.T' /proc/"${PID[edge]}"/status; }
go_on() { kill -CONT "${PID[edge]}"; }
holding() { # INODE PROCESS: how many descriptors; and of others, whose own it is
	# shellcheck disable=SC2086 # a pattern
	find -L /proc/$2/fd /proc/$2/ns/net -maxdepth 1 -inum "$1" 2>/dev/null | wc -l
}
# The daemon stands still in the middle of a scan of that namespace.
_in_scan() {
	kill -STOP "${PID[edge]}"
	eventually 5 stopped
	if descriptors | grep -q bpf_iter && [ "$(holding "$1" "${PID[edge]}")" = 1 ]; then return 0; fi
	go_on
	return 1
}
stop_in_scan() { eventually 60 _in_scan "$(inode_of $GONE)" || fatal 'no scan was met'; }
of() { t --json port list | jq "[.[] | select(.namespace == $1) | .used] | add"; }
is_of() { [ "$(of "$1")" = "$2" ]; }
others() {
	t port list --scan >/dev/null
	is "$1: the others' figures" "$(of null) $(of '"/run/netns/client"')" '7 20'
	is "$1: their scans go on" "$(t --json status | jq '.source_ports.scan.age_seconds < 10')" true
}
told() { t --json status | jq -r '.attention[].why' | grep -q "$1"; }
event() { t events --once | grep -q "namespace.*$GONE.*$1"; }
# By now it is nobody's: no process and no descriptor is left that would keep it.
holders() { holding "$1" '[0-9]*'; }
nobodys() { [ "$(holders "$1")" = 0 ]; }
# Between two rounds: whatever the scans have opened is closed.
n_descriptors() {
	local n least=1000
	for _ in {1..20}; do
		n=$(descriptors | wc -l)
		[ "$n" -ge $least ] || least=$n
	done
	echo "$least"
}
many() { [ "$(of "\"$GONE\"")" -gt 30000 ]; }
check 'it is counted' eventually 20 many
before=$(n_descriptors)

# ---- vanishes ---------------------------------------------------------------------------
stop_in_scan
inode=$(inode_of $GONE)
ip netns del gone
is 'the scan alone keeps it' "$(holders "$inode")" 1
go_on
check 'vanished: an event tells it' eventually 10 event 'cannot open network namespace'
check 'vanished: status tells it' told "cannot open network namespace $GONE"
check 'vanished: nothing holds it any more' eventually 10 nobodys "$inode"
check 'vanished: it is listed no more' eventually 10 is_of "\"$GONE\"" null
others vanished
is 'vanished: told once' "$(t events --once | grep -c "$GONE.*cannot open")" 1
is 'vanished: descriptors' "$(n_descriptors)" "$before"

# ---- comes back -------------------------------------------------------------------------
back() { # a new one, with COUNT connections
	add_ns gone
	ip -n gone addr add 10.9.9.9/32 dev lo
	port_server gone 10.9.9.9 80
	ports_client gone "$1" hold 10.9.9.9 80 "$2"
	[ "$(ports_opened "$1")" = "$2" ] || fatal "no connections in the new $GONE"
}
back again 5
check 'back: it is counted' eventually 10 is_of "\"$GONE\"" 5
check 'back: an event tells it' event 'is there now, and watched'
is 'back: status tells nothing' "$(t --json status | jq -r '.attention[].why' | grep -c "$GONE")" 0
others back

# ---- another one in its place -----------------------------------------------------------
populate
check 'replaced: before' eventually 20 many
stop_in_scan
inode=$(inode_of $GONE)
kill "${PID[serve-10.9.9.9-80]}"
ports_end again
ip netns del gone
back third 3
go_on
check 'replaced: an event tells it' eventually 10 event 'another network namespace stands at'
check 'replaced: the new one alone is counted' eventually 10 is_of "\"$GONE\"" 3
is 'replaced: no tuple of the former one' "$(t --json port list --scan | jq "[.[] | select(.namespace == \"$GONE\") | .remote_ip] | unique[]")" '"10.9.9.9"'
check 'replaced: nothing holds the former one' eventually 10 nobodys "$inode"
others replaced

# ---- out of the file, and another in its place ------------------------------------------
populate
check 'reloaded: before' eventually 20 many
add_ns fresh
ip -n fresh addr add 10.8.8.8/32 dev lo
port_server fresh 10.8.8.8 80
ports_client fresh last hold 10.8.8.8 80 4
stop_in_scan
ports_config 'interval: 1s, cpu: 100%, namespaces: [/run/netns/client, /run/netns/fresh]'
kill -HUP "${PID[edge]}"
go_on
check 'reloaded: the new one is counted' eventually 10 is_of '"/run/netns/fresh"' 4
is 'reloaded: with nothing else' "$(t --json port list | jq '[.[] | select(.namespace == "/run/netns/fresh")] | length')" 1
check 'reloaded: nothing of the former one' eventually 10 is_of "\"$GONE\"" null
others reloaded
is 'reloaded: descriptors' "$(n_descriptors)" "$before"
