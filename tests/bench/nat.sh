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
# What is measured lib.sh says. Also what an edge costs: `memory`, bytes for each of 4,000
# connections that are held, beyond `limit`, which keeps none (slabs of networking and files, and
# of proxies their own; of tundish its tables too, which are there beforehand); `cpu`, microseconds
# of the whole host for each connection of the `close` runs, beyond `direct`.
. "$(dirname "$0")/lib.sh"

WAYS='direct limit tundish nftables haproxy nginx'
PROXIES='haproxy nginx'
STREAM=$(find /usr/lib*/nginx/modules -name ngx_stream_module.so 2>/dev/null)
HELD=4000

add_ns client
add_ns server
k=0
for way in $WAYS; do
	k=$((k + 1))
	make_way $way $k
	[ $way != direct ] || continue
	vip=${ADDRESS[$way]} near=10.22.$k.250
	ip -n client neigh add 10.20.$k.1 lladdr "$(mac $way in)" dev c-$way nud permanent
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
		start_nftables nftables $vip 10.22.$k.2
		in_ns nftables nft -f - <<-NFT || fail "no nftables"
			table ip nat {
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

for way in $WAYS; do
	if eventually 10 way_answers $way; then continue; fi
	[ $way = nginx ] || fail "no answer by way of $way: $(tail -qn 2 "$T/web.log" "$T/$way.log" 2>/dev/null)"
	echo "nginx does not know \"stream\" (Debian: libnginx-mod-stream): $(tail -n 1 "$T/nginx.log")" >&2
	WAYS=${WAYS% nginx} PROXIES=haproxy
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
take_turns close_with_cpu web $PROXIES
[ "$(NS=tundish counter sent_fullnat)" -ge $((ROUNDS * 5000)) ] || fail "tundish has translated nothing"

jq -sc "$SAMPLES"'
	def beyond($kind; $way): [of($kind; $way), of($kind; if $kind == "cpu" then "direct" else "limit" end)] | transpose | map(.[0] - .[1]) | median;
	([$all[] | .way] | unique - ["direct", "limit", "tundish"]) as $others
	| compare("nat"; 0.95; $others),
	  (("cpu", "memory") as $kind | (if $kind == "cpu" then "us" else "bytes" end) as $unit
	| beyond($kind; "tundish") as $own
	| ((if $kind == "cpu" then "limit" else empty end, "tundish") as $way | beyond($kind; $way)
		| {name: "nat_\($kind)_per_connection_\($way)", value: (. * 100 | round / 100), unit: $unit,
			baseline: null, ratio: null, goal: null, met: null}),
	  ($others[] as $way | beyond($kind; $way) as $v
		| row("nat_\($kind)_per_connection_\($way)"; $v; $unit; $v / $own; "tundish at most half of it"; $own <= $v / 2)))
' "$T/samples"
