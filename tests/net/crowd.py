#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
#
# Many of something, held by many processes until stdin ends; "ready" when all are there.
#
#   crowd.py files PROCESSES N   so many open files each, of their own
#   crowd.py udp PROCESSES N     so many UDP sockets each, every one on an address of its own
#                                below 127.0.0.0/8: a tuple each
#
#   crowd.py ask SOCKET PATH SECONDS [PAUSE]   asks the daemon again and again, on one connection;
#                                         {"n": N, "p50": ms, "p99": ms, "third": ms,
#                                         "max": ms}, "third" but for the two longest
import http.client
import json
import os
import resource
import socket
import sys
import time

PAUSE = 0.003


def hold(what, process, n):
    held = []
    for i in range(n):
        if what == "files":
            held.append(os.open("/dev/null", os.O_RDONLY))
            continue
        number = process * n + i + 256
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}", 0))
        held.append(s)
    return held


def crowd(what, processes, n):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ready, said = os.pipe()
    for process in range(processes):
        if os.fork():
            continue
        try:
            os.close(ready)
            kept = hold(what, process, n)
            os.write(said, b"x")
            sys.stdin.read()
            del kept
        finally:
            os._exit(0)
    os.close(said)
    n_ready = 0
    while more := os.read(ready, 4096):
        n_ready += len(more)
        if n_ready == processes:
            print("ready", flush=True)
            break
    sys.stdin.read()


class Control(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def ask(path, what, seconds, pause=PAUSE):
    control, times = Control(path), []
    end = time.monotonic() + seconds
    while (begin := time.monotonic()) < end:
        control.request("GET", what)
        control.getresponse().read()
        times.append((time.monotonic() - begin) * 1000)
        time.sleep(pause)
    times.sort()
    found = {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100], "third": times[-3]}
    found["max"] = times[-1]
    print(json.dumps({"n": len(times), **{k: round(v, 1) for k, v in found.items()}}))


if sys.argv[1] == "ask":
    ask(sys.argv[2], sys.argv[3], *map(float, sys.argv[4:]))
else:
    crowd(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
