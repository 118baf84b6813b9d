#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Another XDP program is on the NIC already: one that libxdp loaded stays and runs beside tundish, whoever
# came first and whoever leaves; beside one that did not come that way there is a clear refusal. The other
# one is never touched.
. "$(dirname "$0")/lib.sh"
one_nic
vips_on_lo $BACKENDS
for b in $BACKENDS; do
	web "$b"
done
edge_config dsr
main() { ip -n edge -j -d link show eth0 | jq -r ".[0].xdp.prog.$1 // empty"; }

bpftool prog load "$BUILD/tests/pass.bpf.o" /sys/fs/bpf/other type xdp
in_ns edge ip link set dev eth0 xdpdrv pinned /sys/fs/bpf/other || fatal 'attaching another program' # `ip -n` hides bpffs
other=$(main id)
daemon edge
if ready edge; then
	not_ok 'refused beside a program that libxdp did not load'
	stop edge
else
	check 'one sentence names the interface and what to do' grep -qE 'eth0.*(program|XDP)' "$T/tundishd-edge.log"
	is 'the other program is where it was' "$(main id)" "$other"
fi
in_ns edge ip link set dev eth0 xdp off

if ! bpftool prog load "$BUILD/tests/trampoline.bpf.o" /sys/fs/bpf/trampoline >/dev/null 2>&1; then
	skip 'beside another program' 'the kernel refuses BPF trampolines, which the dispatcher needs'
	exit 0
fi
add_other() { in_ns edge xdp-loader load -m native eth0 "$BUILD/tests/pass.bpf.o"; }
# Both ask the kernel: what is in the dispatcher, by the names that its programs were loaded with.
listed() { in_ns edge xdp-loader status eth0 | awk '/=>/ {print $3}' | sort | xargs; }
drop_other() {
	in_ns edge xdp-loader unload eth0 -i "$(in_ns edge xdp-loader status eth0 | awk '/=>/ && $3 == "pass" {print $4}')"
}
serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }

check 'the other one, by libxdp' add_other
daemon edge
if ! ready edge; then
	# Newer kernels, 6.12 as it is now among them, ask that a function which changes packets replaces
	# only one that could do so too. The dispatcher of older libxdp cannot (xdp-tools #509).
	in_ns edge xdp-loader load -v -v -m native -n tundish_xdp eth0 "$BUILD/tundish.bpf.o" >"$T/xdp-loader" 2>&1
	if grep -q 'changes packet data, while original does not' "$T/xdp-loader"; then
		told() { tail -n 1 "$T/tundishd-edge.log" | grep -q 'eth0.*libxdp'; }
		check 'one sentence names the interface and libxdp' told
		is 'the other one is where it was' "$(listed)" pass
		skip 'beside another program' 'the kernel does not allow a program that changes packets in the dispatcher of this libxdp'
		exit 0
	fi
	fatal 'tundishd does not start beside another program'
fi
check 'beside it: serves' eventually 10 serves
is 'both are there' "$(listed)" 'pass tundish_xdp'
is 'in the dispatcher' "$(main name)" xdp_dispatcher
is 'natively' "$(mode_of eth0)" native
spread 'beside another program' $VIP 10.0.0.100
hold $VIP 40
stop edge KILL
start edge
is 'a restart adopts it where it is' "$(listed)" 'pass tundish_xdp'
steady 'open connections stay through a restart'
check 'the other one leaves' drop_other
is 'tundish remains' "$(listed)" tundish_xdp
steady 'open connections stay when the other one leaves'
check 'the other one comes back' add_other
is 'both are there again' "$(listed)" 'pass tundish_xdp'
steady 'open connections stay when the other one comes'
stop edge
check 'unload' t unload
is 'unload leaves the other one' "$(listed)" pass
