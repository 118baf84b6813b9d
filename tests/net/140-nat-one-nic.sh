#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# nat before plain servers of both families, edge with one NIC.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 1

both_families nat
