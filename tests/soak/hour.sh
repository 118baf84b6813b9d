#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# An hour of it all at once: HTTP load without a pause, connections that stay open, and
# meanwhile changes of weights, drains, backends, files, and a hundred SIGKILLs of the
# daemon, some of them within an apply. Nothing may fail, nothing may be left behind.
#
#   SOAK_MINUTES=60 SOAK_KILLS=100 tests/soak/hour.sh
#
# Disabling is not among the changes: it moves connections, so theirs would be lost by intent.
# shellcheck disable=SC2034 # MEMBERS and WEIGHT are edge_config's
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/../net/lib.sh"
minutes=${SOAK_MINUTES:-60}
kills_wanted=${SOAK_KILLS:-100}
RANDOM=${SOAK_SEED:-$((EPOCHSECONDS % 32768))}
echo "seed $RANDOM"
LOAD_SECONDS=$((minutes * 60 + 600))

three_backends dsr
hold $VIP 100
resident() { awk '/^VmRSS/ {print $2}' /proc/"${PID[edge]}"/status; }
descriptors() { find /proc/"${PID[edge]}"/fd -mindepth 1 | wc -l; }
count_pins() { find /sys/fs/bpf/edge -mindepth 1 | wc -l; }
pins=$(count_pins) made=$(objects edge) memory=$(resident) files=$(descriptors) memory_max=0
load $VIP

one_of() { shift $((RANDOM % $#)); echo "$1"; }
changes=0 kills=0 lost=0 refused=0 starts=1
begin=$EPOCHSECONDS end=$((EPOCHSECONDS + minutes * 60)) next_report=$((EPOCHSECONDS + 60))
# Kills are spread over the time that is left.
next_kill=$begin
held() {
	[ "$(ask)" = "$HELD" ] || {
		lost=$((lost + 1))
		echo "$(date +%T) held connections answer otherwise after: $last"
	}
}
again() {
	daemon edge
	starts=$((starts + 1))
	ready edge || fatal "the daemon does not start again"
}
# Dies at some step of the apply that it begins with; where that has fewer, it is killed after it.
die_within() {
	daemon edge TUNDISH_TEST_DIE_AT="$1"
	starts=$((starts + 1))
	ready edge
	stop edge KILL
}
present=$BACKENDS # those in the file: others cannot be changed
members() { present=$1 && MEMBERS=$1 edge_config dsr && t config apply "$T/edge.yaml"; }
while [ $EPOCHSECONDS -lt $end ]; do
	# shellcheck disable=SC2086 # lists of names
	case $((RANDOM % 6)) in
	0) last="weight" && t backend weight web "$(one_of $present)" $((1 + RANDOM % 200)) ;;
	1) last="drain and enable" && b=$(one_of $present) && t backend drain web "$b" && t backend enable web "$b" ;;
	2) last="members" && members "$(one_of 'b1 b2' 'b2 b3' 'b1 b3')" ;;
	3) last="all members" && members "$BACKENDS" ;;
	4) last="reload" && present=$BACKENDS && WEIGHT=$((10 + RANDOM % 300)) edge_config dsr && kill -HUP "${PID[edge]}" ;;
	5) last="a wrong file" && echo 'services: [' >"$T/wrong.yaml" && ! t config apply "$T/wrong.yaml" ;;
	esac >/dev/null 2>&1 || {
		refused=$((refused + 1))
		echo "$(date +%T) refused: $last"
	}
	changes=$((changes + 1))
	if [ $EPOCHSECONDS -ge $next_kill ] && [ $kills -lt "$kills_wanted" ]; then
		# Every third one falls into the apply of a change, every third at some moment after
		# a reload or a re-execution began.
		if [ $((kills % 3)) = 1 ]; then
			last="kill within a reload"
			present=$(one_of 'b1 b2' 'b2 b3' 'b1 b3' 'b1 b2 b3')
			MEMBERS=$present edge_config dsr
			kill -"$(one_of HUP USR2)" "${PID[edge]}"
			sleep "0.0$((RANDOM % 90 + 10))"
			stop edge KILL
			again
		elif [ $((kills % 3)) = 0 ]; then
			last="kill within an apply"
			stop edge KILL
			present=$(one_of 'b1 b2' 'b2 b3' 'b1 b3' 'b1 b2 b3')
			MEMBERS=$present edge_config dsr
			die_within $((1 + RANDOM % 12))
			again
		else
			last="kill"
			stop edge KILL
			again
		fi
		kills=$((kills + 1))
		next_kill=$((EPOCHSECONDS + (end - EPOCHSECONDS) / (kills_wanted - kills + 1)))
	fi
	held
	now=$(resident)
	[ "$now" -le "$memory_max" ] || memory_max=$now
	if [ $EPOCHSECONDS -ge $next_report ]; then
		next_report=$((EPOCHSECONDS + 60))
		echo "$(date +%T) $(((EPOCHSECONDS - begin) / 60)) min: $changes changes, $kills kills, held connections lost $lost, daemon $now KiB"
	fi
done
edge_config dsr
t config apply "$T/edge.yaml" >/dev/null || not_ok 'the last apply'
held
end_load
echo "figures: $(((EPOCHSECONDS - begin) / 60)) min, $changes changes, $kills kills, $starts starts, $REQUESTS requests"
echo "figures: daemon $memory KiB at first, $(resident) KiB at last, at most $memory_max KiB; $files and $(descriptors) descriptors"
is 'requests that failed' "$FAILURES" 0
is 'requests that waited for a lost packet' "$SLOW" 0
is 'times the held connections were not as before' $lost 0
is 'changes refused' $refused 0
is 'kills' "$kills" "$kills_wanted"
is 'pins' "$(count_pins)" "$pins"
is 'the objects in the kernel are the same' "$(objects edge)" "$made"
between 'memory of the daemon, KiB' "$memory_max" 0 $((memory + 8192))
between 'its descriptors' "$(descriptors)" 1 $((files + 4))
release
no_more_open() { [ "$(t --json tuple list | jq 'map(.active) | add')" = 0 ]; }
check 'in the end no connection is counted as open' eventually 10 no_more_open
check 'unload' t unload
is 'no XDP program' "$(mode_of eth0)" none
check 'nothing is left in the kernel' eventually 10 gone "$made"
