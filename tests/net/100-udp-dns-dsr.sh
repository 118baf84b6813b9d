#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# DNS: UDP and TCP on one port of one VIP, dnsmasq behind it, dig in front, both families.
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
vips_on_lo $BACKENDS
for b in $BACKENDS; do
	(exec nsenter --net=/run/netns/"$b" dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root \
		--pid-file="$T/dnsmasq-$b.pid" --bind-interfaces --listen-address=$VIP,$VIP6 --txt-record=who.test,"$b" \
		--address=/name.test/192.0.2.77 >"$T/dnsmasq-$b.log" 2>&1) &
	PID[dns-$b]=$!
done
# Ports that are chosen here are below what sockets without one take.
in_ns client sysctl -qw net.ipv4.ip_local_port_range='32768 60999'
udp_config dsr
start edge
query() { in_ns client dig +short +tries=1 +time=$((3 * TUNDISH_TEST_SLOW)) "@$1" "${@:2}"; }
check 'it answers' eventually 10 query $VIP name.test
for vip in $VIP $VIP6; do
	for way in +notcp +tcp; do
		from=10.0.0.100
		[ $vip = $VIP6 ] && from=fd00::100
		# from a port of its own each, and so a flow
		lines=$(for i in {1..30}; do query $vip $way -b "$from#$((20000 + i))" txt who.test; done | tr -d '"')
		is "$vip $way: thirty of thirty queries are answered" "$(echo "$lines" | grep -c '^b[123]$')" 30
		for b in $BACKENDS; do
			between "$vip $way: $b has its share" "$(echo "$lines" | grep -c "^$b$")" 1 25
		done
	done
	is "$vip: the answer is right" "$(query $vip name.test)" 192.0.2.77
done
between 'UDP flows are listed by name' "$(udp_flows '.service == "dns" and .state == "udp-new" and .protocol == "udp" and .port == 53')" 62 80
is 'those of TCP are not among them' "$(t --json flow list protocol=tcp | jq '[.[] | select(.protocol != "tcp")] | length')" 0
is 'TCP has its own' "$(t --json flow list --protocol tcp | jq '[.[].service] | unique | .[]' -r)" web
is 'a service tells its protocol' "$(t --json service show dns | jq -r '"\(.protocol) \(.flows)"')" 'udp true'
refused 'another protocol' 2 'neither tcp nor udp' t flow list --protocol sctp

# where a query would go: the same backend that then answers it
is 'trace: TCP where both have the port' "$(t --json trace 10.0.0.100 $VIP:53 | jq -r .service)" web
is 'trace --protocol udp' "$(t --json trace --protocol udp 10.0.0.100 $VIP:53 | jq -r .service)" dns
for port in 40001 40002 40003 40004; do
	told=$(t --json trace --protocol udp 10.0.0.100:$port $VIP:53 | jq -r .target)
	is "trace: from port $port" "$told" "$(query $VIP -b "10.0.0.100#$port" txt who.test | tr -d '"')"
done
is 'trace: the flow is known then' "$(t --json trace --protocol udp 10.0.0.100:40001 $VIP:53 | jq -r .reason)" \
	"the flow is known, and belongs to $(t --json flow list client-port=40001 | jq -r '.[0].backend')"
is 'nobody sees what is dropped' "$(counter drop_malformed) $(counter drop_fragment)" '0 0'
