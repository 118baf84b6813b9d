#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A source that leaves the file stays an address of this host as long as connections have it,
# and goes with the last of them.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 2
VIPS=$VIP
SOURCES='10.0.1.250, 10.0.1.251' translated fullnat
start edge

has_source() { ip -n edge -o addr show to "$1" | grep -q "$1"; }
goes() { ! has_source "$1"; }
from() { t --json flow list | jq "[.[] | select(.translated.source == \"$1\")] | length"; }
check 'both are put on the host' eventually 5 has_source 10.0.1.251
hold $VIP 32
check 'connections have the second' [ "$(from 10.0.1.251)" -gt 0 ]
SOURCES=10.0.1.250 translated fullnat
reload edge
check 'it stays with them' has_source 10.0.1.251
for b in $BACKENDS; do ip -n "$b" neigh flush dev eth0; done
steady 'servers find it anew'
release >/dev/null
check 'it goes with the last of them' eventually 60 goes 10.0.1.251
check 'the other stays' has_source 10.0.1.250
