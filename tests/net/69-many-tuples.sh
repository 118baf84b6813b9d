#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# More tuples than the table holds, and 26,000 sockets in TIME_WAIT: what has no
# place is counted together, and the interval stretches so that scans keep to their share.
. "$(dirname "$0")/lib.sh"
port_host
in_ns edge sh -c 'cd /proc/sys/net/ipv4 && echo 2000 60000 >ip_local_port_range && echo 2 >tcp_fin_timeout'
ports_config 'interval: 1s, cpu: 1%' 'limits: {ports: 1024}'
start edge
# Servers on as many ports below 2000, and a client that closes first.
cat >"$T/many.py" <<'PY'
import resource, socket, sys, threading
ports = range(500, 500 + int(sys.argv[1]))
rounds = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
listeners = []
for p in ports:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("10.0.0.1", p))
    s.listen(64)
    listeners.append((p, s))
n = 0
for _ in range(rounds):
    for p, s in listeners:
        c = socket.create_connection(("10.0.0.1", p))
        a, _ = s.accept()
        c.close()
        a.close()
        n += 1
print(n, flush=True)
sys.stdin.read()
PY
mkfifo "$T/many.in"
(exec nsenter --net=/run/netns/edge $PYTHON "$T/many.py" 500 2 <"$T/many.in" >"$T/many.out" 2>"$T/many.log") &
exec {hold}>"$T/many.in"
eventually 60 test -s "$T/many.out" || fatal 'the connections are not made'
is 'five hundred destinations' "$(t --json port list --scan | jq '[.[] | select(.local_ip != "other") | .time_wait] | add')" 1000
exec {hold}>&-
mkfifo "$T/more.in"
(exec nsenter --net=/run/netns/edge $PYTHON "$T/many.py" 1300 20 <"$T/more.in" >"$T/more.out" 2>"$T/more.log") &
exec {hold}>"$T/more.in"
eventually 120 test -s "$T/more.out" || fatal 'the connections are not made'
t port list --scan >/dev/null
# They end as time goes, quickly where making them took long.
population() { in_ns edge sed -n 's/^TCP:.* tw \([0-9]*\) .*/\1/p' /proc/net/sockstat; }
before=$(population)
listed=$(t --json port list --scan | jq '[.[].time_wait] | add')
after=$(population)
between "all are counted, of $before to $after" "$listed" $((after * 95 / 100)) $((before * 105 / 100))
check 'a full table is told' grep -q ports-full <<<"$(t events --once)"
is 'a thousand tuples at most, and the others' "$(t --json port list --top 100 | jq 'length')" 101
check 'status answers while scans run' t status
read -r interval cpu < <(t --json status | jq -r '.source_ports.scan | "\(.interval_seconds) \(.cpu_seconds)"')
echo "interval $interval s, CPU $cpu s"
is 'the interval keeps to the share' "$(jq -n "$interval >= 1 and $interval * 0.0101 >= $cpu")" true
exec {hold}>&-
