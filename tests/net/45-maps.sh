#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The pinned maps show names to bpftool.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 3
dump() { bpftool map dump pinned /sys/fs/bpf/edge/"$1"; }
for map in services backends flows flows6 tuples counters; do
	check "$map is pinned" test -e /sys/fs/bpf/edge/$map
done
dump services >"$T/services"
check 'services: the name in letters' grep -qE '"name": "web|"w"' "$T/services"
dump backends >"$T/backends"
check 'backends: field names' grep -q '"connections_active"' "$T/backends"
dump counters >"$T/counters"
check 'counters: field names' grep -q '"sent_dsr"' "$T/counters"
dump tuples | head -n 60 >"$T/tuples"
check 'tuples: field names' grep -q '"client"' "$T/tuples"
dump flows | head -n 60 >"$T/flows"
check 'flows: field names' grep -q '"client_port_be"' "$T/flows"
check 'names fit the kernel' bash -c "! bpftool -j map show | jq -r '.[].name // empty' | grep -E '.{16}'"
