#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `client_address: toa`: nginx logs, allows and denies the client that a trusted balancer names in a
# TCP option; what others write is not believed; both families and those that differ.
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
ACTING='10.0.0.200 10.0.0.201 fd00::200'
mac_of() { ip -j -n "$1" link show eth0 | jq -r '.[0].address'; }
for source in $ACTING; do ip -n edge neigh replace "$source" lladdr "$(mac_of client)" dev eth0 nud permanent; done
EDGE_MAC=$(mac_of edge)
mkdir -p "$T/nginx"
cat >"$T/nginx/nginx.conf" <<-CONF
	daemon off; master_process off; pid $T/nginx/pid; error_log stderr crit;
	events {}
	http {
		log_format peer '\$remote_addr \$remote_port \$request_uri \$status';
		access_log $T/nginx/access.log peer;
		client_body_temp_path $T/nginx/body; proxy_temp_path $T/nginx/p; fastcgi_temp_path $T/nginx/f; uwsgi_temp_path $T/nginx/u; scgi_temp_path $T/nginx/s;
		server {
			listen 8080; listen [::]:8081 ipv6only=off;
			location / { return 200 "\$remote_addr \$remote_port"; }
			location /admin { allow 203.0.113.9; deny all; root $T/nginx; }
		}
	}
CONF
echo secret >"$T/nginx/admin"
(exec nsenter --net=/run/netns/edge nginx -p "$T/nginx" -e stderr -c "$T/nginx/nginx.conf" >"$T/nginx.log" 2>&1) &
file() { # CLIENT_ADDRESS OF THE FIRST SERVICE
	cat <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - {name: four, vips: [$VIP], ports: [80], delivery: workers, workers: {listen: "0.0.0.0:8080"$1}}
		  - {name: both, vips: [$VIP2, "$VIP62"], ports: [80], delivery: workers, workers: {listen: "[::]:8081", client_address: toa, trusted: [10.0.0.200/31, "fd00::/64"]}}
		  - {name: deaf, vips: [192.0.2.30], ports: [80], delivery: workers, workers: {listen: "0.0.0.0:8080"}}
	YAML
}
file ', client_address: toa, trusted: 10.0.0.200' >"$T/edge.yaml"
start edge
check 'nginx serves' eventually 10 in_ns client curl -sf --max-time 2 http://$VIP/
from() { in_ns client "$PYTHON" "$TOP/tests/net/toa.py" "$1" "$2" 80 "$EDGE_MAC" "${@:3}" 2>&1; }
counter() { t --json status | jq ".counters.$1 // 0"; }

is 'a real client is itself' "$(in_ns client curl -s http://$VIP/ | cut -d' ' -f1)" 10.0.0.100
is 'told by a balancer' "$(from 10.0.0.200 $VIP --client 203.0.113.9)" '200 203.0.113.9 4711'
is 'allowed' "$(from 10.0.0.200 $VIP --client 203.0.113.9 --path /admin)" '200 secret'
is 'another one denied' "$(from 10.0.0.200 $VIP --client 203.0.113.10 --path /admin | head -n 1 | cut -d' ' -f1)" 403
_logged() { [ "$(grep -c '^203.0.113.9 4711 /admin 200$' "$T/nginx/access.log") $(grep -c '^203.0.113.10 4711 /admin 403$' "$T/nginx/access.log")" = '1 1' ]; }
check 'logged' eventually 5 _logged # behind the answer
is 'behind other options' "$(from 10.0.0.200 $VIP --client 203.0.113.9 --shape last)" '200 203.0.113.9 4711'
is 'behind another one of that kind' "$(from 10.0.0.200 $VIP --client 203.0.113.9 --shape many)" '200 203.0.113.9 4711'
is 'counted' "$(counter toa_read)" 5
is 'no option, the balancer itself' "$(from 10.0.0.200 $VIP | cut -d' ' -f1,2)" '200 10.0.0.200'
is 'a broken one too' "$(from 10.0.0.200 $VIP --client 203.0.113.9 --shape broken | cut -d' ' -f1,2)" '200 10.0.0.200'
is 'from elsewhere it is not believed' "$(from 10.0.0.201 $VIP --client 203.0.113.9 | cut -d' ' -f1,2)" '200 10.0.0.201'
is 'nor does it open anything' "$(from 10.0.0.201 $VIP --client 203.0.113.9 --path /admin | head -n 1 | cut -d' ' -f1)" 403
is 'counted too' "$(counter toa_untrusted)" 2
is 'a service that does not ask for it' "$(from 10.0.0.200 192.0.2.30 --client 203.0.113.9 | cut -d' ' -f1,2)" '200 10.0.0.200'

# families
is 'a client with IPv6, a socket for IPv4' "$(from 10.0.0.200 $VIP --client 2001:db8:9::1 | cut -d' ' -f1,2)" '200 10.0.0.200'
is 'is counted' "$(counter toa_no_family)" 1
is 'a socket for both' "$(from 10.0.0.200 $VIP2 --client 2001:db8:9::1)" '200 2001:db8:9::1 4711'
is 'IPv4 by IPv4 on it' "$(from 10.0.0.201 $VIP2 --client 203.0.113.9)" '200 ::ffff:203.0.113.9 4711'
is 'IPv6 by IPv6' "$(from fd00::200 $VIP62 --client 2001:db8:9::1 --client-port 65535)" '200 2001:db8:9::1 65535'
is 'IPv4 by IPv6' "$(from fd00::200 $VIP62 --client 203.0.113.9)" '200 ::ffff:203.0.113.9 4711'

# changes
file ', client_address: toa, trusted: [10.0.0.201]' >"$T/other.yaml"
check 'another balancer' t config apply "$T/other.yaml"
is 'the former one is not believed' "$(from 10.0.0.200 $VIP --client 203.0.113.9 | cut -d' ' -f1,2)" '200 10.0.0.200'
is 'the new one is' "$(from 10.0.0.201 $VIP --client 203.0.113.9)" '200 203.0.113.9 4711'
is 'as it is printed' "$(t config show | grep -c 'client_address: toa')" 2
stop edge KILL
is 'without a daemon' "$(from 10.0.0.201 $VIP --client 203.0.113.9)" '200 203.0.113.9 4711'
cp "$T/other.yaml" "$T/edge.yaml"
start edge
is 'with the next one' "$(from 10.0.0.201 $VIP --client 203.0.113.9)" '200 203.0.113.9 4711'
file '' >"$T/off.yaml"
check 'off' t config apply "$T/off.yaml"
is 'nobody is believed' "$(from 10.0.0.201 $VIP --client 203.0.113.9 | cut -d' ' -f1,2)" '200 10.0.0.201'
is 'and nobody is remembered' "$(bpftool -j map dump pinned /sys/fs/bpf/edge/trusted | jq length)" 2
refused 'without a word whom' 1 'needs "trusted"' t config check <(file ', client_address: toa')
