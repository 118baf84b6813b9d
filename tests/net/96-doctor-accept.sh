#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# doctor names the listener whose accept queue is full, its program, and what to change.
. "$(dirname "$0")/lib.sh"
doctor_host
ADDRESSES=0.0.0.0:8080 serve s --workers 1 --backlog 1
ADDRESSES=0.0.0.0:8081 serve other --workers 1
pid=$(worker_pid s 0)
queue() { in_ns edge ss -Hltn 'sport = :8080' | awk '{print $2}'; }
_full() { [ "$(queue)" = 2 ]; }

kill -STOP "$pid"
PORT=8080 flood_start waiting 10.0.0.1 30 3000 --timeout 60000
check 'the queue is full' eventually 10 _full
doctor
doctor_says 'a stopped server' accept_queue bad 'a backlog of 4096 in the listen\(2\) of server for 0.0.0.0:8080$' \
	"server \(pid $pid\) is stopped .*kill -CONT $pid"
is 'which listener' "$(doctor_row accept_queue what)" 'accept queue of 0.0.0.0:8080'
is 'as full as the kernel says' "$(doctor_row accept_queue value) of $(doctor_row accept_queue limit)" '2 of 2'
doctor_says 'connections meet it' listen_overflows bad 'a backlog of 4096 .* for 0.0.0.0:8080' \
	"most on 0.0.0.0:8080 of server \(pid $pid\); their clients try again"
check 'its drops are counted' test "$(doctor_row accept_queue drops_now | cut -d. -f1)" -gt 3
is 'no other listener is named' "$(echo "$DOCTOR" | jq '[.[] | select(.id == "accept_queue")] | length')" 1

in_ns edge sysctl -qw net.core.somaxconn=512
doctor
doctor_says 'somaxconn, where it is less' accept_queue bad '^sysctl -w net.core.somaxconn=4096, then a backlog of 4096' .
is 'as text: its exit status' "$(t doctor >"$T/text"; echo $?)" 5
check 'the sentences stand under the table' grep -q '^bad  accept queue of 0.0.0.0:8080: .*stopped' "$T/text"
check 'and what to change' grep -q '^     change: sysctl -w net.core.somaxconn=4096' "$T/text"

kill -CONT "$pid"
kill -TERM "${PID[waiting]}"
wait "${PID[waiting]}"
_empty() { [ "$(queue)" = 0 ]; }
check 'it goes on' eventually 20 _empty
doctor
doctor_quiet 'afterwards nothing is wrong'
is 'what was is told' "$(doctor_row listen_overflows verdict) $(doctor_row listen_overflows wrong)" 'warn false'

# One that runs, and does not accept.
(exec nsenter --net=/run/netns/edge "$PYTHON" -c '
import socket, time
s = socket.create_server(("10.0.0.1", 8082), backlog=20)
time.sleep(300)' >"$T/idle.log" 2>&1) &
idle=$!
_listens() { in_ns edge ss -Hltn 'sport = :8082' | grep -q .; }
eventually 10 _listens || fatal 'the program does not listen'
PORT=8082 flood_start never 10.0.0.1 30 3000 --timeout 60000
_full() { [ "$(in_ns edge ss -Hltn 'sport = :8082' | awk '{print $2}')" = 21 ]; }
check 'its queue is full' eventually 10 _full
doctor
doctor_says 'a program that does not accept' accept_queue bad 'a backlog of 4096 .* for 10.0.0.1:8082' \
	"accept queue of 10.0.0.1:8082 is full: python3[.0-9]* \(pid $idle\) does not accept"
kill "${PID[never]}" "$idle"
