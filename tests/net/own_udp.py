#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""UDP clients of the edge host itself; a line for each question, as who is told to have answered.

own_udp.py connected ADDRESS PORT N     N sockets, connect(2): "ANSWER peer PEER from SENDER"
own_udp.py each ADDRESS PORT N          N sockets that are not: "ANSWER from SENDER"
own_udp.py one ADDRESS PORT N           one such socket, N questions
own_udp.py both ADDRESS PORT DIRECT     one such socket: the VIP, a server's own address, the VIP
   --mapped                             with a socket for IPv6 and ::ffff:ADDRESS
"""
import argparse
import os
import socket

p = argparse.ArgumentParser()
p.add_argument("how", choices=("connected", "each", "one", "both"))
p.add_argument("address")
p.add_argument("port", type=int)
p.add_argument("more")
p.add_argument("--mapped", action="store_true")
o = p.parse_args()


def name(a):
    return "%s %d" % a[:2]


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def made():
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.settimeout(2 * int(os.environ.get("TUNDISH_TEST_SLOW", "1")))
    return s


def question(s, to):
    try:
        s.sendto(b"who?", to)
        data, sender = s.recvfrom(65535)
        return data.decode() + " from " + name(sender)
    except OSError as e:
        return "lost " + (e.strerror or type(e).__name__)


def connected():
    try:
        with made() as s:
            s.connect((address, o.port))
            peer = s.getpeername()
            s.send(b"who?")
            data, sender = s.recvfrom(65535)
            return data.decode() + " peer " + name(peer) + " from " + name(sender)
    except OSError as e:
        return "lost " + (e.strerror or type(e).__name__)


address = "::ffff:" + o.address if o.mapped else o.address
if o.how == "both":
    with made() as s:
        for to in (address, o.more, address):
            print(question(s, (to, o.port)))
elif o.how == "one":
    with made() as s:
        for _ in range(int(o.more)):
            print(question(s, (address, o.port)))
else:
    for _ in range(int(o.more)):
        if o.how == "connected":
            print(connected(), flush=True)
        else:
            with made() as s:
                print(question(s, (address, o.port)), flush=True)
