#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The programs that lead health checks beside those of others on the same interface, after a crash, on
# VLANs, with reverse path filters; what `unload` takes away and what it leaves.
# parallel: yes
. "$(dirname "$0")/lib.sh"
way_host
unload() { in_ns edge "$BUILD/tundish" --pin "/sys/fs/bpf/${1:-way}" unload; }
clsacts() { in_ns edge tc qdisc show dev "${1:-eth0}" | grep -c clsact; }
programs() { # of all filters of eth0, in order
	{ in_ns edge tc filter show dev eth0 ingress && in_ns edge tc filter show dev eth0 egress; } |
		grep -o 'id [0-9]*' | xargs
}
good="right 10.0.0.1 $VIP 80 led"

is 'nothing there before' "$(clsacts)" 0
is 'a check' "$(way $VIP 80 dsr 10.0.0.11)" "$good"
is 'a filter for each direction' "$(filters eth0)" 2
# The process has ended without a word, as a daemon does that is killed.
before=$(programs)
is 'the next one' "$(way $VIP 80 dsr 10.0.0.11)" "$good"
is 'has replaced what was left' "$(filters eth0)" 2
[ "$(programs)" != "$before" ] && ok 'by its own' || not_ok "by its own ($before)"
is 'several interfaces' "$(DEVICES='eth0 lo' way $VIP 80 dsr 10.0.0.11) $(filters lo)" "$good 2"
is 'across families too' "$(SOURCE=10.0.0.1 way $VIP 80 dsr fd00::11)" "$good"
is 'the host reaches others' "$(in_ns edge ping -c 3 -i 0.05 -q 10.0.0.11 | grep -o '[0-9]* received')" '3 received'
is 'and itself' "$(in_ns edge ping -c 3 -i 0.05 -q ::1 | grep -o '[0-9]* received')" '3 received'
check 'unload' unload
is 'no filter is left' "$(filters eth0) $(filters lo)" '0 0'
is 'and no qdisc' "$(clsacts) $(clsacts lo)" '0 0'

# Somebody else's: a filter at the very place, with a program of the same name, over other maps.
theirs() {
	in_ns edge tc qdisc add dev eth0 clsact
	in_ns edge tc filter add dev eth0 egress prio 5 handle 1 bpf da obj "$BUILD/checks.bpf.o" sec tc
	in_ns edge tc filter add dev eth0 ingress prio 7 handle 3 bpf da obj "$BUILD/checks.bpf.o" sec tc
}
check 'filters of others' theirs
before=$(programs)
is 'beside them' "$(way $VIP 80 dsr 10.0.0.11)" "$good"
is 'all four' "$(filters eth0)" 4
check 'unload again' unload
is 'theirs are as before' "$(programs)" "$before"
is 'and their qdisc' "$(clsacts)" 1

# Of two pin directories each takes off its own.
is 'over one pin directory' "$(way $VIP 80 dsr 10.0.0.11)" "$good"
is 'another one' "$(in_ns edge "$BUILD/bench/check_way" /sys/fs/bpf/other $VIP 80 dsr 10.0.0.11 eth0 | grep . | xargs)" "$good"
is 'six of them' "$(filters eth0)" 6
check 'the other one goes' unload other
is 'this one stays' "$(filters eth0) $(way $VIP 80 dsr 10.0.0.11)" "4 $good"
check 'this one goes' unload
is 'theirs are as ever' "$(programs)" "$before"
in_ns edge tc qdisc del dev eth0 clsact

in_ns edge tc qdisc add dev eth0 ingress
refused 'an ingress qdisc is in the way' 1 'eth0.*clsact' in_ns edge "$BUILD/bench/check_way" /sys/fs/bpf/way $VIP 80 dsr 10.0.0.11 eth0
is 'and left alone' "$(in_ns edge tc qdisc show dev eth0 | grep -c ingress) $(filters eth0)" '1 0'
in_ns edge tc qdisc del dev eth0 ingress

# A link that vanishes and comes back has nothing any more, until it is attached again.
is 'once more' "$(way $VIP 80 dsr 10.0.0.11)" "$good"
ip -n edge link del eth0
add_xdp_nic edge eth0 front
add_address edge eth0 10.0.0.1/24 fd00:0::1/64
is 'a new link has none' "$(filters eth0)" 0
is 'and gets them' "$(way $VIP 80 dsr 10.0.0.11) $(filters eth0)" "$good 2"

# Reverse path filters take the answer for what it looks like: from the backend's own address.
in_ns edge sh -c 'for i in all lo eth0; do echo 1 >/proc/sys/net/ipv4/conf/$i/rp_filter; done'
is 'strict reverse path filter' "$(way $VIP 80 dsr 10.0.0.11)" "$good"
in_ns edge sh -c 'echo 2 >/proc/sys/net/ipv4/conf/lo/rp_filter; ip route add default via 10.0.0.100'
is 'loose on loopback, across families' "$(SOURCE=10.0.0.1 way $VIP 80 dsr fd00::11)" "$good"
in_ns edge sh -c 'for i in all lo eth0; do echo 0 >/proc/sys/net/ipv4/conf/$i/rp_filter; done'

# Backends on a VLAN: on the NIC below, on both, on the VLAN's device alone.
if ! ip -n edge link add link eth0 name eth0.7 type vlan id 7 2>/dev/null; then
	skip 'a VLAN' 'this kernel has no VLAN devices'
	exit $((FAILED > 0))
fi
ip -n b1 link add link eth0 name eth0.7 type vlan id 7
ip -n edge link set eth0.7 up
ip -n b1 link set eth0.7 up
add_address edge eth0.7 10.7.0.1/24 fd07::1/64
add_address b1 eth0.7 10.7.0.11/24 fd07::11/64
vlan="right 10.7.0.1 $VIP 80 led"
is 'on the NIC below a VLAN' "$(way $VIP 80 dsr 10.7.0.11)" "$vlan"
is 'across families over a VLAN' "$(SOURCE=10.7.0.1 way $VIP 80 dsr fd07::11) $(SOURCE=fd07::1 way $VIP6 80 dsr 10.7.0.11)" \
	"$vlan right fd07::1 $VIP6 80 led"
is 'on both' "$(DEVICES='eth0 eth0.7' way $VIP 80 dsr 10.7.0.11) $(DEVICES='eth0 eth0.7' way $VIP6 80 dsr fd07::11)" \
	"$vlan right fd07::1 $VIP6 80 led"
check 'unload with VLANs' unload
is 'on its device alone' "$(DEVICES=eth0.7 way $VIP 80 dsr 10.7.0.11)" "$vlan"
