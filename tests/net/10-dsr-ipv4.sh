#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Direct server return for IPv4: three backends share the connections and see the client.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr 4

is 'attached natively' "$(mode_of eth0)" native
spread dsr $VIP 10.0.0.100
is 'a port of no service is left to this host' "$(PORT=81 get $VIP 1)" 'failed [Errno 111] Connection refused'
is 'nothing was dropped' "$(tun edge --json status | jq '[.drops // {} | .[]?] | add // 0')" 0
