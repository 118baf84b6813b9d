#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# nginx as a reverse proxy without keepalive, in a cgroup with a pool, comes from all of its
# sources with no word of it in its own configuration; HAProxy with `source` is left alone. Where
# others have taken half of a source's ports for the destination it is passed over, which is one shift.
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
web b1
egress_sources 4
cgroups nginx haproxy
in_ns edge sh -c 'echo 20000 20999 >/proc/sys/net/ipv4/ip_local_port_range'
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services: []
	egress:
	  - {name: nginx, cgroup: $CG/nginx, sources: [10.0.0.201, 10.0.0.202, 10.0.0.203, 10.0.0.204]}
	  - {name: haproxy, cgroup: $CG/haproxy, sources: [10.0.0.203, 10.0.0.204]}
YAML
start edge
mkdir -p "$T/proxy"
cat >"$T/proxy/nginx.conf" <<-CONF
	daemon off;
	pid $T/proxy/pid;
	error_log stderr error;
	worker_processes 2;
	events { worker_connections 1024; }
	http {
		access_log off;
		client_body_temp_path $T/proxy/body; proxy_temp_path $T/proxy/proxy;
		fastcgi_temp_path $T/proxy/fastcgi; uwsgi_temp_path $T/proxy/uwsgi; scgi_temp_path $T/proxy/scgi;
		server { listen 8000; location / { proxy_pass http://10.0.0.11:80/; } }
	}
CONF
cat >"$T/haproxy.cfg" <<-CFG
	defaults
		mode http
		timeout connect 5s
		timeout client 30s
		timeout server 30s
		http-reuse never
	listen app
		bind :8001
		source 10.0.0.201
		server b1 10.0.0.11:80
CFG
(in_cgroup nginx nginx -p "$T/proxy" -e stderr -c "$T/proxy/nginx.conf" >"$T/proxy.log" 2>&1) &
(in_cgroup haproxy haproxy -db -f "$T/haproxy.cfg" >"$T/haproxy.log" 2>&1) &
answers() { in_ns edge curl -sf -o /dev/null http://127.0.0.1:"$1"/; }
check 'nginx is there' eventually 10 answers 8000
check 'HAProxy is there' eventually 10 answers 8001
# ask PORT COUNT: the source that the server saw, of each.
ask() {
	in_ns edge "$PYTHON" - "$@" <<-'PY'
		import collections, http.client, sys
		seen = collections.Counter()
		for i in range(int(sys.argv[2])):
		    c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
		    c.request("GET", "/")
		    seen[c.getresponse().read().split()[1].decode()] += 1
		    c.close()
		print(" ".join(f"{k}={v}" for k, v in sorted(seen.items())))
	PY
}
is 'HAProxy keeps its source' "$(ask 8001 300)" 10.0.0.201=300
between 'and is counted' "$(t --json status | jq '.egress[] | select(.pool == "haproxy") | .left_alone.bound')" 300 310
got=$(ask 8000 200)
is 'nginx has all sources' "$(echo "$got" | tr ' ' '\n' | cut -d= -f1 | sort | xargs)" \
	'10.0.0.201 10.0.0.202 10.0.0.203 10.0.0.204'
is 'which is no shift' "$(t --json status | jq '.egress[] | select(.pool == "nginx") | .shifts_total')" 0

# Another program takes more than half of one source's ports for that destination.
coproc HOLD { in_ns edge "$PYTHON" "$TOP/tests/net/connects.py" 10.0.0.11 80 600 --hold --source 10.0.0.201; }
read -r held <&"${HOLD[0]}"
is 'a half of one is taken' "$(echo "$held" | jq -c '.by')" '{"10.0.0.201":600}'
got=$(ask 8000 200)
is 'nginx shifts to the others' "$(echo "$got" | tr ' ' '\n' | cut -d= -f1 | sort | xargs)" \
	'10.0.0.202 10.0.0.203 10.0.0.204'
is 'that is one shift' "$(t --json status | jq '.egress[] | select(.pool == "nginx") | .shifts_total')" 1
check 'and told, once' eventually 5 has_event 'egress-shift.*nginx.*from 10.0.0.201 to .* for 10.0.0.11:80'
between 'none lost' "$(t --json status | jq '[.egress[].exhausted_total] | add')" 0 0
