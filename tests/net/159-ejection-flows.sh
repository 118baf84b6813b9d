#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What an ejection does to others, in figures, with dsr, ipip and nat: no established connection moves, not even
# one of the ejected server; of tuples whose server stays in the pool hardly any gets another one, and all have their
# former one again when it is back. And how long a dead server is still sent connections: refused within an interval,
# gone with its host within `fall` intervals and a timeout; those try again, and none fails.
. "$(dirname "$0")/translated.sh"
BACKENDS='b1 b2 b3 b4 b5'
plain_servers 1
# shellcheck disable=SC2086 # several words
vips_on_lo $BACKENDS
TUPLES=400 HELD_COUNT=200
# The tuples' ports are below what connections without a port of their own take.
in_ns client sysctl -qw net.ipv4.ip_local_port_range='32768 60999'

config_of() { # DELIVERY HEALTH
	local b
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - name: web
		    vips: [$VIP]
		    ports: [80]
		    delivery: $1
		    health: {rise: 1, $2}
		    backends:
		$(for b in $BACKENDS; do echo "      - {name: $b, address: 10.0.0.1${b#b}}"; done)
		limits: {flows: 16384, flows6: 1024, tuples: 1024, nat: 16384, lanes: 64}
	YAML
}
state_is() { [ "$(backend_field "$1" state)/$(backend_field "$1" health)" = "$2" ]; }
all_are() { for b in $BACKENDS; do state_is "$b" "$1" || return 1; done; }
# Who a connection from each of so many ports goes to, in their order.
tuples() { get $VIP $TUPLES --source-port 20000 --close | awk '{print ($1 == "failed") ? $0 : $1}'; }
# What became of those that have none, by how many.
without() { grep -v '^b' | sort | uniq -c | xargs; }
# Segments that a server knew nothing of.
strangers() { for b in $BACKENDS; do in_ns "$b" nstat -asz TcpOutRsts | awk '/TcpOutRsts/ {print $2}'; done | xargs; }
# differ BEFORE AFTER [BACKEND]: tuples with another server than before, without those that were BACKEND's.
differ() { paste <(echo "$1") <(echo "$2") | awk -v b="${3-}" '$1 != b && $1 != $2 {n++} END {print n + 0}'; }

# stream NAME: two hundred connections a second in the background; stream_ends sets STREAM.
stream() {
	(exec nsenter --net=/run/netns/client "$PYTHON" "$TOP/tests/net/client.py" stream $VIP 80 20 >"$T/stream" 2>"$T/stream.log") &
	PID[stream]=$!
	eventually 5 grep -q started "$T/stream" || fatal 'no stream'
}
stream_ends() {
	kill -TERM "${PID[stream]}"
	wait "${PID[stream]}"
	STREAM=$(tail -n +2 "$T/stream")
}
# Of STREAM: "HOW_MANY LAST", in milliseconds after SINCE, that became of this.
became() {
	awk -v w="$1" -v s="$2" '$3 == w {n++; last = ($1 - s / 1e6) * 1000} END {printf "%d %d\n", n, last}' <<<"$STREAM"
}
# out BACKEND SINCE: milliseconds from then until its slots were another's, as the daemon tells it.
out() {
	local at
	at=$(t --json events --once | jq -r "[.[] | select(.event == \"slots\" and (.reason | startswith(\"$1 gets no new\")))][-1].time // empty")
	echo $(($(date -d "${at:-1970-01-01}" +%s%3N) - $2 / 1000))
}
failed() { grep -cvE ' (b[1-5])$' <<<"$STREAM" || true; }

touch "$T"/up-b{1..5}
cat >"$T/alive" <<-SH && chmod +x "$T/alive"
	#!/bin/sh
	test -e $T/up-\$TUNDISH_BACKEND
