#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# nat before plain servers of both families, edge with two NICs that forwards nothing itself.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 2
both_families nat
