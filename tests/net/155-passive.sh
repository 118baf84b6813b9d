#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A server that refuses clients' connections, or does not answer them, leaves the pool without
# any check, and comes back when it is well; across deaths of the daemon; the last ones stay in.
# parallel: yes
. "$(dirname "$0")/passive.sh"
plain_servers 2

for delivery in fullnat nat; do
	watched $delivery 'hold_down: 2s, hold_down_max: 3s'
	if [ $delivery = fullnat ]; then start edge; else reload; fi
	name=$delivery
	check "$name: all are up" eventually 10 all_are up/up
	is "$name: and used" "$(who)" 'b1 b2 b3'
	ejections=$(metric 'tundish_backend_ejections_total{service="web",backend="b2"}')

	# ---- refused ----------------------------------------------------------------------
	dies b2
	_out() { get $VIP 20; state_is b2 down/down; }
	check "$name: who refuses is ejected" eventually 10 _out
	check "$name: for clients' connections" grep -qE '^refused ([5-9]|[0-9]{2,}) connections in a row at 10.0.1.12 port 8080, nor took it one of this host: ' <<<"$(why b2)"
	is "$name: nobody goes there" "$(get $VIP 40 | grep -c '^b[13] ')" 40
	check "$name: an event" grep -q 'backend web/b2: down: refused' <<<"$(events health)"
	check "$name: status" grep -q 'backend web/b2: refused .* new connections go to the other backends' <<<"$(attention)"
	is "$name: metrics" "$(metric 'tundish_backend_ejections_total{service="web",backend="b2"}')" $((ejections + 1))
	is "$name: and up" "$(metric 'tundish_backend_up{service="web",backend="b2"}')" 0
	_again() { [ "$(backend_field b2 passive.ejections_in_a_row)" -ge 2 ]; }
	check "$name: tried again in vain" eventually 10 _again
	check "$name: it stays out" state_is b2 down/down
	is "$name: it is not told anew" "$(metric 'tundish_backend_ejections_total{service="web",backend="b2"}')" $((ejections + 1))

	# ---- the daemon dies -------------------------------------------------------------------
	stop edge KILL
	is "$name: without the daemon it is out too" "$(get $VIP 40 | grep -c '^b[13] ')" 40
	start edge
	check "$name: and with the next" state_is b2 down/down
	between "$name: it goes on counting" "$(backend_field b2 passive.ejections_in_a_row)" 2 99
	is "$name: nobody goes there" "$(get $VIP 40 | grep -c '^b[13] ')" 40
	web b2
	check "$name: it comes back by itself" eventually 10 state_is b2 up/up
	check "$name: after one connection" grep -q 'backend web/b2: up: a connection of this host to 10.0.1.12 port 8080 was accepted' <<<"$(events health)"
	is "$name: and is used" "$(who)" 'b1 b2 b3'

	# ---- never answered -------------------------------------------------------------------
	drop_syns b3
	_out() { knock 20; state_is b3 down/down; }
	check "$name: who does not answer is ejected" eventually 30 _out
	check "$name: for that" grep -qE '^did not answer [0-9]+ connections in a row at 10.0.1.13 port 8080, nor took it one of this host: ' <<<"$(why b3)"
	is "$name: all come through" "$(knock 20)" 20
	hear_syns b3
	check "$name: it comes back" eventually 10 state_is b3 up/up

	# ---- all of them ---------------------------------------------------------------------
	for b in $BACKENDS; do dies "$b"; done
	_all() { get $VIP 20; all_are up/down; }
	check "$name: where all fail all stay in" eventually 20 _all
	check "$name: which is told" grep -q 'web/b1.*: in use all the same: no other backend is left' <<<"$(events health)"
	for b in $BACKENDS; do web "$b"; done
	check "$name: all are well again" eventually 10 all_are up/up
	is "$name: and used" "$(who)" 'b1 b2 b3'
done

# ---- max_ejected -----------------------------------------------------------------------------
watched fullnat 'hold_down: 2s, hold_down_max: 3s' ', max_ejected: 34%'
check 'reload' reload
check 'all are up' eventually 10 all_are up/up
dies b1
_out() { get $VIP 20; state_is b1 down/down; }
check 'one of three is ejected' eventually 10 _out
dies b2
_kept() { get $VIP 20; state_is b2 up/down; }
check 'the next one is not' eventually 10 _kept
check 'the first stays out' state_is b1 down/down
check 'which is told' grep -q 'web/b2: .*as many are ejected as max_ejected allows' <<<"$(attention)"
web b1
web b2
check 'both are back' eventually 10 all_are up/up

# ---- without trials ------------------------------------------------------------------------
watched nat 'trial: false, hold_down: 3s, hold_down_max: 3s'
check 'reload' reload
check 'all are up' eventually 10 all_are up/up
dies b2
_out() { get $VIP 20; state_is b2 down/down; }
check 'clients alone eject' eventually 10 _out
check 'for a time' grep -qE '^refused [0-9]+ connections in a row at 10.0.1.12 port 8080, out for 3 s$' <<<"$(why b2)"
check 'after which clients try it again' eventually 10 eval 'events health | grep -q "web/b2: up: it was out for 3 s"'
check 'and eject it again' eventually 10 _out
web b2
check 'or find it well' eventually 15 state_is b2 up/up
watched nat 'trial: false, hold_down: 3s'
t config diff "$T/edge.yaml" >"$T/diff"
check 'config diff tells what changes' grep -q 'passive: other values' "$T/diff"
check 'config show prints it' grep -q 'passive: {failures: 5, interval: 1s, hold_down: 3s, hold_down_max: 3s, trial: false}' <<<"$(t config show)"
VIPS=$VIP translated nat
check 'without it' reload
is 'nobody is watched' "$(backend_field b1 'passive // .health')" none
