#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The daemon's own doctor, over the control socket: it finds a listener whose accept queue is full, says what
# the command says, goes on with all else meanwhile, and tells what it may not see; under its filter of calls.
. "$(dirname "$0")/lib.sh"
doctor_host
ADDRESSES=0.0.0.0:8081 serve s --workers 1 --backlog 1
app_config
start edge
ask_daemon() { curl -s --unix-socket /run/tundish/edge.sock "http://localhost/v1/doctor${1:-}"; }
queue() { in_ns edge ss -Hltn 'sport = :8081' | awk '{print $2}'; }
_full() { [ "$(queue)" = 2 ]; }
_found() {
	DOCTOR=$(ask_daemon)
	[ "$(doctor_row accept_queue verdict)" = bad ]
}

DOCTOR=$(ask_daemon)
is 'at first no queue is full' "$(doctor_row accept_queue verdict)" ok
is 'its rows have the keys' "$(jq -c '[.[] | keys_unsorted] | unique' <<<"$DOCTOR")" \
	'[["id","stage","what","value","limit","unit","drops_boot","drops_now","verdict","wrong","sentence","setting"]]'
is 'and are those of the command' "$(jq -c '[.[] | [.stage, .id]] | unique' <<<"$DOCTOR")" \
	"$(t --json doctor | jq -c '[.[] | [.stage, .id]] | unique')"
is 'a target is one' "$(ask_daemon '?connections=100000000' | jq -r '[.[] | select(.id == "capacity")][0].verdict')" bad
is 'a word is none' "$(ask_daemon '?connections=many' | jq -r .exit)" 2

kill -STOP "$(worker_pid s 0)"
PORT=8081 flood_start waiting 10.0.0.1 30 3000 --timeout 60000
check 'the queue is full' eventually 10 _full
check 'it is found' eventually 40 _found
DOCTOR=$(ask_daemon)
is 'which listener' "$(doctor_row accept_queue what)" 'accept queue of 0.0.0.0:8081'
is 'as full as the kernel says' "$(doctor_row accept_queue value) of $(doctor_row accept_queue limit)" '2 of 2'
check 'drops are counted between two looks' test "$(doctor_row accept_queue drops_now | cut -d. -f1)" -gt 0
is 'it is wrong' "$(doctor_row accept_queue wrong)" true

# As its unit has it, but without the capabilities that look into others' processes; and nothing known yet: many
# ask at once, and somebody asks for something else.
stop edge
as_unit CAP_SYS_PTRACE CAP_DAC_READ_SEARCH
start edge
for i in 1 2 3 4 5 6; do
	(exec curl -s -o "$T/answer$i" --unix-socket /run/tundish/edge.sock http://localhost/v1/doctor) &
	askers+=($!)
done
check 'status is answered meanwhile' t status
wait "${askers[@]}"
# rates of drops, over a time in nanoseconds: two pairs of looks do not have the same
is 'several who ask share two looks' "$(for i in 1 2 3 4 5 6; do jq -c '[.[] | select(.id == "accept_queue") | .drops_now | . > 0, .]' "$T/answer$i"; done | sort -u | tee "$T/shared" | wc -l)" 1
check 'while drops go on' grep -q '^\[true' "$T/shared"
kill "${PID[waiting]}"
DOCTOR=$(cat "$T/answer1")
check 'what it may not see is told' grep -q 'programs of other users' <<<"$(doctor_row unseen sentence)"
is 'queues are seen all the same' "$(doctor_row accept_queue what)" 'accept queue of 0.0.0.0:8081'
