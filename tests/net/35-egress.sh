#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Connections from a cgroup come from the sources of its pool: as many as these have ports,
# also when the daemon is killed; who binds an address is left alone; `egress list`, `trace
# --egress`, status and metrics tell it.
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
web b1
egress_sources 4
cgroups app other
in_ns edge sh -c 'echo 20000 20199 >/proc/sys/net/ipv4/ip_local_port_range'
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services: []
	egress:
	  - name: upstreams
	    cgroup: $CG/app
	    sources: [10.0.0.201, 10.0.0.202, 10.0.0.203, 10.0.0.204, "fd00:0::201", "fd00:0::202"]
	    except: [10.0.0.12]
	ports: {interval: 600s} # a scan in their midst would give a source one more
YAML
start edge
is 'all sources are up' "$(t --json egress list | jq -r '[.[].state] | unique | join(" ")')" up
is 'the pool is attached' "$(t --json status | jq -r '.egress[0].attached')" true

trace=$(in_cgroup app sh -c "'$BUILD/tundish' --control /run/tundish/edge.sock --json trace --egress \$\$ 10.0.0.11:80")
says=$(echo "$trace" | jq -r .target)
got=$(connects app 10.0.0.11 1 | jq -r '.by | keys[0]')
is 'trace tells which source comes next' "$says" "$got"
got=$(connects app 10.0.0.11 1000 --stop)
is 'four sources have four times the ports' "$(echo "$got" | jq .opened)" 799
is 'and then none' "$(echo "$got" | jq -r '.errors | keys[0]')" EADDRNOTAVAIL
is 'evenly' "$(echo "$got" | jq -c '[.by[]] | [min, max]')" '[199,200]'
is 'egress list shows them full' "$(t --json egress list upstreams | jq -c '[.[] | select(.source | test("^10")) | .used] | unique')" '[200]'
check 'status says so' eventually 5 sh -c "'$BUILD/tundish' --control /run/tundish/edge.sock --json status | jq -e '.attention[] | select(.what == \"egress upstreams\")'"

got=$(connects other 10.0.0.11 20)
is 'another cgroup is not concerned' "$(echo "$got" | jq -c '.by')" '{"10.0.0.1":20}'
web b2
web b3
got=$(connects app 10.0.0.12 20)
is 'a destination under except is left alone' "$(echo "$got" | jq -c '.by')" '{"10.0.0.1":20}'
got=$(connects app 10.0.0.13 20 --bind 10.0.0.1)
is 'who binds an address keeps it' "$(echo "$got" | jq -c '.by')" '{"10.0.0.1":20}'
is 'both are counted' "$(t --json status | jq -c '.egress[0].left_alone | [.except, .bound]')" '[20,20]'
got=$(connects app fd00:0::11 200 --stop)
is 'IPv6' "$(echo "$got" | jq -c '[.by[]]')" '[100,100]'
got=$(connects app 10.0.0.13 100 --udp)
is 'UDP' "$(echo "$got" | jq -c '[.by[]]')" '[25,25,25,25]'

stop edge KILL
got=$(connects app 10.0.0.13 100 --stop)
is 'it goes on when the daemon is killed' "$(echo "$got" | jq -c '[.by[]]')" '[25,25,25,25]'
start edge
is 'the next daemon adopts it' "$(t --json status | jq '.egress[0].connections_total')" \
	$((1 + 799 + 1 + 200 + 100 + 100)) # the one that found no port had got a source too
check 'and attaches nothing anew' sh -c "[ \$(grep -c egress-attach '$T/tundishd-edge.log') = 1 ]"
metric() { in_ns edge curl -s http://127.0.0.1:9799/metrics | grep -F "$1" | awk '{print $2}'; }
is 'metrics count them' "$(metric 'tundish_egress_left_alone_total{pool="upstreams",reason="except"}')" 20
is 'and tell who is up' "$(metric 'tundish_egress_source_up{pool="upstreams",source="10.0.0.201"}')" 1
refused 'a pool that is not there' 4 'no egress pool' t egress list nobody
refused 'a process that is not there' 4 'no process' t trace --egress 4000000 10.0.0.11:80
is 'a process without a pool' "$(t --json trace --egress 1 10.0.0.11:80 | jq -r .verdict)" pass
check 'unload' t unload
got=$(connects app 10.0.0.13 20)
is 'takes it off' "$(echo "$got" | jq -c '.by')" '{"10.0.0.1":20}'
