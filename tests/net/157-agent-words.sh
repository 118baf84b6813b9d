#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The words of HAProxy's agent-check, one line after the other, to tundish and to a real HAProxy from the
# same agent: after each both think the same of the server. Lines that hostile agents send too: megabytes, no
# end of line, a byte now and then, nothing at all.
# parallel: yes
. "$(dirname "$0")/translated.sh"
BACKENDS='b1 b2'
plain_servers 2

cat >"$T/agent.py" <<'PY'
import asyncio, sys
name = sys.argv[1]
async def answer(reader, writer):
    line = open(name, "rb").read()
    try:
        if line == b"flood":
            for _ in range(2000):
                writer.write(b"up 10% " * 1000)
                await writer.drain()
        elif line == b"hold":
            writer.write(b"down")
            await asyncio.sleep(30)
        elif line == b"drip":
            for byte in b"down 3% #slowly\n" * 9:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.2)
        else:
            writer.write(line)
        await writer.drain()
    except OSError:
        pass
    open(name + ".asked", "a").write(writer.get_extra_info("peername")[0] + "\n")
    writer.close()
async def main():
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    server = await asyncio.start_server(answer, "0.0.0.0", 9999)
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
PY
says() { printf '%b' "$1" >"$T/agent.new" && mv "$T/agent.new" "$T/agent"; }
says 'up 100%\n'
(exec nsenter --net=/run/netns/b1 "$PYTHON" "$T/agent.py" "$T/agent" >"$T/agent.out" 2>&1) &
eventually 10 grep -q ready "$T/agent.out" || fatal 'no agent'

cat >"$T/haproxy.cfg" <<CFG
global
	stats socket $T/haproxy.sock level admin
defaults
	timeout connect 300ms
	timeout check 300ms
	timeout server 5s
backend web
	server b1 10.0.1.11:8080 weight 100 check inter 200ms agent-check agent-port 9999 agent-inter 100ms
	server b2 10.0.1.12:8080 weight 100 check inter 200ms
CFG
(exec nsenter --net=/run/netns/edge haproxy -db -f "$T/haproxy.cfg" >"$T/haproxy.log" 2>&1) &
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]
	services:
	  - name: web
	    vips: [$VIP]
	    ports: [80]
	    delivery: fullnat
	    sources: [10.0.1.250]
	    health: {type: tcp, interval: 200ms, timeout: 300ms, agent: {port: 9999, interval: 100ms}}
	    backends: [{name: b1, address: 10.0.1.11, port: 8080}, {name: b2, address: 10.0.1.12, port: 8080, health: {agent_port: 9}}]
	limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 4096, lanes: 64}
YAML
start edge

# "STATE WEIGHT" of b1: up, down or drain; the weight of one that is up. Who is up with no weight
# drains, says HAProxy's manual.
ours() {
	t --json backend list web | jq -r '.[] | select(.name == "b1") | (.weight_now // .weight) as $w |
		if .health == "down" then "down" elif .state == "up" and $w > 0 then "up \($w)" else "drain" end'
}
haproxys() {
	echo 'show stat web -1 -1' | socat - "UNIX-CONNECT:$T/haproxy.sock" | awk -F, '$2 == "b1" {
		split($18, s, " "); print (s[1] == "UP" && $19 + 0 ? "up " $19 : s[1] == "DOWN" ? "down" : "drain")}'
}
ours_is() { [ "$(ours)" = "$1" ]; }
both_are() { [ "$(ours)/$(haproxys)" = "$1/$1" ]; }
# Both have asked for it, more than once.
fresh() { [ "$(grep -c 10.0.1.250 "$T/agent.asked")" -ge 2 ] && [ "$(grep -c '10.0.1.1$' "$T/agent.asked")" -ge 2 ]; }
after() { # LINE WANTED
	rm -f "$T/agent.asked"
	says "$1"
	eventually 10 fresh || not_ok "\"$1\": the agent is not asked"
	eventually 10 both_are "$2" || true
	is "\"$1\": ours, HAProxy's" "$(ours), $(haproxys)" "$2, $2"
}
eventually 10 both_are 'up 100'
after 'up 50%\n' 'up 50'
after '75%\n' 'up 75'
after 'UP\n' 'up 75'               # what is not spoken of stays
after 'drain\n' drain
after 'up 30%\n' drain             # only `ready` ends it
after 'ready\n' 'up 30'
after 'maint\n' drain
after 'ready 100%\n' 'up 100'
after 'down\n' down
after '50%\n' down                 # only `up` ends it
after 'up\n' 'up 50'
after 'fail #no disk\n' down
after 'up,100%\t\n' 'up 100'
after 'stopped # for an hour, and then up\n' down
after 'ready\n' down
after 'up\n' 'up 100'
after '0%\n' drain                 # weight 0
after '1%\n' 'up 1'
after '100% up nonsense\n' 'up 100' # a word that nobody knows
after 'up 20%\nup 90%\n' 'up 20'   # one line
after 'maxconn:30 up 40%\n' 'up 40'
check 'maxconn is told' grep -q 'web/b1.*it asks for at most 30 connections, which is not followed' <<<"$(t events --once)"
after 'drain down\n' down          # operating and administrative state
after 'up\n' drain
after 'ready\n' 'up 40'
# The connection's end ends a line too; HAProxy waits for the end of the line, and takes nothing.
says 'up 70%'
check 'a line without an end, ours' eventually 10 ours_is 'up 70'
after 'up 100%\n' 'up 100'

# ---- what is no word changes nothing --------------------------------------------------------
asked() { in_ns edge curl -s http://127.0.0.1:9799/metrics | awk -v r="$1" '$1 == "tundish_checks_total{result=\"" r "\"}" {print $2}'; }
more() { [ "$(asked "$1")" -ge $(($2 + 3)) ]; }
memory() { awk '/^VmRSS/ {print $2}' "/proc/${PID[edge]}/status"; }
before=$(memory)
for line in 'hold timeout' 'drip timeout' '\n bad' '\x00\xff\x80\n bad' '%\n bad' 'uppercut 12345%\n bad'; do
	result=${line##* } line=${line% *}
	count=$(asked timeout)
	says "$line"
	[ "$result" != timeout ] || check "\"$line\": times out" eventually 10 more timeout "$count"
	[ "$result" = timeout ] || check "\"$line\": is told" eventually 10 eval \
		't --json backend list web | jq -e ".[0].agent.reason | test(\"no word that is known\")"'
	is "\"$line\": changes nothing" "$(ours)" 'up 100'
done
says flood
check 'megabytes: its first bytes count' eventually 10 ours_is 'up 10'
between 'and no memory is taken for the rest, KiB' $(($(memory) - before)) -20000 4096
says 'up 100%\n'
check 'and after it a word counts again' eventually 10 both_are 'up 100'
