#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""scrapers.py ADDRESS PORT N: so many ask for /metrics at once, and read what comes.

Prints after at most 20 s how many got all of it ("whole"), how many which other status,
were "closed" without an answer, or "cut" in its midst, and how many wait.
"""
import collections
import json
import selectors
import socket
import sys
import time

to, n = (sys.argv[1], int(sys.argv[2])), int(sys.argv[3])
selector = selectors.DefaultSelector()
heads = {}
counts = collections.Counter()
for _ in range(n):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(to)
    selector.register(s, selectors.EVENT_WRITE)
    heads[s] = [b"", b""]


def end(s):
    head, tail = heads.pop(s)
    status = head.split(b" ", 2)[1].decode() if head.startswith(b"HTTP/1.1 ") else "closed"
    counts[status if status != "200" else "whole" if b"# EOF\n" in tail else "cut"] += 1
    selector.unregister(s)
    s.close()


until = time.monotonic() + 20
while heads and time.monotonic() < until:
    for key, events in selector.select(1):
        s = key.fileobj
        try:
            if events & selectors.EVENT_WRITE:
                s.send(b"GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAccept: application/openmetrics-text\r\n\r\n")
                selector.modify(s, selectors.EVENT_READ)
                continue
            data = s.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            end(s)
            continue
        heads[s] = [heads[s][0] or data[:64], (heads[s][1] + data)[-16:]]
counts["waiting"] = len(heads)
print(json.dumps(counts))
