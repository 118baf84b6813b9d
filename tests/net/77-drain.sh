#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `worker drain`: nothing new, the queue is emptied, and not a connection is lost; a whole
# group drained can be stopped and started under load.
# parallel: yes
. "$(dirname "$0")/lib.sh"
PRIORITY=$REAL_TIME # whatever else runs here
group_host
app_config
serve s --workers 3
start edge
flood_start load $VIP 730 60000 # in no step with the others
flood_goes load
name_of() { worker_field "$(worker_pid "$1" "$2")" worker; }
w0=$(name_of s 0) w1=$(name_of s 1)
check 'drain one' t worker drain app "$w0" --wait
is 'it is drained' "$(worker_field "$(worker_pid s 0)" state)" drained
flood $VIP 2000 2000
all_answered 'the others serve'
is 'it gets none' "$(answered_by '^s0$')" 0
between 'they share evenly' "$(answered_by '^s1$')" 900 1100

kill -STOP "$(worker_pid s 1)"
_waits() { [ "$(worker_field "$(worker_pid s 1)" queue_depth)" -ge 1 ]; }
check 'the next has connections waiting' eventually 5 _waits
check 'drain it' t worker drain app "$w1"
is 'it is not drained yet' "$(worker_field "$(worker_pid s 1)" state)" drain
kill -CONT "$(worker_pid s 1)"
check 'when it has accepted them it is' eventually 5 worker_is "$(worker_pid s 1)" drained
check 'enable both' eval "t worker enable app $w0 && t worker enable app $w1"
flood $VIP 2000 3000
all_answered 'all three again'
between 'the first has its share' "$(answered_by '^s0$')" 900 1100
refused 'a worker that is not there' 4 'w63' t worker drain app w63
refused 'a service that is not there' 4 'nosuch' t worker drain nosuch w0

for i in 1 2 3; do
	check "stop $i: drain all" t worker drain app all --wait
	end_server s
	serve s --workers 3
done
eventually 5 workers_are 3 '^up$'
is 'new workers are not drained' "$(workers '^up$')" 3
flood_end load
all_answered 'throughout'

# Connections that are half open will come into the queue: until then nothing is drained.
in_ns client nft -f - <<-'NFT' || fatal 'no nftables'
	table inet lossy {
		chain out {
			type filter hook output priority 0
			tcp dport 80 tcp flags & (syn | ack) == ack drop
		}
	}
NFT
flood_start half $VIP 2000 30 --timeout 20000
_half_open() { [ "$(in_ns edge ss -Htn state syn-recv | wc -l)" -ge 30 ]; }
check 'thirty are half open' eventually 5 _half_open
check 'drain all' t worker drain app all
is 'none is drained' "$(workers '^drained$')" 0
in_ns client nft delete table inet lossy
check 'when they have come, it is' t worker drain app all --wait
end_server s
flood_wait half
all_answered 'those that were half open'
