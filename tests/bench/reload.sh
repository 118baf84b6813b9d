#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Reloads of 1,000 services with 100 backends each: with 1 % of the services changed, with all of
# them, and with every backend, by turns with the way back. Told is what the daemon tells: steps from the
# plan to the last word, and reading the file; and its CPU time for both, which depends less on what else
# runs here. Then the latency of requests through the data path, a new connection each, while nothing
# happens and while a reload of all services runs again and again, rounds by turns; how long a request
# to the daemon takes in the midst of one; and how long the daemon takes to start with all that, and to answer.
. "$(dirname "$0")/lib.sh"

ROUNDS=${BENCH_ROUNDS:-3}
SERVICES=${RELOAD_SERVICES:-1000} EACH=${RELOAD_BACKENDS:-100}
one_nic
vips_on_lo b1
add_address b1 lo 192.0.2.1/32
LAST=$(($(nproc) - 1))
web b1
# The server is on another host elsewhere, and waits for no CPU that a reload uses.
chrt -f -p 1 "${PID[web-b1]}" || fail 'no priority for the server'

file() { # WEIGHT of the first backend, of one service in how many; BACKENDS that have it, or nearly, too
	$PYTHON "$TOP/tests/net/large.py" "$SERVICES" "$EACH" --web 192.0.2.1 --weight "$1" --every "$2" --changed "${3:-1}"
}
file 100 1 >"$T/base.yaml"
file 50 100 >"$T/one.yaml"
file 50 1 >"$T/all.yaml"
file 50 1 "$EACH" >"$T/every.yaml"
cp "$T/base.yaml" "$T/edge.yaml"
ip -n edge route add 10.100.0.0/14 via 10.0.0.11

cpu() { awk '{print ($14 + $15) * 10}' /proc/"${PID[edge]}"/stat; }
reloads() { grep -c 'reload .*edge.yaml: SIGHUP' "$T/tundishd-edge.log"; }
one_more() { [ "$(reloads)" -gt "$before" ]; }
to() { # FILE; sets STEPS_MS, READ_MS, CPU_MS
	local cpu_before before
	cp "$T/$1.yaml" "$T/edge.yaml"
	before=$(reloads) cpu_before=$(cpu)
	kill -HUP "${PID[edge]}"
	eventually 60 one_more || fail "no reload within 60 s: $(tail -n 1 "$T/tundishd-edge.log")"
	CPU_MS=$(($(cpu) - cpu_before))
	read -r STEPS_MS READ_MS < <(grep 'reload .*edge.yaml: SIGHUP' "$T/tundishd-edge.log" | tail -n 1 |
		sed -E 's/.* in ([0-9]+) ms, after ([0-9]+) ms.*/\1 \2/')
}
latency() { # KIND
	local out
	out=$(in_ns client chrt -f 1 taskset -c $LAST "$BUILD/bench/rate" 192.0.2.1 80 1000 2000) || fail "p99, $1: $out"
	[ "${out##* }" = 0 ] || echo "p99, $1: ${out##* } of 2000 requests failed" >&2
	sample "$1" way "$(echo "$out" | cut -d' ' -f2)"
	sample failed way "${out##* }"
}

# asked FILE: the longest that a request for the status takes, from a SIGHUP until its reload is in force
asked() {
	cp "$T/$1.yaml" "$T/edge.yaml"
	$PYTHON "$TOP/tests/net/watch_reload.py" /run/tundish/edge.sock "${PID[edge]}" 60 | cut -d' ' -f2
}

began=${EPOCHREALTIME/./}
daemon edge
eventually 120 tun edge status || fail 'tundishd does not start'
sample start_new way $(((${EPOCHREALTIME/./} - began) / 1000))
serves() { [ "$(in_ns client curl -so /dev/null -w '%{http_code}' http://192.0.2.1/)" = 200 ]; }
eventually 20 serves || fail 'no service'
for ((i = 0; i < ROUNDS; i++)); do
	for change in one base all base every base; do
		to "$change"
		[ "$change" = base ] && continue
		sample "${change}_ms" way $((STEPS_MS + READ_MS))
		sample "${change}_steps_ms" way "$STEPS_MS"
		sample "${change}_cpu_ms" way "$CPU_MS"
	done
	sample asked way "$(asked all)"
	to base
	latency quiet
	# without a pause, until the requests are through
	(while :; do
		for change in all base; do
			cp "$T/$change.yaml" "$T/next.yaml" && mv "$T/next.yaml" "$T/edge.yaml"
			kill -HUP "${PID[edge]}" || exit
			sleep 2
		done
	done) &
	storm=$!
	sleep 1
	latency reloading
	kill $storm
	wait $storm 2>/dev/null
	_idle() { was=$(cpu) && sleep 0.5 && [ $(($(cpu) - was)) -le 100 ]; }
	eventually 60 _idle
	to base
done
began=${EPOCHREALTIME/./}
t status >/dev/null || fail 'no answer'
sample status way $(((${EPOCHREALTIME/./} - began) / 1000))
sample memory way "$(awk '/^VmRSS/ {print $2 / 1024}' /proc/"${PID[edge]}"/status)"
stop edge KILL
began=${EPOCHREALTIME/./}
daemon edge
eventually 120 tun edge status || fail 'tundishd does not adopt'
sample start_adopt way $(((${EPOCHREALTIME/./} - began) / 1000))

jq -sc "$SAMPLES"'
	def one($kind): of($kind; "way") | median;
	(row("reload_1_percent_ms"; one("one_ms"); "ms"; 0; "below 1000"; one("one_ms") < 1000),
	row("reload_1_percent_steps_ms"; one("one_steps_ms"); "ms"; 0; null; null),
	row("reload_1_percent_cpu_ms"; one("one_cpu_ms"); "ms"; 0; null; null),
	row("reload_all_ms"; one("all_ms"); "ms"; 0; "below 1000"; one("all_ms") < 1000),
	row("reload_all_steps_ms"; one("all_steps_ms"); "ms"; 0; null; null),
	row("reload_all_cpu_ms"; one("all_cpu_ms"); "ms"; 0; null; null),
	row("reload_every_backend_ms"; one("every_ms"); "ms"; 0; "below 1000"; one("every_ms") < 1000),
	row("reload_every_backend_steps_ms"; one("every_steps_ms"); "ms"; 0; null; null),
	row("reload_every_backend_cpu_ms"; one("every_cpu_ms"); "ms"; 0; null; null),
	row("reload_p99_quiet"; one("quiet"); "us"; 0; null; null),
	row("reload_p99_reloading"; one("reloading"); "us"; 0; null; null),
	([of("reloading"; "way"), of("quiet"; "way")] | transpose | map(.[0] / .[1]) | median) as $r
	| row("reload_p99_over_quiet"; $r; "times"; $r; "at most 1.5"; $r <= 1.5),
	row("reload_requests_failed"; of("failed"; "way") | add; "requests"; 0; "0"; (of("failed"; "way") | add) == 0),
	row("reload_start_new_ms"; one("start_new"); "ms"; 0; null; null),
	row("reload_start_adopt_ms"; one("start_adopt"); "ms"; 0; null; null),
	row("reload_status_during_ms"; one("asked"); "ms"; 0; null; null),
	row("reload_status_ms"; one("status"); "ms"; 0; null; null),
	row("reload_daemon_mib"; one("memory"); "MiB"; 0; null; null))
	| if .ratio == 0 then .ratio = null else . end
' "$T/samples"
