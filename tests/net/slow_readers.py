#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
#
#   slow_readers.py ADDRESS PORT N
#
# N who ask for metrics and read no more than the first byte. Says "ready", waits for a line, and then the first of
# them reads all that is left, and tells how many bytes, and
# the last line.
import socket
import sys

address, port, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
readers = []
for _ in range(n):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.settimeout(60)
    s.connect((address, port))
    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAccept: application/openmetrics-text\r\n\r\n")
    if s.recv(1) != b"H":
        sys.exit("no answer")
    readers.append(s)
print("ready", flush=True)
sys.stdin.readline()
count, last = 0, b""
while piece := readers[0].recv(65536):
    count += len(piece)
    last = (last + piece)[-40:]
lines = [line for line in last.split(b"\r\n") if line not in (b"", b"0")]  # of chunks, the last of which is empty
print(count, lines[-1].decode().rstrip("\n").split("\n")[-1], flush=True)
