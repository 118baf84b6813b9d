#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A flood on one service fills its share of the group's queues and no more: what another
# service needs is free.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
app_config 'share: 50%' "$(
	cat <<-YAML
	  - name: other
	    vips: [$VIP2, "$VIP62"]
	    ports: [80]
	    delivery: workers
	    workers: {listen: "$LISTEN"}
	YAML
)"
serve s --workers 2 --backlog 99
start edge
each() { for k in 0 1; do kill "$1" "$(worker_pid s $k)"; done; }
flood $VIP 1000 200
all_answered 'at rest nobody is refused'
is 'nor counted' "$(refused_syns app share) $(refused_syns other share)" '0 0'

each -STOP
OPEN=400 flood_start flood $VIP 1000 400 --timeout 20000
_refused() { [ "$(refused_syns app share)" -ge 250 ]; }
check 'the flood is refused' eventually 5 _refused
depth=$(queued)
between 'it has half of two hundred places' "$depth" 90 110
OPEN=40 flood_start other $VIP2 1000 40 --timeout 20000
check 'forty of another service find a place' eventually 5 queued_are $((depth + 40))
is 'none of them was refused' "$(refused_syns other share) $(refused_syns other full)" '0 0'
is 'no queue was full' "$(refused_syns app full)" 0
each -CONT
flood_wait other
all_answered 'the other service'
flood_wait flood
all_answered 'the flood, when it has come again'

# Two services before two workers: each worker is there once, and its figures are of both.
is 'a row for each worker' "$(t worker list | awk 'NR > 1 {print $1, $2}' | sort | xargs)" 'app,other w0 app,other w1'
is 'in JSON one for each service too' "$(t --json worker list | jq -r '.[] | "\(.service) \(.worker) \(.services)"' | sort | xargs)" \
	'app w0 2 app w1 2 other w0 2 other w1 2'
both=$(t --json worker list | jq '[unique_by([.listen, .worker])[].connections_total] | add')
is 'of both services together' "$(for s in app other; do t --json service show $s | jq .workers.connections_total; done | jq -s add)" "$both"
