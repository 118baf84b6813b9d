#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What a reader of the control socket can do to a daemon, without a pause.

control_flood.py SOCKET SECONDS CONFIG
    silent connections, slow bytes, requests at full speed, pipelines, huge heads, and a large
    configuration to be checked over and over. CONFIG is made large by comments and services. Prints
    "begun", and at the end an object: how many of each were answered, with which status.
"""
import collections
import json
import socket
import sys
import threading
import time

path, seconds, config = sys.argv[1], float(sys.argv[2]), open(sys.argv[3]).read()
end = time.monotonic() + seconds
counts = collections.Counter()
lock = threading.Lock()
backends = "".join("      - {name: x%d, address: 10.200.%d.%d}\n" % (i, i // 250, i % 250 + 1) for i in range(2000))
large = (config + "  - name: large\n    vips: [192.0.2.99]\n    ports: [80]\n    delivery: dsr\n    backends:\n" + backends + ("# " + "x" * 97 + "\n") * 30000).encode()


def count(kind, what):
    with lock:
        counts[f"{kind} {what}"] += 1


def connect(timeout=20):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(timeout)
    s.connect(path)
    return s


def status(data):
    return data.split(b" ", 2)[1].decode() if data.startswith(b"HTTP/1.1 ") else "closed"


def ask(kind, request):
    with connect() as s:
        s.sendall(request)
        data = s.recv(65536)
        count(kind, status(data))
        while data:
            data = s.recv(1 << 20)


def get(what):
    return f"GET /v1/{what} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode()


def silent():
    with connect() as s:
        s.recv(1)
    count("silent", "ended")


def slow():
    with connect() as s:
        for byte in get("status"):
            s.send(bytes([byte]))
            time.sleep(0.5)


def check():
    head = f"POST /v1/config/check?name=large HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {len(large)}\r\n\r\n"
    ask("check", head.encode() + large)


def pipeline():
    with connect() as s:
        one = b"GET /v1/status HTTP/1.1\r\nHost: t\r\n\r\n"
        s.sendall(one * 500)
        n = 0
        while time.monotonic() < end and n < 500:
            data = s.recv(1 << 20)
            if not data:
                break
            n += data.count(b"HTTP/1.1 200")
        with lock:
            counts["pipeline 200"] += n


def head():
    ask("head", b"GET /v1/status HTTP/1.1\r\nHost: t\r\n" + b"X-A: " + b"a" * 262144 + b"\r\n\r\n")


def again(what):
    while time.monotonic() < end:
        try:
            what()
        except OSError as e:
            count(what.__name__, type(e).__name__)
            time.sleep(0.01)


def fast():
    ask("fast", get("backends"))


def flows():
    ask("flows", get("flows?limit=100000"))


for what, n in (silent, 3), (slow, 2), (fast, 3), (flows, 1), (check, 2), (pipeline, 2), (head, 1):
    for _ in range(n):
        threading.Thread(target=again, args=(what,), daemon=True).start()
print("begun", flush=True)
time.sleep(max(0, end - time.monotonic()) + 0.5)
print(json.dumps(dict(sorted(counts.items()))), flush=True)
