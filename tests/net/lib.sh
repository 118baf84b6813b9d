# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Network namespaces with real servers and clients, for scenarios and for the demo.
#
# A scenario sources this file first and thereby runs itself again in mount and PID
# namespaces of its own: /run is an empty tmpfs (so network namespaces, control
# sockets and scratch files are private), /sys/fs/bpf a bpffs of its own, and when
# the scenario ends, however it ends, the kernel kills every process and frees every
# namespace, map and program in it. Nothing needs to be cleaned up by hand, names
# cannot clash, and scenarios can run side by side.
#
#             switch (bridges)
#   client ─ front ─┬─ edge              one NIC:  all on `front`
#                   └─ b1 b2 b3          two NICs: edge:eth1 and the backends on `back`,
#                                        where the client has a second leg for the answers

set -u
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$TOP/$BUILD ;; esac
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
PYTHON=/usr/bin/python3
TUNDISH_TEST_SLOW=${TUNDISH_TEST_SLOW:-1} # how many times longer every wait may take, here and in client.py
export TUNDISH_TEST_SECCOMP=${TUNDISH_TEST_SECCOMP-kill} # a call that the daemon's filter forgot ends it
# For PRIORITY: whatever else runs here. Where the processor is emulated such a program would keep
# the kernel's own threads from the packets: rings overflow, and half-open connections go.
REAL_TIME='chrt -f 1'
[ "$TUNDISH_TEST_SLOW" = 1 ] || REAL_TIME=
T=/run/tdt # scratch

if [ -z "${TDT_INSIDE-}" ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "not ok - ${0##*/}: needs root, for network namespaces and BPF"
		exit 1
	fi
	export TDT_INSIDE=1 TDT_OUTER=$$ # a process of these namespaces, as seen from outside
	exec unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
		bash "$0" "$@"
fi
unset TDT_INSIDE
mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p $T /run/netns /run/tundish &&
	mount -t bpf bpf /sys/fs/bpf || {
	echo "not ok - private /run and /sys/fs/bpf"
	exit 1
}
trap 'exit 143' TERM HUP
trap 'exit 130' INT

# ---- results -------------------------------------------------------------------
FAILED=0

ok() { echo "ok - $*"; }
not_ok() {
	FAILED=$((FAILED + 1))
	echo "not ok - $*"
}
skip() { echo "skip - $1: $2"; } # NAME REASON
fatal() {
	not_ok "$*"
	exit 1
}

# check NAME COMMAND...: the command succeeds.
check() {
	local name=$1 output
	shift
	if output=$("$@" 2>&1); then
		ok "$name"
	else
		not_ok "$name (exit $?: $*)"
		[ -z "$output" ] || echo "$output" | tail -n 20 | sed 's/^/  | /'
	fi
}

# refused NAME EXIT PATTERN COMMAND...: ends with this code and one sentence that matches.
refused() {
	local name=$1 code=$2 pattern=$3 output status
	shift 3
	output=$("$@" 2>&1)
	status=$?
	if [ "$status" = "$code" ] && echo "$output" | grep -qiE -- "$pattern" &&
		[ "$(echo "$output" | wc -l)" -le 2 ]; then
		ok "$name"
	else
		not_ok "$name (exit $status, wanted $code; wanted \"$pattern\")"
		echo "$output" | head -n 10 | sed 's/^/  | /'
	fi
}

# is NAME GOT WANTED
is() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1 (got \"$2\", wanted \"$3\")"
	fi
}

# between NAME GOT LOW HIGH
between() {
	if [[ $2 =~ ^-?[0-9]+$ ]] && [ "$2" -ge "$3" ] && [ "$2" -le "$4" ]; then
		ok "$1 ($2)"
	else
		not_ok "$1 (got \"$2\", wanted $3 to $4)"
	fi
}

# timely NAME GOT LOW HIGH: `between`, of a figure that tells nothing where the processor is emulated.
timely() {
	if [ "$TUNDISH_TEST_SLOW" = 1 ]; then
		between "$@"
	else
		skip "$1" "the machine is said to be $TUNDISH_TEST_SLOW times slower (got \"$2\", elsewhere $3 to $4)"
	fi
}

# eventually SECONDS COMMAND...: polls until the command succeeds. The sleep is the
# poll's interval, not a wait for the condition.
eventually() {
	local end=$((${EPOCHREALTIME/./} + $1 * TUNDISH_TEST_SLOW * 1000000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "${EPOCHREALTIME/./}" -lt $end ] || return 1
		sleep 0.05
	done
}

finish() {
	local status=$? log
	[ "$status" = 0 ] && [ "$FAILED" = 0 ] && return
	[ "$status" != 130 ] || exit 130 # Ctrl-C
	for log in "$T"/*.log; do
		[ -s "$log" ] || continue
		echo "  --- ${log##*/}"
		tail -n 25 "$log" | sed 's/^/  | /'
	done
	exit 1
}
trap finish EXIT

# ---- namespaces ------------------------------------------------------------------
# in NAMESPACE COMMAND... (not `ip netns exec`, which hides bpffs)
in_ns() {
	local ns=$1
	shift
	nsenter --net=/run/netns/"$ns" "$@"
}

add_ns() {
	ip netns add "$1"
	ip -n "$1" link set lo up
	in_ns "$1" sh -c '
		cd /proc/sys/net
		for i in all default; do
			echo 0 >ipv4/conf/$i/rp_filter
			echo 0 >ipv6/conf/$i/accept_dad
			echo 0 >ipv6/conf/$i/accept_ra
		done
		echo 1024 65535 >ipv4/ip_local_port_range
		echo 0 >ipv4/icmp_ratelimit; echo 0 >ipv6/icmp/ratelimit
		echo 16384 >core/somaxconn'
}

# add_nic NAMESPACE DEVICE BRIDGE: one end there, the other in the switch.
add_nic() {
	ip link add "$2" netns "$1" type veth peer name "$1-$2" netns switch
	in_ns "$1" ethtool -K "$2" tx off tso off gso off gro on >/dev/null 2>&1
	in_ns switch ethtool -K "$1-$2" tx off tso off gso off gro on >/dev/null 2>&1
	ip -n switch link set "$1-$2" master "$3" up
	ip -n "$1" link set "$2" up
}

# For those who transmit from XDP. A veth that does so wakes the receiving end only if
# that runs an XDP program too (GRO alone is enough for redirects, veth_xdp_flush()
# asks for a program); and it needs whole checksums and segments from the senders.
add_xdp_nic() {
	add_nic "$@"
	[ -e /sys/fs/bpf/pass ] || bpftool prog load "$BUILD/tests/pass.bpf.o" /sys/fs/bpf/pass type xdp
	in_ns switch ip link set dev "$1-$2" xdpdrv pinned /sys/fs/bpf/pass
}

# add_address NAMESPACE DEVICE ADDRESS/LENGTH...
add_address() {
	local ns=$1 device=$2 address
	shift 2
	for address; do
		case $address in
		*:*) ip -n "$ns" addr add "$address" dev "$device" nodad ;;
		*) ip -n "$ns" addr add "$address" dev "$device" ;;
		esac
	done
}

