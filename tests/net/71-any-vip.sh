#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# One set of listeners behind any VIP and port, both families, configured on an interface or
# not; getsockname() shows what the client asked for. Listeners on the VIP itself work too.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
# A VIP of a routed range that no interface has: `own: false`, and a route of the operator's.
ip -n edge route add local 203.0.113.0/24 dev lo
ip -n client route add 203.0.113.0/24 via 10.0.0.1
ip -n client route add 198.51.100.0/24 via 10.0.0.1
config edge <<YAML
interfaces: [{name: eth0, attach: native}]
services:
  - name: app
    vips: [$VIP, "$VIP6", "$VIP62", 198.51.100.0/24]
    ports: [80, 443, "8000-8099"]
    delivery: workers
    workers: {listen: "[::]:8080"}
  - name: routed
    vips: [203.0.113.7]
    ports: any
    own: false
    delivery: workers
    workers: {listen: "[::]:8080"}
  - name: self
    vips: [$VIP2]
    ports: [80]
    delivery: workers
    workers: {listen: "$VIP2:80"}
  - name: plain
    vips: [$VIP2]
    ports: [81]
    delivery: workers
YAML
start edge
(exec nsenter --net=/run/netns/edge "$PYTHON" "$TOP/tests/net/server.py" py 2 '[::]:8080' $VIP2:80 $VIP2:81 \
	>"$T/server.log" 2>&1) &
workers_of() { t --json worker list "$1" | jq length; }
_all_listen() { [ "$(workers_of app) $(workers_of routed) $(workers_of self)" = '2 2 2' ]; }
check 'the workers are found' eventually 10 _all_listen

asked() { # ADDRESS PORT CLIENT
	is "$1, port $2" "$(PORT=$2 get "$1" 6 | sed 's/^py[01]/py/' | uniq -c | xargs)" "6 py $3 $1 $2"
}
asked $VIP 80 10.0.0.100
asked $VIP 443 10.0.0.100
asked $VIP 8077 10.0.0.100
asked $VIP6 80 fd00::100
asked $VIP62 8000 fd00::100
asked 198.51.100.1 80 10.0.0.100
asked 198.51.100.254 443 10.0.0.100
asked 203.0.113.7 80 10.0.0.100
asked 203.0.113.7 12345 10.0.0.100
asked $VIP2 80 10.0.0.100
asked $VIP2 81 10.0.0.100
is 'both workers serve' "$(get $VIP 6 | cut -d' ' -f1 | sort | uniq -c | xargs)" '3 py0 3 py1'
is 'a port of no service is refused' "$(PORT=82 get $VIP 1 | cut -d' ' -f1)" failed
is 'the listener itself can be reached' "$(PORT=8080 get 10.0.0.1 1 | cut -d' ' -f2-)" '10.0.0.100 10.0.0.1 8080'
