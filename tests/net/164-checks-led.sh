#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The daemon's checks of VIPs that the edge owns, by way of `dsr`, `ipip` and `gue`: a server that listens
# on the VIP alone is up, one that answers on its own address alone is down; the programs come back when
# somebody has taken them off, and go with the last such check.
# parallel: yes
. "$(dirname "$0")/lib.sh"
BACKENDS=b1
export GUE_PORT=6080
one_nic
vips_on_lo b1
vip_web b1 right $VIP $VIP6
config b1 <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services: [{name: web, vips: [$VIP, "$VIP6"], ports: [80], own: false, delivery: workers}]
	gue: {port: $GUE_PORT}
YAML
start b1

led() { # DELIVERY ADDRESS TYPE VIP
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - name: web
		    vips: ["$4"]
		    ports: [80]
		    delivery: $1
		    health: {type: $3, interval: 200ms, timeout: 500ms, rise: 2, fall: 2}
		    backends: [{name: b1, address: "$2"}]
	YAML
}
says() { t --json backend list | jq -r '.[0] | "\(.health) \(.reason // "")"'; }
is_health() { [[ $(says) == "$1"* ]]; }
checked() { in_ns edge curl -s http://127.0.0.1:9799/metrics | sed -n "s/^tundish_checks_total{result=\"$1\"} //p"; }
more() { [ "$(checked "$1")" -ge $(($2 + 3)) ]; } # RESULT BEFORE
goes_on() { check "$2" eventually 8 more "$1" "$(checked "$1")"; }

led dsr 10.0.0.11 tcp $VIP
start edge
check 'the edge owns the VIP' eventually 5 in_ns edge sh -c "ip -o addr | grep -q '$VIP/32'"
goes_on good 'dsr, tcp'
is 'nothing else came of it' "$(checked bad) $(checked refused) $(checked timeout)" '0 0 0'
is 'a filter for each direction' "$(filters eth0)" 2
for kind in "dsr 10.0.0.11 http $VIP" "dsr fd00::11 http $VIP6" "ipip 10.0.0.11 http $VIP" "ipip fd00::11 tcp $VIP6" \
	"gue 10.0.0.11 tcp $VIP" "gue fd00::11 http $VIP6" "ipip 10.0.0.11 http $VIP6" "gue fd00::11 http $VIP" "dsr 10.0.0.11 tcp $VIP6"; do
	# shellcheck disable=SC2086 # several words
	led $kind
	check "$kind: reload" reload
	goes_on good "$kind"
	is "$kind: up" "$(says | cut -d' ' -f1)" up
done

# A reverse path filter that would keep all answers away makes no backend look dead.
in_ns edge sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter'
led gue fd00::11 http $VIP
check 'a strict filter on loopback' reload
filter_told() { attention | grep -q 'lo.rp_filter is 1'; }
check 'is told' eventually 5 filter_told
is 'and nobody is down' "$(says | cut -d' ' -f1) $(checked bad) $(checked timeout)" 'none 0 0'
in_ns edge sh -c 'echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter'
goes_on good 'without it'

led ipip 10.0.0.11 http $VIP
check 'one that will be down' reload
goes_on good 'and is up'
vip_web_ends right
vip_web b1 wrong 10.0.0.11 fd00::11
check 'its own address makes no check good' eventually 8 is_health down
_refused() { says | grep refused >/dev/null; }
check 'which is told' eventually 5 _refused
vip_web_ends wrong
vip_web b1 right $VIP $VIP6
check 'on the VIP again' eventually 8 is_health up

# Its host is gone: then no packet leaves, and that is no excuse.
ip -n b1 link set eth0 down
check 'a host that is gone' eventually 10 is_health down
ip -n b1 link set eth0 up
check 'and is back' eventually 15 is_health up

# Somebody takes them off: no check is good or bad by that, and they come back.
in_ns edge tc qdisc del dev eth0 clsact
has_filters() { [ "$(filters eth0)" = "$1" ]; }
check 'taken off, they come back' eventually 8 has_filters 2
is 'and nobody was down for it' "$(says | cut -d' ' -f1)" up
goes_on good 'good again'

stop edge KILL
is 'a killed daemon leaves them' "$(filters eth0)" 2
start edge
goes_on good 'the next one goes on'
is 'with its own alone' "$(filters eth0)" 2
qdiscs() { in_ns edge tc qdisc show dev eth0; }
of_it=$(qdiscs)
stop edge
is 'so does one that ends: a qdisc that goes would cost packets' "$(filters eth0) $(qdiscs)" "2 $of_it"
start edge
goes_on good 'and the next one after it'
is 'with its own alone, again' "$(filters eth0)" 2
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services: [{name: web, vips: [$VIP], ports: [80], delivery: ipip, backends: [{name: b1, address: 10.0.0.11}]}]
YAML
check 'no checks any more' reload
check 'no programs either' eventually 5 has_filters 0
is 'nor their qdisc' "$(in_ns edge tc qdisc show dev eth0 | grep -c clsact)" 0
led ipip 10.0.0.11 http $VIP
check 'checks again' reload
check 'programs again' eventually 5 has_filters 2
stop edge KILL
check 'unload without a daemon' t unload
is 'takes them off' "$(filters eth0) $(filters lo)" '0 0'

# With a daemon, which goes on for a moment, until its answer has left: without maps to check by.
led dsr 10.0.0.11 tcp $VIP
sed -i 's/interval: 200ms/interval: 10ms/' "$T/edge.yaml"
start edge
goes_on good 'checks every 10 ms'
check 'unload with a daemon' t unload
check 'ends it' eventually 10 ended edge
wait "${PID[edge]}"
is 'in good order' "$? $(filters eth0)" '0 0'
