#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What breaks without each capability of the unit, as the table in tundishd(8) tells it, and nothing
# else does. Each capability there is in the unit, and the other way round.
# parallel: yes
. "$(dirname "$0")/lib.sh"
two_nics
web b1
cgroups app
egress_sources 2
vips_on_lo b1
group_nginx 2
port_server client 10.0.0.100 80

table=$(sed -n '/^\.\\" capabilities/,/^\.El/p' "$TOP/scripts/man/tundishd.8" | sed -n 's/^\.It Dv \(CAP_[A-Z_]*\).*/\1/p' | sort | xargs)
is "the manual's table and the unit" "$table" "$(unit_says AmbientCapabilities | tr ' ' '\n' | sort | xargs)"
is 'bounding set and ambient set are one' "$(unit_says CapabilityBoundingSet)" "$(unit_says AmbientCapabilities)"

POOL="egress: [{name: up, cgroup: $CG/app, sources: [10.0.0.201, 10.0.0.202]}]"
# file [SERVICE, [LINE [INTERFACES]]]
file() {
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}${3-}]
		services:
		  - {name: web, vips: [$VIP], ports: [80], delivery: dsr, backends: [{name: b1, address: 10.0.1.11}]}
		${1:+  - $1}
		${2-}
		own_connections: off
		limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 1024, lanes: 16, ports: 1024}
	YAML
}
GROUP="{name: app, vips: [192.0.2.60], ports: [80], delivery: workers, workers: {listen: \"$LISTEN\"}}"
down() {
	stop edge
	in_ns edge "$BUILD/tundish" --pin /sys/fs/bpf/edge --control /run/none unload >/dev/null 2>&1
	: >"$T/tundishd-edge.log"
}
serves() { [ "$(get $VIP 6 | grep -c '^b1')" = 6 ]; }
# ends CAPABILITY: the start fails, and the sentence names it.
ends() {
	as_unit "$1"
	daemon edge
	check "$1: no start" eventually 10 ended edge
	check "$1: it is named" grep -q "^tundishd: .*$1" "$T/tundishd-edge.log"
	down
}
runs() { # CAPABILITY: it starts, and the service works
	as_unit "$1"
	start edge
	check "$1: a service of backends" eventually 10 serves
}

file
ends CAP_NET_ADMIN
ends CAP_NET_RAW

# Loading is allowed by CAP_SYS_ADMIN too, which is gone once it runs. (Without CAP_PERFMON the verifier
# takes long to refuse the programs for own connections: they are off.)
for c in CAP_BPF CAP_PERFMON; do
	file
	runs $c
	file '' '' ', {name: eth1, attach: native}'
	check "$c: a further interface has the program that is loaded" t config apply "$T/edge.yaml"
	check "$c: and serves" serves
	file '' "$POOL"
	t config apply "$T/edge.yaml" >/dev/null
	check "$c: no first pool by a reload" grep -q 'no egress pool is in force' "$T/tundishd-edge.log"
	file "$GROUP"
	check "$c: no first worker group by a reload" bash -c "! '$BUILD/tundish' --control /run/tundish/edge.sock config apply '$T/edge.yaml'"
	check "$c: and all else goes on" serves
	down
done

file "$GROUP" "ports: {namespaces: [/run/netns/b1]}"
runs CAP_SYS_ADMIN
check 'CAP_SYS_ADMIN: no other namespaces' grep -q 'not watched: cannot enter a network namespace' "$T/tundishd-edge.log"
is 'CAP_SYS_ADMIN: workers' "$(get 192.0.2.60 6 | grep -c '192.0.2.60 80$')" 6
stop edge
daemon edge
check 'CAP_SYS_ADMIN: no restart over what is attached' eventually 10 ended edge
check 'CAP_SYS_ADMIN: but it goes on serving' serves
down

for c in CAP_SYS_PTRACE CAP_DAC_READ_SEARCH; do
	file "$GROUP" "$POOL"
	runs $c
	is "$c: workers" "$(get 192.0.2.60 6 | grep -c '192.0.2.60 80$')" 6
	refused "$c: nothing is adopted" 1 'permission' t worker adopt app "${PID[group_nginx]}"
	got=$(connects app 10.0.0.100 4)
	is "$c: egress" "$(echo "$got" | jq -c '[.by[]]')" '[2,2]'
	down
done
