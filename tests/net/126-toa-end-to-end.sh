#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# fullnat that tells the client's address (`client_address: toa`) before a host whose tundish believes
# it: nginx there logs, allows and denies the real client, in both families and where they differ; what
# a client claims itself is taken out.
# parallel: yes
BACKENDS=b1
. "$(dirname "$0")/translated.sh"
BACKENDS=b1
web() { :; } # an nginx of this scenario's own, below
plain_servers 2
no_way_to_clients
OTHER=10.0.9.101 OTHER6=fd00:9::101 ACTING=10.0.9.200 ACTING6=fd00:9::200
add_address client eth0 $OTHER/24 $OTHER6/64
mac_of() { ip -j -n "$1" link show eth0 | jq -r '.[0].address'; }
for source in $ACTING $ACTING6; do ip -n edge neigh replace $source lladdr "$(mac_of client)" dev eth0 nud permanent; done
EDGE_MAC=$(mac_of edge)
mkdir -p "$T/nginx"
head -c 4194304 /dev/urandom >"$T/big"
echo secret >"$T/nginx/admin"
cat >"$T/nginx/nginx.conf" <<-CONF
	daemon off; master_process off; pid $T/nginx/pid; error_log stderr crit;
	events {}
	http {
		log_format peer '\$remote_addr \$remote_port \$request_uri \$status';
		access_log $T/nginx/access.log peer;
		client_max_body_size 64m; client_body_temp_path $T/nginx/body;
		proxy_temp_path $T/nginx/p; fastcgi_temp_path $T/nginx/f; uwsgi_temp_path $T/nginx/u; scgi_temp_path $T/nginx/s;
		server {
			listen 8080; listen [::]:8081 ipv6only=off; listen 8082 deferred;
			location / { return 200 "\$remote_addr \$remote_port\n"; }
			location /admin { allow $FAR; allow $FAR6; allow 203.0.113.9; deny all; root $T/nginx; }
			location = /big { alias $T/big; }
			location /post { proxy_pass http://127.0.0.1:8083/; }
		}
		server { listen 127.0.0.1:8083; location / { return 200 "\$http_content_length\n"; } }
	}
CONF
(exec nsenter --net=/run/netns/b1 nginx -p "$T/nginx" -e stderr -c "$T/nginx/nginx.conf" >"$T/nginx.log" 2>&1) &
believing() { # whom
	local w="client_address: toa, trusted: $1"
	config b1 <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - {name: four, vips: [10.0.1.11], ports: [80], delivery: workers, workers: {listen: "0.0.0.0:8080", $w}}
		  - {name: both, vips: [10.0.1.11, "fd00:1::11"], ports: [81], delivery: workers, workers: {listen: "[::]:8081", $w}}
		  - {name: late, vips: [10.0.1.11], ports: [82], delivery: workers, workers: {listen: "0.0.0.0:8082", $w}}
	YAML
}
believing '[10.0.1.250, "fd00:1::250"]'
told_by() { # CLIENT_ADDRESS of the first service
	local common='delivery: fullnat, sources: [10.0.1.250, "fd00:1::250"]'
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]
		services:
		  - {name: four, vips: [$VIP], ports: [80], $common, $1 backends: [{name: b1, address: 10.0.1.11}]}
		  - {name: six, vips: ["$VIP6"], ports: [80], $common, client_address: toa, backends: [{name: b1, address: "fd00:1::11", port: 81}]}
		  - {name: four6, vips: [$VIP2], ports: [80], $common, client_address: toa, backends: [{name: b1, address: "fd00:1::11", port: 81}]}
		  - {name: six4, vips: ["$VIP62"], ports: [80], $common, client_address: toa, backends: [{name: b1, address: 10.0.1.11, port: 81}]}
		  - {name: narrow, vips: ["$VIP6"], ports: [81], $common, client_address: toa, backends: [{name: b1, address: 10.0.1.11, port: 80}]}
		  - {name: late, vips: [$VIP], ports: [82], $common, client_address: toa, backends: [{name: b1, address: 10.0.1.11, port: 82}]}
		  - {name: roomy, vips: [$VIP, "$VIP6"], ports: [83], $common, client_address: toa, mss: auto, backends: [{name: b1, address: "fd00:1::11", port: 81}]}
		limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 16384, lanes: 64}
	YAML
}
told_by 'client_address: toa,'
start b1
start edge || fatal 'tundishd does not start'
# ask VIP[:PORT] [SOURCE] [PATH]: the server's answer, behind the client's own idea of its port.
ask() { in_ns client curl -gs --max-time $((3 * TUNDISH_TEST_SLOW)) ${2:+--interface "$2"} -w '%{local_port} %{http_code}\n' "http://$1${3:-/}" | paste -sd' ' -; }
# Who the server thinks it is, and whether it has the very port.
knows() { # VIP SOURCE
	local address seen port code
	read -r address seen port code < <(ask "$1" "$2")
	echo "$address $([ "$seen" = "$port" ] && echo same) $code"
}
from() { in_ns client "$PYTHON" "$TOP/tests/net/toa.py" "$1" "$2" "${PORT:-80}" "$EDGE_MAC" "${@:3}" 2>&1; }
counter() { tun "$1" --json status | jq ".counters.$2 // 0"; }
up() { ask $VIP $FAR | grep -q 200 && ask "[$VIP6]" $FAR6 | grep -q 200; }
check 'nginx serves' eventually 10 up

