#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What a killed worker had not accepted, its siblings get; half-open connections too.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
app_config
start edge
in_ns edge sysctl -qw net.ipv4.tcp_migrate_req=0
serve s --workers 4
for k in 0 1 2 3; do kill -STOP "$(worker_pid s $k)"; done
OPEN=40 flood_start queue $VIP 2000 40 --timeout 20000
check 'forty wait' eventually 5 queued_are 40
kill -KILL "$(worker_pid s 0)"
eventually 5 workers_are 3
is 'three are left, and all forty with them' "$(workers) $(queued)" '3 40'
for k in 1 2 3; do kill -CONT "$(worker_pid s $k)"; done
flood_wait queue
all_answered 'those that waited in its queue'
is 'by the others' "$(answered_by '^s0$')" 0
end_server s

# The client's ACKs are lost for a while: handshakes are half done when the worker goes.
lose_acks() {
	in_ns client nft -f - <<-'NFT'
		table inet lossy {
			chain out {
				type filter hook output priority 0
				tcp dport 80 tcp flags & (syn | ack) == ack drop
			}
		}
	NFT
}
_half_open() { [ "$(in_ns edge ss -Htn state syn-recv | wc -l)" -ge 40 ]; }
for address in $VIP $VIP6; do
	serve t --workers 2
	eventually 5 workers_are 2
	lose_acks || fatal 'no nftables'
	OPEN=40 flood_start half $address 2000 40 --timeout 20000
	check "$address: forty are half open" eventually 5 _half_open
	kill -KILL "$(worker_pid t 0)"
	check "$address: one has gone" eventually 5 workers_are 1
	in_ns client nft delete table inet lossy
	flood_wait half
	all_answered "$address: those that were half open"
	is "$address: by the one that is left" "$(answered_by '^t1$')" 40
	end_server t
done