VIP=192.0.2.10 VIP2=192.0.2.20
VIP6=2001:db8::10 VIP62=2001:db8::20
BACKENDS='b1 b2 b3'

# Backend bN is 10.0.NET.1N and fd00:NET::1N.
_parts() { # NET, of the backends
	local b
	add_ns switch
	ip -n switch link add front type bridge mcast_snooping 0
	ip -n switch link add back type bridge mcast_snooping 0
	ip -n switch link set front up
	ip -n switch link set back up
	for b in client edge $BACKENDS; do
		add_ns "$b"
	done
	add_nic client eth0 front
	add_xdp_nic edge eth0 front
	add_address client eth0 10.0.0.100/24 fd00:0::100/64
	add_address edge eth0 10.0.0.1/24 fd00:0::1/64
	ip -n client route add 192.0.2.0/24 dev eth0
	ip -n client route add 2001:db8::/64 dev eth0
	for b in $BACKENDS; do
		add_nic "$b" eth0 "$([ "$1" = 0 ] && echo front || echo back)"
		add_address "$b" eth0 10.0."$1".1"${b#b}"/24 fd00:"$1"::1"${b#b}"/64
		in_ns "$b" sh -c 'cd /proc/sys/net/ipv4/conf/all && echo 1 >arp_ignore && echo 2 >arp_announce'
	done
}

# The edge sends out of the NIC on which packets came in.
one_nic() {
	_parts 0
}

# The edge sends out of another NIC; it forwards nothing by itself.
two_nics() {
	local b
	_parts 1
	add_xdp_nic edge eth1 back
	add_nic client eth1 back
	add_address edge eth1 10.0.1.1/24 fd00:1::1/64
	add_address client eth1 10.0.1.100/24 fd00:1::100/64
	for b in $BACKENDS; do
		ip -n "$b" route add 10.0.0.0/24 via 10.0.1.100
		ip -n "$b" route add fd00:0::/64 via fd00:1::100
	done
	in_ns edge sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding'
}

# vips_on_lo NAMESPACE...: what a DSR or tunnel backend needs to accept.
vips_on_lo() {
	local ns
	for ns; do
		add_address "$ns" lo $VIP/32 $VIP2/32 $VIP6/128 $VIP62/128
	done
}

# ---- servers ----------------------------------------------------------------------
declare -A PID

_nginx_files() { # DIRECTORY: where an instance writes, and how much it takes
	echo 'client_max_body_size 64m;'
	printf '%s_temp_path %s;\n' client_body "$1/body" proxy "$1/proxy" fastcgi "$1/fastcgi" uwsgi "$1/uwsgi" scgi "$1/scgi"
}
_nginx() { # NAMESPACE NAME DIRECTORY: its process is the last one in the background
	(exec nsenter --net=/run/netns/"$1" nginx -p "$3" -e stderr -c "$3/nginx.conf" \
		>"$T/nginx-$2.log" 2>&1) &
}