is 'IPv4' "$(knows $VIP $FAR)" "$FAR same 200"
is 'IPv6' "$(knows "[$VIP6]" $FAR6)" "$FAR6 same 200"
is 'a client with IPv4, a server with IPv6' "$(knows $VIP2 $FAR)" "::ffff:$FAR same 200"
is 'a client with IPv6, a server with IPv4' "$(knows "[$VIP62]" $FAR6)" "$FAR6 same 200"
is 'a client with IPv6, a socket for IPv4' "$(knows "[$VIP6]:81" $FAR6)" '10.0.1.250  200'
is 'which is counted' "$(counter b1 toa_no_family)" 1
is 'a server that only hears of data' "$(knows $VIP:82 $FAR)" "$FAR same 200"
for _ in {1..20}; do ask $VIP $FAR; done >"$T/twenty"
is 'each of twenty' "$(awk -v a=$FAR '$1 == a && $2 == $3' "$T/twenty" | wc -l)" 20
is 'allowed' "$(ask $VIP $FAR /admin | cut -d' ' -f1)" secret
is 'another one denied' "$(ask $VIP $OTHER /admin | grep -o '[0-9]*$')" 403
is 'IPv6: allowed' "$(ask "[$VIP6]" $FAR6 /admin | cut -d' ' -f1)" secret
is 'IPv6: another one denied' "$(ask "[$VIP6]" $OTHER6 /admin | grep -o '[0-9]*$')" 403
_logged() { [ "$(grep -cE "^($FAR|$FAR6) [0-9]+ /admin 200$" "$T/nginx/access.log") $(grep -cE "^($OTHER|$OTHER6) [0-9]+ /admin 403$" "$T/nginx/access.log")" = '2 2' ]; }
check 'logged' eventually 5 _logged # behind the answer
for vip in $VIP "[$VIP6]" $VIP2 "[$VIP62]"; do
	is "$vip: 4 MiB come whole" "$(in_ns client curl -gsm 20 "http://$vip/big" | sha1sum)" "$(sha1sum <"$T/big")"
	is "$vip: 4 MiB go whole" "$(in_ns client curl -gsm 20 -H 'Expect:' --data-binary @"$T/big" "http://$vip/post")" 4194304
