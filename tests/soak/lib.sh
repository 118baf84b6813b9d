# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# For the parts of the soak: one edge with a service of each delivery, in front of real nginx servers
# and of servers that send back what comes; wrk on each, new connections only; connections that last,
# with data both ways; health that changes; and what must not leak, counted.
#
#   client ─ front ─┬─ edge ─ back ─── n1 n2      nat, fullnat: plain servers, with a route to the edge
#                   └─ b1 b2 b3                   dsr, ipip, gue: with the VIPs, and a tundishd that unwraps
#
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/../net/lib.sh"

DELIVERIES=${DELIVERIES:-dsr ipip gue nat fullnat workers}
declare -A AT=([dsr]=192.0.2.11 [ipip]=192.0.2.12 [gue]=192.0.2.13 [nat]=192.0.2.14 [fullnat]=192.0.2.15 [workers]=192.0.2.16)
at6() { echo "2001:db8::${AT[$1]##*.}"; }
_vips_of_servers() { for d in dsr ipip gue; do printf '%s ' "${AT[$d]}/32" "$(at6 "$d")/128"; done; }

# soak_server NAMESPACE LISTEN PORT: nginx (healthy while there is a file healthy-NAMESPACE), and echoes.
soak_server() {
	local ns=$1 dir=$T/web-$1
	mkdir -p "$dir"
	touch "$T/healthy-$ns"
	cat >"$dir/nginx.conf" <<-CONF
		daemon off;
		pid $dir/pid;
		error_log stderr crit;
		worker_processes 2;
		worker_rlimit_nofile 16384;
		events { worker_connections 8192; }
		http {
			access_log off;
			$(_nginx_files "$dir")
			server {
				$2
				root $T;
				location / { return 200 "$ns \$remote_addr \$server_addr \$server_port\n"; }
				location = /healthz { try_files /healthy-$ns =503; }
			}
		}
	CONF
	_nginx "$ns" "$ns" "$dir"
	PID[web-$ns]=$!
	(exec nsenter --net=/run/netns/"$ns" "$PYTHON" "$TOP/tests/soak/stream.py" serve "$3" >"$T/echo-$ns" 2>"$T/echo-$ns.log") &
	PID[echo-$ns]=$!
	eventually 10 test -s "$T/echo-$ns" || fatal "no echo in $ns"
}

_topology() {
	local n
	BACKENDS='b1 b2 b3 n1 n2'
	add_ns switch
	for n in front back; do
		ip -n switch link add $n type bridge mcast_snooping 0
		ip -n switch link set $n up
	done
	for n in client edge $BACKENDS; do add_ns "$n"; done
	add_nic client eth0 front
	add_xdp_nic edge eth0 front
	add_xdp_nic edge eth1 back
	add_address client eth0 10.0.0.100/24 fd00:0::100/64
	add_address edge eth0 10.0.0.1/24 fd00:0::1/64
	add_address edge eth1 10.0.1.1/24 fd00:1::1/64
	ip -n client route add 192.0.2.0/24 dev eth0
	ip -n client route add 2001:db8::/64 dev eth0
	in_ns edge sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding'
	for n in 1 2 3; do
		add_nic b$n eth0 front
		add_address b$n eth0 10.0.0.1$n/24 fd00:0::1$n/64
		in_ns b$n sh -c 'cd /proc/sys/net/ipv4/conf/all && echo 1 >arp_ignore && echo 2 >arp_announce'
		# shellcheck disable=SC2046 # words
		add_address b$n lo $(_vips_of_servers)
	done
	for n in 1 2; do
		add_nic n$n eth0 back
		add_address n$n eth0 10.0.1.2$n/24 fd00:1::2$n/64
		ip -n n$n route add default via 10.0.1.1
		ip -n n$n route add default via fd00:1::1
	done
}

