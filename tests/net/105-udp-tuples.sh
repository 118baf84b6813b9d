#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# UDP flows per (client, VIP, port) are counted exactly, apart from TCP on the same port.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_udp dsr
for b in $BACKENDS; do web $b; done
add_address client eth0 10.0.0.101/24 fd00::101/64
tuple() { # PROTOCOL CLIENT PORT FIELD
	t --json tuple list | jq -r --arg c "$2" '.[] | select(.protocol == "'"$1"'" and .client == $c and .vip == "'$VIP'" and .port == '"$3"') | '".$4"
}
udp_get $VIP 25 --source 10.0.0.101 >/dev/null
is 'single packets count nowhere' "$(tuple udp 10.0.0.101 53 total)" ''
get $VIP 7 --source 10.0.0.101 >/dev/null
HOLDER=udp.py PORT=53 hold $VIP 30
udp_counted 30
is 'thirty flows are active' "$(tuple udp 10.0.0.100 53 active)" 30
is 'and all there were' "$(tuple udp 10.0.0.100 53 total)" 30
steady 'they go on'
is 'they count once' "$(tuple udp 10.0.0.100 53 total)" 30
_seven() { [ "$(tuple tcp 10.0.0.101 80 total)" = 7 ]; }
check 'TCP has seven, of its own' eventually 5 _seven
is 'TCP has none on that port' "$(tuple tcp 10.0.0.100 53 total)" ''
is 'the metric tells them apart' "$(in_ns edge curl -s http://127.0.0.1:9799/metrics | grep -c "^tundish_tuple_connections_active{client=\"10.0.0.100\",vip=\"$VIP\",port=\"53\",protocol=\"udp\"} 30$")" 1
is 'the kernel has it too' "$(bpftool -j map dump pinned /sys/fs/bpf/edge/tuples | jq '[.[].formatted.value.entry[] | select(.vip >= 32768)] | length')" 1
