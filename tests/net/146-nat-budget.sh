#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The port budget of fullnat, exactly: ports x sources x addresses of each backend are held at
# once, and the one beyond is refused with a reset and counted.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 2
for b in $BACKENDS; do add_address "$b" eth0 10.0.1.2"${b#b}"/24; done
config edge <<-YAML
	interfaces: [{name: eth0}, {name: eth1}]
	services:
	  - name: web
	    vips: [$VIP]
	    ports: [80]
	    delivery: fullnat
	    sources: [10.0.1.250, 10.0.1.251]
	    source_ports: 20000-20015
	    backends:
	      - {name: b1, addresses: [10.0.1.11, 10.0.1.21], port: 8080}
	      - {name: b2, addresses: [10.0.1.12, 10.0.1.22], port: 8080}
	limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 1024, lanes: 64}
YAML
start edge || fatal 'tundishd does not start'
eventually 10 in_ns client curl -sm 1 http://$VIP/ || fatal 'no service'
used() {
	bpftool -j map dump pinned /sys/fs/bpf/edge/lanes | jq '[.[].formatted.value | select(.number != 0 and .flags % 2 == 1) | .used] | add'
}
_used() { [ "$(used)" -le "$1" ]; }
# the first answer's port rests
eventually 30 _used 0 || fatal 'a port rests for too long'
hold $VIP 128
is '16 ports x 2 sources x 2 addresses x 2 backends are held' "$(echo "$HELD" | wc -l)" 128
is 'which are all there are' "$(used)" 128
is 'each server has half' "$(echo "$HELD" | tally)" 'b1=64 b2=64'
for i in {1..20}; do get $VIP 1; done >"$T/beyond"
is 'the next ones are refused' "$(sort -u "$T/beyond")" 'failed [Errno 111] Connection refused'
is 'by resets, each counted' "$(counter sent_rst_ports)" 20
is 'on lanes' "$(bpftool -j map dump pinned /sys/fs/bpf/edge/lanes | jq '[.[].formatted.value.refused] | add')" 20
steady 'those that are held do not notice'
