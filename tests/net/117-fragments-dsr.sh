#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# UDP requests larger than the MTU reach backends by dsr, whole, in both families: over changes of the
# pool, without the daemon, and not those of a backend that is disabled.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_udp dsr
large() { # VIP COUNT BYTES: how many come back whole
	local client=10.0.0.100
	[ "$1" = $VIP6 ] && client=fd00::100
	udp_get "$@" | grep -c "^b[123] $client $1 53 $4 whole$"
}
for vip in $VIP $VIP6; do
	room=1480 # bytes of a packet in each fragment
	[ $vip = $VIP6 ] && room=1448
	for bytes in 1600 3000 9000 60000; do
		before=$(counter fragment_followed)
		is "$vip: thirty of thirty with $bytes bytes" "$(large $vip 30 --bytes $bytes)" 30
		is "$vip: their later fragments followed" $(($(counter fragment_followed) - before)) \
			$((30 * ((bytes + 7) / room)))
	done
	lines=$(udp_get $vip 60 --bytes 3000)
	for b in $BACKENDS; do
		between "$vip: $b has its share" "$(echo "$lines" | count_of $b)" 6 40
	done
done
is 'none is dropped' "$(counter drop_fragment) $(counter drop_malformed)" '0 0'

check 'b1 is disabled' t backend disable dns b1
is 'all are whole with two' "$(large $VIP 30 --bytes 3000) $(large $VIP6 30 --bytes 3000)" '30 30'
check 'b1 is enabled' t backend enable dns b1
MEMBERS='b1 b3' udp_config dsr
check 'b2 is taken out of the file' t config apply "$T/edge.yaml"
is 'all are whole then' "$(large $VIP 30 --bytes 3000) $(large $VIP6 30 --bytes 3000)" '30 30'
stop edge KILL
is 'and without the daemon' "$(large $VIP 30 --bytes 3000) $(large $VIP6 30 --bytes 3000)" '30 30'
start edge
is 'and with the next one' "$(large $VIP 30 --bytes 3000) $(large $VIP6 30 --bytes 3000)" '30 30'
is 'limits.fragments is what the map has' "$(bpftool -j map show pinned /sys/fs/bpf/edge/fragments | jq .max_entries)" 8192
