#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A client with more than one half of the connections that its one address can have to one VIP and
# port is told, with how many VIPs would cure it; and that many do.
. "$(dirname "$0")/lib.sh"
FIRST=31000 MORE=2600 # below one half of 64512, and above
free=$(($(sed -n 's/^MemFree: *\([0-9]*\).*/\1/p' /proc/meminfo) / 1024))
if [ "$TUNDISH_TEST_SLOW" -gt 1 ]; then
	skip 'more than 33,000 connections of one client' 'this machine is slow'
	exit
elif [ "$free" -lt 1500 ]; then
	skip 'more than 33,000 connections of one client' "they take 0.4 GiB of kernel memory, and $free MiB are free"
	exit
fi
BACKENDS=b1
one_nic
vips_on_lo b1
in_ns b1 sh -c 'cd /proc/sys/net && echo 65535 >core/somaxconn && echo 65535 >ipv4/tcp_max_syn_backlog'
edge_config dsr
sed -i "s|vips: .*|vips: [$VIP, $VIP2]|" "$T/edge.yaml"
start edge
# A server that never accepts: its queue keeps them all, and no descriptor.
(exec nsenter --net=/run/netns/b1 "$PYTHON" - >"$T/server.out" 2>"$T/server.log" <<-'PY'
	import signal, socket
	s = socket.socket()
	s.bind(("", 80))
	s.listen(65535)
	print("ready", flush=True)
	signal.pause()
PY
) &
eventually 10 grep -q ready "$T/server.out" || fatal 'the server does not listen'
# hold_many NAME ADDRESS N: by as many processes as it takes, until their input ends.
EACH=$(ulimit -Hn)
[ "$EACH" != unlimited ] && [ "$EACH" -lt 8600 ] || EACH=8600
EACH=$((EACH - 100))
hold_many() {
	local name=$1 address=$2 left=$3 i=0 n fd
	mkfifo "$T/$name.in"
	while [ "$left" -gt 0 ]; do
		n=$((left < EACH ? left : EACH))
		# shellcheck disable=SC2094 # the same pipe for all of them
		(_unkept && ulimit -n "$(ulimit -Hn)" && exec nsenter --net=/run/netns/client "$PYTHON" "$TOP/tests/net/connects.py" \
			"$address" 80 "$n" --hold <"$T/$name.in" >"$T/$name.$i.out" 2>"$T/$name.log") &
		left=$((left - n)) i=$((i + 1))
	done
	exec {fd}>"$T/$name.in"
	KEPT[$name]=$fd
	_all_held() { [ "$(cat "$T/$name".*.out | wc -l)" = "$i" ]; }
	eventually 60 _all_held
	is "$name: $3 connections" "$(cat "$T/$name".*.out | jq -s '[.[].opened] | add')" "$3"
}
tuple() { t --json tuple list --top 5 | jq -r "[.[] | select(.vip == \"$1\")][0] | .$2 // 0"; }
active_is() { [ "$(tuple "$1" active)" = "$2" ]; }
metric() { in_ns edge curl -s http://127.0.0.1:9799/metrics | sed -n "s/^$1 //p"; }
attention() { t --json status | jq -r '.attention[] | select(.what | test("^client")) | "\(.what) \(.why); \(.do)"'; }
events() { t events --once | grep -c "$1"; }

hold_many many $VIP $FIRST
check 'all are counted' eventually 5 active_is $VIP $FIRST
is 'below one half one VIP will do' "$(tuple $VIP vips_needed)" 1
is 'which needs no attention' "$(attention)" ''

# Of the other parity, which is free: connect(2) finds a port at once, where it searched all of the first.
in_ns client sh -c 'echo 1025 65535 >/proc/sys/net/ipv4/ip_local_port_range'
hold_many more $VIP $MORE
check 'the others too' eventually 5 active_is $VIP $((FIRST + MORE))
is 'above one half it takes two' "$(tuple $VIP vips_needed)" 2
is 'of the ports that there can be' "$(tuple $VIP utilization | cut -c1-6)" 0.5208
is 'status says it, with the remedy' "$(attention)" \
	"client 10.0.0.100 has $((FIRST + MORE)) connections to $VIP port 80, of about 64512 that one address can have there; spread it over 2 VIPs (or ports), or let it use more addresses"
is 'the metric of the tuple' "$(metric "tundish_tuple_connections_active{client=\"10.0.0.100\",vip=\"$VIP\",port=\"80\",protocol=\"tcp\"}")" $((FIRST + MORE))
is 'and that of the fullest one' "$(metric tundish_tuple_utilization_max_ratio | cut -c1-6)" 0.5208
has() { [ "$(events "$1")" = 1 ]; }
check 'an event' eventually 30 has "client-half .*10.0.0.100 to $VIP:80.* connections .* 2 VIPs"

# The cure: the same number over two VIPs.
fd=${KEPT[many]}
exec {fd}>&-
unset "KEPT[many]"
check 'the client lets go' eventually 30 active_is $VIP $MORE
hold_many spread $VIP2 $FIRST
check 'and comes by the other VIP' eventually 5 active_is $VIP2 $FIRST
check 'the event that it is over' eventually 30 has "client-half-over .*10.0.0.100 to $VIP:80"
is 'no attention any more' "$(attention)" ''
is 'each was told once' "$(events 'client-half ')" 1
