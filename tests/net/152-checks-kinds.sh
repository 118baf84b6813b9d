#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Checks of other kinds in the daemon: udp before dnsmasq, a program whose word counts, whatever it
# does otherwise, an agent that takes weight away, drains and takes down, and a worker group; with
# what the daemon has left of its privileges, and no more.
# parallel: yes
. "$(dirname "$0")/translated.sh"
BACKENDS='b1 b2'
plain_servers 2
state_is() { [ "$(backend_field "$1" state "$2")/$(backend_field "$1" health "$2")" = "$3" ]; }
reason_has() { grep -q "$3" <<<"$(backend_field "$1" reason "$2")"; }
who() { get $VIP 40 | awk '{print $1}' | sort -u | xargs; }
now_weight() { t --json backend list web | jq -r ".[] | select(.name == \"$1\") | .weight_now // .weight"; }

dns() { # NAMESPACE ADDRESS
	(exec nsenter --net=/run/netns/"$1" dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user= --group= \
		--pid-file= --listen-address="$2" --bind-interfaces --address=/here.example/192.0.2.7 >"$T/dns-$1.log" 2>&1) &
	PID[dns-$1]=$!
}
# What of it the daemon cannot do any more it cannot do either.
cat >"$T/check" <<'SH'
#!/bin/sh
echo "$TUNDISH_SERVICE/$TUNDISH_BACKEND $TUNDISH_ADDRESS:$TUNDISH_PORT $(sed -n 's/^CapEff:[[:space:]]*//p;s/^NoNewPrivs:[[:space:]]*/nnp/p' /proc/self/status | xargs)" >/run/tdt/seen-$TUNDISH_BACKEND
read -r word </run/tdt/word-$TUNDISH_BACKEND
case $word in
hang) trap '' TERM; sleep 1000 & wait ;;
write) exec cat /dev/zero ;;
esac
echo "the word is $word"
[ "$word" = good ]
SH
chmod +x "$T/check"
say() { echo "$2" >"$T/word-$1.new" && mv "$T/word-$1.new" "$T/word-$1"; }
say b1 good
say b2 good

cat >"$T/agent.py" <<'PY'
import socket, sys
s = socket.create_server(("0.0.0.0", 9999))
print("ready", flush=True)
while True:
    c, _ = s.accept()
    try:
        c.sendall(open(sys.argv[1], "rb").read())
    except OSError:
        pass
    c.close()
PY
agent() { echo "$1" >"$T/agent.new" && mv "$T/agent.new" "$T/agent"; }
agent 'up 100%'
(exec nsenter --net=/run/netns/b2 "$PYTHON" "$T/agent.py" "$T/agent" >"$T/agent.out" 2>&1) &
eventually 10 grep -q ready "$T/agent.out" || fatal 'no agent'

Q='\x07\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04here\x07example\x00\x00\x01\x00\x01'
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]
	services:
	  - name: dns
	    vips: [$VIP2]
	    ports: [53]
	    protocol: udp
	    delivery: fullnat
	    sources: [10.0.1.250]
	    health: {type: udp, interval: 200ms, timeout: 300ms, rise: 1, fall: 2, send: '$Q', expect: '\xc0\x00\x02\x07'}
	    backends: [{name: n1, address: 10.0.1.11}, {name: n2, address: 10.0.1.12}]
	  - name: web
	    vips: [$VIP]
	    ports: [80]
	    delivery: fullnat
	    sources: [10.0.1.250]
	    health: {type: exec, command: [$T/check, a b], interval: 200ms, timeout: 1s, rise: 1, fall: 2, agent: {port: 9999, interval: 200ms}}
	    backends: [{name: b1, address: 10.0.1.11, port: 8080}, {name: b2, address: 10.0.1.12, port: 8080}]
	  - name: app
	    vips: [192.0.2.30]
	    ports: [80]
	    delivery: workers
	    workers: {listen: "[::]:8088"}
	    health: {type: tcp, interval: 200ms}
	limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 4096, lanes: 64}
YAML
start edge

check 'workers: nobody listens, which is told' eventually 10 eval \
	't events --once | grep -q "health.*app/local.*tcp check of ::1 port 8088: connection refused"'

