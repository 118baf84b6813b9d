#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The host is one of several backends: its workers are drained, ended and begun again, and nobody is
# lost; without another backend it goes on, and without an address of its own it gets nothing.
# parallel: yes
. "$(dirname "$0")/lib.sh"
several_host
several_config dsr 4
start edge

for way in 'dsr 4' 'ipip 6'; do
	TAG=$way
	# shellcheck disable=SC2086 # two words
	several_config $way
	check "$TAG: reload" reload
	group_nginx 2
	becomes up/up
	flood_start load $VIP 200 60000 --http
	flood_goes load
	for w in $(t --json worker list app | jq -r '.[].worker'); do
		check "$TAG: drain $w" t worker drain app "$w"
	done
	becomes down/down
	check "$TAG: with its reason" grep -q 'is drained' <<<"$(of reason)"
	check "$TAG: queues are empty" eventually 5 workers_are 2 drained
	kill -QUIT "${PID[group_nginx]}"
	wait "${PID[group_nginx]}" 2>/dev/null
	group_nginx 2
	becomes up/up
	flood_end load
	all_answered "$TAG: drained, ended and begun again"
	kill -QUIT "${PID[group_nginx]}"
	wait "${PID[group_nginx]}" 2>/dev/null
done

TAG='no other'
check 'the other one is told to take none' t backend drain app b1
check 'here goes on' eventually 15 backend_is up/down
check 'and that is told' grep -qE 'backend app/here: nothing listens .*no other backend is left' <<<"$(attention)"
group_nginx 2
becomes up/up
all_go 'to the only one' '^[0-9]'
check 'enable' t backend enable app b1

# An address that is not this host's: told, not refused.
HERE=10.0.0.99 several_config dsr 4
check 'none of them is this host' reload
check 'that is told' grep -qE 'service app: it has workers, but none of its backends is this host' <<<"$(attention)"
is 'and nothing is thought of its health' "$(of health)" none
ip -n edge addr add 10.0.0.99/24 dev eth0
_local() { ! attention | grep -q 'none of its backends'; }
check 'until the address comes' eventually 10 _local
check 'the group counts again' eventually 10 backend_is up/up
