#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# nginx that answers 503, hangs, answers by halves, resets, redirects, has a certificate of another name, sends
# megabytes: clients only meet the other server, and why is told. Checks that take longer than their interval;
# programs that cannot be run, and that leave daemons behind: bounded, told, and nothing of them stays.
# parallel: yes
. "$(dirname "$0")/translated.sh"
BACKENDS='b1 b2'
plain_servers 2
# What is wrong with b1 by port; b2 has the same ports, and nothing wrong.
KINDS=(503 hang half reset redirect tls big)
port() { echo $((8100 + $1)); }
vip() { echo 192.0.2.$((100 + $1)); }

itself() { # FILE NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" -addext "subjectAltName=DNS:$2" \
		-days 2 -keyout "$T/$1.key" -out "$T/$1.crt" 2>>"$T/openssl.log" || fatal 'no certificate'
}
itself right web.example
itself wrong other.example
cat "$T/right.crt" "$T/wrong.crt" >"$T/ca.crt" # good, but for its name
# nginx passes on what its own server says, which ends in the middle.
cat >"$T/half.py" <<'PY'
import socket
s = socket.create_server(("127.0.0.1", 9100))
print("ready", flush=True)
while True:
    c, _ = s.accept()
    c.recv(4096)
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nall is")
    c.close()
PY
(exec nsenter --net=/run/netns/b1 "$PYTHON" "$T/half.py" >"$T/half.out" 2>"$T/half.log") &
eventually 10 grep -q ready "$T/half.out" || fatal 'no server'
odd() { # NAMESPACE NAME SERVER...: nginx with these servers
	local ns=$1 name=$2 dir=$T/odd-$2
	shift 2
	mkdir -p "$dir"
	cat >"$dir/nginx.conf" <<-CONF
		daemon off; master_process off; pid $dir/pid; error_log stderr crit;
		events { worker_connections 512; }
		http {
			access_log off; keepalive_timeout 0; reset_timedout_connection on;
			$(_nginx_files "$dir")
			ssl_certificate_key $T/right.key; ssl_certificate $T/right.crt;
			$(printf '%s\n' "$@")
		}
	CONF
	_nginx "$ns" "$name" "$dir"
	PID[$name]=$!
	eventually 10 test -s "$dir/pid" || fatal "nginx $name does not start"
}
odd b1 hangs "server { listen $(port 1); location / { return 200 \"b1 all is fine\n\"; } }"
odd b1 wrong "server { listen $(port 0); location / { return 503 \"b1 all is fine\n\"; } }" \
	"server { listen $(port 2); location / { proxy_pass http://127.0.0.1:9100; } }" \
	"server { listen $(port 3); location / { return 444; } }" \
	"server { listen $(port 4); location / { return 302 http://nowhere.example/; } }" \
	"server { listen $(port 5) ssl; ssl_certificate $T/wrong.crt; ssl_certificate_key $T/wrong.key; location / { return 200 \"b1 all is fine\n\"; } }" \
	"server { listen $(port 6); location / { root $T; rewrite ^ /big break; } }"
kill -STOP "${PID[hangs]}"
servers=()
for i in 0 1 2 3 4 6; do servers+=("server { listen $(port $i); location / { return 200 \"b2 all is fine\n\"; } }"); done
odd b2 right "${servers[@]}" "server { listen $(port 5) ssl; location / { return 200 \"b2 all is fine\n\"; } }"

# Programs, of which b1's never does well.
cat >"$T/daemons" <<-SH
	#!/bin/sh
	[ "\$TUNDISH_BACKEND" = b1 ] || exit 0
	setsid sleep 4321 >/dev/null 2>&1 &
	(setsid sh -c 'trap "" TERM HUP; setsid sleep 4321 & sleep 4321' >/dev/null 2>&1 &)
	echo daemons
	exit 3
