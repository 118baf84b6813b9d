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
