#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Worker groups. 2,000 connections a second to four workers, of which the first is stopped for
# 200 ms in every 400, by four ways that take turns:
#
#   hash      SO_REUSEPORT, as the kernel spreads it
#   shared    one listener for all workers
#   tundish   least-queue in front of the listeners of `hash`
#   dead      the same, the daemon killed
#
# Latency is from when a connection was due to the worker's answer. Starved: over 100 ms, or
# never. All ways have the daemon's programs in their path and the same real-time priority.
# Then: connections lost in restarts under load, how even the spread is, and what steering costs.
. "$(dirname "$0")/lib.sh"

ROUNDS=${BENCH_ROUNDS:-5}
RATE=2000 COUNT=12000 RESTARTS=20

group_host
row() { # NAME VALUE UNIT BASELINE RATIO GOAL MET; empty: null
	jq -nc --arg name "$1" --arg unit "$3" --arg goal "$6" \
		"{name: \$name, value: $2, unit: \$unit, baseline: ${4:-null}, ratio: ${5:-null},
		  goal: (if \$goal == \"\" then null else \$goal end), met: ${7:-null}}"
}
at_most() { jq -n "$1 <= $2"; }

# ---- one worker of four that is stopped half of the time ------------------------------------
experiment() { # WAY
	local address=10.0.0.1 port=8081 kind=''
	case $1 in
	hash) LISTEN='[::]:8081' ;;
	shared) LISTEN='[::]:8081' kind=--shared ;;
	*) LISTEN='[::]:8080' address=$VIP port=80 ;;
	esac
	# shellcheck disable=SC2086
	PRIORITY=$REAL_TIME serve s --workers 4 --stall 400,200 $kind
	PRIORITY=$REAL_TIME PORT=$port flood $address $RATE $COUNT
	end_server s
	LISTEN='[::]:8080'
	[ "$(result lost)" = 0 ] || echo "$1: $RESULT" >&2
	echo "$RESULT" | jq -c "{way: \"$1\", p50_us, p99_us, starved, lost, stalls: $(jq .stalls "$T/s.out")}" >>"$T/experiment"
}

app_config
start_tundish edge
for ((i = 0; i < ROUNDS; i++)); do
	experiment hash
	experiment shared
	experiment tundish
	stop edge KILL
	experiment dead
	start_tundish edge
done
jq -sc '
	def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
	def short: . * 1000 | round / 1000;
	. as $all
	| def of($way; $key): [$all[] | select(.way == $way) | .[$key]];
	def ratio($a; $b; $key): [of($a; $key), of($b; $key)] | transpose | map(.[0] / .[1]) | median | short;
	def row($name; $value; $unit; $baseline; $ratio; $goal; $met):
		{name: $name, value: $value, unit: $unit, baseline: $baseline, ratio: $ratio, goal: $goal, met: $met};
	{hash: "hash", shared: "shared", tundish: "tundish", dead: "tundish_daemon_dead"} as $names
	| ("hash", "shared", "tundish", "dead") as $way
	| row("workers_p50_\($names[$way])"; of($way; "p50_us") | median; "us"; of("hash"; "p50_us") | median;
		ratio($way; "hash"; "p50_us"); null; null),
	  row("workers_p99_\($names[$way])"; of($way; "p99_us") | median; "us"; of("hash"; "p99_us") | median;
		ratio($way; "hash"; "p99_us"); null; null),
	  (if $way == "tundish" or $way == "dead" then
		(of($way; "p99_us") | median) as $v
		| (ratio("hash"; $way; "p99_us") as $r
			| row("workers_p99_hash_over_\($names[$way])"; $r; "times"; $v; $r; "at least 80"; $r >= 80)),
		  (ratio($way; "shared"; "p99_us") as $r
			| row("workers_p99_\($names[$way])_over_shared"; $r; "times"; (of("shared"; "p99_us") | median); $r;
				"at most 1.2"; $r <= 1.2))
	   else empty end),
	  ((of($way; "starved") | add) as $starved | (of($way; "stalls") | add) as $stalls
		| row("workers_starved_\($names[$way])"; $starved; "conns"; $stalls; ($starved / $stalls | short);
			(if $way == "tundish" or $way == "dead" then "at most one per stall" else null end);
			(if $way == "tundish" or $way == "dead" then $starved <= $stalls else null end))),
	  row("workers_lost_\($names[$way])"; (of($way; "lost") | add); "conns"; null; null;
			(if $way == "tundish" or $way == "dead" then "0" else null end);
			(if $way == "tundish" or $way == "dead" then (of($way; "lost") | add) == 0 else null end))
' "$T/experiment"

# ---- restarts under load ---------------------------------------------------------------------
lost() { # NAME
	row "workers_lost_in_$1" "$(result lost)" conns "$(result answered)" '' "0 of $(result started), $RESTARTS times" \
		"$(at_most "$(result lost)" 0)"
	[ "$(result lost)" = 0 ] || echo "$1: $RESULT" >&2
}
once_more() { # CONDITION: the restart is done; the next one half a second later
	eventually 30 "$@" || fail "no restart: $*"
	sleep 0.5
}
restarts() { # nginx|haproxy SIGNAL
	local former i
	"group_$1" 4
	eventually 10 workers_are 4 || fail "$1 does not listen"
	flood_start load $VIP $RATE 1000000 --http
	flood_goes load
	for ((i = 0; i < RESTARTS; i++)); do
		former=$(children "${PID[group_$1]}")
		kill -"$2" "${PID[group_$1]}"
		once_more renewed "${PID[group_$1]}" "$former"
	done
	flood_end load
	lost "$1_reload"
	end_server "group_$1"
	eventually 10 workers_are 0
}
restarts nginx HUP
restarts haproxy USR2

