#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# flow list shows addresses, backend and state of each connection.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 12
open=$(t --json flow list | jq -c '[.[] | select(.state == "established")]')
is 'twelve established' "$(echo "$open" | jq length)" 12
is 'all of this client, VIP and service' "$(echo "$open" | jq -r '[.[] | "\(.client) \(.vip) \(.port) \(.protocol) \(.service)"] | unique | .[]')" \
	"10.0.0.100 $VIP 80 tcp web"
is 'with the ports that the client has' "$(echo "$open" | jq -r '.[].client_port' | sort -n | xargs)" \
	"$(in_ns client ss -Htn state established dst $VIP | awk '{sub(/.*:/, "", $3); print $3}' | sort -n | xargs)"
for b in $BACKENDS; do
	is "with the backend that answers: $b" "$(echo "$open" | jq "[.[] | select(.backend == \"$b\")] | length")" \
		"$(echo "$HELD" | count_of $b)"
done
is 'ages are small' "$(echo "$open" | jq '[.[] | select(.age_seconds > 30 or .idle_seconds > 30)] | length')" 0
check 'flow count' t flow count
get $VIP6 3 >/dev/null
between 'closed ones are shown as such' "$(t --json flow list | jq "[.[] | select(.vip == \"$VIP6\" and .state != \"established\")] | length")" 3 30