# web NAMESPACE [NAME]: nginx on 80 and 8080. `/` answers "NAME client server port",
# /post reads the whole body and answers "NAME length", /big is 4 MiB.
web() {
	local ns=$1 name=${2:-$1} dir=$T/web-${2:-$1}
	mkdir -p "$dir"
	[ -e "$T/big" ] || head -c 4194304 /dev/urandom >"$T/big"
	cat >"$dir/nginx.conf" <<-CONF
		daemon off;
		master_process off;
		pid $dir/pid;
		error_log stderr warn;
		worker_rlimit_nofile 16384;
		events { worker_connections 8192; }
		http {
			access_log off;
			keepalive_timeout 600;
			keepalive_requests 1000000;
			keepalive_time 1d;
			$(_nginx_files "$dir")
			server {
				listen 80 backlog=8192;
				listen [::]:80 backlog=8192;
				listen 8080 backlog=8192;
				listen [::]:8080 backlog=8192;
				location / { return 200 "$name \$remote_addr \$server_addr \$server_port\n"; }
				location /healthz { return 200 "ok\n"; }
				location /post { proxy_pass http://127.0.0.1:8081/; }
				location = /big { alias $T/big; }
			}
			server {
				listen 127.0.0.1:8081;
				location / { return 200 "$name \$http_content_length\n"; }
			}
		}
	CONF
	_nginx "$ns" "$name" "$dir"
	PID[web-$name]=$!
	eventually 10 in_ns "$ns" bash -c 'exec 3<>/dev/tcp/127.0.0.1/8081' ||
		fatal "nginx in $ns does not start"
}

# config NAMESPACE <YAML: what its daemon shall read.
config() {
	cat >"$T/$1.yaml"
}

# as_unit [CAPABILITY...]: daemons run from now on as their unit has them, with a user, the capabilities
# (but for those named here) and the directories that it says, on a bpf filesystem as systemd mounts it.
UNIT_ID=64990
AS_UNIT=
unit_says() { sed -n "s/^$1=//p" "$TOP/scripts/tundishd.service"; }
as_unit() {
	local name caps=
	for name in $(unit_says AmbientCapabilities); do
		[[ " $* " == *" $name "* ]] || caps+=,+$(echo "${name#CAP_}" | tr '[:upper:]' '[:lower:]')
	done
	AS_UNIT="setpriv --reuid $UNIT_ID --regid $UNIT_ID --clear-groups --no-new-privs --inh-caps -all$caps
		--ambient-caps -all$caps --bounding-set -all$caps"
	chown root:root /sys/fs/bpf && chmod 0700 /sys/fs/bpf
	chown $UNIT_ID:$UNIT_ID /run/tundish
	[ -e $T/tundishd ] || cp "$BUILD/tundishd" $T/ # the build may be where only root gets to
}
# unit_prepares PIN: what the unit does as root before each start.
unit_prepares() {
	eval "$(unit_says ExecStartPre | sed -e 's|^+/bin/sh|sh|' -e "s/tundish:tundish tundish /$UNIT_ID:$UNIT_ID $1 /" \
		-e "s/0700 tundish /0700 $1 /" -e "s/chgrp tundish/chgrp $UNIT_ID/")"
}

# daemon NAMESPACE [NAME=VALUE...]: starts tundishd there, does not wait. Metrics are on METRICS.
daemon() {
	local ns=$1 program=${TUNDISHD:-$BUILD/tundishd}
	shift
	[ -z "$AS_UNIT" ] || { unit_prepares "$ns" && program=$T/tundishd; }
	echo "--- start $*" >>"$T/tundishd-$ns.log"
	# shellcheck disable=SC2086 # several words
	(exec env "$@" nsenter --net=/run/netns/"$ns" $AS_UNIT "$program" --config "$T/$ns.yaml" \
		--control /run/tundish/"$ns".sock --pin /sys/fs/bpf/"$ns" --metrics "${METRICS-127.0.0.1:9799}" \
		>>"$T/tundishd-$ns.log" 2>&1) &
	PID[$ns]=$!
}

# tun NAMESPACE ARGUMENTS...: the command line, spoken to that daemon.
tun() {
	local ns=$1
	shift
	in_ns "$ns" "$BUILD/tundish" --control /run/tundish/"$ns".sock --pin /sys/fs/bpf/"$ns" "$@"
}
t() { tun edge "$@"; }

# Answers, or has ended (then there is nothing to wait for).
_answers_or_ended() { tun "$1" status || ! kill -0 "${PID[$1]}"; }
ready() {
	eventually 20 _answers_or_ended "$1"
	tun "$1" status >/dev/null 2>&1
}

start() {
	daemon "$@"
	ready "$1" || fatal "tundishd in $1 does not start"
}

# stop NAMESPACE [SIGNAL]: ends the daemon and waits for its end.
stop() {
	kill -"${2:-TERM}" "${PID[$1]}" 2>/dev/null
	wait "${PID[$1]}" 2>/dev/null
}

# ended NAMESPACE: the daemon has gone by itself.
ended() { ! kill -0 "${PID[$1]}" 2>/dev/null; }

# SIGHUP, and wait until the daemon has answered for it.
reload() {
	local before after
	before=$(t --json status | jq -r '.reloads // empty')
	kill -HUP "${PID[edge]}"
	[ -n "$before" ] || return 0
	_reloaded() {
		after=$(t --json status | jq -r '.reloads // empty')
		[ -n "$after" ] && [ "$after" != "$before" ]
	}
	eventually 10 _reloaded
}

# edge_config DELIVERY [FAMILY]: three equal backends behind the first VIP pair.
edge_config() {
	local net=${NET:-0} b address
	config edge <<-YAML
		interfaces:
		  - name: eth0
		    attach: native
		$([ "$net" = 1 ] && printf '  - name: eth1\n    attach: native\n')
		services:
		  - name: web
		    vips: [$VIP, "$VIP6"]
		    protocol: tcp
		    ports: [80]
		    delivery: $1${GUE_PORT:+
		    gue: {port: $GUE_PORT\}}
		    backends:
		$(for b in ${MEMBERS:-$BACKENDS}; do
			address=10.0.$net.1${b#b}
			[ "${2:-4}" = 6 ] && address="\"fd00:$net::1${b#b}\""
			echo "      - {name: $b, address: $address, weight: ${WEIGHT:-100}}"
		done)
		${LIMITS:+limits: $LIMITS}
	YAML
}

# Backends that unwrap tunnels themselves: tundishd with a `workers` service.
backend_daemons() {
	local b
	for b in $BACKENDS; do
		config "$b" <<-YAML
			interfaces: [{name: eth0, attach: native}]
			services:
			  - name: web
			    vips: [$VIP, $VIP2, "$VIP6", "$VIP62"]
			    ports: [80, 8080]
			    own: false
			    delivery: workers
			${GUE_PORT:+gue: {port: $GUE_PORT\}}
		YAML
		start "$b"
	done
}

# The common beginning: three nginx behind an edge; DELIVERY [FAMILY of the backends].
three_backends() {
	local b
	if [ "${NET:-0}" = 1 ]; then two_nics; else one_nic; fi
	vips_on_lo $BACKENDS
	for b in $BACKENDS; do
		web "$b"
	done
	case $1 in ipip | gue) backend_daemons ;; esac
	edge_config "$@"
	start edge
	_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
	eventually 10 _serves || fatal "no service on $VIP within 10 s"
}

# ---- UDP -------------------------------------------------------------------------------
# udp_server NAMESPACE [PORT]: says who asks, on the VIPs of `vips_on_lo`.
udp_server() {
	local ns=$1 port=${2:-53}
	shift 2
	[ $# -gt 0 ] || set -- $VIP $VIP2 $VIP6 $VIP62
	(exec nsenter --net=/run/netns/"$ns" "$PYTHON" "$TOP/tests/net/udp.py" serve "$ns" "$port" "$@" \
		>"$T/udp-$ns-$port" 2>"$T/udp-$ns.log") &
	PID[udp-$ns-$port]=$!
	eventually 10 test -s "$T/udp-$ns-$port" || fatal "the UDP server in $ns does not start"
}

# udp_config DELIVERY [FAMILY of the backends]: `dns`, UDP, and `web`, TCP, both on port 53 of
# the first VIP pair; FLOWS is on or off, TIMEOUTS and LIMITS as in the file.
udp_config() {
	local b address backends=
	for b in ${MEMBERS:-$BACKENDS}; do
		address=10.0.${NET:-0}.1${b#b}
		[ "${2:-4}" = 6 ] && address="\"fd00:${NET:-0}::1${b#b}\""
		backends+="{name: $b, address: $address}, "
	done
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}$([ "${NET:-0}" = 1 ] && echo ', {name: eth1, attach: native}')]
		services:
		  - name: dns
		    vips: [$VIP, "$VIP6"]
		    protocol: udp
		    ports: [53]
		    delivery: $1
		    flows: ${FLOWS:-on}
		    backends: [${backends%, }]
		  - name: web
		    vips: [$VIP, "$VIP6"]
		    ports: [53, 80]
		    delivery: $1
		    backends: [${backends%, }]
		${TIMEOUTS:+timeouts: $TIMEOUTS}
		${LIMITS:+limits: $LIMITS}
	YAML
}

# Three UDP servers behind an edge; DELIVERY [FAMILY of the backends].
three_udp() {
	local b
	if [ "${NET:-0}" = 1 ]; then two_nics; else one_nic; fi
	vips_on_lo $BACKENDS
	for b in $BACKENDS; do
		udp_server "$b" 53
		[ "$1" = ipip ] || continue
		config "$b" <<-YAML
			interfaces: [{name: eth0, attach: native}]
			services:
			  - {name: dns, vips: [$VIP, "$VIP6"], protocol: udp, ports: [53], own: false, delivery: workers}
			  - {name: web, vips: [$VIP, "$VIP6"], ports: [53, 80], own: false, delivery: workers}
		YAML
		start "$b"
	done
	udp_config "$@"
	start edge
	_answers() { [ "$(udp_get $VIP 12 | grep -c '^b')" = 12 ]; }
	eventually 10 _answers || fatal "no service on $VIP within 10 s"
}
udp_get() { # ADDRESS COUNT [ARGUMENTS]
	local address=$1 count=$2
	shift 2
	in_ns client "$PYTHON" "$TOP/tests/net/udp.py" get "$address" "${PORT:-53}" "$count" "$@"
}

# udp_flows [JQ CONDITION]: how many UDP flows `flow list` has.
udp_flows() { t --json flow list --protocol udp --limit 100000 | jq "[.[] | select(${1:-true})] | length"; }
udp_flows_are() { [ "$(udp_flows "${2:-}")" = "$1" ]; }
# udp_counted COUNT [VIP]: asks on all that are held until their flows count: two ticks have to
# see them.
_counted() {
	ask >/dev/null
	[ "$(udp_flows ".state == \"udp\" and .vip == \"$2\"")" = "$1" ]
}
udp_counted() { eventually 10 _counted "$1" "${2:-$VIP}" || fatal "$1 UDP flows do not count within 10 s"; }

# ---- clients ------------------------------------------------------------------------
# get ADDRESS COUNT [ARGUMENTS]: so many connections one after another, a line for each.
get() {
	local address=$1 count=$2
	shift 2
	in_ns client "$PYTHON" "$TOP/tests/net/client.py" get "$address" "${PORT:-80}" "$count" "$@"
}

# tally: lines of `get` to "b1=12 b2=9 failed=1", in order of names.
tally() {
	awk '{n[$1]++} END {for (k in n) print k "=" n[k]}' | sort | tr '\n' ' ' | sed 's/ $//'
}
count_of() { # NAME, of lines on stdin
	grep -c "^$1 " || true
}

# hold ADDRESS COUNT: keeps so many connections open and sets HELD to a line for each;
# then `ask` sends a request on every one and prints the lines anew. With HOLDER=udp.py they are
# UDP sockets.
hold() {
	coproc HOLD { in_ns client "$PYTHON" "$TOP/tests/net/${HOLDER:-client.py}" hold "$1" "${PORT:-80}" "$2" 2>"$T/hold.log"; }
	# Descriptors of a coprocess are closed in subshells, copies of them are not.
	exec {HOLD_IN}>&"${HOLD[1]}" {HOLD_OUT}<&"${HOLD[0]}"
	HELD=$(_hold_reply)
	[ "$(echo "$HELD" | grep -vc '^lost')" = "$2" ] || fatal "holding $2 connections to $1"
}
_hold_reply() {
	local line
	while read -r -t $((30 * TUNDISH_TEST_SLOW)) line <&"$HOLD_OUT"; do
		[ "$line" = . ] && return 0
		echo "$line"
	done
	return 1
}
ask() {
	echo ask >&"$HOLD_IN"
	_hold_reply
}
release() {
	echo close >&"$HOLD_IN"
	_hold_reply
}

# load ADDRESS: requests from four threads until end_load, which sets REQUESTS, FAILURES
# and SLOW (those that took over 0.9 s: a lost packet) and prints who answered how many.
load() {
	(exec nsenter --net=/run/netns/client "$PYTHON" "$TOP/tests/net/client.py" load "$1" "${PORT:-80}" "${LOAD_SECONDS:-120}" \
		>"$T/load" 2>"$T/load.log") &
	PID[load]=$!
	eventually 5 test -s "$T/load" || fatal "load does not start"
}
end_load() {
	kill -TERM "${PID[load]}"
	wait "${PID[load]}" # a child of this shell only, so never in a subshell
	# shellcheck disable=SC2034 # for the caller
	read -r _ REQUESTS _ FAILURES _ SLOW _ < <(tail -n 1 "$T/load")
	sed '1d;$d' "$T/load"
}

# spread NAME ADDRESS CLIENT: sixty connections reach all three backends, and each
# backend sees the client's own address and the VIP.
spread() {
	local lines b
	lines=$(get "$2" 60)
	is "$1: sixty of sixty connections are served" "$(echo "$lines" | grep -c "^b[123] $3 $2 80$")" 60
	for b in $BACKENDS; do
		between "$1: $b has its share" "$(echo "$lines" | count_of "$b")" 6 40
	done
}

# steady: the held connections answer as they did before, none lost ($HELD).
steady() { # NAME
	local changed
	if changed=$(diff <(echo "$HELD") <(ask)); then
		ok "$1"
	else
		not_ok "$1 ($(echo "$changed" | grep -c '^<') of $(echo "$HELD" | wc -l) changed, such as: $(echo "$changed" | grep -E '^[<>]' | sort -u | head -n 3 | xargs))"
	fi
}

mode_of() { # INTERFACE: native, generic, ... as the kernel tells it, not the daemon
	case $(ip -n "${NS:-edge}" -j -d link show "$1" | jq -r '.[0].xdp.mode // 0') in
	1) echo native ;;
	2) echo generic ;;
	3) echo offload ;;
	4) echo several ;;
	*) echo none ;;
	esac
}

