#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# flow list shows what is translated to what, and in which state both ends are; status, metrics
# and tuples count it, TCP and UDP, both families; and what has gone from the file is freed when
# its last connection has ended.
# parallel: yes
. "$(dirname "$0")/translated.sh"
MEMBERS='b1 b2'
plain_servers 2
udp_server b1 5353 10.0.1.11
DNS="  - {name: dns, vips: [$VIP], protocol: udp, ports: [53], delivery: fullnat, sources: [10.0.1.250], backends: [{name: b1, address: 10.0.1.11, port: 5353}]}"
VIPS=$VIP SOURCES=10.0.1.250 translated fullnat 4 "$DNS"
cat >>"$T/edge.yaml" <<-YAML
	  - {name: web6, vips: ["$VIP6"], ports: [80], delivery: nat, backends: [{name: b3, address: "fd00:1::13", port: 8080}]}
YAML
# the limits stand where the services end
sed -i '/^limits:/{h;d};$G' "$T/edge.yaml"
start edge

flows() { t --json flow list "$@" | jq -c '.'; }
states() { flows "$@" | jq -r '[.[].state] | sort | unique | join(" ")'; }
nat() { t --json status | jq ".nat.$1"; }
metric() { in_ns edge curl -s http://127.0.0.1:9799/metrics | grep -F "$1" | awk '{n += $2} END {print n + 0}'; }

is 'before the first connection' "$(t --json flow count | jq .nat) $(nat connections)" '0 0'
hold $VIP 8
open=$(flows --service web)
is 'eight are established' "$(echo "$open" | jq length) $(states)" '8 established'
is 'this client, VIP, port' "$(echo "$open" | jq -r '[.[] | "\(.client) \(.vip) \(.port) \(.protocol)"] | unique | .[]')" "$FAR $VIP 80 tcp"
is 'with the ports that the client has' "$(echo "$open" | jq -r '.[].client_port' | sort -n | xargs)" \
	"$(in_ns client ss -Htn state established dst $VIP | awk '{sub(/.*:/, "", $3); print $3}' | sort -n | xargs)"
for b in b1 b2; do
	is "as $b sees them" \
		"$(echo "$open" | jq -r ".[] | select(.backend == \"$b\") | .translated | \"\(.source):\(.source_port) \(.backend_address):\(.backend_port)\"" | sort | xargs)" \
		"$(in_ns $b ss -Htn state established sport 8080 | awk '{print $4, $3}' | sort | xargs)"
done
is 'flow count' "$(t --json flow count | jq .nat)" 8
is 'the tuple of the client' "$(t --json tuple list | jq -r '.[] | "\(.client) \(.vip) \(.port) \(.protocol) \(.active)"')" "$FAR $VIP 80 tcp 8"

# nat keeps the client's address
get $VIP6 1 >/dev/null
is 'IPv6, by nat' "$(flows --vip $VIP6 | jq -r '.[] | "\(.service) \(.backend) \(.translated.source == .client) \(.translated.source_port == .client_port) \(.translated.backend_address)"')" \
	'web6 b3 true true fd00:1::13'
_resting() { [ "$(states --vip $VIP6)" = resting ]; } # when the server has closed, too
check 'closed by the client first' eventually 5 _resting
is 'filters' "$(flows --state established --backend b1 | jq length)+$(flows --state established --backend b2 | jq length)" \
	"$(echo "$open" | jq '[.[] | select(.backend == "b1")] | length')+$(echo "$open" | jq '[.[] | select(.backend == "b2")] | length')"
refused 'of states there are these' 2 'none of syn, .*resting, time-wait' t flow list --state closed

# The server closes first, for this client reads to the end: TIME_WAIT is there.
in_ns client bash -c 'exec 3<>/dev/tcp/$0/80; printf "GET / HTTP/1.0\r\n\r\n" >&3; cat <&3' $VIP >"$T/out"
_waits() { [ "$(states --state time-wait)" = time-wait ]; }
check 'closed by the server first' eventually 5 _waits
release >/dev/null

HOLDER=udp.py PORT=53 hold $VIP 3
is 'UDP, of both sides' "$(flows --service dns | jq -r '[.[] | "\(.protocol) \(.state) \(.translated.backend_port)"] | unique | .[]')" 'udp udp 5353'
is 'its tuple' "$(t --json tuple list | jq -r '.[] | select(.protocol == "udp") | "\(.vip) \(.port) \(.active)"')" "$VIP 53 3"
is 'its ports are rows of their own' "$(t --json port list | jq -r '.[] | select(.protocol == "udp" and .source == "nat") | "\(.service) \(.remote_port) \(.used)"')" 'dns 5353 3'
_passed() { [ "$(metric 'tundish_nat_connections{service="dns",state="udp"}')" = 3 ]; }
check 'metrics, by service and state' eventually 10 _passed
is 'and none of TCP with a UDP service' "$(metric 'tundish_nat_connections{service="dns",state="established"}')" 0
check 'status counts them' test "$(nat connections)" -ge 3
is 'status counts lanes' "$(nat lanes)" 5 # that of nat has one for its own clients beside
is 'the table is a table' "$(metric 'tundish_table_capacity_entries{table="nat"}')" "$(nat capacity)"
check 'as text' grep -q 'NAT lanes .*5 of 64, the fullest' <(t status)

# Out of the file: the connection goes on, and its backend and lane stay until it has ended.
lane_gone() { ! t --json port list | jq -e '.[] | select(.protocol == "udp" and .source == "nat")' >/dev/null; }
freed() { t --json events --once | jq -e ".[] | select(.event == \"freed\" and (.object | test(\"$1\")))"; }
sed -i '/name: dns/d; s/^limits:.*/timeouts: {udp: 15s, udp_new: 15s}\n&/' "$T/edge.yaml"
ask >/dev/null
reload edge
is 'a service that goes leaves its connections' "$(t --json flow list --protocol udp | jq length)" 3
check 'then the backend is freed' eventually 60 freed 'backend b1'
check 'and the lane' eventually 60 lane_gone
is 'no connection of it is left' "$(t --json flow list --protocol udp | jq length)" 0