# soak_config VARIANT: `first` is what stands at the beginning and at the end; `second` has other
# weights, members, sources, timeouts and two services more.
HEALTH=${HEALTH-'{type: http, port: 80, path: /healthz, interval: 200ms, timeout: 2s, rise: 1, fall: 2, hold_down: 400ms, slow_start: 1s}'}
_service() { # DELIVERY VIPS PORT [SUFFIX]: health is checked on port 80
	local head="  - {name: $1${4-}, vips: [$2], ports: [$3], delivery: $1" health=${HEALTH:+health: $HEALTH, }
	[ "$3" = 80 ] || health=
	case $1 in
	dsr | ipip | gue) echo "$head, ${health}backends: [$here]}" ;;
	fullnat) echo "$head, ${health}sources: [$sources], backends: [{name: n1, address: 10.0.1.21}, {name: n2, address: 10.0.1.22, weight: $w}]}" ;;
	nat) # families apart
		echo "  - {name: nat${4-}, vips: [${2%,*}], ports: [$3], delivery: nat, ${health}backends: [{name: n1, address: 10.0.1.21}, {name: n2, address: 10.0.1.22, weight: $w}]}"
		echo "  - {name: nat6${4-}, vips: [${2#*,}], ports: [$3], delivery: nat, ${health}backends: [{name: n1, address: \"fd00:1::21\"}, {name: n2, address: \"fd00:1::22\", weight: $w}]}"
		;;
	workers) echo "$head, workers: {listen: \"[::]:$([ "$3" = 80 ] && echo 8080 || echo 8007)\"}}" ;;
	esac
}
soak_config() {
	local d second=false w=100 b3=', {name: b3, address: 10.0.0.13}' sources='10.0.1.250, "fd00:1::250"' here
	[ "$1" = first ] || second=true w=60 b3='' sources+=', 10.0.1.251'
	here="{name: b1, address: 10.0.0.11, weight: $w}, {name: b2, address: 10.0.0.12}$b3"
	{
		echo 'interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]'
		echo 'services:'
		for d in $DELIVERIES; do
			_service "$d" "${AT[$d]}, \"$(at6 "$d")\"" 80
			_service "$d" "${AT[$d]}, \"$(at6 "$d")\"" 7 -echo
		done
		if $second; then
			echo "  - {name: more, vips: [192.0.2.30, \"2001:db8::30\"], ports: [80, \"8000-8010\"], delivery: dsr, backends: [$here]}"
			echo '  - {name: plain, vips: [192.0.2.31], ports: [80], delivery: fullnat, sources: [10.0.1.252], backends: [{name: n1, address: 10.0.1.21}]}'
			echo 'timeouts: {established: 40m}'
		fi
	} >"$T/$1.yaml"
}

soak_host() {
	local n
	_topology
	for n in 1 2 3; do
		soak_server b$n 'listen 80 backlog=8192; listen [::]:80 backlog=8192;' 7
		config b$n <<-YAML
			interfaces: [{name: eth0, attach: native}]
			services:
			  - {name: web, vips: [${AT[ipip]}, ${AT[gue]}, "$(at6 ipip)", "$(at6 gue)"], ports: [80, 7], own: false, delivery: workers}
		YAML
		start b$n
	done
	for n in 1 2; do soak_server n$n 'listen 80 backlog=8192; listen [::]:80 backlog=8192;' 7; done
	soak_server edge 'listen [::]:8080 reuseport ipv6only=off backlog=8192;' 8007
	soak_config first
	soak_config second
	cp "$T/first.yaml" "$T/edge.yaml"
}
_serves_all() {
	local d
	for d in $DELIVERIES; do
		[ "$(get "${AT[$d]}" 4 | grep -cE '^(b|n|edge)')" = 4 ] && [ "$(get "$(at6 "$d")" 2 | grep -cE '^(b|n|edge)')" = 2 ] || return 1
	done
}
begin_edge() {
	start edge
	eventually 20 _serves_all || fatal "not all services serve: $(for d in $DELIVERIES; do get "${AT[$d]}" 1 && get "$(at6 "$d")" 1; done | xargs)"
}

