#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# No memory for a reload, a full disk below log and sockets, no descriptors left: each is told, changes
# nothing, and is over when there is room again.
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 30
load $VIP
cp "$T/edge.yaml" "$T/small.yaml"

# ---- memory: a file with 3,000 backends more, and no room for it
{
	cat "$T/small.yaml"
	printf '  - name: big\n    vips: [%s]\n    ports: [80]\n    delivery: dsr\n    backends:\n' $VIP2
	for i in {0..2999}; do echo "      - {name: n$i, address: 10.0.$((100 + i / 250)).$((1 + i % 250))}"; done
} >"$T/big.yaml"
cp "$T/big.yaml" "$T/edge.yaml"
room() { prlimit --pid "${PID[edge]}" --as="$1"; }
size=$(awk '/^VmSize/ {print $2 * 1024}' /proc/"${PID[edge]}"/status)
refused_at=0 applied=
by_command() { in_ns edge curl -s --max-time 30 --unix-socket /run/tundish/edge.sock -X POST http://x/v1/reload; }
for extra in 0 8 15 16 17 18 19 20 21 22 24 28 32 48; do # MiB
	room $((size + extra * 1048576)):unlimited
	by_command >"$T/out" 2>&1
	if ! grep -q error "$T/out"; then
		applied=$extra
		break
	fi
	refused_at=$((refused_at + 1))
	grep -qiE 'memory|allocate' "$T/out" || not_ok "$extra MiB more: it says what is missing ($(head -n 1 "$T/out"))"
	[ "$(t --json service list 2>/dev/null | jq -c '[.[].service]')" = '["web"]' ] || {
		room unlimited:unlimited
		is "$extra MiB more: nothing has changed" "$(t --json service list | jq -c '[.[].service]')" '["web"]'
	}
	[ "$(get $VIP 6 | grep -c '^b')" = 6 ] || not_ok "$extra MiB more: new connections are served"
done
room unlimited:unlimited
between 'refused for want of memory, at several places' $refused_at 1 9
check 'the daemon lives' t status
[ -n "$applied" ] || check 'with memory the file is applied' t config apply "$T/big.yaml"
is 'it is in force' "$(t --json service list | jq -c '[.[].service] | sort')" '["big","web"]'
check 'and goes' t config apply "$T/small.yaml"
cp "$T/small.yaml" "$T/edge.yaml"
steady 'the open connections stay'

# ---- descriptors
prlimit --pid "${PID[edge]}" --nofile=8:4096
t status >/dev/null 2>&1
kill -HUP "${PID[edge]}"
sleep 0.3 # that it meets the limit; whatever it does then, it goes on
prlimit --pid "${PID[edge]}" --nofile=4096:4096
check 'with descriptors again it answers' eventually 10 t status
check 'and reloads' reload
steady 'the open connections stay, without descriptors'

# ---- a full disk: log, run directory
stop edge
mkdir "$T/full"
mount -t tmpfs -o size=128k,nr_inodes=16 tmpfs "$T/full"
(exec nsenter --net=/run/netns/edge "$BUILD/tundishd" --config "$T/edge.yaml" --control "$T/full/control.sock" \
	--pin /sys/fs/bpf/edge --metrics off >>"$T/full/log" 2>&1) &
PID[edge]=$!
asks() { in_ns edge "$BUILD/tundish" --control "$T/full/control.sock" "$@"; }
check 'it starts' eventually 20 asks status
head -c 1000000 /dev/zero >"$T/full/filler" 2>/dev/null
is 'the disk is full' "$(df --output=avail "$T/full" | tail -n 1 | xargs)" 0
check 'a command, whose line in the log has no room' asks backend weight web b1 60
kill -HUP "${PID[edge]}"
check 'a reload as well' eventually 10 sh -c "[ \"\$(nsenter --net=/run/netns/edge '$BUILD/tundish' --control '$T/full/control.sock' --json status | jq .reloads)\" = 1 ]"
steady 'the open connections stay'
kill -KILL "${PID[edge]}"
wait "${PID[edge]}" 2>/dev/null
rm "$T/full/control.sock"
until ! : 2>/dev/null >"$T/full/inode$((RANDOM))"; do :; done # not one more file
refused 'a start without room for its socket says so' 1 'control socket .*No space left' in_ns edge "$BUILD/tundishd" \
	--config "$T/edge.yaml" --control "$T/full/control.sock" --pin /sys/fs/bpf/edge --metrics off
rm -f "$T/full"/inode* "$T/full/filler"
umount "$T/full"
start edge
steady 'with room it goes on'
end_load >/dev/null
between 'requests were made' "$REQUESTS" 100 10000000
is 'none failed' "$FAILURES" 0
