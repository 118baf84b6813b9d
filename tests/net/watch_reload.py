# SPDX-License-Identifier: GPL-2.0-only
"""
watch_reload.py SOCKET PID SECONDS: sends the daemon SIGHUP and asks for its status until the reload is in
force; prints how many requests were answered before, the longest that one took, in milliseconds, and in how many
different places of its steps the reload said to be.
Prints nothing where it is not in force after so many seconds.
"""
import json
import os
import signal
import socket
import sys
import time


def status():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(sys.argv[1])
    s.sendall(b"GET /v1/status HTTP/1.0\r\n\r\n")
    data = b""
    while part := s.recv(1 << 20):
        data += part
    return json.loads(data.partition(b"\r\n\r\n")[2])


before, answered, longest, end = status()["reloads"], 0, 0, time.time() + float(sys.argv[3])
places = set()
os.kill(int(sys.argv[2]), signal.SIGHUP)
while time.time() < end:
    began = time.time()
    now = status()
    places |= {p["steps_done"] for p in [now.get("reload")] if p and 0 < p["steps_done"] < p["steps"]}
    longest = max(longest, time.time() - began)
    if now["reloads"] != before:
        print(answered, round(longest * 1000), len(places))
        break
    answered += 1
    time.sleep(0.01)
