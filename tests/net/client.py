#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""HTTP clients whose every connection is accounted for.

get ADDRESS PORT COUNT [--source A] [--source-port P] [--close]
    so many connections, one after another, from P on; prints each answer's text,
    or "failed REASON"; with --close the server closes first, so that the port is free again
stream ADDRESS PORT SECONDS [--pause S]
    a new connection each S seconds (0.005), whatever becomes of the others, until SIGTERM;
    in the end prints "BEGIN MS NAME" for each, BEGIN in seconds of the clock, NAME of who
    answered or what else became of it: refused, reset, timeout, or an error's name
hold ADDRESS PORT COUNT
    opens so many connections and keeps them; for each line "ask" on stdin it
    sends a request on every one and prints the answers, then "."; "close" ends them
load ADDRESS PORT SECONDS
    new connections without a pause until SIGTERM, at most SECONDS; prints
    "requests N failed N slow N longest_ms N"
post ADDRESS PORT BYTES
    sends a body of so many bytes, prints the answer
"""
import argparse
import collections
import os
import signal
import socket
import struct
import sys
import threading
import time

FACTOR = int(os.environ.get("TUNDISH_TEST_SLOW", "1"))  # for machines that are so many times slower
TIMEOUT = 5.0 * min(FACTOR, 3)
SLOW = 0.9 * FACTOR  # a lost packet costs a second or (with TLP, in an open connection) 200 ms


def connect(address, port, source=None, source_port=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    try:
        s.settimeout(TIMEOUT)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source or source_port:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((source or ("::" if family == socket.AF_INET6 else ""), source_port))
        s.connect((address, port))
    except BaseException:
        s.close()
        raise
    return s


def exchange(s, close):
    """One request and its answer's body, as text."""
    s.sendall(b"GET / HTTP/1.1\r\nHost: v\r\n" + (b"Connection: close\r\n" if close else b"") + b"\r\n")
    return answer(s)


def answer(s):
    data = b""
    while b"\r\n\r\n" not in data:
        part = s.recv(4096)
        if not part:
            raise ConnectionError("closed")
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(head.split(b"\r\n")[0].decode())
    length = int([h for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")][0].split(b":")[1])
    while len(body) < length:
        part = s.recv(4096)
        if not part:
            raise ConnectionError("cut short")
        body += part
    return body.decode().strip()


def reason(e):
    return (str(e) or type(e).__name__).replace("\n", " ")


def get(o):
    for i in range(o.number):
        try:
            with connect(o.address, o.port, o.source, o.source_port and o.source_port + i) as s:
                print(exchange(s, o.close), flush=True)
                if o.close:
                    s.recv(1)
        except OSError as e:
            print("failed", reason(e), flush=True)


def hold(o):
    sockets = [connect(o.address, o.port, o.source) for _ in range(o.number)]

    def ask():
        for s in sockets:
            try:
                print(exchange(s, False))
            except OSError as e:
                print("lost", reason(e))
        print(".", flush=True)

    ask()
    for line in sys.stdin:
        if line.strip() == "ask":
            ask()
        elif line.strip() == "close":
            for s in sockets:
                s.close()
            sockets = []
            print(".", flush=True)


# "closed": by a server that went with the question, or before it
WORDS = {
    ConnectionRefusedError: "refused",
    ConnectionResetError: "reset",
    BrokenPipeError: "closed",
    ConnectionError: "closed",
    socket.timeout: "timeout",
}


def stream(o):
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    lines, threads = [], []

    def one():
        begin, start = time.time(), time.monotonic()
        try:
            with connect(o.address, o.port, o.source) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                name = exchange(s, False).split()[0]
        except OSError as e:
            name = WORDS.get(type(e), type(e).__name__)
        lines.append("%.6f %d %s" % (begin, (time.monotonic() - start) * 1000, name))

    end = time.monotonic() + o.number
    print("started", flush=True)
    while not ended.is_set() and time.monotonic() < end:
        t = threading.Thread(target=one)
        t.start()
        threads = [u for u in threads if u.is_alive()] + [t] if len(threads) > 200 else threads + [t]
        time.sleep(o.pause or 0.005)
    for t in threads:
        t.join()
    print("\n".join(sorted(lines)), flush=True)


def load(o):
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    lock = threading.Lock()
    total = collections.Counter()
    who = collections.Counter()
    reasons = collections.Counter()
    longest = 0.0

    def work():
        nonlocal longest
        while not ended.is_set():
            start = time.monotonic()
            text = error = None
            try:
                # The server closes first, so that no port stays in TIME_WAIT here.
                with connect(o.address, o.port, o.source) as s:
                    text = exchange(s, True)
                    s.recv(1)
            except OSError as e:
                error = reason(e)
            took = time.monotonic() - start
            with lock:
                total["requests"] += 1
                total["failed"] += error is not None
                total["slow"] += took > SLOW
                longest = max(longest, took)
                if error:
                    reasons[error] += 1
                else:
                    who[text.split()[0]] += 1
            time.sleep(0.002 if o.pause is None else o.pause)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    print("started", flush=True)
    ended.wait(o.number)
    ended.set()
    for t in threads:
        t.join()
    for text, n in reasons.most_common(5):
        print("  %d x %s" % (n, text))
    print("  answered by", " ".join("%s=%d" % kv for kv in sorted(who.items())))
    print("requests %d failed %d slow %d longest_ms %d"
          % (total["requests"], total["failed"], total["slow"], longest * 1000))


def post(o):
    try:
        with connect(o.address, o.port, o.source) as s:
            s.settimeout(15 * FACTOR)
            s.sendall(b"POST /post HTTP/1.1\r\nHost: v\r\nContent-Length: %d\r\n\r\n" % o.number)
            s.sendall(b"x" * o.number)
            print(answer(s))
    except OSError as e:
        print("failed", reason(e))


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("verb", choices=["get", "hold", "stream", "load", "post"])
    p.add_argument("address")
    p.add_argument("port", type=int)
    p.add_argument("number", type=int)
    p.add_argument("--source")
    p.add_argument("--source-port", type=int, default=0)
    p.add_argument("--close", action="store_true")
    p.add_argument("--pause", type=float, help="seconds between a thread's requests, or connections")
    o = p.parse_args()
    {"get": get, "hold": hold, "stream": stream, "load": load, "post": post}[o.verb](o)


main()
