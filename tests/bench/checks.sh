#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What health checks cost: a thousand servers (addresses of one namespace), checked by tcp every
# 100 ms, and by http every second; of the daemon's own (user and system time), and of the whole
# host, which on one machine has the servers' end in it. Beside them a bare loop that connects and
# resets at the rate that the daemon came to, and the daemon without checks. The servers'
# end has a thread of its own (threaded NAPI), or its work would be done in the daemon's system calls.
. "$(dirname "$0")/lib.sh"

SECONDS_EACH=${CHECK_SECONDS:-10}
SERVERS=1000
FIRST=10.22.0.1

add_ns server
add_ns edge
wire edge out server in
add_address edge out 10.23.0.1/24
add_address server in 10.23.0.2/24
ip -n server route add local 10.22.0.0/16 dev lo
ip -n edge route add 10.22.0.0/16 via 10.23.0.2
in_ns server sysctl -qw net.core.somaxconn=65535
# The servers' end is another host's, so it is not in the time of whoever sends; that it has to be
# woken is.
ip netns exec server sh -c 'echo 1 >/sys/class/net/in/threaded' || echo 'checks.sh: no threaded NAPI here' >&2
serve_web server

backends() {
	local i
	for ((i = 0; i < SERVERS; i++)); do
		echo "      - {name: s$i, address: 10.22.$(((i + 1) / 256)).$(((i + 1) % 256))}"
	done
}
BACKENDS_YAML=$(backends)
edge_with() { # HEALTH
	config edge <<-YAML
		interfaces: [{name: out, attach: native}]
		services:
		  - name: web
		    vips: [192.0.2.10]
		    ports: [80]
		    delivery: nat
		    $1
		    backends:
		$BACKENDS_YAML
		limits: {lanes: 2048}
		ports: {watch: off}
		metrics: {listen: "off"}
	YAML
}

ticks() { awk '{print $14 + $15}' "/proc/${PID[edge]}/stat"; }
busy() { awk '/^cpu /{print $2 + $3 + $4 + $7 + $8}' /proc/stat; }
checked() { # good ones of all
	tun edge --json backend list | jq '[.[] | select(.health == "up")] | length'
}
done_so_far() { in_ns edge curl -s --unix-socket /run/tundish/edge.sock http://x/v1/metrics | sed -n 's/^tundish_checks_total{result="good"} //p'; }

# measure: sets OWN and HOST, percent of one core, and RATE.
HZ=$(getconf CLK_TCK)
measure() {
	local own host good
	own=$(ticks) host=$(busy) good=$(done_so_far)
	sleep "$SECONDS_EACH"
	OWN=$(awk "BEGIN {print ($(ticks) - $own) * 100 / $HZ / $SECONDS_EACH}")
	HOST=$(awk "BEGIN {print ($(busy) - $host) * 100 / $HZ / $SECONDS_EACH}")
	RATE=$((($(done_so_far) - ${good:-0}) / SECONDS_EACH))
}
row() { # NAME VALUE UNIT BASELINE RATIO GOAL MET
	jq -cn --arg n "$1" --argjson v "$2" --arg u "$3" --argjson b "$4" --argjson r "$5" --argjson g "$6" --argjson m "$7" \
		'{name: $n, value: $v, unit: $u, baseline: $b, ratio: $r, goal: $g, met: $m}'
}

edge_with ''
start_tundish edge
# A raised priority for all that is measured, and for what stands for the servers' host.
renice -n -10 -p "${PID[edge]}" $(pgrep 'napi/in-') >/dev/null
sleep 2
measure
IDLE_HOST=$HOST
row checks_none "$OWN" '% core' null null null null

edge_with 'health: {type: tcp, interval: 100ms, timeout: 1s}'
reload
_all_up() { [ "$(checked)" = $SERVERS ]; }
eventually 20 _all_up || fail "not all servers are up: $(checked)"
measure
TCP=$OWN TCP_HOST=$HOST TCP_RATE=$RATE
row checks_tcp_rate "$RATE" 1/s null null '"9,500 to 11,200"' "$([ "$RATE" -ge 9500 ] && [ "$RATE" -le 11200 ] && echo true || echo false)"

edge_with 'health: {type: http, interval: 1s, timeout: 1s}'
reload
eventually 20 _all_up
sleep 1
measure
row checks_http_1000_per_second "$OWN" '% core' null null null null
edge_with ''
reload

host=$(busy)
read -r BARE BARE_RATE _ < <(in_ns edge nice -n -10 "$BUILD/bench/connects" $FIRST $SERVERS 80 "$TCP_RATE" "$SECONDS_EACH")
BARE_HOST=$(awk "BEGIN {print ($(busy) - $host) * 100 / $HZ / $SECONDS_EACH}")
row checks_bare_loop "$BARE" '% core' null null null null
row checks_tcp_daemon "$TCP" '% core' "$BARE" "$(awk "BEGIN {printf \"%.2f\", $TCP / $BARE}")" '"below 20% of one core"' \
	"$(awk "BEGIN {print ($TCP < 20) ? \"true\" : \"false\"}")"
row checks_bare_loop_rate "$BARE_RATE" 1/s null null null null
row checks_tcp_host "$(awk "BEGIN {print $TCP_HOST - $IDLE_HOST}")" '% core' "$(awk "BEGIN {print $BARE_HOST - $IDLE_HOST}")" null null null
