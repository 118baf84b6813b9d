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

NET=$BUILD/bench/net
ROUNDS=${BENCH_ROUNDS:-10}
LAST=$(($(nproc) - 1))
declare -A ADDRESS # of each way

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

# Begins a jq program over the samples. Medians; ratios are medians of the rounds' own ratios.
# shellcheck disable=SC2034,SC2016
SAMPLES='
	def median: sort | if length == 0 then 0 elif length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
	. as $all
	| def of($kind; $way): [$all[] | select(.kind == $kind and .way == $way) | .value];
	def against($kind; $way; $other): [of($kind; $way), of($kind; $other)] | transpose | map(select(.[1] > 0) | .[0] / .[1]) | median;
	def row($name; $value; $unit; $ratio; $goal; $met):
		{name: $name, value: ($value * 100 | round / 100), unit: $unit, baseline: (if $ratio == 0 then null else $value / $ratio * 100 | round / 100 end),
		 ratio: ($ratio * 10000 | round / 10000), goal: $goal, met: $met};
'
