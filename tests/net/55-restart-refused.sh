#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A restart that one interface refuses leaves the other one as it was.
# parallel: yes
. "$(dirname "$0")/lib.sh"
NET=1 three_backends dsr
stop edge KILL
bpftool prog load "$BUILD/tests/pass.bpf.o" /sys/fs/bpf/other type xdp
in_ns edge ip link set dev eth1 xdpdrv off # `ip -n` hides bpffs
in_ns edge ip link set dev eth1 xdpdrv pinned /sys/fs/bpf/other || fatal 'attaching another program'
before=$(ip -n edge -j -d link show eth0 | jq '.[0].xdp.prog.id')

daemon edge
eventually 20 ended edge
check 'the daemon refuses, and says which' grep -q 'interface eth1 .*another XDP program' "$T/tundishd-edge.log"
is 'the program on eth0 is the one that was there' "$(ip -n edge -j -d link show eth0 | jq '.[0].xdp.prog.id // 0')" "$before"
spread 'the data path goes on' $VIP 10.0.0.100

in_ns edge ip link set dev eth1 xdpdrv off
start edge
is 'and a start without it takes both' "$(mode_of eth0) $(mode_of eth1)" 'native native'
