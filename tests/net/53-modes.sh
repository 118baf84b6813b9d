#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# attach: generic is what is asked for, auto finds native on veth; the daemon says which.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
stop edge
t unload >/dev/null
sed -i 's/attach: native/attach: generic/' "$T/edge.yaml"
start edge
is 'generic' "$(mode_of eth0)" generic
is 'status says so' "$(t --json status | jq -r '.interfaces[0].mode')" generic
spread generic $VIP 10.0.0.100
stop edge
t unload >/dev/null
sed -i 's/attach: generic/attach: auto/' "$T/edge.yaml"
start edge
is 'auto is native here' "$(mode_of eth0)" native
is 'status says that too' "$(t --json status | jq -r '.interfaces[0].mode')" native
