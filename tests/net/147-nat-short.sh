#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# 20,000 short connections through one source address with 10,000 ports to one server port:
# no port comes too early for the server, and what is beyond the budget is refused and counted.
. "$(dirname "$0")/translated.sh"
BACKENDS=b1
plain_servers 2
translate() {
	config edge <<-YAML
		interfaces: [{name: eth0}, {name: eth1}]
		services:
		  - name: web
		    vips: [$VIP]
		    ports: [80]
		    delivery: fullnat
		    sources: [10.0.1.250]
		    source_ports: 20000-29999
		    early_reuse: $1
		    time_wait: 60s
		    backends: [{name: b1, address: 10.0.1.11, port: 8080}]
		limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 32768, lanes: 64}
	YAML
}
translate on
start edge || fatal 'tundishd does not start'
eventually 10 in_ns client curl -sm 1 http://$VIP/ || fatal 'no service'
in_ns client sh -c 'echo 262144 >/proc/sys/net/ipv4/tcp_max_tw_buckets'
in_ns b1 sh -c 'echo 262144 >/proc/sys/net/ipv4/tcp_max_tw_buckets'

# many: the server closes first; a line of JSON
many() {
	in_ns client "$BUILD/bench/connections" $VIP 80 --http --rate $((3000 / TUNDISH_TEST_SLOW)) --count "$1" --concurrent 200 --timeout 3000
}
lane() { bpftool -j map dump pinned /sys/fs/bpf/edge/lanes | jq "[.[].formatted.value | select(.flags % 2 == 1) | .$1] | add"; }
outcome() { jq -c '[.answered, .lost, .refused, .reset]'; }

is 'the server closes first: all are served' "$(many 20000 | tail -1 | outcome)" '[20000,0,0,0]'
between 'by ports whose TIME_WAIT the SYN ends' "$(lane early)" 6000 10000
is 'none was refused' "$(counter sent_rst_ports)" 0
in_ns client sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_timestamps'
is 'without timestamps too' "$(many 10000 | tail -1 | outcome)" '[10000,0,0,0]'
in_ns client sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_timestamps'
is 'the client closes first: all are served' \
	"$(in_ns client "$PYTHON" "$TOP/tests/net/connects.py" $VIP 80 20000 --rate $((2500 / TUNDISH_TEST_SLOW)) | jq -c '[.opened, .errors]')" '[20000,{}]'
is 'and none was refused' "$(counter sent_rst_ports)" 0
between 'ports were given as often' "$(lane opened)" 50000 50100
