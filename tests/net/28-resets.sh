#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Connections that end by a reset are told apart from those that are closed, by destination and by
# service, sent and received: of HAProxy, and of programs that close with SO_LINGER 0.
# parallel: yes
. "$(dirname "$0")/lib.sh"
port_host
in_ns edge sh -c 'cd /proc/sys/net/ipv4 && echo 40000 40999 >ip_local_port_range && echo 0 >tcp_tw_reuse'
ports_config 'interval: 60s' # a tuple whose connections have ended would be forgotten
port_server client 10.0.0.100 81 --close-first --reset
port_server client 10.0.0.100 82
port_server client 10.0.0.100 83 --keep-open
port_server edge 10.0.0.1 7001 --close-first --reset
port_server edge 10.0.0.1 7002
start edge
# ended LIST PORT: here, there, reset here, reset there, then reset, who closes first.
ended() {
	t --json timewait | jq -r "[.$1[] | select((.remote_port // .local_port) == $2)][0] |
		\"\(.closed_here) \(.closed_there) \(.reset_here) \(.reset_there) \(.closed_then_reset) \(.closes_first)\""
}
ended_so() { [ "$(ended "$1" "$2")" = "$3" ]; }
become() { # NAME LIST PORT WANTED
	if eventually 5 ended_so "$2" "$3" "$4"; then
		ok "$1"
	else
		not_ok "$1 (got \"$(ended "$2" "$3")\", wanted \"$4\")"
	fi
}
tw() { in_ns "$1" sed -n 's/^TCP:.* tw \([0-9]*\) .*/\1/p' /proc/net/sockstat; }

ports_client edge got churn 10.0.0.100 81 20 --wait-peer
become 'a server that resets' tuples 81 '0 0 0 20 0 the other end'
ports_client edge sent churn 10.0.0.100 82 30 --reset
become 'a client that does' tuples 82 '0 0 30 0 0 this host'
ports_client edge half churn 10.0.0.100 83 10 --half-close --reset
become 'a client that does after its FIN' tuples 83 '10 0 0 0 10 this host'
ports_client client theirs churn 10.0.0.1 7001 15 --wait-peer
become 'a service of this host that resets' services 7001 '0 0 15 0 0 this host'
ports_client client ours churn 10.0.0.1 7002 25 --reset
become 'one whose clients do' services 7002 '0 0 0 25 0 the other end'
is 'no TIME_WAIT of any of them' "$(tw edge) $(tw client)" '0 0'
t port list --scan >/dev/null
is 'and none is counted' "$(t --json timewait | jq -c '[.verdict, .outbound, ([.tuples[].time_wait] | add)]')" '["fine",0,0]'
check 'so says the table' grep -qE '10.0.0.100 +83 .* 10 +0 +0 +0 +10  this host' <<<"$(t timewait)"

# HAProxy, before a server that would keep its connections.
cat >"$T/server.py" <<'PY'
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
        self.close_connection = False
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    def handle_error(self, *_):
        pass
Server(("10.0.0.100", 84), Handler).serve_forever()
PY
cat >"$T/haproxy.cfg" <<CFG
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
	option http-server-close
	default_backend keeps
frontend plain
	bind 10.0.0.1:8001
frontend abrupt
	bind 10.0.0.1:8002
	option httpclose
	option nolinger
backend keeps
	server up 10.0.0.100:84
CFG
(exec nsenter --net=/run/netns/client $PYTHON "$T/server.py" >"$T/server.log" 2>&1) &
(exec nsenter --net=/run/netns/edge haproxy -db -f "$T/haproxy.cfg" >"$T/haproxy.log" 2>&1) &
# request PORT N: so many, one after the other, whose client waits for the end.
request() {
	in_ns client $PYTHON - "$@" <<-'PY'
		import socket, sys
		for _ in range(int(sys.argv[2])):
		    s = socket.create_connection(("10.0.0.1", int(sys.argv[1])), 10)
		    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		    try:
		        while s.recv(4096):
		            pass
		    except ConnectionResetError:
		        pass
		    s.close()
	PY
}
answers() { in_ns client curl -sf -o /dev/null http://10.0.0.1:8001/; }
check 'HAProxy answers' eventually 10 answers
resets() { t --json timewait | jq '[.tuples[] | select(.remote_port == 84)][0].reset_here // 0'; }
some() { [ "$(resets)" -ge 1 ]; }
eventually 5 some # that of the answer
before=$(resets)
request 8001 40
request 8002 40
become 'HAProxy resets what it closes first to a server' tuples 84 "0 0 $((before + 80)) 0 0 this host"
abrupt() { t --json timewait | jq ".services[] | select(.local_port == 8002) | .closed_here + .closed_there + .reset_here + .reset_there"; }
all_ended() { [ "$(abrupt)" = 40 ]; }
check 'each of its clients counts once' eventually 5 all_ended
read -r here there reset _ later who < <(ended services 8002)
echo "of 40: closed here $here, there $there, reset here $reset, reset after a FIN $later"
is 'it ends them first' "$((here + reset)) $who" '40 this host'
between 'some of them by a reset, at once or after its FIN' $((reset + later)) 1 40
is 'and so many as the kernel has are in TIME_WAIT' "$(in_ns edge ss -Htan state time-wait 'sport = 8002' | wc -l)" $((here - later))
