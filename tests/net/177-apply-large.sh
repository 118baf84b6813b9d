#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `config apply` of 1,000 services with 100 backends each: requests are answered between its steps, the
# status and a terminal say how far it is, two who apply at once get one after the other, and one who goes away
# when it is being applied keeps nobody from it. The daemon is slowed by stopping it again and again, so that there is something to see.
. "$(dirname "$0")/lib.sh"
one_nic

file() { $PYTHON "$TOP/tests/net/large.py" 1000 100 --weight "$2" --changed 100 >"$T/$1.yaml"; } # NAME WEIGHT
file edge 100
file all 70
file more 40
sed '$s/address/adress/' "$T/all.yaml" >"$T/bad.yaml"
ip -n edge route add 10.100.0.0/14 via 10.0.0.11
daemon edge
eventually 60 tun edge status || fatal 'tundishd does not start'
in_force() { t --json backend list "$1" | jq -r '.[] | select(.name == "b99") | .weight'; }
ask() { in_ns edge curl -sm 60 --unix-socket /run/tundish/edge.sock "http://x/v1/$1"; }

# slowly [N]: of N parts of time the daemon has one.
slowly() {
	local stands
	stands=0.$(printf %02d $((${1:-5} - 1)))
	(while kill -STOP "${PID[edge]}"; do
		sleep "$stands"
		kill -CONT "${PID[edge]}"
		sleep 0.01
	done) 2>/dev/null &
	PID[slow]=$!
}
at_speed() {
	kill "${PID[slow]}"
	wait "${PID[slow]}" 2>/dev/null
	kill -CONT "${PID[edge]}"
}

# ---- on a terminal ----------------------------------------------------------------------
export LC_ALL=C.UTF-8
tm() { env -u TMUX tmux -S "$T/tmux" -f /dev/null "$@"; }
screen() { tm capture-pane -p -t s; }
shows() { screen | grep -qE -- "$1"; }
apply_on_terminal() { # FILE COLUMNS
	tm new-session -d -s s -x "$2" -y 6 "nsenter --net=/run/netns/edge $BUILD/tundish --control /run/tundish/edge.sock config apply $T/$1.yaml >$T/answer; echo left with \$?; sleep 1000"
}
# Each is looked for until it was seen once.
seen=
sees() { # NAME COMMAND...
	[[ $seen == *" $1 "* ]] || ! "${@:2}" || seen+=" $1 "
}
others_see() { [ "$(ask reload | jq -c '[.what, .phase, .steps]')" = '["apply","applying",101000]' ]; }
status_sees() { t status | grep '^applying: [0-9]* of 101000 steps, ' >/dev/null; }
_seen() {
	sees terminal shows '^applying: [0-9]+ of 1[0-9]* steps, [0-9.]+s$'
	sees others others_see
	sees status status_sees
	[ "$(wc -w <<<"$seen")" = 3 ]
}
slowly 10
apply_on_terminal all 80
eventually 60 _seen
is 'a terminal shows how far it is, others who ask see it, and the status does' "$(xargs -n 1 <<<"$seen" | sort | xargs)" 'others status terminal'
at_speed
check 'it ends' eventually 60 shows '^left with 0'
is 'and nothing is left on the terminal but that' "$(screen | grep -v '^$')" 'left with 0'
is 'all is in force' "$(in_force s0) $(in_force s999)" '71 71'
is 'what changed was told' "$(wc -l <"$T/answer")" 101001
is 'nothing is under way any more' "$(ask reload)" '{}'
tm kill-server
eventually 5 eval '! tm list-sessions' 2>/dev/null

kill -STOP "${PID[edge]}"
apply_on_terminal edge 20
check 'of a daemon that does not answer it shows how long' eventually 30 shows '^waiting for the da'
is 'in one line, however narrow' "$(screen | grep -c .)" 1
kill -CONT "${PID[edge]}"
check 'it goes on when that does' eventually 60 shows '^left with 0'
is 'the former weights are in force' "$(in_force s999)" 101
tm kill-server

# ---- requests meanwhile -------------------------------------------------------------------
slowly
t config apply "$T/all.yaml" >"$T/answer" 2>"$T/errors" &
apply=$!
places=0 was=
while kill -0 $apply 2>/dev/null; do
	now=$(ask reload | jq '.steps_done // empty')
	[ "${now:-0}" = 0 ] || [ "$now" = "$was" ] || places=$((places + 1)) was=$now
done
wait $apply
at_speed
between 'it is answered between the steps' $places 2 100000
is 'without a terminal nothing is told of it' "$(cat "$T/errors")" ''
is 'the changes are' "$(wc -l <"$T/answer")" 101001

# ---- two at once, one who leaves, a mistake -----------------------------------------------
slowly
t config apply "$T/more.yaml" >/dev/null &
first=$!
under_way() { [ "$(ask reload | jq -r .what)" = apply ]; }
check 'the first begins' eventually 30 under_way
t config apply "$T/edge.yaml" >/dev/null &
second=$!
asks() { # its client has a connection
	local pid
	pid=$(pgrep -f "config apply $T/edge.yaml" | tail -n 1)
	[ -n "$pid" ] && find "/proc/$pid/fd" -lname 'socket:*' | grep . >/dev/null
}
check 'another one comes' eventually 30 asks
check 'meanwhile' under_way
at_speed
wait $first
is 'the first has an answer' $? 0
wait $second
is 'and so has the second' $? 0
is 'and the last is in force' "$(in_force s999)" 101

slowly
tun edge config apply "$T/all.yaml" >/dev/null 2>&1 &
applies() { [ "$(ask reload | jq -r .phase)" = applying ]; }
check 'another one begins' eventually 30 applies
check 'its client goes' kill "$(pgrep -f "config apply $T/all.yaml" | tail -n 1)"
at_speed
_all() { [ "$(in_force s999)" = 71 ]; }
check 'who goes away has it applied' eventually 60 _all
check 'and keeps nobody from the next' t config apply "$T/edge.yaml"
is 'which is in force' "$(in_force s999)" 101

is 'a mistake in a large one is refused' "$(t config apply "$T/bad.yaml" >/dev/null 2>"$T/errors"; echo $?)" 1
check 'with its place' grep -q '^/.*bad.yaml:[0-9]*:[0-9]*: .*adress' "$T/errors"
check 'one is checked' grep -q 'is valid' <(t config check "$T/all.yaml")
is 'and changes nothing' "$(in_force s999)" 101
is "and traced with" "$(t --json trace --config "$T/all.yaml" 198.18.0.1 198.19.0.1:80 | jq -r .what_if.slots)" 65537
check 'the daemon goes on' t status
