#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The time from SYN to accept(2): with what the client's own way took, and without the
# handshakes that the kernel could not time.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
app_config
echo 'timeouts: {closing: 2s}' >>"$T/edge.yaml"
serve s --workers 1
start edge
check 'its worker' eventually 10 eval '[ "$(t --json worker list app | jq length)" = 1 ]'
metric() { in_ns edge curl -s http://127.0.0.1:9799/metrics | awk -v m="tundish_$1{service=\"app\"}" '$1 == m {print $2}'; }
late() { # SPORT SECONDS
	in_ns client "$PYTHON" "$TOP/tests/net/late.py" 10.0.0.151 "$1" $VIP 80 "$2"
}
accepted() { [ "$(metric accept_wait_seconds_count)" = "$1" ]; }

in_ns client nft -f - <<-'NFT'
	table ip silent { chain out { type filter hook output priority 0; ip saddr 10.0.0.151 tcp flags & rst == rst drop; }; }
NFT
is 'a handshake of 200 ms' "$(late 40001 0.2)" SYN-ACK
check 'is accepted' eventually 10 accepted 1
is 'from the SYN on it was these, from its end on it was not' \
	"$(metric syn_accept_seconds_sum | awk '{print ($1 >= 0.2)}') $(echo "$(metric syn_accept_seconds_sum) $(metric accept_wait_seconds_sum)" |
		awk '{print ($1 - $2 >= 0.2)}')" '1 1'
is 'once' "$(metric syn_accept_seconds_count)" 1
is 'one whose SYN-ACK was sent again' "$(late 40002 1.5)" SYN-ACK
check 'is accepted, too' eventually 10 accepted 2
is 'but nobody knows since when' "$(metric syn_accept_seconds_count)" 1

in_ns edge sysctl -qw net.ipv4.tcp_syncookies=2
flood $VIP6 1000 50 --http
all_answered 'with SYN cookies'
is 'as it is of these' "$(metric accept_wait_seconds_count) $(metric syn_accept_seconds_count)" '52 1'
in_ns edge sysctl -qw net.ipv4.tcp_syncookies=1
flood $VIP6 1000 50 --http
all_answered 'and without'
is 'each was accepted' "$(metric accept_wait_seconds_count)" 102
between "all are timed, IPv6 too, but what was a whole number of milliseconds by chance" "$(metric syn_accept_seconds_count)" 45 51

# Another service in its place, with its number.
id() { bpftool -j map dump pinned /sys/fs/bpf/edge/services | jq ".[] | select(.formatted.value.state != 0) | .formatted.key"; }
was=$(id)
sed -i 's/name: app/name: next/' "$T/edge.yaml"
check 'the file is applied' t config apply "$T/edge.yaml"
gone() { t --json events --once --event freed | jq -e 'any(.object == "service app")' >/dev/null; }
check 'the former one is freed' eventually 60 gone
sed -i 's/name: next/name: app/' "$T/edge.yaml"
check 'and comes again' t config apply "$T/edge.yaml"
is 'by its former number' "$(id | head -1)" "$was"
is 'and begins with nothing' "$(metric accept_wait_seconds_count) $(metric syn_accept_seconds_count) $(metric syn_accept_seconds_sum)" '0 0 0.000000000'
