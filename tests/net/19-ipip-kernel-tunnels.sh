#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Backends that unwrap tunnels by nothing but their kernel's own devices (ipip, ip6tnl, sit), both
# families of clients over both families of backends.
# needs: tunnels
# parallel: yes
. "$(dirname "$0")/devices.sh"
one_nic
tunnel_backends
through_tunnels ipip 'in'
