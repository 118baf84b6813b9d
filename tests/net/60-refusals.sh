#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What cannot work is refused in one sentence, and what works already is not touched.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 10
# tundishd with other arguments, not the running one's.
other() { timeout 10 nsenter --net=/run/netns/edge "$BUILD/tundishd" --metrics 127.0.0.1:9798 "$@"; }
with() { sed "$1" "$T/edge.yaml" >"$T/other.yaml"; }

refused 'a second daemon on the same pin directory' 1 '/sys/fs/bpf/edge' \
	other --config "$T/edge.yaml" --control /run/tundish/2.sock --pin /sys/fs/bpf/edge
refused 'a second daemon on the same control socket' 1 '/run/tundish/edge.sock' \
	other --config "$T/edge.yaml" --control /run/tundish/edge.sock --pin /sys/fs/bpf/2
with 's/name: eth0/name: eth7/'
refused 'an interface that is not there' 1 'eth7' \
	other --config "$T/other.yaml" --control /run/tundish/2.sock --pin /sys/fs/bpf/2
refused 'a pin directory that is not bpffs' 1 "$T/pins" \
	other --config "$T/edge.yaml" --control /run/tundish/2.sock --pin "$T/pins"
refused 'a configuration that is not there' 1 'nowhere.yaml' \
	other --config "$T/nowhere.yaml" --control /run/tundish/2.sock --pin /sys/fs/bpf/2
other --pim /sys/fs/bpf/2 >/dev/null 2>&1
is 'an unknown option' $? 2
mkdir -p /sys/fs/bpf/3
bpftool map create /sys/fs/bpf/3/flows type array key 4 value 8 entries 1 name flows
refused 'a foreign pin' 1 '/sys/fs/bpf/3 holds "flows"' \
	other --config "$T/edge.yaml" --control /run/tundish/2.sock --pin /sys/fs/bpf/3
is 'the foreign pin is still there' "$(bpftool -j map show pinned /sys/fs/bpf/3/flows | jq .bytes_value)" 8
mkdir -m 777 "$T/open"
refused 'no privileges' 1 'root|privilege|CAP_' \
	in_ns edge setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all timeout 10 \
	"$BUILD/tundishd" --config "$T/edge.yaml" --control "$T/open/sock" --metrics 127.0.0.1:9798 --pin /sys/fs/bpf/4
refused 'no daemon' 3 'nobody.sock' "$BUILD/tundish" --control /run/tundish/nobody.sock status
refused 'an unknown verb' 2 'drian' t backend drian web b1
refused 'a name that is empty' 2 'BACKEND is empty; usage: tundish backend drain' t backend drain web ""
refused 'where it would be a list' 2 'NAME is empty; usage: tundish service show' t service show ""

steady 'the running one was not touched'
is 'it still serves' "$(get $VIP 20 | grep -c '^b')" 20
check 'and answers' t status
is 'no program or pin was left by the others' "$(find /sys/fs/bpf -name 2 -o -name 4)" ''
