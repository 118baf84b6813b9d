#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A control client that sends garbage, half a request or nothing harms nobody.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
socket=/run/tundish/edge.sock
"$PYTHON" - $socket <<'PY'
import os, socket, sys
kept = []
def send(data, keep=False):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(2)
    s.connect(sys.argv[1])
    try:
        s.sendall(data)
        if not keep:
            s.recv(65536)
    except OSError:
        pass
    kept.append(s) if keep else s.close()
for i in range(20):
    send(os.urandom(2000))
send(b"\0" * 100000)
send(b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
send(b"POST /v1/config/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
send(b"POST /v1/config/apply HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n")
send(b"POST /v1/config/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{{{{{")
send(b"GET /v1/%00%ff%2f../backends HTTP/1.1\r\nHost: x\r\n\r\n")
for i in range(20):
    send(b"POST /v1/backends/web/b1/drain HTTP/1.1\r\nHost", keep=True)
for i in range(20):
    send(b"", keep=True)
import subprocess
r = subprocess.run(["curl", "-sm", "5", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", sys.argv[1], "http://t/v1/backends"],
                   capture_output=True, text=True)
print("ok - answers while forty halves of a request hang" if r.stdout == "200" else "not ok - answers while forty hang: " + r.stdout)
PY
check 'the daemon answers afterwards' t status
is 'no backend was drained' "$(backend_field b1 state)" up
is 'and it serves' "$(get $VIP 20 | grep -c '^b')" 20