# objects NAMESPACE: "map ID" and "prog ID" of all that its daemon has made, for `gone`.
objects() {
	local path kind
	for path in /sys/fs/bpf/"$1"/*; do
		for kind in map prog; do
			bpftool -j "$kind" show pinned "$path" 2>/dev/null | jq -r "\"$kind \(.id // empty)\""
		done
	done
	in_ns "$1" ip -j -d link show | jq -r '.[].xdp.prog.id // empty | "prog \(.)"'
}
# gone LINES: the kernel has none of these objects any more.
gone() {
	local kind id
	while read -r kind id; do
		! bpftool "$kind" show id "$id" >/dev/null 2>&1 || return 1
	done <<<"$1"
}

# field N of JSON: jq over a command's --json output.
backend_field() { # BACKEND FIELD [SERVICE]
	t --json backend list | jq -r --arg b "$1" --arg s "${3:-web}" \
		".[] | select(.name == \$b and .service == \$s) | .$2"
}
counter() { # NAME, of /metrics or the map: the data path's own count
	bpftool -j map dump pinned /sys/fs/bpf/"${NS:-edge}"/counters |
		jq "[.[].formatted.values[].value.$1] | add"
}

# ---- worker groups ----------------------------------------------------------------------
# `app` on $VIP and $VIP6, port 80, in front of all listeners on [::]:8080; servers are
# $BUILD/bench/server (workers NAME0, NAME1, ...), clients $BUILD/bench/connections.
LISTEN='[::]:8080'

# group_host [BACKEND...]: the client, with seventeen addresses, and the edge; no backends
# unless they are named.
group_host() {
	local i
	BACKENDS=$*
	one_nic
	for i in {0..15}; do
		add_address client eth0 10.0.0.$((151 + i))/24
		# Without a preference, or others would no longer come from the client's first one.
		ip -n client addr add "$(printf 'fd00:0::%x/64' $((0x151 + i)))" dev eth0 nodad preferred_lft 0
	done
}

# app_config [KEYS of workers, [LINES of services]]. In a slow machine `stall` is longer, or all
# workers were held to be stalled, and the next in turn no worse than the others.
app_config() {
	local stall=
	[ "$TUNDISH_TEST_SLOW" = 1 ] || stall=", stall: $((50 * TUNDISH_TEST_SLOW))ms"
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - name: app
		    vips: [$VIP, "$VIP6"]
		    ports: [80]
		    delivery: workers
		    workers: {listen: "$LISTEN"$stall${1:+, $1}}
		${2-}
	YAML
}

# several_host: the edge is one of two backends, beside b1 with its nginx. Then
# several_config DELIVERY FAMILY [KEYS of workers]: `app` with `here` and `b1`.
several_host() {
	group_host b1
	vips_on_lo b1
	web b1
	backend_daemons
}
several_config() {
	local here=10.0.0.1 b1=10.0.0.11
	[ "$2" = 4 ] || here=fd00:0::1 b1=fd00:0::11
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - name: app
		    vips: [$VIP, "$VIP6"]
		    ports: [80]
		    delivery: $1
		    backends: [{name: here, address: "${HERE:-$here}"}, {name: b1, address: "$b1"}]
		    workers: {listen: "$LISTEN", restart_grace: 1s${3:+, $3}}
	YAML
}
# of FIELD [BACKEND]: of the present one, where a former one of the name still has connections.
of() {
	t --json backend list app |
		jq -r --arg b "${2:-here}" ".[] | select(.name == \$b and (.leaving | not)) | .$1"
}
backend_is() { [ "$(of state)/$(of health)" = "$1" ]; } # STATE/HEALTH
attention() { t --json status | jq -r '.attention[] | "\(.what): \(.why)"'; }
_any_worker() { [ "$(t --json worker list app | jq length)" -gt 0 ]; }
# becomes STATE/HEALTH: `here` does, and the metric and `status` say the same.
becomes() {
	local up=0
	# At first it is up because nothing is known yet.
	[ "$1" != up/up ] || check "$TAG: workers are found" eventually 10 _any_worker
	check "$TAG: here becomes $1" eventually 15 backend_is "$1"
	[ "${1#*/}" = down ] || up=1
	is "$TAG: so says the metric" "$(in_ns edge curl -s http://127.0.0.1:9799/metrics |
		sed -n 's/^tundish_backend_up{service="app",backend="here"} //p')" $up
}
# all_go NAME PATTERN: forty new connections on each VIP, all to servers of this name. From ports that
# had none before: where a connection died with its server its port leads there again.
FRESH_PORT=10000
all_go() {
	local address
	for address in $VIP $VIP6; do
		in_ns client sysctl -qw net.ipv4.ip_local_port_range="$FRESH_PORT $((FRESH_PORT + 199))"
		FRESH_PORT=$((FRESH_PORT + 200))
		is "$TAG: $address: $1" "$(get "$address" 40 | grep -cE "$2")" 40
	done
	in_ns client sysctl -qw net.ipv4.ip_local_port_range='32768 60999'
}