SH
for way in ${WAYS:-dsr ipip nat}; do
	case $way in
	dsr) for b in $BACKENDS; do ip -n "$b" route add 10.0.9.0/24 dev eth0; done ;;
	ipip) backend_daemons ;;
	nat) for b in $BACKENDS; do
		stop "$b"
		tun "$b" unload >/dev/null
		ip -n "$b" route del 10.0.9.0/24 dev eth0
		ip -n "$b" addr del $VIP/32 dev lo
	done ;;
	esac
	config_of $way "type: exec, command: $T/alive, interval: 100ms, fall: 1"
	if [ $way = dsr ]; then start edge; else check "$way: reload" reload; fi
	_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
	eventually 10 _serves || fatal "$way: no service on $VIP within 10 s"
	check "$way: all are up" eventually 10 all_are up/up

	# ---- who moves -------------------------------------------------------------------------
	hold $VIP $HELD_COUNT
	before=$(tuples)
	is "$way: of $TUPLES tuples all have a server" "$(without <<<"$before")" ''
	[ $way != dsr ] || is "$way: and the same a second time" "$(differ "$before" "$(tuples)")" 0
	unknown=$(strangers)
	rm "$T/up-b2"
	check "$way: b2 is ejected" eventually 5 state_is b2 down/down
	steady "$way: of $HELD_COUNT established connections none moves or ends"
	after=$(tuples)
	is "$way: b2 gets nothing new" "$(grep -c '^b2' <<<"$after")" 0
	moved=$(differ "$before" "$after" b2) others=$(grep -cv '^b2' <<<"$before")
	between "$way: of $others tuples of others so many have another server now" "$moved" 0 $((others * 3 / 100))
	steady "$way: established connections are where they were"
	touch "$T/up-b2"
	check "$way: b2 is back" eventually 5 all_are up/up
	# A translated connection that is over keeps its record for a while, and with it the interim server.
	[ $way = nat ] && interim=b2 || interim=
	is "$way: each tuple has the server that it had" "$(differ "$before" "$(tuples)" "$interim")" 0
	steady "$way: and each established connection"
	is "$way: no server saw a segment of a connection that it does not know" "$(strangers)" "$unknown"
	release >/dev/null

	# ---- how long a dead one is sent some ----------------------------------------------------
	config_of $way 'type: tcp, port: 80, interval: 200ms, timeout: 200ms, fall: 3'
	check "$way: reload with checks of the servers" reload
	check "$way: all are up" eventually 10 all_are up/up
	stream
	sleep 0.5 # some before it; not a wait for anything
	since=${EPOCHREALTIME/./}
	kill -KILL "${PID[web-b4]}" && wait "${PID[web-b4]}" 2>/dev/null
	died=${EPOCHREALTIME/./}
	eventually 5 state_is b4 down/down
	sleep 0.5
	stream_ends
	read -r n last < <(became refused "$since")
	between "$way: process gone: so many of $(wc -l <<<"$STREAM") are refused" "$n" 0 100
	ejected=$(out b4 "$since")
	timely "$way: and is out after so many ms, with an interval of 200 ms" "$ejected" 0 1000
	between "$way: the last one was begun so many ms after" "$last" 0 $((ejected + 50))
	# that process had these, and went with them
	is "$way: no other one fails" "$(($(failed) - n))" "$(awk -v d="$died" '($3 == "reset" || $3 == "closed") && $1 * 1e6 < d' <<<"$STREAM" | wc -l)"
	web b4
	check "$way: all are up" eventually 10 all_are up/up

	# Frames for it, as the edge sends them, whether or not it is there.
	(exec nsenter --net=/run/netns/switch tcpdump -i edge-eth0 -Q in -l -n -tt "ether dst $(ip -n b3 -j link show eth0 | jq -r '.[0].address') and (ip proto 4 or tcp[13] & 2 != 0)" \
		>"$T/syns" 2>"$T/tcpdump.log") &
	tcpdump=$!
	eventually 5 grep -q listening "$T/tcpdump.log" || fatal 'no tcpdump'
	stream
	sleep 0.5
	since=${EPOCHREALTIME/./}
	ip -n switch link set b3-eth0 nomaster
	cut=${EPOCHREALTIME/./}
	eventually 10 state_is b3 down/down || not_ok "$way: b3 is not down"
	sleep 0.5
	stream_ends
	kill $tcpdump && wait $tcpdump 2>/dev/null
	last=$(grep '10\.0\.9\.100.*Flags \[S' "$T/syns" | awk -v s="$since" '{last = ($1 - s / 1e6) * 1000} END {printf "%d\n", last}')
	ejected=$(out b3 "$since")
	timely "$way: host gone: it is out after so many ms, three intervals and a timeout being 800" "$ejected" 300 2500
	between "$way: the last SYN, of any attempt, was sent there so many ms after" "$last" 1 $((ejected + 50))
	# One that was established there and waited for its answer waits for ever: it is not moved.
	waited=$(awk -v c="$cut" '$3 == "timeout" && $1 * 1e6 < c' <<<"$STREAM" | wc -l)
	between "$way: of those that it had so many waited for an answer at that moment" "$waited" 0 20
	is "$way: who was sent there tries again, elsewhere: no other one of $(wc -l <<<"$STREAM") fails" "$(failed)" "$waited"
	ip -n switch link set b3-eth0 master front
	check "$way: all are up" eventually 10 all_are up/up
done