(exec nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock --pin /sys/fs/bpf/edge \
	exec app --workers 4 -- "$BUILD/bench/server" --workers 4 --pids "$T/x.pids" >"$T/exec.log" 2>&1) &
PID[exec]=$!
eventually 10 test -s "$T/x.pids" || fail "tundish exec: $(tail -n 1 "$T/exec.log")"
flood_start load $VIP $RATE 1000000
flood_goes load
_another() { [ "$(children "${PID[exec]}" | wc -w)" = 1 ] && renewed "${PID[exec]}" "$former"; }
for ((i = 0; i < RESTARTS; i++)); do
	former=$(children "${PID[exec]}")
	kill -HUP "${PID[exec]}"
	once_more _another
done
flood_end load
lost exec_restart
end_server exec
eventually 10 workers_are 0

# An overlapping restart of a server that knows nothing of others: the new one, then the end
# of the former, whose queues its siblings get.
serve s0 --workers 4
flood_start load $VIP $RATE 1000000
flood_goes load
for ((i = 0; i < RESTARTS; i++)); do
	serve s$((i + 1)) --workers 4
	end_server s$i
	once_more workers_are 4
done
flood_end load
lost overlap

flood_start load $VIP $RATE 1000000
flood_goes load
for ((; i < 2 * RESTARTS; i++)); do
	t worker drain app all --wait >/dev/null || fail 'no drain'
	end_server s$i
	serve s$((i + 1)) --workers 4
	once_more workers_are 4
done
flood_end load
lost drain_and_stop
end_server s$i

# ---- how even --------------------------------------------------------------------------------
for n in 1 2 4 16 64; do
	PRIORITY=$REAL_TIME serve s --workers $n # equal, whatever else runs here
	PRIORITY=$REAL_TIME flood $VIP 8000 100000
	uneven=$(echo "$RESULT" | jq "(.answered / $n) as \$even | [.tally[] | (. / \$even - 1) * 100 | fabs] | max * 100 | round / 100")
	row "workers_uneven_of_$n" "$uneven" % '' '' 'at most 5' "$(at_most "$uneven" 5)"
	end_server s
done

# ---- what it costs -----------------------------------------------------------------------------
# Idle: all queues are empty, and the search ends at the first. Waiting: one connection waits in
# each, so that it has to look at all.
cost() { # VIP COUNT RUNS EACH
	in_ns edge $REAL_TIME "$BUILD/bench/steer" /sys/fs/bpf/edge/link_steer "$1" 80 "$2" "$3" "$4" || fail 'no cost of steering'
}
for n in 1 4 16 64; do
	goal=350
	[ $n -le 16 ] || goal=750
	serve s --workers $n
	eventually 5 workers_are $n
	read -r ns _ < <(cost $VIP 1 400000 4096)
	row "workers_steer_idle_ns_of_$n" "$ns" ns '' '' "at most $goal" "$(at_most "$ns" $goal)"
	for ((k = 0; k < n; k++)); do kill -STOP "$(worker_pid s $k)"; done
	flood_start wait $VIP 2000 $n --timeout 60000
	eventually 10 queued_are $n || fail "$n do not wait"
	read -r ns _ < <(cost $VIP 1 400000 4096)
	row "workers_steer_waiting_ns_of_$n" "$ns" ns '' '' "at most $goal" "$(at_most "$ns" $goal)"
	for ((k = 0; k < n; k++)); do kill -CONT "$(worker_pid s $k)"; done
	flood_wait wait
	end_server s
	eventually 5 workers_are 0
done

serve s --workers 4
read -r one _ < <(cost $VIP 1 400000 16)
t unload >/dev/null
stop edge
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services:
	  - name: app
	    vips: [$(for i in {0..999}; do printf '198.18.%d.%d, ' $((i / 256)) $((i % 256)); done)]
	    ports: [80]
	    delivery: workers
	    workers: {listen: "$LISTEN"}
YAML
start_tundish edge
eventually 5 workers_are 4 || fail 'the workers are not found'
read -r many _ < <(cost 198.18.0.0 1000 400000 16)
ratio=$(jq -n "$many / $one * 100 | round / 100")
row workers_steer_ns_vips_1000 "$many" ns "$one" "$ratio" 'as with one (1.1)' "$(at_most "$ratio" 1.1)"

# ---- what `accept_times: all` costs every system call of the host ----------------------------
# getppid(2) here, which has nothing to do with any group; without it, with it, and once more.
call() { $REAL_TIME "$BUILD/bench/syscall" || fail 'no cost of a system call'; }
set_accept_times() { # WHICH
	app_config "accept_times: $1"
	t config apply "$T/edge.yaml" >/dev/null || fail "accept_times: $1 is refused"
}
set_accept_times address
without=$(call)
set_accept_times all
with=$(call)
set_accept_times address
again=$(call)
without=$(jq -n "[$without, $again] | min")
row workers_syscall_ns_accept_times_all "$with" ns "$without" "$(jq -n "$with / $without * 100 | round / 100")" '' ''
