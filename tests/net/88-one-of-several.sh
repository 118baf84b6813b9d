#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The host is one of several backends: its share goes to its worker group; when nobody listens
# any more, new connections go to the other backend after the grace, and come back when somebody
# does.
# parallel: yes
. "$(dirname "$0")/lib.sh"
several_host
several_config dsr 4
start edge

# shellcheck disable=SC2046 # several words
children_die() { kill -KILL "${PID[group_nginx]}" $(children "${PID[group_nginx]}"); }

for way in 'dsr 4' 'gue 6'; do
	TAG=$way
	# shellcheck disable=SC2086 # two words
	several_config $way
	check "$TAG: reload" reload
	group_nginx 2
	check "$TAG: the group is found" eventually 10 workers_are 2
	becomes up/up
	is "$TAG: as up as the other one" "$(of state b1)/$(of health b1)" up/none
	passed=$(counter pass_local) tuples=$(t --json tuple list | jq '[.[].total] | add // 0')
	before=$(of connections_total)
	for address in $VIP $VIP6; do
		lines=$(get $address 60)
		is "$TAG: $address: all are served" "$(echo "$lines" | grep -c "$address.* 80\$")" 60
		between "$TAG: $address: the group has its share" "$(echo "$lines" | grep -vc '^b1 ')" 12 48
	done
	here=$(($(of connections_total) - before))
	between "$TAG: counted as flows" $here 24 96
	is "$TAG: as tuples" $(($(t --json tuple list | jq '[.[].total] | add') - tuples)) 120
	is "$TAG: as connections of workers" "$(t --json worker list app | jq '[.[].connections_total] | add')" $here
	between "$TAG: passed to this host's stack" $(($(counter pass_local) - passed)) $((here * 3)) 10000
	is "$TAG: a trace ends at a worker" "$(for port in {40000..40015}; do
		t --json trace 10.0.0.100:$port $VIP:80 | jq -r .target
	done | grep -c '^w[01]$' | sed 's/^[1-9][0-9]*$/some/')" some

	hold $VIP 40
	HELD_B1=$(echo "$HELD" | grep -c '^b1 ')
	flood_start load $VIP6 200 60000 --http
	flood_goes load
	children_die
	becomes down/down
	flood_end load
	# What the killed processes had, accepted or on the way, died with them; whose SYN was not
	# answered went to the other one.
	is "$TAG: nobody was refused" "$(result refused timed_out)" '0 0'
	between "$TAG: no more are lost than the killed ones had" "$(result lost)" 0 20
	is "$TAG: those established at the other backend stay" "$(ask | grep -c '^b1 ')" "$HELD_B1"
	all_go 'new ones go to the other' '^b1 '
	check "$TAG: the reason is listed" grep -q "nothing listens on" <<<"$(of reason)"
	check "$TAG: and in the status" grep -qE 'backend app/here: nothing listens on .*other backends' <<<"$(attention)"
	stop edge KILL
	start edge
	is "$TAG: a daemon that begins thinks the same" "$(of state)" down
	all_go 'and does' '^b1 '
	flood_start back $VIP 200 60000 --http
	flood_goes back
	group_nginx 2
	becomes up/up
	lines=$(get $VIP 40)
	between "$TAG: they come back" "$(echo "$lines" | grep -vc '^b1 ')" 8 32
	flood_end back
	all_answered "$TAG: none is lost on the way back"
	release >/dev/null
	kill -QUIT "${PID[group_nginx]}"
	wait "${PID[group_nginx]}" 2>/dev/null
done
