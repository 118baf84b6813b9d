#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Scans that take longer than their interval, here because the daemon gets a few hundredths of
# a processor: told while one is under way and after it, once, and it ends by itself.
. "$(dirname "$0")/lib.sh"
port_host
ports_config 'interval: 1s, cpu: 100%'
start edge
slow_down() {
	(trap 'kill -CONT "${PID[edge]}"; exit' TERM
	while :; do
		kill -STOP "${PID[edge]}" || exit
		read -r -t 0.1 <>"$T/never"
		kill -CONT "${PID[edge]}"
		read -r -t 0.003 <>"$T/never"
	done) &
	PID[brake]=$!
}
let_go() {
	kill "${PID[brake]}"
	wait "${PID[brake]}" 2>/dev/null
}
mkfifo "$T/never"
status() { t --json status; }
late() { status | jq -r '.attention[] | select(.what == "socket scan") | .why'; }
says() { late | grep -qE "$1"; }
quiet() { [ -z "$(late)" ]; }
metric() { in_ns edge curl -s --max-time 20 http://127.0.0.1:9799/metrics | sed -n "s/^tundish_socket_scan_$1_seconds //p"; }
# As the alert TundishSocketScanStale asks, in which 60 is a minute of patience.
stale() { [ "$(jq -n "now - $(metric timestamp) > ${1:-3} * $(metric interval)")" = true ]; }
in_time() { ! stale 2; }

crowd udp 8 2000 # sockets that stay, however long it takes
check 'nothing is late' eventually 20 quiet
check 'the last scan is not old' eventually 10 in_time
events=$(t events --once | grep -c scan-late)
slow_down
check 'told while it is under way' eventually 30 says 'has been under way for'
check 'in figures too: the last scan is old' eventually 30 stale
check 'told when it has ended' eventually 60 says 'the last scan took'
is 'that it took longer than the interval' "$(jq -n "$(metric duration) > $(metric interval)")" true
is 'an event, once' "$(($(t events --once | grep -c scan-late) - events))" $((events ? 0 : 1))
let_go
check 'it ends' eventually 20 quiet
check 'and the last scan is not old any more' eventually 10 in_time
is 'what is there is counted' "$(t --json port list --scan --top 100 | jq '[.[].used] | add > 1000')" true