done
# A first segment that is full has no room; the handshake has told the client by then.
before=$(counter edge toa_no_room)
long=$(printf '%03000d' 0)
for vip in $VIP "[$VIP6]" $VIP2 "[$VIP62]"; do
	is "$vip: a request of 3,000 bytes" "$(in_ns client curl -gs --max-time 5 -H "X-Long: $long" -o /dev/null -w '%{http_code}' "http://$vip/")" 200
done
check 'which is counted' test "$(counter edge toa_no_room)" -gt "$before"
before=$(counter edge toa_no_room)
for vip in $VIP:83 "[$VIP6]:83"; do
	is "$vip, mss: auto: a request of 3,000 bytes" "$(in_ns client curl -gs --max-time 5 -H "X-Long: $long" -o /dev/null -w '%{http_code}' "http://$vip/")" 200
done
is 'which all have room' "$(counter edge toa_no_room)" "$before"
check 'added' test "$(counter edge toa_added)" -ge 40
check 'and read' test "$(counter b1 toa_read)" -ge 30
is 'none came from elsewhere' "$(counter b1 toa_untrusted)" 0

# What a client claims.
is 'nobody has claimed an address yet' "$(counter edge toa_stripped)" 0
is 'a client that claims another address' "$(from $ACTING $VIP --client 203.0.113.9 | cut -d' ' -f1,2)" "200 $ACTING"
check 'is counted' test "$(counter edge toa_stripped)" -ge 2
for shape in last many broken; do
	is "a claim of the shape $shape" "$(from $ACTING $VIP --client 203.0.113.9 --shape $shape | cut -d' ' -f1,2)" "200 $ACTING"
done
is 'it opens nothing' "$(from $ACTING $VIP --client 203.0.113.9 --path /admin | head -n 1 | cut -d' ' -f1)" 403
is 'an address with IPv6' "$(from $ACTING $VIP --client 2001:db8:9::1 | cut -d' ' -f1,2)" "200 $ACTING"
is 'over IPv6' "$(from $ACTING6 $VIP6 --client 203.0.113.9 | cut -d' ' -f1,2)" "200 $ACTING6"
is 'over IPv6 to a server with IPv4' "$(from $ACTING6 $VIP62 --client 203.0.113.9 --path /admin | head -n 1 | cut -d' ' -f1)" 403

# Checksums that a NIC was to complete.
checksums() { in_ns client ethtool -K eth0 tx $1 && in_ns switch ethtool -K edge-eth0 tx $1; } >/dev/null # on | off
checksums on
before=$(counter edge checksum_partial)
is 'partial checksums: IPv4' "$(knows $VIP $FAR)" "$FAR same 200"
is 'partial checksums: IPv6' "$(knows "[$VIP6]" $FAR6)" "$FAR6 same 200"
is 'partial checksums: families' "$(knows $VIP2 $FAR) $(knows "[$VIP62]" $FAR6)" "::ffff:$FAR same 200 $FAR6 same 200"
check 'partial checksums: there were some' test "$(counter edge checksum_partial)" -gt "$before"
checksums off

# Changes.
stop edge KILL
stop b1 KILL
is 'without both daemons' "$(knows $VIP $FAR) $(knows "[$VIP6]" $FAR6)" "$FAR same 200 $FAR6 same 200"
start b1
start edge
is 'with the next ones' "$(knows $VIP $FAR) $(knows "[$VIP6]" $FAR6)" "$FAR same 200 $FAR6 same 200"
told_by ''
check 'not told any more' t config apply "$T/edge.yaml"
is 'the pool is the client' "$(knows $VIP $FAR)" '10.0.1.250  200'
is 'another service tells still' "$(knows "[$VIP6]" $FAR6)" "$FAR6 same 200"
believing '[10.0.1.249]'
check 'not believed any more' tun b1 config apply "$T/b1.yaml"
is 'the pool is the client there' "$(knows "[$VIP6]" $FAR6)" 'fd00:1::250  200'
check 'which is counted' test "$(counter b1 toa_untrusted)" -ge 1
