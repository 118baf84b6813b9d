#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Health checks go to the VIP in GUE, as the traffic does, for each pair of families and any port; the backend unwraps them in XDP.
# parallel: yes
export GUE_PORT=6789
DELIVERY=gue
. "$(dirname "$0")/check_tunnels.sh"
