#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2086 # names without spaces
#
# HTTP through translated connections: from a real stack to a real nginx that has nothing
# set for it, by six ways that take turns, each with an edge of its own:
#
#   direct     one veth pair, no edge
#   limit      an XDP program that puts fixed addresses in place of others, both ways
#   tundish    the daemon with its defaults, delivery fullnat
#   nftables   DNAT and masquerade
#   haproxy    mode tcp
#   nginx      stream
#
#   client ── c-NAME ═ in [NAME] out ═ s-NAME ── server
#
# As http.sh measures. Also what an edge costs: `memory`, bytes for each of 4,000 connections
# that are held, beyond `limit`, which keeps none (slabs of networking and files, and of proxies their own; of tundish
# its tables too, which are there beforehand); `cpu`, microseconds of the whole host for each
# connection of the `close` runs, beyond `direct`.
. "$(dirname "$0")/lib.sh"

WAYS='direct limit tundish nftables haproxy nginx'
STREAM=$(find /usr/lib*/nginx/modules -name ngx_stream_module.so 2>/dev/null)
HELD=4000

add_ns client
add_ns server
k=0
for way in $WAYS; do
	k=$((k + 1))
	vip=192.0.2.$((10 + k)) near=10.22.$k.250
	ADDRESS[$way]=$vip
	if [ $way = direct ]; then
		wire client c-$way server s-$way
		add_address client c-$way 10.20.$k.100/24
		add_address server s-$way 10.20.$k.1/24
		add_address server lo $vip/32
		ip -n client route add $vip/32 via 10.20.$k.1
		continue
	fi
	add_ns $way
	wire client c-$way $way in
	wire $way out server s-$way
	add_address client c-$way 10.20.$k.100/24
	add_address $way in 10.20.$k.1/24
	add_address $way out 10.22.$k.1/24
	add_address server s-$way 10.22.$k.2/24
	ip -n client route add $vip/32 via 10.20.$k.1
	ip -n client neigh add 10.20.$k.1 lladdr "$(mac $way in)" dev c-$way nud permanent
	ip -n $way neigh add 10.22.$k.2 lladdr "$(mac server s-$way)" dev out nud permanent
	ip -n server neigh add $near lladdr "$(mac $way out)" dev s-$way nud permanent
	case $way in
	limit)
		"$NET" attach limit in both $vip 10.20.$k.100 "$(mac client c-limit)" out $near 10.22.$k.2 \
			"$(mac server s-limit)" || fail "no limit"
		;;
	tundish)
		config tundish <<-YAML
			interfaces: [{name: in, attach: native}, {name: out, attach: native}]
			services:
			  - name: web
			    vips: [$vip]
			    ports: [80]
			    delivery: fullnat
			    sources: [$near]
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
				chain postrouting {
					type nat hook postrouting priority srcnat; policy accept;
					oifname out masquerade
				}
			}
		NFT
		;;
	haproxy) start_haproxy haproxy $vip 10.22.$k.2 ;;
	nginx)
		mkdir -p "$T/stream"
		add_address nginx lo $vip/32
		cat >"$T/stream.conf" <<-CONF
			${STREAM:+load_module $STREAM;}
			daemon off;
			master_process off;
			pid $T/stream/pid;
			error_log stderr warn;
			worker_rlimit_nofile 16384;
			events { worker_connections 16384; }
			stream {
				server {
					listen $vip:80 backlog=8192;
					proxy_pass 10.22.$k.2:80;
				}
			}
		CONF
		(exec nsenter --net=/run/netns/nginx nice -n -10 nginx -p "$T/stream" -e stderr -c "$T/stream.conf" >"$T/nginx.log" 2>&1) &
		PID[nginx]=$!
		;;
	esac
done
serve_web server

_answers() { in_ns client curl -sf -m 1 -o /dev/null "http://${ADDRESS[$way]}/"; }
for way in $WAYS; do
	if eventually 10 _answers; then continue; fi
	[ $way = nginx ] || fail "no answer by way of $way: $(tail -qn 2 "$T/web.log" "$T/$way.log" 2>/dev/null)"
	echo "nginx does not know \"stream\" (Debian: libnginx-mod-stream): $(tail -n 1 "$T/nginx.log")" >&2
	WAYS=${WAYS% nginx}
done

