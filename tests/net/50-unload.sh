#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# unload leaves nothing: no program, no pin, no address that the daemon added. An interface that
# leaves the file is let go, with the few privileges that the daemon has kept.
. "$(dirname "$0")/lib.sh"
one_nic
add_address edge eth0 $VIP2/32 # there before: not the daemon's
before=$(ip -n edge -br addr | sed 's/@[^ ]*//')
web edge
config edge <<YAML
interfaces: [{name: eth0, attach: native}]
services:
  - {name: web, vips: [$VIP, $VIP2, "$VIP6"], ports: [80], delivery: workers}
YAML
owned() { ip -n edge -br addr | grep -c "$VIP/32.*$VIP6/128\|$VIP6/128.*$VIP/32"; }
start edge
is 'the missing addresses are added' "$(owned)" 1
check 'no address is there twice' bash -c "! ip -n edge -br addr | tr ' ' '\n' | grep / | sort | uniq -d | grep ."
stop edge
is 'they stay when the daemon ends' "$(owned)" 1
is 'the program too' "$(mode_of eth0)" native
made=$(objects edge)
between 'objects in the kernel' "$(echo "$made" | wc -l)" 10 90
check 'unload without a daemon' t unload
is 'no program' "$(mode_of eth0)" none
is 'no pin' "$(find /sys/fs/bpf -mindepth 1 | grep -c edge)" 0
is 'the addresses are as before' "$(ip -n edge -br addr | sed 's/@[^ ]*//')" "$before"
check 'no program or map is left in the kernel' eventually 10 gone "$made"
refused 'unload again' 4 'nothing' t unload

start edge
made=$(objects edge)
check 'unload with a daemon' t unload
is 'unload says nothing is wrong' "$(grep -c 'failed\|cannot' "$T/tundishd-edge.log")" 0
is 'no program (with a daemon)' "$(mode_of eth0)" none
is 'the addresses are as before (with a daemon)' "$(ip -n edge -br addr | sed 's/@[^ ]*//')" "$before"
is 'no pin (with a daemon)' "$(find /sys/fs/bpf -mindepth 1 | grep -c edge)" 0
check 'no program or map is left in the kernel (with a daemon)' eventually 10 gone "$made"

add_xdp_nic edge eth1 back
two() { config edge <<<"{interfaces: [{name: eth0, attach: native}${1-}], services: []}"; }
two ', {name: eth1, attach: native}'
start edge
is 'on two interfaces' "$(mode_of eth0) $(mode_of eth1)" 'native native'
two
check 'one of them leaves the file' t config apply "$T/edge.yaml"
is 'it is let go' "$(mode_of eth0) $(mode_of eth1)" 'native none'
is 'and its pins of libxdp' "$(find /sys/fs/bpf/xdp -name "dispatch-$(ip -n edge -j link show eth1 | jq ".[0].ifindex")-*" 2>/dev/null | wc -l)" 0
two ', {name: eth1, attach: native}'
check 'it comes again' t config apply "$T/edge.yaml"
is 'with its program' "$(mode_of eth0) $(mode_of eth1)" 'native native'
check 'unload' t unload
is 'from both' "$(mode_of eth0) $(mode_of eth1)" 'none none'
is 'with nothing said to be wrong' "$(grep -c 'failed\|cannot' "$T/tundishd-edge.log")" 0
is 'no pin of libxdp' "$(find /sys/fs/bpf/xdp -mindepth 1 2>/dev/null | wc -l)" 0