# ---- udp ------------------------------------------------------------------------------------
# Nobody is there: both are down, and in use all the same.
check 'udp: nobody answers' eventually 10 state_is n1 dns up/down
check 'udp: for nobody listens' reason_has n1 dns 'udp check of 10.0.1.11 port 53: connection refused'
dns b1 10.0.1.11
check 'udp: who answers is up' eventually 10 state_is n1 dns up/up
check 'udp: the other is out' eventually 5 state_is n2 dns down/down
kill -STOP "${PID[dns-b1]}"
check 'udp: who hangs is down' eventually 10 state_is n1 dns up/down
check 'udp: that is told' reason_has n1 dns 'no answer within 300 ms, 2 in a row'
kill -CONT "${PID[dns-b1]}"
check 'udp: and comes back' eventually 10 state_is n1 dns up/up

# ---- exec -----------------------------------------------------------------------------------
check 'exec: both are up' eventually 10 eval 'state_is b1 web up/up && state_is b2 web up/up'
is 'exec: it knows whom it asks for' "$(cut -d' ' -f1-2 "$T/seen-b1")" 'web/b1 10.0.1.11:8080'
# CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_PERFMON 38, CAP_BPF 39, and for worker groups two more
seen=$(cut -d' ' -f3- "$T/seen-b1")
check 'exec: it has no more privileges than the daemon' eval '[ $((0x${seen%% *} & ~(1<<12 | 1<<13 | 1<<38 | 1<<39 | 1<<19 | 1<<2))) = 0 ]'
is 'exec: and can gain none' "${seen##* }" nnp1
say b1 bad
check 'exec: its word counts' eventually 10 state_is b1 web down/down
check 'exec: and is told' reason_has b1 web 'exec check: status 1: the word is bad, 2 in a row'
is 'exec: nobody is sent there' "$(who)" b2
say b1 good
check 'exec: it is back' eventually 10 state_is b1 web up/up
say b1 hang
check 'exec: one that never ends is killed' eventually 10 state_is b1 web down/down
check 'exec: which is told' reason_has b1 web 'not done within 1000 ms'
say b1 good
check 'exec: it is back' eventually 10 state_is b1 web up/up
say b1 write
check 'exec: one that writes without end too' eventually 15 state_is b1 web down/down
say b1 good
check 'exec: it is back' eventually 10 state_is b1 web up/up
_no_leftover() { ! pgrep -f 'sleep 1000|cat /dev/zero' >/dev/null; }
check 'exec: nothing of them is left' eventually 5 _no_leftover

# ---- agent ----------------------------------------------------------------------------------
agent '50%'
_half() { [ "$(now_weight b2)" = 50 ]; }
check 'agent: half of its weight' eventually 5 _half
check 'agent: that is an event' eval 't events --once | grep -q "agent.*web/b2.*50% of its weight"'
agent 'drain'
check 'agent: no new connections' eventually 5 state_is b2 web drain/up
is 'agent: nobody is sent there' "$(who)" b1
check 'agent: the reason is told' reason_has b2 web 'its agent wants no new connections'
agent 'ready 100%'
check 'agent: ready again' eventually 5 state_is b2 web up/up
agent 'down #no disk left'
check 'agent: it says down' eventually 5 state_is b2 web down/down
check 'agent: and why' reason_has b2 web 'its agent says down: no disk left'
stop edge KILL
start edge
is 'agent: a daemon that begins thinks the same' "$(backend_field b2 state web)" down
agent 'garbage'
is 'agent: what is no word changes nothing' "$(backend_field b2 state web)" down
agent 'up'
check 'agent: up again' eventually 5 state_is b2 web up/up
is 'agent: as its checks say' "$(who)" 'b1 b2'

# ---- workers --------------------------------------------------------------------------------
LISTEN='[::]:8088'
serve s --workers 1
check 'workers: a listener makes it healthy' eventually 10 eval \
	't events --once | grep -q "health.*app/local.*up: tcp check of ::1 port 8088"'

# ---- a file that changes while no daemon runs -----------------------------------------------
agent '30% drain down'
check 'agent: all that it can say' eventually 5 state_is b2 web drain/down
stop edge KILL
sed -i '/type: exec/d' "$T/edge.yaml"
start edge
check 'what was asked before is void where nothing is asked any more' eventually 5 state_is b2 web up/none
is 'its weight too' "$(now_weight b2)" 100
