#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Reloads of 1,000 services with 100 backends each under traffic: no request fails, what is asked of the
# daemon is answered meanwhile, commands wait for the end and hold; of a storm of SIGHUPs a few reloads
# are made, and the file as it is at the end is in force.
. "$(dirname "$0")/lib.sh"
one_nic
vips_on_lo $BACKENDS
for b in $BACKENDS; do
	web "$b"
done

file() { # NAME WEIGHT EVERY: of the first backend, of one service in so many
	$PYTHON "$TOP/tests/net/large.py" 1000 100 --web $VIP --to b1=10.0.0.11,b2=10.0.0.12,b3=10.0.0.13 --weight "$2" --every "$3" >"$T/$1.yaml"
}
file base 100 1
file one 50 100
file all 70 1
file last 30 500
ip -n edge route add 10.100.0.0/14 via 10.0.0.11
cp "$T/base.yaml" "$T/edge.yaml"
daemon edge
eventually 60 tun edge status || fatal 'tundishd does not start'
_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
eventually 20 _serves || fatal "no service on $VIP within 20 s"
is 'a list that comes in pieces has each once' "$(t --json backend list | jq -c '[length, (map(.id) | unique | length)]')" '[100003,100003]'
is 'that of services, too' "$(t --json service list | jq -c '[length, (map(.service) | unique | length)]')" '[1001,1001]'
first_row() { t backend list | head -n 2 | tail -n 1; } # and what nobody reads any more ends the program
check 'its first row is that of the first service' grep -q '^web ' <(first_row)
drops=$(t --json status | jq -c '[.drops, .counters.flow_full]')
hold $VIP 30
LOAD_SECONDS=300 load $VIP

# watched FILE: a reload of it, and how many requests were answered from the SIGHUP until it was in force:
# "ANSWERED LONGEST PLACES", in milliseconds. The first that tells of the reload is not counted.
watched() {
	cp "$T/$1.yaml" "$T/edge.yaml"
	$PYTHON "$TOP/tests/net/watch_reload.py" /run/tundish/edge.sock "${PID[edge]}" $((60 * TUNDISH_TEST_SLOW))
}
in_force() { t --json backend list "$1" | jq -r ".[] | select(.name == \"${2:-b0}\") | .weight"; }
for change in one all; do
	read -r answered longest places < <(watched $change)
	echo "# $change: $answered answers, the longest within $longest ms; $(grep -o 'SIGHUP: .*' "$T/tundishd-edge.log" | tail -n 1)"
	between "$change: the daemon answers during the reload" "${answered:-0}" 2 100000
	[ $change = one ] || between "$change: and says how far it is, and goes on" "${places:-0}" 2 100000
done
is 'all is in force' "$(in_force s0) $(in_force s999)" '70 70'

# A command that comes in the midst is carried out when the reload has ended, and holds.
cp "$T/base.yaml" "$T/edge.yaml"
kill -HUP "${PID[edge]}"
check 'a command during a reload' t backend weight web b3 0
_base() { [ "$(in_force s999)" = 100 ]; }
check 'the reload goes through' eventually 30 _base
is 'and the command is in force' "$(in_force web b3)" 0
check 'as it was' t backend weight web b3 100

# Two who ask at once have both their answer, when theirs is in force.
cp "$T/one.yaml" "$T/edge.yaml"
post() { in_ns edge curl -so "$T/post.$1" -w '%{http_code}' --unix-socket /run/tundish/edge.sock -X POST http://x/v1/reload; }
post 1 >"$T/code.1" &
first=$!
is 'of two who ask for a reload at once, one' "$(post 2)" 200
wait $first
is 'and the other are answered' "$(cat "$T/code.1")" 200
is 'when it is in force' "$(in_force s500)" 50
echo 'services: [{' >"$T/edge.yaml"
is 'a file with a mistake is refused' "$(post 3)" 422
check 'with its place' grep -q 'edge.yaml:[0-9]*:' "$T/post.3"

# A hundred SIGHUPs; in the file first one thing, then another.
count() { grep -c '^tundishd: reload[^ ]* .*edge.yaml: SIGHUP' "$T/tundishd-edge.log"; }
before=$(count)
cp "$T/base.yaml" "$T/edge.yaml"
for i in $(seq 100); do
	[ "$i" != 80 ] || { cp "$T/last.yaml" "$T/next.yaml" && mv "$T/next.yaml" "$T/edge.yaml"; }
	kill -HUP "${PID[edge]}"
	sleep 0.005
done
_last() { [ "$(in_force s0) $(in_force s100) $(in_force s500)" = '30 100 30' ]; }
check 'after a hundred SIGHUPs the last file is in force' eventually 60 _last
_quiet() {
	was=$(count)
	sleep 1.2 # longer than the pause between two
	[ "$(count)" = "$was" ]
}
check 'and then they end' eventually 60 _quiet
between 'a few reloads were made of them' $(($(count) - before)) 1 5
check 'it is told how often one was asked for' grep -qE 'SIGHUP: .*, asked for [0-9]+ times' "$T/tundishd-edge.log"
check 'the daemon goes on' t status

steady 'the open connections are where they were'
end_load >/dev/null
between 'requests were made meanwhile' "$REQUESTS" 100 10000000
is 'none failed' "$FAILURES" 0
is 'nor was a packet dropped' "$(t --json status | jq -c '[.drops, .counters.flow_full]')" "$drops"
