#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Local routes of prefixes come back: after lo was down, and after somebody took one away.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
ip -n client route add 198.18.0.0/24 via 10.0.0.1
ip -n client route add 2001:db8:1::/64 via fd00::1
config edge <<YAML
interfaces: [{name: eth0, attach: native}]
services:
  - name: app
    vips: [198.18.0.0/24, "2001:db8:1::/64"]
    ports: [80]
    delivery: workers
    workers: {listen: "[::]:8080"}
YAML
serve s --workers 2
start edge

_routes() { # those that stand, of both families
	{ ip -n edge route show table local; ip -n edge -6 route show table local; } |
		grep -c '^local \(198.18.0.0/24\|2001:db8:1::/64\) .*proto 116'
}
both() { [ "$(_routes)" = 2 ]; }
check 'both stand' both

ip -n edge link set lo down
is 'the kernel takes that of IPv6 with lo' "$(_routes)" 1
_told() { t --json status | jq -e '.attention[] | select(.what == "virtual IPs") | .why | contains("lo is down")'; }
check 'status says why' eventually 5 _told
ip -n edge link set lo up
check 'both again, with lo' eventually 5 both
not_told() { ! _told; }
check 'and no complaint any more' eventually 5 not_told
flood 198.18.0.9 500 100 --check
all_answered 'IPv4 is served'
flood 2001:db8:1::9 500 100 --check
all_answered 'IPv6 is served'

ip -n edge link set lo down
ip -n edge link set lo up
check 'both again, at once' eventually 5 both

ip -n edge route del local 198.18.0.0/24 dev lo table local
check 'IPv4, taken away by hand' eventually 5 both
ip -n edge -6 route del local 2001:db8:1::/64 dev lo table local
check 'IPv6, taken away by hand' eventually 5 both
