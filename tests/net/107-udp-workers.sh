#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# UDP to this host's own sockets: they have it, several of them by the kernel's hash, and flows are counted.
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services:
	  - {name: dns, vips: [$VIP, "$VIP6"], protocol: udp, ports: [53], delivery: workers}
	  - {name: web, vips: [$VIP], ports: [53], delivery: workers, workers: {listen: "0.0.0.0:8080"}}
YAML
start edge
_there() { ip -n edge -j addr show to $VIP | jq -e 'map(select(.ifname)) | length > 0' >/dev/null; }
eventually 10 _there || fatal "$VIP does not come"
udp_server edge 53 $VIP $VIP6 --workers 4
for vip in $VIP $VIP6; do
	client=10.0.0.100
	[ $vip = $VIP6 ] && client=fd00::100
	lines=$(udp_get $vip 60)
	is "$vip: sixty of sixty are answered" "$(echo "$lines" | grep -c "^edge[0-3] $client $vip 53$")" 60
	between "$vip: by several of them" "$(echo "$lines" | awk '{print $1}' | sort -u | wc -l)" 2 4
done
between 'they passed the data path' "$(counter pass_workers)" 120 200
is 'flows belong to this host' "$(t --json flow list protocol=udp | jq -r '[.[] | "\(.service) \(.backend)"] | unique | .[]')" 'dns local'
HOLDER=udp.py PORT=53 hold $VIP 10
steady 'a flow stays at its socket'
is 'trace: UDP' "$(t --json trace --protocol udp 10.0.0.100 $VIP:53 | jq -r '"\(.service) \(.target) \(.verdict)"')" 'dns local pass'
is 'trace: the one protocol that has the address and port' "$(t --json trace fd00::100 "[$VIP6]:53" | jq -r .service)" dns
sed 's/protocol: udp, ports: \[53\], delivery: workers/&, workers: {listen: "[::]:53"}/' "$T/edge.yaml" >"$T/group.yaml"
check 'a group of UDP sockets' t config check "$T/group.yaml"
sed -i 's/"\[::\]:53"/&, steering: least-queue/' "$T/group.yaml"
refused 'by queues that there are none of' 1 'needs protocol tcp' t config check "$T/group.yaml"
sed -i 's/, steering: least-queue//; s/"\[::\]:53"/"[::]:5353"/' "$T/group.yaml"
refused 'at a port that nobody would answer from' 1 'not the service.s port' t config check "$T/group.yaml"
