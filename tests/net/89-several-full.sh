#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The host is one of several backends: while no worker of its group has room, new connections go to
# the other backend, those whose SYN was dropped too; then they come back. Nobody is lost.
# parallel: yes
. "$(dirname "$0")/lib.sh"
several_host
several_config dsr 4
start edge

each() { for k in 0 1; do kill "$1" "$(worker_pid s $k)"; done; }

for way in 'dsr 4' 'ipip 6'; do
	TAG=$way
	# shellcheck disable=SC2086 # two words
	several_config $way
	check "$TAG: reload" reload
	serve s --workers 2 --backlog 1
	becomes up/up
	before=$(of connections_total b1)
	each -STOP
	flood_start four $VIP 20 60 --timeout 30000 --http
	flood_start six $VIP6 20 60 --timeout 30000 --http
	check "$TAG: the queues are full" eventually 5 workers_are 2 full
	becomes down/down
	check "$TAG: with its reason" grep -q 'queue of each of the 2 workers .* is full' <<<"$(of reason)"
	# All but those in the queues, and a few more that came in between with their last ACK.
	_served() { [ "$(of connections_total b1)" -ge $((before + 110)) ]; }
	check "$TAG: the other one serves those whose SYN was dropped, too" eventually 20 _served
	for address in $VIP $VIP6; do
		is "$TAG: $address: new ones go there at once" "$(get $address 20 | grep -c '^b1 ')" 20
	done
	is "$TAG: the queues are as they were" "$(queued)" 4
	each -CONT
	becomes up/up
	here=0
	for family in four six; do
		flood_wait $family
		all_answered "$TAG: $family: nobody is lost"
		here=$((here + $(answered_by '^s')))
	done
	between "$TAG: here those in the queues" $here 4 10
	for address in $VIP $VIP6; do
		flood $address 200 60 --http
		between "$TAG: $address: this host has its share again" "$(answered_by '^s')" 12 48
	done
	end_server s
done
