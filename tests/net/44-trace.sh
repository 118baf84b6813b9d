#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# trace names the backend that the very same SYN then gets, and leaves no mark.
# parallel: yes
. "$(dirname "$0")/lib.sh"
in_ns client sysctl -qw net.ipv4.ip_local_port_range="32768 60999" # the ports below are asked for
three_backends dsr
agree() { # NAME CLIENT VIP COUNT
	local i told got wrong=0 source=$2 vip=$3
	case $2 in *:*) source="[$2]" vip="[$3]" ;; esac
	for i in $(seq "$4"); do
		told=$(t --json trace "$source:$((20000 + i))" "$vip:80" | jq -r '.target')
		got=$(get "$3" 1 --source "$2" --source-port $((20000 + i)))
		[ "$told" = "${got%% *}" ] || { wrong=$((wrong + 1)) && echo "  port $((20000 + i)): told $told, got $got"; }
	done
	is "$1" $wrong 0
}
flows=$(t --json flow list | jq length)
sent=$(counter sent_dsr)
for i in $(seq 20); do
	t trace "10.0.0.100:$((30000 + i))" $VIP:80 >/dev/null
done
is 'twenty traces leave no flow' "$(t --json flow list | jq length)" "$flows"
is 'and no count' "$(counter sent_dsr)" "$sent"
agree 'fifteen SYNs over IPv4 go where trace said' 10.0.0.100 $VIP 15
agree 'fifteen SYNs over IPv6 go where trace said' fd00::100 $VIP6 15
check 'drain b1' t backend drain web b1
agree 'after a drain as well' 10.0.0.100 $VIP 15
path() { t --json trace "$@" | jq -r '.path[]'; }
mac=$(ip -n b1 -j link show eth0 | jq -r '.[0].address')
t backend disable web b2 >/dev/null
t backend disable web b3 >/dev/null
t backend enable web b1 >/dev/null
is 'the next hop is told by its address and interface' "$(path 10.0.0.100:31000 $VIP:80 | grep -x 'next hop is .*')" "next hop is $mac by eth0"
is 'and what has a name by that' "$(path 10.0.0.100:31000 $VIP:80 | grep -cx -e "destination is virtual IP $VIP" -e 'service web' -e 'slot belongs to backend b1')" 3
is 'no step tells a number of a map' "$(path 10.0.0.100:31000 $VIP:80 | grep -c number)" 0
is 'the service is named' "$(t --json trace 10.0.0.100:31000 $VIP:80 | jq -r .service)" web
check 'an address of no service' t trace 10.0.0.100:1 10.0.0.1:80
refused 'what is no address' 2 'nonsense' t trace nonsense $VIP:80
