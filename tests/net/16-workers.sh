#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Workers: the edge's own listeners serve the VIPs, on every VIP and both families.
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
web edge
config edge <<YAML
interfaces: [{name: eth0, attach: native}]
services:
  - name: app
    vips: [$VIP, $VIP2, "$VIP6", "$VIP62"]
    ports: [80, 8080]
    delivery: workers

YAML
start edge
is 'attached natively' "$(mode_of eth0)" native
for address in $VIP $VIP2; do
	is "$address: the listener sees the client" "$(get $address 5 | uniq -c | xargs)" "5 edge 10.0.0.100 $address 80"
done
for address in $VIP6 $VIP62; do
	is "$address: the listener sees the client" "$(get $address 5 | uniq -c | xargs)" "5 edge fd00::100 $address 80"
done
is 'the second port' "$(PORT=8080 get $VIP 1)" "edge 10.0.0.100 $VIP 8080"
between 'the data path saw them pass' "$(counter pass_workers)" 60 1000
