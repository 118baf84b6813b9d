#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2086 # names without spaces
#
# Is anything harmed? HTTP from a real stack to a real nginx, by five ways that take turns:
#
#   direct     one veth pair
#   limit      an XDP program that writes two MAC addresses and redirects; direct return
#   tundish    the daemon with its defaults, delivery dsr; direct return
#   nftables   DNAT, both ways through the edge
#   haproxy    mode tcp
#
#   client ── c-NAME ═ in [NAME] out ═ s-NAME ── server        ret ═ ret: direct return
#
# close: a connection for each request; keepalive: 32 connections; p99: from when a request is
# due, 1,000 new connections a second. nginx has the first CPU, the client the last. Over
# veth an XDP program pays for turning the stack's buffer into a frame, which no NIC does:
# hence the comparison with the limit. All have the same
# raised priority, so that whatever else runs here shows less.
. "$(dirname "$0")/lib.sh"

NET=$BUILD/bench/net
ROUNDS=${BENCH_ROUNDS:-10}
LAST=$(($(nproc) - 1))
WAYS='direct limit tundish nftables haproxy'
declare -A ADDRESS

add_ns client
add_ns server
wire client ret server ret
add_address client ret 10.21.0.1/24
add_address server ret 10.21.0.2/24

k=0
for way in $WAYS; do
	k=$((k + 1))
	vip=192.0.2.$((10 + k))
	ADDRESS[$way]=$vip
	if [ $way = direct ]; then
		wire client c-$way server s-$way
		add_address client c-$way 10.20.$k.100/24
		add_address server s-$way 10.20.$k.1/24
	else
		add_ns $way
		wire client c-$way $way in
		wire $way out server s-$way
		add_address client c-$way 10.20.$k.100/24
		add_address $way in 10.20.$k.1/24
		add_address $way out 10.22.$k.1/24
		add_address server s-$way 10.22.$k.2/24
		ip -n $way neigh add 10.22.$k.2 lladdr "$(mac server s-$way)" dev out nud permanent
	fi
	ip -n client route add $vip/32 via 10.20.$k.1
	case $way in
	direct | limit | tundish)
		add_address server lo $vip/32
		in_ns server sysctl -qw net.ipv4.conf.lo.arp_ignore=1
		[ $way = direct ] || ip -n server route add 10.20.$k.0/24 via 10.21.0.1
		;;
	nftables) ip -n server route add 10.20.$k.0/24 via 10.22.$k.1 ;;
	esac
	case $way in
	limit) "$NET" attach limit in limit $vip out "$(mac server s-limit)" || fail "no limit" ;;
	tundish)
		config tundish <<-YAML
			interfaces:
			  - {name: in, attach: native}
			services:
			  - name: web
			    vips: [$vip]
			    ports: [80]
			    delivery: dsr
			    backends: [{name: server, address: 10.22.$k.2}]
			metrics: {listen: "off"}
		YAML
		start_tundish tundish
		;;
	nftables)
		many_connections
		in_ns nftables sysctl -qw net.ipv4.ip_forward=1
		in_ns nftables nft -f - <<-NFT || fail "no nftables"
			table ip nat {
				chain prerouting {
					type nat hook prerouting priority dstnat; policy accept;
					ip daddr $vip tcp dport 80 dnat to 10.22.$k.2
				}
			}
		NFT
		;;
	haproxy)
		add_address haproxy lo $vip/32
		cat >"$T/haproxy.cfg" <<-CFG
			global
				nbthread 1
				maxconn 4096
			defaults
				mode tcp
				timeout connect 5s
				timeout client 30s
				timeout server 30s
			listen web
				bind $vip:80
				server server 10.22.$k.2:80
		CFG
		(exec nsenter --net=/run/netns/haproxy nice -n -10 haproxy -db -f "$T/haproxy.cfg" >"$T/haproxy.log" 2>&1) &
		PID[haproxy]=$!
		;;
	esac
done

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
(exec nsenter --net=/run/netns/server nice -n -10 taskset -c 0 nginx -p "$T/web" -e stderr -c "$T/nginx.conf" >"$T/nginx.log" 2>&1) &
PID[nginx]=$!

_answers() { in_ns client curl -sf -m 1 -o /dev/null "http://${ADDRESS[$way]}/"; }
for way in $WAYS; do
	eventually 10 _answers || fail "no answer by way of $way: $(tail -n 2 "$T/nginx.log" "$T/haproxy.log")"
done

# ---- measuring ------------------------------------------------------------------------
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

round() {
	local way
	for way in $WAYS; do requests close $way 'Connection: close'; done
	for way in $WAYS; do requests keepalive $way; done
	# At a tenth of what they can do nobody is starved by real-time priority, and other
	# programs' time slices are not in the tail.
	chrt -a -f -p 1 "${PID[nginx]}" && chrt -a -f -p 1 "${PID[haproxy]}" || fail "no real-time priority"
	for way in $WAYS; do p99 $way; done
	chrt -a -o -p 0 "${PID[nginx]}" && chrt -a -o -p 0 "${PID[haproxy]}"
}
for ((i = 0; i < ROUNDS; i++)); do
	round
done
[ "$(tun tundish --json flow count | jq '[.. | numbers] | max')" -ge 100 ] || fail "tundish has no flows"

# Medians; ratios are medians of the rounds' own ratios.
jq -sc '
	def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
	. as $all
	| def of($kind; $way): [$all[] | select(.kind == $kind and .way == $way) | .value];
	def against($kind; $way; $other): [of($kind; $way), of($kind; $other)] | transpose | map(.[0] / .[1]) | median;
	def row($name; $value; $unit; $ratio; $goal; $met):
		{name: $name, value: ($value * 100 | round / 100), unit: $unit, baseline: ($value / $ratio * 100 | round / 100),
		 ratio: ($ratio * 10000 | round / 10000), goal: $goal, met: $met};
	("close", "keepalive", "p99") as $kind
	| (if $kind == "p99" then "us" else "per s" end) as $unit
	| (("direct", "limit", "nftables", "haproxy") as $way
		| row("http_\($kind)_\($way)"; of($kind; $way) | median; $unit; against($kind; $way; "direct"); null; null)),
	  (against($kind; "tundish"; "limit") as $r | (of($kind; "tundish") | median) as $v
		| if $kind == "p99" then
			row("http_p99_tundish"; $v; $unit; $r; "at most 1/0.97 of the limit"; $r <= 1 / 0.97)
		  else
			row("http_\($kind)_tundish"; $v; $unit; $r; "at least 0.97 x the limit"; $r >= 0.97)
		  end),
	  (("nftables", "haproxy") as $way | against($kind; "tundish"; $way) as $r
		| row("http_\($kind)_tundish_over_\($way)"; $r; "times"; $r; if $kind == "p99" then "below 1" else "above 1" end;
			if $kind == "p99" then $r < 1 else $r > 1 end))
' "$T/samples"
