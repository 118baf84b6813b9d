#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# doctor tells when what an XDP program sends is lost: a veth whose peer takes no XDP frames.
. "$(dirname "$0")/lib.sh"
add_ns client
add_ns edge
ip link add eth0 netns edge type veth peer name eth0 netns client
ip -n edge link set eth0 up
ip -n client link set eth0 up
add_address edge eth0 10.0.0.1/24
add_address client eth0 10.0.0.100/24
ip -n client route add 192.0.2.0/24 dev eth0
in_ns edge sysctl -qw net.ipv4.ip_local_port_range='32768 60999'
app_config # which answers pings to the VIP from XDP
start edge
errors() { in_ns edge ethtool -S eth0 | awk '/xdp_tx_errors/ {n += $2} END {print n}'; }
(exec nsenter --net=/run/netns/client ping -q -i 0.05 -w $((60 * TUNDISH_TEST_SLOW)) "$VIP" >"$T/ping.log" 2>&1) &
ping=$!
_lost() { [ "$(errors)" -gt 0 ]; }
check 'answers are lost' eventually 10 _lost
doctor
doctor_says 'which is told' xdp_errors bad '' 'eth0 loses packets that its XDP program sends on'
between 'as many as the driver counts' "$(doctor_row xdp_errors drops_boot)" 5 "$(errors)"
kill $ping
wait $ping
doctor
doctor_quiet 'afterwards it is the past'
is 'and told' "$(doctor_row xdp_errors verdict)" warn
