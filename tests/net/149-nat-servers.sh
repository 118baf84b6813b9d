#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Other plain servers behind nat and fullnat: iperf3 (TCP either way and both at once, UDP) and
# Python's own.
# parallel: yes
. "$(dirname "$0")/translated.sh"
BACKENDS=b1
plain_servers 2
mkdir -p "$T/files" && head -c 100000 /dev/urandom >"$T/files/some"
(cd "$T/files" && exec nsenter --net=/run/netns/b1 "$PYTHON" -m http.server 8000 --bind :: >/dev/null 2>&1) &
(exec nsenter --net=/run/netns/b1 iperf3 -s >"$T/iperf3-server.log" 2>&1) &

behind() { # DELIVERY
	local source=
	[ "$1" = nat ] || source='sources: [10.0.1.250, "fd00:1::250"]'
	config edge <<-YAML
		interfaces: [{name: eth0}, {name: eth1}]
		services:
		$(for protocol in tcp udp; do for family in 4 6; do
			vip=$VIP server=10.0.1.11
			[ $family = 4 ] || vip=$VIP6 server=fd00:1::11
			echo "  - {name: $protocol$family, vips: [\"$vip\"], protocol: $protocol, ports: [5201, 8000], delivery: $1, $source${source:+, }backends: [{name: b1, address: \"$server\"}]}"
		done; done)
		limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 1024, lanes: 64}
	YAML
}
iperf() { in_ns client timeout 30 iperf3 -J -c "$@" >"$T/iperf3.json" 2>&1; }
whole() { in_ns client curl -gsm 10 "http://$(bracket "$1"):8000/some" | cmp -s - "$T/files/some"; }

overruns() { for b in $BACKENDS; do in_ns $b nstat -asz; done | awk '/RcvbufErrors/ {n += $2} END {print n + 0}'; }
for delivery in nat fullnat; do
	behind $delivery
	if [ $delivery = nat ]; then start edge; else reload; fi
	for vip in $VIP $VIP6; do
		eventually 10 whole $vip || fatal "$delivery $vip: no service"
		check "$delivery $vip: a file of Python's server is whole" whole $vip
		check "$delivery $vip: iperf3 sends" iperf $vip -t 1
		between "$delivery $vip: megabits a second" "$(jq '.end.sum_received.bits_per_second / 1e6 | floor' "$T/iperf3.json")" 10 100000
		check "$delivery $vip: iperf3 receives" iperf $vip -t 1 -R
		check "$delivery $vip: four streams both ways" iperf $vip -t 1 -P 4 --bidir
		overrun=$(overruns)
		check "$delivery $vip: UDP" iperf $vip -t 1 -u -b 20M -l 1200
		# on the way: what its server has not read in time is the server's
		between "$delivery $vip: of UDP a hundredth is lost at most" \
			"$(jq ".end.sum | (.lost_packets - $(($(overruns) - overrun))) * 100 / .packets | floor" "$T/iperf3.json")" -1 1
		check "$delivery $vip: UDP from the server" iperf $vip -t 1 -u -b 20M -l 1200 -R
	done
done
is 'nothing was dropped' "$(t --json status | jq -c '[.drops | to_entries[] | select(.value > 0)]')" '[]'
