#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The outside of QUIC (RFC 8999) for the scenarios: connection ids, handshakes of three packets,
and no cryptography.

quic.py serve NAME PORT ID ADDRESS...  a server that writes its server id (hexadecimal) into its
       [--config N] [--unroutable]     connection ids (QUIC-LB); --unroutable: ids that name nobody
quic.py hold ADDRESS PORT N            N connections; a line "NAME CLIENT PORT" for each and a dot.
       [--shared]                      all over one socket
  "ask" on stdin asks on each; "move [ADDRESS]" goes on from new sockets, perhaps of another
  address; "close" ends
"""
import argparse
import os
import selectors
import socket
import struct
import sys

SLOW = int(os.environ.get("TUNDISH_TEST_SLOW", "1"))
VERSION = 1
INITIAL, HANDSHAKE = 0xC3, 0xE3
ID_LENGTH = 12


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def long_header(first, to, own, payload=b""):
    return struct.pack("!BIB", first, VERSION, len(to)) + to + bytes((len(own),)) + own + payload


def read_long(p):
    to = p[6 : 6 + p[5]]
    at = 6 + len(to)
    own = p[at + 1 : at + 1 + p[at]]
    return to, own, p[at + 1 + len(own) :]


def serve(o):
    server_id = bytes.fromhex(o.id)
    selector = selectors.DefaultSelector()
    connections = {}  # our id -> theirs
    begun = {}  # (client, the id it drew) -> our id
    for address in o.address:
        s = socket.socket(family(address), socket.SOCK_DGRAM)
        s.bind((address, o.port))
        selector.register(s, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            s = key.fileobj
            p, client = s.recvfrom(65535)
            if len(p) < 7:
                continue
            say = ("%s %s %d" % (o.name, client[0], client[1])).encode()
            if p[0] & 0x80:
                to, theirs, _ = read_long(p)
                if p[0] & 0x30 == 0:
                    ours = begun.get((client, to))
                    if not ours:
                        config = 7 if o.unroutable else o.config
                        first = config << 5 | os.urandom(1)[0] & 31
                        nonce = os.urandom(ID_LENGTH - 1 - len(server_id))
                        ours = bytes((first,)) + server_id + nonce
                        begun[client, to] = ours
                        connections[ours] = theirs
                    s.sendto(long_header(INITIAL, theirs, ours, say), client)
                elif to in connections:
                    s.sendto(long_header(HANDSHAKE, connections[to], to, say), client)
                else:
                    s.sendto(b"\x40" + theirs + b"reset " + say, client)
            else:
                to = p[1 : 1 + ID_LENGTH]
                theirs, rest = connections.get(to), p[1 + ID_LENGTH :]
                if theirs is None:  # the client's own id follows, so that it knows whose it is
                    theirs, say = rest[:8], b"reset " + say
                s.sendto(b"\x40" + theirs + say, client)


class Connection:
    def __init__(self, s):
        self.s, self.own, self.theirs = s, os.urandom(8), None
        p = self.exchange(long_header(INITIAL, os.urandom(8), self.own, bytes(1100)))
        if p:
            _, self.theirs, _ = read_long(p)
            p = self.exchange(long_header(HANDSHAKE, self.theirs, self.own, bytes(80)))
        self.whole = bool(p) and p[0] & 0x80 != 0

    def exchange(self, packet):
        for _ in range(2):
            self.s.send(packet)
            try:
                while True:
                    p = self.s.recv(65535)
                    if (p[6 : 6 + p[5]] if p[0] & 0x80 else p[1:9]) == self.own:
                        return p
            except OSError:
                pass
        return None

    def ask(self):
        if not self.whole:
            return "lost in the handshake"
        p = self.exchange(b"\x43" + self.theirs + self.own + bytes(20))
        return p[9:].decode() if p else "lost"


def sock(o, source=None):
    s = socket.socket(family(o.address), socket.SOCK_DGRAM)
    if source:
        s.bind((source, 0))
    s.connect((o.address, o.port))
    s.settimeout(2 * SLOW)
    return s


def hold(o):
    one = sock(o) if o.shared else None
    connections = [Connection(one or sock(o)) for _ in range(o.number)]

    def ask():
        for c in connections:
            print(c.ask())
        print(".", flush=True)

    ask()
    for line in sys.stdin:
        words = line.split()
        if words[:1] == ["ask"]:
            ask()
        elif words[:1] == ["move"]:
            one = sock(o, *words[1:]) if o.shared else None
            for c in connections:
                if not o.shared:
                    c.s.close()
                c.s = one or sock(o, *words[1:])
            ask()
        elif words[:1] == ["close"]:
            print(".", flush=True)
            return


p = argparse.ArgumentParser()
sub = p.add_subparsers(required=True)
q = sub.add_parser("serve")
q.add_argument("name")
q.add_argument("port", type=int)
q.add_argument("id")
q.add_argument("address", nargs="+")
q.add_argument("--config", type=int, default=0)
q.add_argument("--unroutable", action="store_true")
q.set_defaults(run=serve)
q = sub.add_parser("hold")
q.add_argument("address")
q.add_argument("port", type=int)
q.add_argument("number", type=int)
q.add_argument("--shared", action="store_true")
q.set_defaults(run=hold)
o = p.parse_args()
try:
    o.run(o)
except (KeyboardInterrupt, BrokenPipeError):
    pass
