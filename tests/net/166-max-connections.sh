#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `max_connections`: held exactly, by real connections of many clients at once; more go to other
# backends, and when all are full they are refused at once, counted and told; what is there stays.
# parallel: yes
. "$(dirname "$0")/lib.sh"
two_nics
vips_on_lo $BACKENDS
for b in $BACKENDS; do web "$b"; done
backend_daemons

conf() { # SCHEDULER MAX [of b3]
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]
		services:
		  - name: web
		    vips: [$VIP, "$VIP6"]
		    ports: [80]
		    delivery: ipip
		    scheduler: $1
		    max_connections: $2
		    backends:
		      - {name: b1, address: 10.0.1.11}
		      - {name: b2, address: 10.0.1.12}
		      - {name: b3, address: 10.0.1.13${3:+, max_connections: $3}}
	YAML
}
actives() { for b in $BACKENDS; do backend_field "$b" connections_active; done | xargs; }
_none_active() { [ "$(actives)" = '0 0 0' ]; }
# crowd ADDRESS COUNT: so many connections at the same moment, each held until it is ended; prints
# "served N refused N reset N lost N" and what backend they were on.
cat >"$T/crowd.py" <<'PY'
import collections, socket, sys, threading
address, count = sys.argv[1], int(sys.argv[2])
go, done, lock = threading.Event(), [], threading.Lock()
def one():
    go.wait()
    try:
        s = socket.create_connection((address, 80), 10)
    except (ConnectionRefusedError, ConnectionResetError): # the latter after a SYN-ACK that came first
        r = ("refused", None)
    except OSError as e:
        print("lost:", repr(e), file=sys.stderr, flush=True)
        r = ("lost", None)
    else:
        try:
            s.sendall(b"GET / HTTP/1.1\r\nHost: v\r\n\r\n")
            r = (s.recv(4096).split(b"\r\n\r\n", 1)[1].split()[0].decode(), s)
        except (ConnectionResetError, BrokenPipeError): # told so before, or after, it asked
            r = ("reset", None)
        except (OSError, IndexError) as e:
            print("lost:", repr(e), file=sys.stderr, flush=True)
            r = ("lost", None)
    with lock:
        done.append(r)
threads = [threading.Thread(target=one) for _ in range(count)]
for t in threads: t.start()
go.set()
for t in threads: t.join()
n = collections.Counter(r for r, _ in done)
print(" ".join("%s=%d" % (k, n[k]) for k in ("b1", "b2", "b3", "refused", "reset", "lost")), flush=True)
sys.stdin.read()
PY
crowd() {
	coproc CROWD { in_ns client "$PYTHON" "$T/crowd.py" "$1" "$2"; }
	read -r -t $((60 * TUNDISH_TEST_SLOW)) CROWDED <&"${CROWD[0]}"
}
disperse() {
	local pid=$CROWD_PID
	eval "exec ${CROWD[1]}>&-"
	wait "$pid"
	eventually 15 _none_active
}
served() { echo "$CROWDED" | tr ' ' '\n' | grep '^b' | cut -d= -f2 | awk '{s += $1} END {print s}'; }
failed() { echo "$CROWDED" | tr ' ' '\n' | grep -v '^b' | cut -d= -f2 | awk '{s += $1} END {print s}'; }

conf maglev 10
start edge
_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
eventually 10 _serves || fatal "no service on $VIP within 10 s"
eventually 10 _none_active

for scheduler in maglev least-connections; do
	conf $scheduler 10
	reload
	for vip in $VIP $VIP6; do
		crowd $vip 80
		is "$scheduler: of eighty at once to $vip thirty are served, ten by each server" "$(actives) $(served)" '10 10 10 30'
		is "$scheduler: all others are told so at once, none waits in vain" "$(failed)$(echo "$CROWDED" | grep -o 'lost=.*')" 50lost=0
		is "$scheduler: the servers know of no more" "$(for b in $BACKENDS; do in_ns $b ss -Htn state established "( sport = :80 )" | wc -l; done | xargs)" '10 10 10'
		stop edge KILL
		is "$scheduler: it holds without a daemon" "$(get $vip 5 | grep -ci 'failed')" 5
		start edge
		is "$scheduler: and after its start" "$(get $vip 5 | grep -ci 'failed') $(actives)" '5 10 10 10'
		disperse
		is "$scheduler: all places are free again" "$(get $vip 20 | grep -c '^b')" 20
		eventually 10 _none_active
	done
done
between 'the refused are counted' "$(counter sent_rst_full)" 200 300
is 'by service too' "$(t --json service list | jq '.[0].connections_refused')" "$(counter sent_rst_full)"
between 'those given to another backend' "$(counter overflow)" 1 2000
_told() { t events --once | grep -q 'full service web: all its backends had their max_connections'; }
check 'an event tells it' eventually 15 _told
between 'not one event each' "$(t events --once | grep -c ' full service web')" 1 8
check 'status tells it' bash -c "$(declare -f t tun in_ns); BUILD=$BUILD; PATH=$PATH; t --json status | jq -e '.attention[] | select(.what == \"service web\")'"
metrics() { in_ns edge curl -sm 5 http://127.0.0.1:9799/metrics; }
is 'metrics: the limit' "$(metrics | grep '^tundish_backend_max_connections{service="web",backend="b2"}' | cut -d' ' -f2)" 10
is 'metrics: the refused' "$(metrics | grep '^tundish_connections_refused_total{service="web"}' | cut -d' ' -f2)" "$(counter sent_rst_full)"
is 'the list has the limit' "$(backend_field b1 max_connections)" 10

# Lowered below what is there: nothing is cut, and nothing comes.
conf least-connections 10 25
reload
is 'one has a limit of its own' "$(backend_field b3 max_connections)" 25
crowd $VIP 45
is 'forty-five fit' "$(actives) $(failed)" '10 10 25 0'
conf least-connections 5
reload
is 'a lower limit cuts nobody' "$(actives)" '10 10 25'
is 'and lets nobody in' "$(get $VIP 5 | grep -ci failed)" 5
conf maglev off
reload
is 'without a limit all come' "$(get $VIP 30 | grep -c '^b')" 30
is 'and those from before are there' "$(actives)" '10 10 25'
disperse
