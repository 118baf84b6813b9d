#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A daemon under a user of its own with nothing but what its unit gives it does all that root's
# does: every delivery, worker groups, egress, reloads with a further interface and VIP, restart.
# parallel: yes
. "$(dirname "$0")/lib.sh"
as_unit
VIP3=192.0.2.30 VIP4=192.0.2.40
two_nics
cgroups app
egress_sources 2
vips_on_lo $BACKENDS
add_address b1 lo 192.0.2.50/32
for b in $BACKENDS; do
	web "$b"
	ip -n "$b" route add default via 10.0.1.1
done
backend_daemons
service() { # NAME VIP DELIVERY [MORE]
	local b port=''
	case $3 in nat | fullnat) port=', port: 8080' ;; esac
	echo "  - name: $1"
	echo "    vips: [$2]"
	echo "    ports: [80]"
	echo "    delivery: $3"
	[ -z "${4-}" ] || echo "    $4"
	echo '    backends:'
	for b in b1 b2 b3; do
		echo "      - {name: $b, address: 10.0.1.1${b#b}$port}"
	done
}
# edge_file [INTERFACE...]
edge_file() {
	local i
	{
		echo 'interfaces:'
		for i; do
			echo "  - {name: $i, attach: native}"
		done
		echo 'services:'
		service in-ipip $VIP ipip
		service in-gue $VIP2 gue
		service full $VIP3 fullnat 'sources: [10.0.1.250]'
		service plain $VIP4 nat
		echo '  - {name: app, vips: [192.0.2.60, "2001:db8:1::/64"], ports: [80], delivery: workers,'
		echo "     workers: {listen: \"$LISTEN\"}}"
		echo 'egress:'
		echo "  - {name: upstreams, cgroup: $CG/app, sources: [10.0.0.201, 10.0.0.202]}"
		echo 'limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 16384, lanes: 64}'
	} | config edge
}
edge_file eth0 eth1
start edge
for b in $BACKENDS; do
	ip -n "$b" route replace 10.0.0.0/24 via 10.0.1.1
done
serves() { [ "$(get "$1" 12 | grep -c '^b')" = 12 ]; }

is 'the user' "$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' /proc/"${PID[edge]}"/status)" $UNIT_ID
is 'one filter of system calls' "$(sed -n 's/^Seccomp:\t//p' /proc/"${PID[edge]}"/status)" 2
is 'pins are its own' "$(stat -c %u /sys/fs/bpf/edge/flows)" $UNIT_ID
check 'nothing inheritable or ambient is left' grep -q '^CapAmb:	0*$' /proc/"${PID[edge]}"/status
check 'not CAP_SYS_ADMIN' bash -c "! capsh --decode=$(sed -n 's/^CapEff:\t//p' /proc/"${PID[edge]}"/status) | grep -q sys_admin"
for b in $BACKENDS; do
	ip -n "$b" route replace 10.0.0.0/24 via 10.0.1.100
done
check 'ipip' eventually 10 serves $VIP
check 'gue' eventually 10 serves $VIP2
check 'fullnat' eventually 10 serves $VIP3
for b in $BACKENDS; do # nat: the servers' way to the client leads by the edge
	ip -n "$b" route replace 10.0.0.0/24 via 10.0.1.1
done
check 'nat' eventually 10 serves $VIP4

group_nginx 2
serves_workers() { [ "$(get 192.0.2.60 12 | grep -c '192.0.2.60 80$')" = 12 ]; }
check 'workers' eventually 10 serves_workers
is 'their processes are known' "$(t --json worker list app | jq '[.[] | select(.pid != null and .command != "")] | length')" 2
port_server client 10.0.0.100 80
got=$(connects app 10.0.0.100 40)
# A scan that counts in their midst may give one more to a source.
is 'egress' "$(echo "$got" | jq -c '[.by[]] | [add, length, min >= 18]')" '[40,2,true]'
is 'and what would come next is told' "$(in_cgroup app sh -c "'$BUILD/tundish' --control /run/tundish/edge.sock --json trace --egress \$\$ 10.0.0.100:80" | jq -r .target | cut -d. -f1-3)" 10.0.0

add_xdp_nic edge eth2 back
edge_file eth0 eth1 eth2
sed -i 's/192.0.2.60,/192.0.2.60, 192.0.2.70,/' "$T/edge.yaml"
reload
attached() { t --json status | jq -e '[.interfaces[] | select(.name == "eth2" and .mode == "native")] | length == 1'; }
check 'a reload attaches to a further interface' eventually 10 attached
check 'and a VIP that it brings serves' eventually 10 bash -c "[ \"\$(ip -n edge addr show dev eth0 | grep -c 192.0.2.70)\" = 1 ]"
is 'nothing needs attention' "$(attention)" ''
hold $VIP3 12
stop edge KILL
start edge
check 'the next one adopts it' grep -q 'pinned maps were adopted' "$T/tundishd-edge.log"
steady 'connections stay'
check 'unload by the daemon' t unload
eventually 10 ended edge
is 'nothing is pinned any more' "$(ls /sys/fs/bpf/edge)" ''
is 'nothing attached' "$(ip -n edge link show dev eth0 | grep -c prog/xdp)" 0
start edge
check 'and it starts again' eventually 10 serves $VIP4
