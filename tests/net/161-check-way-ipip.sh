#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Health checks go to the VIP in IP-in-IP tunnels, as the traffic does, for each pair of families; the backend unwraps them in XDP.
# parallel: yes
DELIVERY=ipip
. "$(dirname "$0")/check_tunnels.sh"
