#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Another XDP program is on the NIC already: beside it where the kernel allows, else a clear refusal
# that leaves the other alone.
. "$(dirname "$0")/lib.sh"
one_nic
bpftool prog load "$BUILD/tests/pass.bpf.o" /sys/fs/bpf/other type xdp
in_ns edge ip link set dev eth0 xdpdrv pinned /sys/fs/bpf/other || fatal 'attaching another program' # `ip -n` hides bpffs
other=$(ip -n edge -j -d link show eth0 | jq '.[0].xdp.prog.id')
edge_config dsr
daemon edge
if ready edge; then
	ok 'the daemon serves beside it'
else
	check 'one sentence names the interface and what to do' grep -qE 'eth0.*(program|XDP)' "$T/tundishd-edge.log"
	is 'the other program is where it was' "$(ip -n edge -j -d link show eth0 | jq '.[0].xdp.prog.id')" "$other"
	if bpftool prog load "$BUILD/tests/trampoline.bpf.o" /sys/fs/bpf/trampoline >/dev/null 2>&1; then
		not_ok 'beside another program: this kernel allows the dispatcher'
	else
		skip 'beside another program' 'the kernel refuses BPF trampolines, which the dispatcher needs'
	fi
fi
