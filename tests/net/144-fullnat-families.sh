#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# fullnat where the families differ: a VIP of each before servers of the other.
# parallel: yes
. "$(dirname "$0")/translated.sh"
plain_servers 2
no_way_to_clients
for family in 4 6; do
	VIPS="$VIP, \"$VIP6\"" translated fullnat $family
	[ $family = 4 ] && { start edge || fatal 'tundishd does not start'; } || reload
	for vip in $VIP $VIP6; do
		served "$vip before IPv$family" fullnat $family $vip
	done
done
