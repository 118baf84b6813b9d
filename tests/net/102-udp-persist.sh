#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# UDP flows stay with their backend over changes of the pool, drain and restarts; disable moves them.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_udp dsr
# Ports that are chosen here are below what sockets without one take.
in_ns client sysctl -qw net.ipv4.ip_local_port_range='32768 60999'
export HOLDER=udp.py PORT=53
hold $VIP 60
steady 'they stay while nothing changes'
MEMBERS='b1 b3' udp_config dsr
check 'b2 is taken out of the file' t config apply "$T/edge.yaml"
steady 'sixty flows stay, those to b2 too'
# from ports that none of the sixty has, nor another of these: each is a flow of its own
lines=$(udp_get $VIP 60 --source-port 20000)
is 'b2 has none of the new ones' "$(echo "$lines" | count_of b2)" 0
is 'all new ones are answered' "$(echo "$lines" | grep -c '^b[13] ')" 60
udp_config dsr
check 'b2 comes back' t config apply "$T/edge.yaml"
steady 'they stay when it comes back'
check 'b1 is drained' t backend drain dns b1
steady 'they stay when one drains'
is 'it gets nothing new' "$(udp_get $VIP6 60 --source-port 20000 | count_of b1)" 0
stop edge KILL
steady 'they stay without the daemon'
is 'new ones are answered without it' "$(udp_get $VIP 30 --source-port 21000 | grep -c '^b[23] ')" 30
start edge
steady 'and with the next one'
udp_counted 60
is 'the backends count them' "$(t --json backend list dns | jq '[.[].connections_active] | add')" 60
is 'b1 has its own still' "$(backend_field b1 connections_active dns)" "$(echo "$HELD" | count_of b1)"
is 'TCP counts nothing' "$(t --json backend list web | jq '[.[].connections_total] | add')" 0
check 'b1 is disabled' t backend disable dns b1
now=$(ask)
is 'all are answered' "$(echo "$now" | grep -c '^b[23] ')" 60
is 'those that were elsewhere stay' "$(diff <(echo "$HELD") <(echo "$now") | grep -c '^< b[23]')" 0
_moved() { [ "$(backend_field b1 connections_active dns)" = 0 ]; }
check 'none counts at b1' eventually 15 _moved
