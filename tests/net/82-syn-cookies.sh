#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# With SYN cookies for every connection the group serves as without them.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
app_config
serve s --workers 4
start edge
in_ns edge sysctl -qw net.ipv4.tcp_syncookies=2
nstat_of() { in_ns edge nstat -asz "TcpExt$1" | awk -v n="TcpExt$1" '$1 == n {print $2}'; }
for address in $VIP $VIP6; do
	flood $address 2000 3000 --check
	all_answered "$address"
	is "$address: all four serve" "$(echo "$RESULT" | jq -r '.tally | keys | join(" ")')" 's0 s1 s2 s3'
done
between 'cookies were sent' "$(nstat_of SyncookiesSent)" 5900 7000
is 'none failed' "$(nstat_of SyncookiesFailed)" 0
