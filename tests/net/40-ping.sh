#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# VIPs answer ping, in both families, with and without a daemon.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
for address in $VIP $VIP6; do
	check "$address answers" in_ns client ping -c 3 -i 0.05 -W 2 $address
	check "$address answers 1,400 bytes" in_ns client ping -c 1 -s 1400 -W 2 $address
done
stop edge KILL
for address in $VIP $VIP6; do
	check "$address answers without a daemon" in_ns client ping -c 3 -i 0.05 -W 2 $address
done