# serve NAME [ARGUMENTS]: a server on the edge; returns when all its workers listen.
# Its output is $T/NAME.out, its workers' processes are `worker_pid NAME 0`, ...
serve() {
	local name=$1
	shift
	rm -f "$T/$name.pids"
	# shellcheck disable=SC2086 # several words
	(exec nsenter --net=/run/netns/"${SERVE_NS:-edge}" ${PRIORITY-} "$BUILD/bench/server" --name "$name" \
		--pids "$T/$name.pids" "$@" ${ADDRESSES-$LISTEN} >"$T/$name.out" 2>"$T/$name.log") &
	PID[$name]=$!
	eventually 10 test -s "$T/$name.pids" || fatal "server $name does not start"
}
# end_server NAME [SIGNAL]: and waits until it has gone.
end_server() {
	kill -"${2:-TERM}" "${PID[$1]}"
	wait "${PID[$1]}" 2>/dev/null
}
worker_pid() { sed -n $(($2 + 1))p "$T/$1.pids"; } # NAME NUMBER

# flood ADDRESS RATE COUNT [ARGUMENTS]: so many connections per second, and waits for their
# end. Sets RESULT, of which `result FIELD...` prints fields.
flood() {
	flood_start flood "$@"
	flood_wait flood
}
# flood_start NAME ADDRESS RATE COUNT [ARGUMENTS]: the same, without waiting. In a slow machine the
# rate is lower, --timeout longer, and at most OPEN (32) connections are open: no more are begun than
# end. Where more shall wait in queues the scenario says how many.
flood_start() {
	local name=$1 address=$2 rate=$(($3 / TUNDISH_TEST_SLOW)) count=$4 first=10.0.0.151 timeout=10000 pace=
	shift 4
	[ "${1-}" != --timeout ] || { timeout=$2 && shift 2; }
	case $address in *:*) first=fd00:0::151 ;; esac
	[ "$rate" -gt 0 ] || rate=1
	[ "$TUNDISH_TEST_SLOW" = 1 ] || pace="--pace --concurrent ${OPEN:-32}"
	# Not in a subshell of its own, so that the caller can wait for it.
	# shellcheck disable=SC2086 # several words
	(exec nsenter --net=/run/netns/client ${PRIORITY-} "$BUILD/bench/connections" "$address" "${PORT:-80}" \
		--rate $rate --count "$count" --sources $first,16 --tally --timeout $((timeout * TUNDISH_TEST_SLOW)) \
		$pace "$@" >"$T/$name.json" 2>"$T/$name.log") &
	PID[$name]=$!
}
# flood_goes NAME: connections of it are answered.
flood_goes() { eventually 10 test -s "$T/$1.json" || fatal "no connection of $1 is answered"; }
# flood_wait NAME: until all have ended; flood_end NAME: begins no more, then the same.
flood_wait() {
	wait "${PID[$1]}"
	RESULT=$(tail -n 1 "$T/$1.json")
	case $RESULT in '{'*) ;; *) fatal "no result of $1: $RESULT $(cat "$T/$1.log")" ;; esac
}
flood_end() {
	kill -TERM "${PID[$1]}"
	flood_wait "$1"
}
result() { # FIELD...: one word each
	local field out=''
	for field; do
		out="$out$(echo "$RESULT" | jq -r ".$field // 0") "
	done
	echo "${out% }"
}
answered_by() { echo "$RESULT" | jq -r "[.tally | to_entries[] | select(.key | test(\"$1\")) | .value] | add // 0"; }
# all_answered NAME: none of RESULT was lost.
all_answered() {
	if [ "$(result lost misplaced)" = '0 0' ] && [ "$(result answered)" != 0 ]; then
		ok "$1 ($(result answered) connections)"
	else
		not_ok "$1 ($RESULT)"
	fi
}

