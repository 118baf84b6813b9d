#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# With 1,000 services of 100 backends each, and a connection of each of 1,000 clients: how long `status` and
# the first row of each list take, from before the command is started; and with a million flows, that of all, of
# one service that has a single one, and of as many tuples as are given. One reading of /metrics, in both forms: the daemon's CPU time for
# it, bytes and lines of the answer; what memory readings one after the other add, and what readers that come
# all at once and take all that is allowed do; and the longest that another request waits meanwhile.
. "$(dirname "$0")/lib.sh"

ROUNDS=${BENCH_ROUNDS:-5}
SERVICES=${METRICS_SERVICES:-1000} EACH=${METRICS_BACKENDS:-100} TUPLES=${METRICS_TUPLES:-1000} FLOWS=${METRICS_FLOWS:-1000000}
one_nic
$PYTHON "$TOP/tests/net/large.py" "$SERVICES" "$EACH" | sed "s/^limits: {/&flows: $((FLOWS + FLOWS / 4)), /" >"$T/edge.yaml"
ip -n edge route add 10.100.0.0/14 via 10.0.0.11

# What the scheduler counts, in nanoseconds: ticks of 10 ms are too coarse.
cpu_us() { awk '{print int($1 / 1000)}' /proc/"${PID[edge]}"/schedstat; }
memory() { awk -v k="$1:" '$1 == k {print $2}' /proc/"${PID[edge]}"/status; }
read_once() { # ACCEPT
	in_ns edge curl -sm 60 -o "$T/answer" -H "Accept: $1" http://127.0.0.1:9799/metrics || fail 'no answer'
}
daemon edge
eventually 120 tun edge status || fail 'tundishd does not start'
_idle() { was=$(cpu_us) && sleep 0.5 && [ $(($(cpu_us) - was)) -le 100000 ]; }
eventually 60 _idle
ip -n client route add 198.19.0.0/16 via 10.0.0.1
in_ns client $PYTHON "$TOP/tests/net/syns.py" 198.19.0.1 80 "$TUPLES" --answered
[ "$(t --json tuple list | jq length)" -ge $((TUPLES / 2)) ] || fail 'no tuples'
first_row() { # NAME LINE COMMAND...
	sample "metrics_first_$1" way "$(in_ns edge $PYTHON "$TOP/tests/bench/first_row.py" 9 "$2" "$BUILD/tundish" --control /run/tundish/edge.sock "${@:3}")"
}
for list in 'service list' 'backend list' 'flow list' 'tuple list' 'events --once'; do
	# shellcheck disable=SC2086 # words
	first_row "${list%% *}" 2 $list
done
first_row status 1 status
# One flow of another service, then very many before and after it: a list of all, and of that one alone.
in_ns client $PYTHON "$TOP/tests/net/syns.py" 198.19.0.2 80 1 --answered
in_ns client $PYTHON "$TOP/tests/net/syns.py" 198.19.0.1 80 "$FLOWS" --answered --rate 10000000
sample metrics_flows way "$(t --json flow count | jq .flows)"
first_row flow_all 2 flow list --limit 1000000
first_row flow_one 2 flow list --service s1
first_row tuple_all 2 tuple list --top 10000
echo 5 >/proc/"${PID[edge]}"/clear_refs # the peak of starting is no matter here
before=$(memory VmHWM)
read_once text/plain
for ((i = 0; i < ROUNDS; i++)); do
	sleep 1
	idle=$(cpu_us)
	sleep 1
	idle=$(($(cpu_us) - idle))
	for form in 'text/plain' 'application/openmetrics-text;version=1.0.0'; do
		sleep 1 # what the one before has to rest
		began=${EPOCHREALTIME/./} cpu=$(cpu_us)
		read_once "$form"
		took=$((${EPOCHREALTIME/./} - began)) cpu=$(($(cpu_us) - cpu))
		sample "metrics_${form%%/*}_cpu_ms" way $(((cpu - idle * took / 1000000) / 1000))
		sample "metrics_${form%%/*}_ms" way $((took / 1000))
	done
done
sample metrics_bytes way "$(stat -c %s "$T/answer")"
sample metrics_lines way "$(wc -l <"$T/answer")"
sample metrics_more_memory_mb way $((($(memory VmHWM) - before) / 1024))
# Readers who take a piece and then nothing, as many as there may be, and one who reads on.
in_ns edge $PYTHON - 60 <<'PY' &
import socket, sys, time
all = []
for _ in range(int(sys.argv[1])):
    s = socket.create_connection(("127.0.0.1", 9799))
    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    all.append(s)
time.sleep(8)
PY
readers=$!
longest=0
for ((i = 0; i < 50; i++)); do
	began=${EPOCHREALTIME/./}
	t status >/dev/null || fail 'no answer'
	took=$(((${EPOCHREALTIME/./} - began) / 1000))
	[ $took -le $longest ] || longest=$took
	sleep 0.05
done
wait $readers
sample metrics_status_longest_ms way $longest
sample metrics_crowd_memory_mb way $((($(memory VmHWM) - before) / 1024))
stop edge KILL

jq -sc "$SAMPLES"'
	def one($kind): of($kind; "way") | median;
	row("flows"; one("metrics_flows"); "flows"; 0; null; null),
	(("service", "backend", "flow", "flow_all", "flow_one", "tuple", "tuple_all", "events", "status") as $list |
		row("first_row_of_\($list)"; one("metrics_first_\($list)"); "ms"; 0; "below 50"; one("metrics_first_\($list)") < 50)),
	(row("metrics_text_cpu_ms"; one("metrics_text_cpu_ms"); "ms"; 0; "below 300"; one("metrics_text_cpu_ms") < 300),
	row("metrics_open_cpu_ms"; one("metrics_application_cpu_ms"); "ms"; 0; "below 300"; one("metrics_application_cpu_ms") < 300),
	row("metrics_text_ms"; one("metrics_text_ms"); "ms"; 0; "below 300"; one("metrics_text_ms") < 300),
	row("metrics_open_ms"; one("metrics_application_ms"); "ms"; 0; "below 300"; one("metrics_application_ms") < 300),
	row("metrics_bytes"; one("metrics_bytes"); "bytes"; 0; null; null),
	row("metrics_lines"; one("metrics_lines"); "lines"; 0; null; null),
	row("metrics_more_memory_mib"; one("metrics_more_memory_mb"); "MiB"; 0; null; null),
	row("metrics_crowd_memory_mib"; one("metrics_crowd_memory_mb"); "MiB"; 0; null; null),
	row("metrics_status_longest_ms"; one("metrics_status_longest_ms"); "ms"; 0; null; null))
	| if .ratio == 0 then .ratio = null else . end
' "$T/samples"
