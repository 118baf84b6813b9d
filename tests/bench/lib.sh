# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
#
# Common to the measurements over veth: one edge per contender, each a namespace of its
# own between the same two ends, so that what one has loaded slows no other down.
#
#   source ── g-NAME ═ in  [NAME]  out ═ s-NAME ── sink
#
# Private /run and bpffs, and the end of everything with the script, come from
# tests/net/lib.sh.

# shellcheck source=tests/net/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../net/lib.sh"

SINK=10.9.1.2

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}
mac() { ip -n "$1" -json link show "$2" | jq -r '.[0].address'; } # NAMESPACE DEVICE

# wire NAMESPACE DEVICE NAMESPACE DEVICE: whole checksums and segments, and NAPI.
wire() {
	ip link add "$2" netns "$1" type veth peer name "$4" netns "$3" || fail "cannot make $2"
	_plain "$1" "$2"
	_plain "$3" "$4"
}
_plain() {
	ip -n "$1" link set "$2" up
	# GRO while it is up, or the peer is not told that it may redirect here
	in_ns "$1" ethtool -K "$2" tx off tso off gso off gro on >/dev/null 2>&1
}

# start_tundish NAMESPACE: with $T/NAMESPACE.yaml there.
start_tundish() {
	daemon "$1"
	ready "$1" || fail "tundishd does not start: $(tail -n 3 "$T/tundishd-$1.log")"
}

# many_connections: room in conntrack for all that is made here; given back at the end.
# The limits are the host's, not a namespace's.
CONNTRACK_WAS=
many_connections() {
	modprobe nf_conntrack 2>/dev/null
	local max=/proc/sys/net/netfilter/nf_conntrack_max buckets=/sys/module/nf_conntrack/parameters/hashsize
	[ -w $max ] || return 0
	CONNTRACK_WAS="$(cat $max) $(cat $buckets 2>/dev/null)"
	[ "${CONNTRACK_WAS%% *}" -ge 4194304 ] || echo 4194304 >$max
	[ ! -w $buckets ] || [ "${CONNTRACK_WAS##* }" -ge 1048576 ] || echo 1048576 >$buckets
}
restore() {
	[ -n "$CONNTRACK_WAS" ] || return 0
	echo "${CONNTRACK_WAS%% *}" >/proc/sys/net/netfilter/nf_conntrack_max
	[ -z "${CONNTRACK_WAS##* }" ] || echo "${CONNTRACK_WAS##* }" >/sys/module/nf_conntrack/parameters/hashsize
} 2>/dev/null
trap restore EXIT

# ---- HTTP, for http.sh and nat.sh: all have the same raised priority ---------------------
#
#   client ── c-WAY ═ in [WAY] out ═ s-WAY ── server
#
# close: a connection for each request; keepalive: 32 connections; p99: from when a request is
# due, 1,000 new connections a second. nginx has the first CPU, the client the last.

NET=$BUILD/bench/net
ROUNDS=${BENCH_ROUNDS:-10}
LAST=$(($(nproc) - 1))
declare -A ADDRESS # of each way

# make_way WAY N: to the VIP ADDRESS[WAY] by an edge between 10.20.N.1 and 10.22.N.1, whose
# server is 10.22.N.2; `direct`: by none.
make_way() {
	ADDRESS[$1]=192.0.2.$((10 + $2))
	if [ "$1" = direct ]; then
		wire client c-direct server s-direct
		add_address server s-direct 10.20."$2".1/24
		add_address server lo "${ADDRESS[direct]}"/32
	else
		add_ns "$1"
		wire client c-"$1" "$1" in
		wire "$1" out server s-"$1"
		add_address "$1" in 10.20."$2".1/24
		add_address "$1" out 10.22."$2".1/24
		add_address server s-"$1" 10.22."$2".2/24
		ip -n "$1" neigh add 10.22."$2".2 lladdr "$(mac server s-"$1")" dev out nud permanent
	fi
	add_address client c-"$1" 10.20."$2".100/24
	ip -n client route add "${ADDRESS[$1]}"/32 via 10.20."$2".1
}

way_answers() { in_ns client curl -sf -m 1 -o /dev/null "http://${ADDRESS[$1]}/"; } # WAY

# serve_web NAMESPACE: nginx on the first CPU.
serve_web() {
	mkdir -p "$T/web"
	cat >"$T/nginx.conf" <<-CONF
		daemon off;
		master_process off;
		pid $T/web/pid;
		error_log stderr warn;
		worker_rlimit_nofile 16384;
		events { worker_connections 8192; }
		http {
			access_log off;
			keepalive_requests 100000000;
			client_body_temp_path $T/web/body;
			proxy_temp_path $T/web/proxy;
			fastcgi_temp_path $T/web/fastcgi;
			uwsgi_temp_path $T/web/uwsgi;
			scgi_temp_path $T/web/scgi;
			server {
				listen 80 backlog=8192;
				location / { return 200 "a small answer\n"; }
			}
		}
	CONF
	(exec nsenter --net=/run/netns/"$1" nice -n -10 taskset -c 0 nginx -p "$T/web" -e stderr -c "$T/nginx.conf" >"$T/web.log" 2>&1) &
	PID[web]=$!
}

