#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""UDP for the scenarios: servers that say who asks, clients that keep their ports, floods.

udp.py serve NAME PORT ADDRESS...     answers "NAME CLIENT ADDRESS PORT" from each address; on "::"
       [--workers N]                  from the one that was asked; N sockets each (SO_REUSEPORT),
       [--inherited]                  called NAME0, NAME1, ...; those of LISTEN_FDS
       [--bytes N]                    with N bytes more, of which the client tells too
udp.py hold ADDRESS PORT N            N sockets; "ask" on stdin asks on each and prints a line for
       [--source ADDRESS]             each and a dot, "close" closes them
udp.py get ADDRESS PORT N             N questions, each from a port of its own
       [--bytes N]                    of so many bytes, which the answer then tells too
       [--source-port N]              from N on, for such that no other question has
udp.py stream ADDRESS PORT FILE       one after another until FILE is there; "ASKED LOST"
udp.py flood ADDRESS PORT N           N packets from as many addresses that are nobody's
"""
import argparse
import os
import random
import selectors
import socket
import struct
import sys

SLOW = int(os.environ.get("TUNDISH_TEST_SLOW", "1"))
REUSEPORT = getattr(socket, "SO_REUSEPORT", 15)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def answer_where_asked(s, name):
    """What a server on a wildcard address has to do, or its answers come from elsewhere."""
    _, control, _, client = s.recvmsg(65535, 256)
    for level, kind, data in control:
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            here = socket.inet_ntop(socket.AF_INET6, data[:16]).replace("::ffff:", "")
            text = "%s %s %s %d" % (name, client[0].replace("::ffff:", ""), here, s.getsockname()[1])
            s.sendmsg([text.encode()], [(level, kind, data[:16] + bytes(4))], 0, client)


def answer(s, name, more):
    if s.getsockname()[0] == "::":
        return answer_where_asked(s, name)
    asked, client = s.recvfrom(65535)
    here = s.getsockname()
    text = "%s %s %s %d" % (name, client[0], here[0], here[1])
    if len(asked) > 4:
        text += " %d %s" % (len(asked), "whole" if asked == question(len(asked)) else "changed")
    s.sendto(text.encode() + (b"\n" + question(more) if more else b""), client)


def make(o, address):
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if o.workers:
        s.setsockopt(socket.SOL_SOCKET, REUSEPORT, 1)
    if address == "::":
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind((address, o.port))
    return s


def serve(o):
    selector = selectors.DefaultSelector()
    if o.inherited:
        sockets = [socket.socket(fileno=3 + i) for i in range(int(os.environ["LISTEN_FDS"]))]
        o.workers = len(sockets)
    else:
        sockets = [make(o, address) for address in o.address for _ in range(o.workers or 1)]
    for i, s in enumerate(sockets):
        if s.getsockname()[0] == "::":
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        name = o.name + (str(i % o.workers) if o.workers else "")
        selector.register(s, selectors.EVENT_READ, name)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            try:
                answer(key.fileobj, key.data, o.bytes)
            except OSError:
                pass  # a spoofed client, to which there is no way


def client(o, port=0):
    s = socket.socket(family(o.address), socket.SOCK_DGRAM)
    if o.source or port:
        s.bind((o.source or "", port))
    s.connect((o.address, o.port))
    s.settimeout(2 * SLOW)
    return s


def question(n):
    return (b"who?" + bytes(i * 7 % 251 for i in range(n)))[:n]


def exchange(s, n=4):
    try:
        s.send(question(n))
        text, _, more = s.recv(65535).partition(b"\n")
        if more:
            text += b" %d %s" % (len(more), b"whole" if more == question(len(more)) else b"changed")
        return text.decode()
    except OSError as e:
        return "lost " + (e.strerror or type(e).__name__)


def hold(o):
    sockets = [client(o) for _ in range(o.number)]

    def ask():
        for s in sockets:
            print(exchange(s))
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


def get(o):
    for i in range(o.number):
        with client(o, o.source_port and o.source_port + i) as s:
            print(exchange(s, o.bytes), flush=True)


def stream(o):
    asked = lost = 0
    while not os.path.exists(o.file):
        with client(o) as s:
            lost += exchange(s).startswith("lost")
            asked += 1
    print(asked, lost)


def flood(o):
    v6 = family(o.address) == socket.AF_INET6
    s = socket.socket(family(o.address), socket.SOCK_RAW, socket.IPPROTO_RAW)
    to = socket.inet_pton(family(o.address), o.address)
    for i in range(o.number):
        udp = struct.pack("!HHHH", 1024 + random.randrange(60000), o.port, 8, 0)
        if v6:
            source = socket.inet_pton(socket.AF_INET6, "2001:db8:f::")[:8] + os.urandom(8)
            ip = struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + source + to
        else:
            source = bytes((100,)) + os.urandom(3)
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0) + source + to
        try:
            s.sendto(ip + udp, (o.address, 0))
        except BlockingIOError:
            pass
        except OSError as e:
            if e.errno != 105:  # ENOBUFS
                raise


p = argparse.ArgumentParser()
sub = p.add_subparsers(required=True)
q = sub.add_parser("serve")
q.add_argument("name")
q.add_argument("port", type=int)
q.add_argument("address", nargs="*")
q.add_argument("--workers", type=int, default=0)
q.add_argument("--inherited", action="store_true")
q.add_argument("--bytes", type=int, default=0)
q.set_defaults(run=serve)
for name, run in (("hold", hold), ("get", get), ("flood", flood)):
    q = sub.add_parser(name)
    q.add_argument("address")
    q.add_argument("port", type=int)
    q.add_argument("number", type=int)
    q.add_argument("--source")
    q.add_argument("--source-port", type=int, default=0)
    q.add_argument("--bytes", type=int, default=4)
    q.set_defaults(run=run)
q = sub.add_parser("stream")
q.add_argument("address")
q.add_argument("port", type=int)
q.add_argument("file")
q.add_argument("--source")
q.set_defaults(run=stream)
o = p.parse_args()
try:
    o.run(o)
except (KeyboardInterrupt, BrokenPipeError):
    pass
