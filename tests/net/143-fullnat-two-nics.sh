#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# fullnat before plain servers of both families that have no route to the client, edge with
# two NICs that forwards nothing itself.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 2
no_way_to_clients
both_families fullnat