# ---- memory: first, as sockets in TIME_WAIT that end meanwhile would count as less -------
slabs() { awk '/^(TCP|tw_sock|request_sock|tcp_|sock_|nf_|skbuff|eventpoll|kmalloc-|filp)/ {sum += $2 * $4} END {printf "%d\n", sum}' /proc/slabinfo; }
_is_settled() { # what was freed is freed a grace period later
	local before
	before=$(slabs)
	sleep 0.2
	[ $(($(slabs) - before)) -gt -40000 ]
}
bytes() { # WAY: in slabs, and of its process
	eventually 2 _is_settled
	slabs
	case $1 in haproxy | nginx) awk '/^Pss:/ {print $2 * 1024}' "/proc/${PID[$1]}/smaps_rollup" ;; esac
}
_are_held() { [ "$(in_ns server ss -Htn state established sport = :80 | wc -l)" -ge $HELD ]; }
hold() { # WAY
	local before after own=0
	before=$(bytes $1 | paste -sd+)
	in_ns client "$BUILD/bench/connections" "${ADDRESS[$1]}" 80 --http --rate $((HELD * 2)) --count $HELD \
		--concurrent $HELD --hold 5000 >"$T/held.log" 2>&1 &
	eventually 4 _are_held || fail "memory, $1: $HELD connections are not held: $(tail -n 1 "$T/held.log")"
	after=$(bytes $1 | paste -sd+)
	wait $!
	[ $1 != tundish ] || own=$(bpftool -j map show | jq '
		[.[] | select(.name == "nat" or .name == "nat_tags")] as $m
		| ($m | map(.bytes_memlock) | add) / ([$m[] | select(.name == "nat") | .max_entries * 9 / 16] | add)')
	sample memory $1 "$(jq -n "($after - ($before)) / $HELD + $own")"
}
for way in direct $WAYS; do hold $way; done # the first fills what the kernel keeps for the next
sed -i 1d "$T/samples"

# ---- the rest ---------------------------------------------------------------------------
_busy() { awk '/^cpu / {print $2 + $3 + $4 + $7 + $8}' /proc/stat; }
close_with_cpu() { # WAY
	local before after
	before=$(_busy)
	requests close $1 'Connection: close'
	after=$(_busy)
	# the run is a second long
	sample cpu $1 "$(tail -n 1 "$T/samples" | jq "if .value > 0 then ($after - $before) * 1e6 / $(getconf CLK_TCK) / .value else 0 end")"
}
round() {
	local way
	for way in $WAYS; do close_with_cpu $way; done
	for way in $WAYS; do requests keepalive $way; done
	real_time web haproxy nginx
	for way in $WAYS; do p99 $way; done
	usual_time web haproxy nginx
}
for ((i = 0; i < ROUNDS; i++)); do
	round
done
[ "$(NS=tundish counter sent_fullnat)" -ge $((ROUNDS * 5000)) ] || fail "tundish has translated nothing"

jq -sc "$SAMPLES"'
	def beyond($kind; $way): [of($kind; $way), of($kind; if $kind == "cpu" then "direct" else "limit" end)] | transpose | map(.[0] - .[1]) | median;
	([$all[] | .way] | unique - ["direct", "limit", "tundish"]) as $others
	| (("close", "keepalive", "p99") as $kind
	| (if $kind == "p99" then "us" else "per s" end) as $unit
	| ((("direct", "limit"), $others[]) as $way
		| row("nat_\($kind)_\($way)"; of($kind; $way) | median; $unit; against($kind; $way; "direct"); null; null)),
	  (against($kind; "tundish"; "limit") as $r | (of($kind; "tundish") | median) as $v
		| if $kind == "p99" then
			row("nat_p99_tundish"; $v; $unit; $r; "at most 1/0.95 of the limit"; $r <= 1 / 0.95)
		  else
			row("nat_\($kind)_tundish"; $v; $unit; $r; "at least 0.95 x the limit"; $r >= 0.95)
		  end),
	  ($others[] as $way | against($kind; "tundish"; $way) as $r
		| row("nat_\($kind)_tundish_over_\($way)"; $r; "times"; $r; if $kind == "p99" then "below 1" else "above 1" end;
			if $kind == "p99" then $r < 1 else $r > 1 end))),
	  (("cpu", "memory") as $kind | (if $kind == "cpu" then "us" else "bytes" end) as $unit
	| beyond($kind; "tundish") as $own
	| ((if $kind == "cpu" then "limit" else empty end, "tundish") as $way | beyond($kind; $way)
		| {name: "nat_\($kind)_per_connection_\($way)", value: (. * 100 | round / 100), unit: $unit,
			baseline: null, ratio: null, goal: null, met: null}),
	  ($others[] as $way | beyond($kind; $way) as $v
		| row("nat_\($kind)_per_connection_\($way)"; $v; $unit; $v / $own; "tundish at most half of it"; $own <= $v / 2)))
' "$T/samples"
