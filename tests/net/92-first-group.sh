#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The first worker group, and `accept_times: all`, may come by reload: the daemon loads their programs
# with the few privileges that it has kept.
# parallel: yes
. "$(dirname "$0")/lib.sh"
group_host
loaded() { test -e /sys/fs/bpf/edge/"$1"; } # PIN
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services: []
YAML
start edge
bare() { ! loaded link_steer; }
check 'no group, no programs for any' bare
is 'not CAP_SYS_ADMIN' "$(capsh --decode="$(sed -n 's/^CapEff:\t//p' /proc/"${PID[edge]}"/status)" | grep -c cap_sys_admin)" 0
serve s --workers 4

app_config
reload
check 'a reload loads them' eventually 10 loaded link_steer
check 'the workers are found' eventually 10 workers_are 4
flood $VIP 1000 200 --check
all_answered 'IPv4'
flood $VIP6 1000 200 --check
all_answered 'IPv6'

app_config 'accept_times: all'
reload
check 'another one loads one more' eventually 10 loaded link_sys_exit
is 'and nothing is missing' "$(t --json status | jq -r '.attention[] | select(.why | test("accept_times|steering|BPF")) | .why')" ''
flood $VIP 1000 200 --check
all_answered 'now'
