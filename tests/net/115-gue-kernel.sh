#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Backends that unwrap GUE by nothing but their kernel's own fou in front of its tunnel devices (ipip,
# ip6tnl, sit), both families of clients over both families of backends.
# needs: gue
# parallel: yes
. "$(dirname "$0")/devices.sh"
one_nic
tunnel_backends
for b in $BACKENDS; do
	ip -n "$b" fou add port 6080 gue || fatal 'GUE over IPv4'
	ip -n "$b" -6 fou add port 6080 gue || fatal 'GUE over IPv6'
done
through_tunnels gue 'in GUE over'
