#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Proxies: nginx without keepalive to its upstream, and HAProxy with a source address.
# parallel: yes
. "$(dirname "$0")/lib.sh"
port_host
add_address edge eth0 10.0.0.2/24
web client
in_ns edge sh -c 'echo 30000 30999 >/proc/sys/net/ipv4/ip_local_port_range'
# A tuple without sockets, and its counts, leave the table after two scans.
ports_config "interval: ${TUNDISH_TEST_SLOW}s"
start edge
mkdir -p "$T/proxy"
cat >"$T/proxy/nginx.conf" <<CONF
daemon off;
pid $T/proxy/pid;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path $T/proxy/body;
	proxy_temp_path $T/proxy/proxy;
	fastcgi_temp_path $T/proxy/fastcgi;
	uwsgi_temp_path $T/proxy/uwsgi;
	scgi_temp_path $T/proxy/scgi;
	server {
		listen 10.0.0.1:8000;
		location / { proxy_pass http://10.0.0.100:80; proxy_http_version 1.0; }
	}
}
CONF
(exec nsenter --net=/run/netns/edge nginx -p "$T/proxy" -e stderr -c "$T/proxy/nginx.conf" >"$T/proxy.log" 2>&1) &
cat >"$T/haproxy.cfg" <<CFG
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
	option httpclose
listen proxy
	bind 10.0.0.1:8001
	server up 10.0.0.100:8080 source 10.0.0.2
CFG
(exec nsenter --net=/run/netns/edge haproxy -db -f "$T/haproxy.cfg" >"$T/haproxy.log" 2>&1) &
answers() { in_ns edge curl -sf "http://10.0.0.1:$1/" >/dev/null; }
check 'nginx answers' eventually 10 answers 8000
check 'HAProxy answers' eventually 10 answers 8001
in_ns edge sh -c 'for i in $(seq 120); do curl -s http://10.0.0.1:8000/ http://10.0.0.1:8001/; done' >/dev/null
tuple() { # LOCAL PORT FIELD
	t --json port list | jq -r "[.[] | select(.local_ip == \"$1\" and .remote_port == $2)][0].$3 // 0"
}
# Between the two counts nothing begins; a TIME_WAIT may end.
for which in '10.0.0.1 80 nginx' '10.0.0.2 8080 HAProxy'; do
	read -r local port name <<<"$which"
	before=$(ss_count "$local" "10.0.0.100:$port" TIME-WAIT)
	t port list --scan >/dev/null
	between "$name: TIME_WAIT as ss tells it" "$(tuple "$local" "$port" time_wait)" "$(ss_count "$local" "10.0.0.100:$port" TIME-WAIT)" "$before"
done
between 'nginx or its upstream closes first, each time' "$(t --json timewait | jq '[.tuples[] | select(.remote_port == 80)][0] | .closed_here + .closed_there')" 121 130
is 'none is blocked by either' "$(t --json port blocked | jq length)" 0
