#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# SIGKILL under load: no request fails or waits for a retransmission, and the next start adopts.
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 60
program=$(ip -n edge -j -d link show eth0 | jq '.[0].xdp.prog.id')
load $VIP
for i in 1 2 3; do
	stop edge KILL
	steady "kill $i: open connections go on without a daemon"
	is "kill $i: new ones are served without a daemon" "$(get $VIP 30 | grep -c '^b')" 30
	start edge
	steady "kill $i: open connections stay through the adoption"
done
end_load
between 'requests were made' "$REQUESTS" 100 10000000 # as many as the machine makes meanwhile
is 'none failed' "$FAILURES" 0
is 'none was slow (a lost packet)' "$SLOW" 0
is 'the same program is attached' "$(ip -n edge -j -d link show eth0 | jq '.[0].xdp.prog.id')" "$program"
is 'the counts went on' "$(t --json backend list | jq '[.[].connections_active] | add')" 60