# worker_field PID FIELD, of `worker list`; workers PATTERN: how many have such a state.
worker_field() { t --json worker list | jq -r ".[] | select(.pid == $1) | .$2"; }
worker_is() { [ "$(worker_field "$1" state)" = "$2" ]; }
workers() { t --json worker list app | jq "[.[] | select(.state | test(\"${1:-.}\"))] | length"; }
workers_are() { [ "$(workers "${2:-.}")" = "$1" ]; }
queued() { t --json worker list app | jq '[.[].queue_depth] | add // 0'; }
queued_are() { [ "$(queued)" -ge "$1" ]; }
# refused_syns SERVICE REASON: full, share, empty; as the data path counts them.
refused_syns() {
	local id
	id=$(bpftool -j map dump pinned /sys/fs/bpf/edge/services |
		jq ".[].formatted | select(.value.name == \"$1\") | .key")
	bpftool -j map dump pinned /sys/fs/bpf/edge/steering |
		jq ".[].formatted | select(.key == ${id:-0}) | .value.refused[{full: 0, share: 1, empty: 2}.$2]"
}

# group_nginx [WORKERS]: with a master, and listeners of its own for each worker; answers
# "PID ADDRESS PORT". group_haproxy [THREADS]: master and worker, a listener for each thread.
group_nginx() {
	local dir=$T/group-nginx
	mkdir -p "$dir"
	cat >"$dir/nginx.conf" <<-CONF
		daemon off;
		pid $dir/pid;
		error_log stderr warn;
		worker_processes ${1:-4};
		worker_rlimit_nofile 16384;
		events { worker_connections 8192; }
		http {
			access_log off;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			server {
				listen $LISTEN reuseport ipv6only=off backlog=4096;
				location / { return 200 "\$pid \$server_addr \$server_port\n"; }
			}
		}
	CONF
	# shellcheck disable=SC2086 # several words
	(exec nsenter --net=/run/netns/edge ${PRIORITY-} nginx -p "$dir" -e stderr -c "$dir/nginx.conf" \
		>"$T/group-nginx.log" 2>&1) &
	PID[group_nginx]=$!
}
group_haproxy() {
	cat >"$T/haproxy.cfg" <<-CFG
		global
			nbthread ${1:-4}
			maxconn 8192
			hard-stop-after 30s
		defaults
			mode http
			timeout connect 5s
			timeout client 30s
			timeout server 30s
		frontend app
			bind :::${LISTEN##*:} v4v6 shards by-thread backlog 4096
			http-request return status 200 content-type text/plain lf-string "%pid %[dst] %[dst_port]\n"
	CFG
	# shellcheck disable=SC2086 # several words
	(exec nsenter --net=/run/netns/edge ${PRIORITY-} haproxy -W -db -f "$T/haproxy.cfg" \
		>"$T/group-haproxy.log" 2>&1) &
	PID[group_haproxy]=$!
}
# children PROCESS; renewed PROCESS FORMER: it has children, and of these none is left.
children() { pgrep -P "$1" | sort -n | xargs; }
# The former ones may stay as long as they have connections.
renewed() {
	local now child
	now=$(children "$1")
	[ -n "$now" ] || return 1
	for child in $2; do
		[[ " $now " != *" $child "* ]] || return 1
	done
}

# ---- doctor ---------------------------------------------------------------------------------
# doctor [ARGUMENTS]: looks at the edge; sets DOCTOR (the rows) and DOCTOR_EXIT.
doctor() {
	DOCTOR=$(t --json doctor "$@" 2>"$T/doctor.log")
	DOCTOR_EXIT=$?
	echo "$DOCTOR" | jq -r '.[] | select(.verdict != "ok") | "\(.verdict) \(.id) \(.value)/\(.limit): \(.sentence)"' >>"$T/doctor.log"
}
# doctor_row ID FIELD: of the worst row with that id.
doctor_row() {
	echo "$DOCTOR" | jq -r "[.[] | select(.id == \"$1\")] |
		max_by(.verdict as \$v | [\"ok\", \"note\", \"warn\", \"bad\"] | index(\$v)) | .$2"
}
# doctor_says NAME ID VERDICT SETTING SENTENCE: the row is so, its texts match the patterns, and
# the exit status tells of it.
doctor_says() {
	local verdict setting sentence
	verdict=$(doctor_row "$2" verdict) setting=$(doctor_row "$2" setting) sentence=$(doctor_row "$2" sentence)
	if [ "$verdict $DOCTOR_EXIT" = "$3 5" ] && [[ $setting =~ $4 ]] && [[ $sentence =~ $5 ]]; then
		ok "$1"
	else
		not_ok "$1 (exit $DOCTOR_EXIT, $2 is $verdict: \"$sentence\", change \"$setting\")"
	fi
}
# Rows that concern the whole machine, where other tests may be at work.
HOST_ROWS='["softnet_backlog", "tcp_mem", "orphans", "host_files", "capacity"]'
# doctor_quiet NAME: nothing is wrong in this network namespace, and the exit status says so
# unless something is wrong with the machine.
doctor_quiet() {
	local wrong host
	wrong=$(echo "$DOCTOR" | jq -c "[.[] | select(.wrong) | .id] - $HOST_ROWS")
	host=$(echo "$DOCTOR" | jq '[.[] | select(.wrong)] | length')
	if [ "$wrong" = '[]' ] && [ "$DOCTOR_EXIT" = "$([ "$host" = 0 ] && echo 0 || echo 5)" ]; then
		ok "$1"
	else
		not_ok "$1 (exit $DOCTOR_EXIT, wrong: $wrong; $(echo "$DOCTOR" | jq -c '[.[] | select(.wrong) | .sentence]'))"
	fi
}
# doctor_host: the edge with the default range of source ports, and the client.
doctor_host() {
	group_host
	in_ns edge sysctl -qw net.ipv4.ip_local_port_range='32768 60999' net.core.somaxconn=4096
}

# ---- source ports --------------------------------------------------------------------
# Outgoing connections of the edge, to servers on the client.
port_host() {
	BACKENDS=
	one_nic
}

# Very many of something on the edge (crowd.py), until crowd_end.
crowd() { # WHAT PROCESSES N
	rm -f "$T/crowd.in" "$T/crowd.out"
	mkfifo "$T/crowd.in"
	(exec nsenter --net=/run/netns/edge $PYTHON "$TOP/tests/net/crowd.py" "$@" \
		<"$T/crowd.in" >"$T/crowd.out" 2>"$T/crowd.log") &
	PID[crowd]=$!
	exec {crowd}>"$T/crowd.in"
	eventually 60 grep -q ready "$T/crowd.out" || fatal "no $2 processes with $3 $1"
}
crowd_end() {
	exec {crowd}>&-
	wait "${PID[crowd]}"
}

# ports_config [KEYS of ports, [LINES]]
ports_config() {
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		ports: {watch: on${1:+, $1}}
		${2-}
	YAML
}

# port_server NAMESPACE ADDRESS PORT [ARGUMENTS]: of ports.py; returns when it listens.
port_server() {
	local ns=$1 out
	shift
	out=$T/serve-$ns-${1//:/_}-$2.out
	rm -f "$out" # what another one said there
	(exec nsenter --net=/run/netns/"$ns" $PYTHON "$TOP/tests/net/ports.py" serve "$@" >"$out" 2>&1) &
	PID[serve-$1-$2]=$!
	eventually 10 grep -q ready "$out" || fatal "the server on $1 port $2 does not start"
}

# ports_client NAMESPACE NAME ARGUMENTS: of ports.py; returns when it has done what it does,
# and what it keeps is kept until `ports_end NAME`.
declare -A KEPT
# In a child: lets go what would keep others from their end.
_unkept() {
	local fd
	for fd in "${KEPT[@]}"; do
		exec {fd}>&-
	done
}
ports_client() {
	local ns=$1 name=$2 fd
	shift 2
	rm -f "$T/$name.in" "$T/$name.out"
	mkfifo "$T/$name.in"
	(_unkept && exec nsenter --net=/run/netns/"$ns" $PYTHON "$TOP/tests/net/ports.py" "$@" \
		<"$T/$name.in" >"$T/$name.out" 2>"$T/$name.log") &
	PID[$name]=$!
	exec {fd}>"$T/$name.in"
	KEPT[$name]=$fd
	eventually 60 test -s "$T/$name.out" || fatal "$name does not come to its end"
}
ports_end() {
	local fd=${KEPT[$1]}
	exec {fd}>&-
	wait "${PID[$1]}"
	unset "KEPT[$1]"
}
ports_pid() { echo "${PID[$1]}"; }
ports_opened() { jq .opened "$T/$1.out"; }
ports_refused() { jq '.errors.EADDRNOTAVAIL // 0' "$T/$1.out"; }

# port_field [--scan] REMOTE FIELD: of `port list`, the first such tuple.
port_field() {
	local scan=()
	[ "$1" != --scan ] || { scan=(--scan) && shift; }
	t --json port list "${scan[@]}" | jq -r "[.[] | select(.remote_ip == \"$1\")][0].$2"
}
# ss_count LOCAL REMOTE:PORT STATE: as ss tells it, in the edge.
ss_count() {
	in_ns "${4:-edge}" $PYTHON "$TOP/tests/net/ports.py" ss | jq ".[\"$1 $2\"].\"$3\" // 0"
}
has_event() { t events --once | grep -q "$1"; }

# ---- health checks by way of a delivery ---------------------------------------------------
# vip_web NAMESPACE NAME ADDRESS...: nginx on port 80 of these addresses alone. `/` answers "NAME
# client server port", /post reads the whole body and answers its length.
vip_web() {
	local ns=$1 name=$2 dir=$T/vipweb-$2 address listen=
	shift 2
	for address; do
		case $address in
		*:*) listen+="listen [$address]:80; " ;;
		*) listen+="listen $address:80; " ;;
		esac
	done
	mkdir -p "$dir"
	cat >"$dir/nginx.conf" <<-CONF
		daemon off;
		master_process off;
		pid $dir/pid;
		error_log stderr warn;
		events { worker_connections 512; }
		http {
			access_log off;
			$(_nginx_files "$dir")
			server {
				$listen
				location / { return 200 "$name \$remote_addr \$server_addr \$server_port\n"; }
				location /post { proxy_pass http://unix:$dir/sock:/; }
			}
			server {
				listen unix:$dir/sock;
				location / { return 200 "\$http_content_length\n"; }
			}
		}
	CONF
	_nginx "$ns" "$name" "$dir"
	PID[vipweb-$name]=$!
	eventually 10 test -S "$dir/sock" || fatal "nginx $name in $ns does not start"
}
vip_web_ends() { # NAME
	kill "${PID[vipweb-$1]}"
	wait "${PID[vipweb-$1]}" 2>/dev/null
	rm -f "$T/vipweb-$1/sock"
}
# way VIP PORT DELIVERY BACKEND: one check from the edge (tests/bench/bench_check_way.c), in one
# line; GUE_PORT, SOURCE, UDP, POST and PAST as there, DEVICES of the edge.
way() {
	# shellcheck disable=SC2086 # several words
	in_ns edge "$BUILD/bench/check_way" /sys/fs/bpf/way "$@" ${DEVICES-eth0} 2>&1 | grep . | xargs
}
# udp_way VIP PORT DELIVERY BACKEND: who answers, and 1 where it was led.
udp_way() { UDP=1 way "$@" | awk '{print $1, $NF == "led" && $(NF - 1) != "not"}'; }
# filters DEVICE: of ours, both directions, as tc itself lists them.
filters() {
	{ in_ns edge tc filter show dev "$1" ingress && in_ns edge tc filter show dev "$1" egress; } |
		grep -c 'handle.*name td_check_'
}
# One backend, which answers on the VIP alone; the edge owns the VIP as well.
way_host() {
	BACKENDS=b1
	one_nic
	vips_on_lo b1 edge
	vip_web b1 right $VIP $VIP6
	udp_server b1 53 $VIP $VIP6
}

# ---- cgroups ---------------------------------------------------------------------------
# cgroups NAME...: cgroups of this scenario's own, $CG/NAME, which end with it. They are the
# one thing that outlives the namespaces, so they are removed by hand.
cgroups() {
	local name
	CG=$(findmnt -n -t cgroup2 -o TARGET | head -n 1) || fatal 'no cgroup v2 tree is mounted'
	CG=$CG/tundish-net-$TDT_OUTER-$$
	trap '_cgroups_end; finish' EXIT
	mkdir "$CG" || fatal "no cgroup $CG"
	for name; do
		mkdir -p "$CG/$name"
	done
}
_cgroups_end() {
	_status=$?
	echo 1 >"$CG/cgroup.kill"
	_removed() {
		find "$CG" -depth -type d -exec rmdir {} +
		[ ! -e "$CG" ]
	}
	eventually 10 _removed 2>/dev/null
	return $_status
}
# in_cgroup NAME COMMAND...: in the edge's network namespace.
in_cgroup() {
	local name=$1
	shift
	# shellcheck disable=SC2016 # expanded there
	in_ns edge sh -c 'echo 0 >"$0/cgroup.procs"; exec "$@"' "$CG/$name" "$@"
}
# connects NAME ADDRESS COUNT [ARGUMENTS]: connections from that cgroup, one after the other,
# to port 80 unless told; an object with `opened`, `failed`, `errors` and `by` source.
connects() {
	local name=$1 address=$2 count=$3
	shift 3
	in_cgroup "$name" "$PYTHON" "$TOP/tests/net/connects.py" "$address" "${PORT:-80}" "$count" "$@"
}
# egress_sources COUNT: 10.0.0.201 and so on, and fd00:0::201, on the edge.
egress_sources() {
	local i
	for ((i = 1; i <= $1; i++)); do
		add_address edge eth0 10.0.0.$((200 + i))/32 fd00:0::$((200 + i))/128
	done
}