# start_nftables NAMESPACE VIP SERVER
start_nftables() {
	many_connections
	in_ns "$1" sysctl -qw net.ipv4.ip_forward=1
	in_ns "$1" nft -f - <<-NFT || fail "no nftables"
		table ip nat {
			chain prerouting {
				type nat hook prerouting priority dstnat; policy accept;
				ip daddr $2 tcp dport 80 dnat to $3
			}
		}
	NFT
}

# start_haproxy NAMESPACE VIP SERVER
start_haproxy() {
	add_address "$1" lo "$2"/32
	cat >"$T/haproxy.cfg" <<-CFG
		global
			nbthread 1
			maxconn 8192
		defaults
			mode tcp
			timeout connect 5s
			timeout client 30s
			timeout server 30s
		listen web
			bind $2:80
			server server $3:80
	CFG
	(exec nsenter --net=/run/netns/"$1" nice -n -10 haproxy -db -f "$T/haproxy.cfg" >"$T/haproxy.log" 2>&1) &
	PID[haproxy]=$!
}

real_time() { # PROCESS...
	local p
	for p; do
		chrt -a -f -p 1 "${PID[$p]}" || fail "no real-time priority"
	done
}
usual_time() {
	local p
	for p; do
		chrt -a -o -p 0 "${PID[$p]}"
	done
}

sample() { echo "{\"kind\": \"$1\", \"way\": \"$2\", \"value\": $3}" >>"$T/samples"; }

requests() { # KIND WAY [HEADER]: requests per second
	local out
	out=$(in_ns client nice -n -10 taskset -c $LAST wrk -t 1 -c 32 -d 1s ${3:+-H "$3"} "http://${ADDRESS[$2]}/")
	if echo "$out" | grep -qE 'Socket errors|Non-2xx'; then
		echo "$1, $2: $(echo "$out" | grep -E 'Socket errors|Non-2xx')" >&2
	fi
	sample "$1" "$2" "$(echo "$out" | awk '/^Requests\/sec/ {print $2}')"
}
p99() { # WAY
	local out
	out=$(in_ns client chrt -f 1 taskset -c $LAST "$BUILD/bench/rate" "${ADDRESS[$1]}" 80 1000 1000) || fail "p99, $1: $out"
	[ "${out##* }" = 0 ] || echo "p99, $1: ${out##* } of 1000 requests failed" >&2
	sample p99 "$1" "$(echo "$out" | cut -d' ' -f2)"
}

# take_turns CLOSE PROCESS...: all of $WAYS in each round; CLOSE WAY makes connections for one
# request each.
take_turns() {
	local close=$1 i way
	shift
	for ((i = 0; i < ROUNDS; i++)); do
		for way in $WAYS; do "$close" "$way"; done
		for way in $WAYS; do requests keepalive "$way"; done
		# At a tenth of what they can do nobody is starved by real-time priority, and other
		# programs' time slices are not in the tail.
		real_time "$@"
		for way in $WAYS; do p99 "$way"; done
		usual_time "$@"
	done
}

# Begins a jq program over the samples. Medians; ratios are medians of the rounds' own ratios.
# compare: what take_turns measured, of which tundish is to reach a share of the limit.
# shellcheck disable=SC2034,SC2016
SAMPLES='
	def median: sort | if length == 0 then 0 elif length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
	. as $all
	| def of($kind; $way): [$all[] | select(.kind == $kind and .way == $way) | .value];
	def against($kind; $way; $other): [of($kind; $way), of($kind; $other)] | transpose | map(select(.[1] > 0) | .[0] / .[1]) | median;
	def row($name; $value; $unit; $ratio; $goal; $met):
		{name: $name, value: ($value * 100 | round / 100), unit: $unit, baseline: (if $ratio == 0 then null else $value / $ratio * 100 | round / 100 end),
		 ratio: ($ratio * 10000 | round / 10000), goal: $goal, met: $met};
	def compare($prefix; $share; $others):
		("close", "keepalive", "p99") as $kind
		| (if $kind == "p99" then "us" else "per s" end) as $unit
		| ((("direct", "limit"), $others[]) as $way
			| row("\($prefix)_\($kind)_\($way)"; of($kind; $way) | median; $unit; against($kind; $way; "direct"); null; null)),
		  (against($kind; "tundish"; "limit") as $r | (of($kind; "tundish") | median) as $v
			| if $kind == "p99" then
				row("\($prefix)_p99_tundish"; $v; $unit; $r; "at most 1/\($share) of the limit"; $r <= 1 / $share)
			  else
				row("\($prefix)_\($kind)_tundish"; $v; $unit; $r; "at least \($share) x the limit"; $r >= $share)
			  end),
		  ($others[] as $way | against($kind; "tundish"; $way) as $r
			| row("\($prefix)_\($kind)_tundish_over_\($way)"; $r; "times"; $r; if $kind == "p99" then "below 1" else "above 1" end;
				if $kind == "p99" then $r < 1 else $r > 1 end));
'