# ---- load -------------------------------------------------------------------------------
# traffic_begins: wrk on each VIP, each request on a connection of its own; a client beside it that
# measures how long a connection takes to open, too; connections that last.
_syns_again() { in_ns client nstat -asz TcpExtTCPSynRetrans | awk '/TCPSynRetrans/ {print $2}'; }
traffic_begins() {
	local d targets=
	for d in $DELIVERIES; do
		(exec nsenter --net=/run/netns/client wrk -t 1 -c 4 -d 3600s --timeout 10s -s "$TOP/tests/soak/wrk.lua" \
			-H 'Connection: close' "http://${AT[$d]}/" >"$T/wrk-$d" 2>"$T/wrk-$d.log") &
		PID[wrk-$d]=$!
		(exec nsenter --net=/run/netns/client "$PYTHON" "$TOP/tests/net/client.py" load "${AT[$d]}" 80 3600 --pause 0.2 \
			>"$T/timed-$d" 2>"$T/timed-$d.log") &
		PID[timed-$d]=$!
		targets+="${AT[$d]}:7 [$(at6 "$d")]:7 "
	done
	# shellcheck disable=SC2086 # several
	(exec nsenter --net=/run/netns/client "$PYTHON" "$TOP/tests/soak/stream.py" hold 3600 3 $targets >"$T/streams" 2>"$T/streams.log") &
	PID[streams]=$!
	eventually 30 test -s "$T/streams" || fatal 'the connections that last do not connect'
	SYNS=$(_syns_again)
}
# traffic_ends: nothing of it failed.
traffic_ends() {
	local d counts requests=0 failed=0 longest=0 kinds='' streams timed slow=0 opened=0
	SYNS=$(($(_syns_again) - SYNS))
	for d in $DELIVERIES; do
		kill -INT "${PID[wrk-$d]}"
		wait "${PID[wrk-$d]}"
		counts=$(sed -n 's/^counts //p' "$T/wrk-$d")
		# shellcheck disable=SC2086 # words
		set -- $counts
		[ $# = 13 ] || fatal "wrk on $d: $(cat "$T/wrk-$d" "$T/wrk-$d.log")"
		[ "$1" -gt 100 ] || not_ok "$d: only $1 requests"
		[ "$2" = 0 ] || kinds+="$d: $counts; "
		requests=$((requests + $1)) failed=$((failed + $2))
		[ "$3" -le "$longest" ] || longest=$3
		kill -TERM "${PID[timed-$d]}"
		wait "${PID[timed-$d]}"
		timed=$(tail -n 1 "$T/timed-$d")
		# shellcheck disable=SC2086 # words
		set -- "$@" $timed # requests N failed N slow N longest_ms N
		[ $# = 21 ] || fatal "the client of $d: $timed"
		[ "${17}" = 0 ] || kinds+="$d: $(sed '1d;$d' "$T/timed-$d" | xargs); "
		opened=$((opened + ${15})) failed=$((failed + ${17})) slow=$((slow + ${19}))
		echo "  $d: $1 requests, $2 failed, longest $3 ms; with the handshake: $timed"
	done
	echo "  dropped by the edge: $(t --json status | jq -c '[.drops | to_entries[] | select(.value > 0)] | from_entries')"
	kill -TERM "${PID[streams]}"
	wait "${PID[streams]}"
	streams=$(tail -n 1 "$T/streams")
	echo "figures: $requests requests on new connections, $opened more timed with their handshake, $failed failed, $slow over 0.9 s, the longest of wrk $longest ms, $SYNS SYNs sent again; lasting connections: $streams"
	is "requests that failed${kinds:+ ($kinds)}" "$failed" 0
	# A SYN that meets the TIME_WAIT of its port's former connection is sent again at once (2 ms), which is
	# no loss; after a lost one a second goes by.
	is 'connections that waited for a lost packet' "$slow" 0
	is "lasting connections that broke ($(echo "$streams" | jq -c .why))" "$(echo "$streams" | jq .broken)" 0
	between 'lasting connections' "$(echo "$streams" | jq .connections)" 6 1000
	between 'blocks on them, there and back' "$(echo "$streams" | jq .blocks)" 500 100000000
}

# ---- what must not leak -------------------------------------------------------------------
resident() { awk '/^VmRSS/ {print $2}' /proc/"${PID[edge]}"/status; }
descriptors() { find /proc/"${PID[edge]}"/fd -mindepth 1 | wc -l; }
pins() { find /sys/fs/bpf/edge -mindepth 1 -printf '%f\n' | sort; }
# seen: every BPF object that the daemon has a descriptor of now is remembered in $T/seen.
seen() {
	sed -n 's/^map_id:\t/map /p; s/^prog_id:\t/prog /p; s/^link_id:\t/link /p' /proc/"${PID[edge]}"/fdinfo/* 2>/dev/null >>"$T/seen"
}
alive() { # of those that were ever seen
	local kind id
	sort -u "$T/seen" | while read -r kind id; do
		! bpftool "$kind" show id "$id" >/dev/null 2>&1 || echo "$kind $id"
	done
}
left_over() { alive | while read -r kind id; do bpftool "$kind" show id "$id" | head -n 1; done | head -n 8; }
dump() { bpftool -j map dump pinned /sys/fs/bpf/edge/"$1" 2>/dev/null; }
# stands: what users see, what the data path goes by, and what is on this host; no counts, no numbers
# that entries got on the way.
stands() {
	local d
	echo "config $(t config show | sha256sum)"
	t --json backend list | jq -c 'sort_by(.service, .name) | .[] | select(.leaving | not) | [.service, .name, .address, .weight, .state, .health]'
	t --json service list | jq -c 'sort_by(.service) | .[] | [.service, .vips, .ports, .delivery, .backends, .backends_up]'
	t --json worker list | jq -c 'sort_by(.service, .pid) | .[] | [.service, .pid, .state]'
	t --json status | jq -c '.interfaces[] | [.name, .mode]'
	t --json status | jq -c '[.attention[] | .what]'
	dump vips | jq -c '[.[].formatted.key.word | tostring] | sort | .[]'
	dump services | jq -c '[.[].formatted.value | select(.state == 1) | .name] | sort'
	dump lanes | jq -c '[.[].formatted.value | select(.number > 0 and (.flags / 8 | floor) % 2 == 0) | [.source, .host, .port_be, .flags]] | sort | .[]'
	dump settings | jq -c '.[0].formatted.value | [.syn_timeout, .established_timeout, .gue_port_be, .n_prefixes]'
	ip -n edge -j addr | jq -c '[.[] | .ifname as $i | .addr_info[] | [$i, .local, .prefixlen]] | sort | .[]'
	ip -n edge route show table all | grep -v '^broadcast' | sort
	ip -n edge -6 route show table all | sed 's/ expires [^ ]*//' | sort
	in_ns edge cat /proc/sys/net/ipv4/ip_local_reserved_ports
	for d in eth0 eth1; do
		echo "$d $(mode_of $d) $(in_ns edge tc filter show dev $d ingress | grep -c handle) $(in_ns edge tc filter show dev $d egress | grep -c handle)"
	done
	pins
}
_as_before() { stands >"$T/after" && cmp -s "$T/before" "$T/after"; }
_settled() { t --json backend list | jq -e 'all(.[]; .health == "up" or .health == "none")' >/dev/null; }
leaks_begin() {
	: >"$T/seen"
	eventually 20 _settled || fatal "not settled: $(t --json backend list | jq -c '.[] | [.service, .name, .state, .health]')"
	stands >"$T/before"
	between 'there is something to compare' "$(wc -l <"$T/before")" 40 10000
	seen
	objects edge >>"$T/seen"
	RESIDENT=$(resident) DESCRIPTORS=$(descriptors)
}
# leaks_end: the first file is in force and all health is good; then all is as it was, and after an
# unload nothing is left in the kernel of all that ever was.
leaks_end() {
	local d
	for d in b1 b2 b3 n1 n2; do touch "$T/healthy-$d"; done
	cp "$T/first.yaml" "$T/edge.yaml"
	check 'the first file again' reload
	eventually 150 _as_before # a source that went stays until its connections, and what rests of them, have ended
	is 'all stands as before' "$(diff "$T/before" "$T/after" | head -n 8)" ''
	seen
	objects edge >>"$T/seen"
	echo "figures: daemon $RESIDENT KiB and $DESCRIPTORS descriptors at first, $(resident) KiB and $(descriptors) at last; $(sort -u "$T/seen" | wc -l) BPF objects were ever held"
	between 'its descriptors' "$(descriptors)" 1 $((DESCRIPTORS + 4))
	between 'its memory, KiB' "$(resident)" 0 $((RESIDENT + 8192))
	check 'unload' t unload
	eventually 10 ended edge
	wait "${PID[edge]}" 2>/dev/null
	_none_alive() { [ -z "$(alive)" ]; }
	eventually 20 _none_alive
	is 'of all BPF objects that it ever held none is left' "$(left_over)" ''
	is 'no pins' "$(pins 2>/dev/null)" ''
	for d in eth0 eth1; do
		is "$d is bare" "$(mode_of $d) $(in_ns edge tc filter show dev $d ingress | grep -c handle) $(in_ns edge tc filter show dev $d egress | grep -c handle)" 'none 0 0'
	done
	is 'no VIP is left' "$(ip -n edge addr | grep -cE '192\.0\.2\.|2001:db8:')" 0
	is 'no reserved port' "$(in_ns edge cat /proc/sys/net/ipv4/ip_local_reserved_ports)" ''
}

# ---- what happens meanwhile ----------------------------------------------------------------
moment() { sleep "0.$(printf %03d $((RANDOM % ${1:-100} + 5)))"; } # at most so many milliseconds
one_of() {
	shift $((RANDOM % $#))
	echo "$1"
}
other_file() { cp "$T/$(one_of first second).yaml" "$T/edge.yaml"; }
# Somebody's health changes: at most one of each pool is ill at a time.
ILL=
health_changes() {
	[ -z "$ILL" ] || touch "$T/healthy-$ILL"
	ILL=$(one_of b1 b2 n1 '')
	[ -z "$ILL" ] || rm -f "$T/healthy-$ILL"
}
seed() {
	SOAK_SEED=${SOAK_SEED:-$((EPOCHSECONDS % 32768))}
	RANDOM=$SOAK_SEED
	echo "seed $SOAK_SEED"
}
began() { grep -c 'tundishd: ready' "$T/tundishd-edge.log"; }
more_than() { [ "$(began)" -gt "$1" ]; }
program() { ip -n edge -j -d link show eth0 | jq '.[0].xdp.prog.id'; }

# soak_begins: the host, the edge and its load, from which on nothing may be lost or left.
soak_begins() {
	seed
	soak_host
	begin_edge
	leaks_begin
	traffic_begins
}
