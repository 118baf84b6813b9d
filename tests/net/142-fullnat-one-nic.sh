#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# fullnat before plain servers of both families that have no route to the client, edge with
# one NIC.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 1
no_way_to_clients
both_families fullnat

# By the last service: IPv6, one source before three servers, of whom the trace names one.
told=$(t --json trace "[$FAR6]:40000" "[$VIP6]:80")
server=fd00::1$(jq -r '.target[1:]' <<<"$told")
steps() { jq -r '.path[]' <<<"$told" | grep "^$1"; }
is 'the trace tells the source address and the server' "$(steps 'sent on')" "sent on from fd00::250 to $server, port 8080"
is 'and how many of the ports between them are in use' "$(steps 'source ports' | grep -cE "^source ports: [0-9]+ of [1-9][0-9]* from fd00::250 to $server, port 8080 are in use$")" 1
is 'and numbers none of it' "$(steps '.*number')" ''
