#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Source ports can be turned off and on; counts go on while the daemon is dead.
# parallel: yes
. "$(dirname "$0")/lib.sh"
port_host
in_ns edge sh -c 'echo 40000 40099 >/proc/sys/net/ipv4/ip_local_port_range'
ports_config 'interval: 1s'
port_server client 10.0.0.100 80
start edge
ports_client edge a hold 10.0.0.100 80 10
is 'counted' "$(port_field --scan 10.0.0.100 used)" 10
stop edge KILL
ports_client edge b churn 10.0.0.100 80 10
ports_client edge c hold 10.0.0.100 80 90
is 'ten find no port' "$(ports_refused c)" 10
start edge
is 'a new daemon knows of those' "$(port_field --scan 10.0.0.100 failures.EADDRNOTAVAIL)" 10
is 'and counts all' "$(port_field 10.0.0.100 used) $(port_field 10.0.0.100 time_wait)" '100 10'
config edge <<<'{interfaces: [{name: eth0}], ports: {watch: off}}'
check 'off' t config apply "$T/edge.yaml"
refused 'port list says so' 1 'not watched' t port list
refused 'and timewait' 1 'not watched' t timewait
check 'all else goes on' t status
is 'no metrics of it' "$(in_ns edge curl -s http://127.0.0.1:9799/metrics | grep -c '^tundish_source_port')" 0
ports_config 'interval: 1s'
check 'on again' t config apply "$T/edge.yaml"
is 'counted again' "$(port_field --scan 10.0.0.100 used)" 100
check 'unload' t unload
is 'nothing is left' "$(find /sys/fs/bpf/edge -name '*port*' 2>/dev/null | wc -l)" 0