SH
chmod +x "$T/daemons"
printf '#!/nonexistent/interpreter\n' >"$T/no-interpreter" && chmod +x "$T/no-interpreter"
{
	echo 'interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]'
	echo 'services:'
	for i in "${!KINDS[@]}"; do
		keys='type: http, body: "all is fine"'
		case ${KINDS[i]} in
		redirect) keys='type: http, status: 200' ;;
		tls) keys="type: https, server_name: web.example, ca: $T/ca.crt" ;;
		hang) keys='type: http' ;;
		esac
		cat <<-YAML
			  - name: "s-${KINDS[i]}"
			    vips: [$(vip "$i")]
			    ports: [80]
			    delivery: fullnat
			    sources: [10.0.1.250]
			    health: {$keys, interval: 200ms, timeout: 1s, rise: 1, fall: 2}
			    backends: [{name: b1, address: 10.0.1.11, port: $(port "$i")}, {name: b2, address: 10.0.1.12, port: $(port "$i")}]
		YAML
	done
	i=20
	for keys in "command: $T/daemons, interval: 100ms" "command: /nonexistent/check" "command: $T/no-interpreter" \
		"command: [/bin/sleep, \"1000\"], interval: 20ms"; do
		cat <<-YAML
			  - name: x-$i
			    vips: [$(vip $i)]
			    ports: [80]
			    delivery: fullnat
			    sources: [10.0.1.250]
			    health: {type: exec, timeout: 1s, rise: 1, fall: 2, $keys}
			    backends: [{name: b1, address: 10.0.1.11, port: 8080}, {name: b2, address: 10.0.1.12, port: 8080}]
		YAML
		i=$((i + 1))
	done
	echo 'limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 4096, lanes: 256}'
} | config edge
start edge
files() { find "/proc/${PID[edge]}/fd" -type l | wc -l; }
before=$(files)

# ---- clients meet the other one -------------------------------------------------------------
health() { backend_field "$1" health "$2"; }
health_is() { [ "$(health b1 "$1")/$(health b2 "$1")" = "$2" ]; }
ejected() { health_is "$1" down/up && [ "$(backend_field b1 state "$1")" = down ]; }
reason_has() { backend_field b1 reason "$1" | grep -qE "$2"; }
reasons=('status 503, not 200 to 399' 'no (answer|connection) within 1000 ms' 'it closed the connection within its answer'
	'(Recv failure: |)Connection reset by peer|Empty reply' 'status 302, a redirect to http://nowhere.example/ which is not followed, not 200'
	'its certificate is not good: .*web.example' 'status 200, but the body is another one')
for i in "${!KINDS[@]}"; do
	kind=${KINDS[i]}
	check "$kind: b1 is down, and b2 is not" eventually 10 ejected "s-$kind"
	check "$kind: and why" reason_has "s-$kind" "${reasons[i]}"
	if [ "$kind" != tls ]; then
		is "$kind: clients meet b2" "$(get "$(vip "$i")" 20 | tally)" 'b2=20'
	else
		is "$kind: clients meet b2" "$(for _ in {1..10}; do in_ns client curl -sm 5 --cacert "$T/right.crt" \
			--connect-to "::$(vip "$i"):80" https://web.example/; done | tally)" 'b2=10'
	fi
done

# ---- checks that take longer than their interval --------------------------------------------
# A second each, every 200 ms: one at a time, and the next at once.
most=0 some=0
for _ in {1..40}; do
	n=$(in_ns edge ss -Htn "( dport = :$(port 1) )" dst 10.0.1.11 | wc -l)
	[ "$n" -le "$most" ] || most=$n
	[ "$n" = 0 ] || some=$((some + 1))
	sleep 0.02
done
is 'no more than one of them is under way' "$most" 1
between 'and one mostly is, of 40 looks' "$some" 20 40
kill -CONT "${PID[hangs]}"
check 'who goes on is back' eventually 10 health_is s-hang up/up

# ---- programs ---------------------------------------------------------------------------------
attention() { t --json status | jq -r '.attention[] | "\(.what): \(.why)"'; }
check 'one with daemons: its status counts' eventually 10 reason_has x-20 'exec check: status 3: daemons'
is 'one that is not there says nothing of servers' "$(health b1 x-21) $(health b2 x-21)" 'none none'
is 'nor does one whose interpreter is not there' "$(health b1 x-22) $(health b2 x-22)" 'none none'
check 'which is told' eventually 5 eval 'attention | grep -q "cannot be run: No such file or directory: what is thought of its health stands"'
check 'one that never ends takes one place' eventually 10 reason_has x-23 'not done within 1000 ms'
between 'of each backend' "$(pgrep -fc '^/bin/sleep 1000')" 1 2
# Some of each are there at any moment, and they do not become more.
daemons() { pgrep -fc 'sleep 4321' || true; }
most=0
for _ in {1..30}; do
	n=$(daemons)
	[ "$n" -le "$most" ] || most=$n
	sleep 0.1
done
between 'their daemons do not pile up' "$most" 0 24
sed -i '/name: x-20/,$d' "$T/edge.yaml"
check 'reload without programs' reload
_nothing() { [ "$(pgrep -fc 'sleep (4321|1000)'; true)" = 0 ] && ! pgrep -P "${PID[edge]}" >/dev/null; }
check 'nothing of them is left, and no zombie' eventually 10 _nothing
between 'nor descriptors' $(($(files) - before)) -50 20
