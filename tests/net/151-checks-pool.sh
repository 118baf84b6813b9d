#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What follows from checks: a backup takes over and gives back, no more than max_ejected are out,
# hold_down holds, weights come back in steps, also across the death of the daemon, and
# connections of an ejected server are reset where the file says so.
. "$(dirname "$0")/translated.sh"
plain_servers 2

pool_config() { # KEYS of health, [KEYS of b3]
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]
		services:
		  - name: web
		    vips: [$VIP]
		    ports: [80]
		    delivery: fullnat
		    sources: [10.0.1.250]
		    health: {type: http, path: ${CHECK_PATH-/healthz}, interval: 100ms, timeout: 1s, rise: 2, fall: 2$1}
		    backends:
		      - {name: b1, address: 10.0.1.11, port: 8080}
		      - {name: b2, address: 10.0.1.12, port: 8080}
		      - {name: b3, address: 10.0.1.13, port: 8080${2-}}
		limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 4096, lanes: 64}
	YAML
}
state_is() { [ "$(backend_field "$1" state)/$(backend_field "$1" health)" = "$2" ]; }
all_are() { for b in $BACKENDS; do state_is "$b" "$1" || return 1; done; }
who() { get $VIP 40 | awk '{print $1}' | sort -u | xargs; }
dies() { kill -KILL "${PID[web-$1]}" && wait "${PID[web-$1]}" 2>/dev/null; }
now_weight() { t --json backend list | jq -r ".[] | select(.name == \"$1\") | .weight_now // .weight"; }

# ---- backups ------------------------------------------------------------------------------
pool_config '' ', backup: true'
start edge
check 'all are up' eventually 10 all_are up/up
is 'the backup is not used' "$(who)" 'b1 b2'
is 'and says so' "$(backend_field b3 'backup, .reason' | xargs)" 'true a backup that is not needed'
dies b1
check 'one is down' eventually 5 state_is b1 down/down
is 'nor is it with one left' "$(who)" b2
dies b2
check 'the other too' eventually 5 state_is b2 down/down
is 'the backup is' "$(who)" b3
web b1
check 'one is back' eventually 10 state_is b1 up/up
is 'the backup is not any more' "$(who)" b1
web b2
check 'both are' eventually 10 all_are up/up

# ---- max_ejected --------------------------------------------------------------------------
pool_config ', max_ejected: 40%'
check 'reload' reload
eventually 10 all_are up/up
dies b2
check 'one of three is ejected' eventually 5 state_is b2 down/down
dies b3
check 'the next is not' eventually 5 state_is b3 up/down
check 'which is told' eventually 5 eval 'attention | grep -q "web/b3: .*max_ejected allows"'
check 'as an event too' eval 't events --once | grep -q "web/b3.*in use all the same: as many are ejected as max_ejected"'
is 'the first one stays out' "$(backend_field b2 state)" down
web b2
web b3
check 'all are back' eventually 10 all_are up/up

# ---- hold_down and slow start ---------------------------------------------------------------
pool_config ', hold_down: 2s, slow_start: 20s'
check 'reload' reload
is 'nobody begins slowly at first' "$(now_weight b1) $(now_weight b2)" '100 100'
dies b2
check 'it is down' eventually 5 state_is b2 down/down
since=${EPOCHREALTIME/./}
web b2
check 'it is back' eventually 10 state_is b2 up/up
timely 'and not before hold_down' $(((${EPOCHREALTIME/./} - since) / 1000)) 1500 6000
between 'with little of its weight' "$(now_weight b2)" 5 45
first=$(now_weight b2)
stop edge KILL
start edge
between 'a daemon that begins goes on with it' "$(now_weight b2)" "$first" 95
_more() { [ "$(now_weight b2)" -gt "$first" ]; }
check 'it gets more' eventually 10 _more
check 'the map has it' eval '[ "$(bpftool -j map dump pinned /sys/fs/bpf/edge/backends | jq "[.[].formatted | select(.value.name == \"b2\") | .value.weight][0]")" -lt 100 ]'
_whole() { [ "$(now_weight b2)" = 100 ]; }
check 'and all in the end' eventually 25 _whole

# ---- on_down --------------------------------------------------------------------------------
# It fails its checks and serves on: only its check's port is closed.
pool_config '' ', health: {port: 8082}'
check 'reload' reload
check 'b3 is ejected' eventually 5 state_is b3 down/down
(exec nsenter --net=/run/netns/b3 "$PYTHON" -m http.server 8082 >"$T/helper.log" 2>&1) &
helper=$!
CHECK_PATH=/
pool_config '' ', health: {port: 8082}'
check 'reload' reload
check 'b3 is back' eventually 10 state_is b3 up/up
hold $VIP 40
mine=$(echo "$HELD" | grep -c '^b3 ')
between 'b3 has its share' "$mine" 3 30
kill $helper
check 'b3 is ejected' eventually 5 state_is b3 down/down
is 'kept connections stay' "$(ask | grep -c '^b3 ')" "$mine"
pool_config ', on_down: reset' ', health: {port: 8082}'
check 'reload' reload
check 'it is down all the same' eventually 5 state_is b3 down/down
_moved() { [ "$(ask | grep -c '^b3 ')" = 0 ]; }
check 'its connections end' eventually 5 _moved
is 'others stay' "$(ask | grep -cE '^b[12] ')" "$(echo "$HELD" | grep -cE '^b[12] ')"
