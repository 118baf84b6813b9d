#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Fragments of UDP over IPv4, made by hand and sent in any order.

fragments.py ask SOURCE PORT ADDRESS PORT ORDER  sends a request of three fragments, numbered 0 to 2, in
                                         this order ("012"; "-" waits for a line on stdin), and
                                         prints the answer, or "lost"
fragments.py flood ADDRESS PORT N        N first fragments from as many addresses that are nobody's
"""
import os
import socket
import struct
import sys

SLOW = int(os.environ.get("TUNDISH_TEST_SLOW", "1"))
PIECE = 800


def packet(source, to, ident, offset, more, data):
    where = offset // 8 | (0x2000 if more else 0)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), ident, where, 64, 17, 0)
    return head + socket.inet_aton(source) + socket.inet_aton(to) + data


def raw():
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def ask(source, source_port, address, port, order):
    answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answers.bind((source, int(source_port)))
    answers.settimeout(1 * SLOW)
    n = 3 * PIECE - 8
    data = (b"who?" + bytes(i * 7 % 251 for i in range(n)))[:n]
    data = struct.pack("!HHHH", int(source_port), int(port), 8 + n, 0) + data
    ident = int.from_bytes(os.urandom(2), "big")
    s = raw()
    for step in order:
        if step == "-":
            print("waiting", flush=True)
            sys.stdin.readline()
            continue
        i = int(step)
        piece = data[i * PIECE : (i + 1) * PIECE]
        s.sendto(packet(source, address, ident, i * PIECE, i < 2, piece), (address, 0))
    try:
        print(answers.recv(65535).decode(), flush=True)
    except OSError:
        print("lost", flush=True)


def flood(address, port, number):
    s = raw()
    for _ in range(int(number)):
        data = struct.pack("!HHHH", 1024 + os.urandom(1)[0], int(port), 1000, 0) + bytes(16)
        source = socket.inet_ntoa(bytes((100,)) + os.urandom(3))
        try:
            s.sendto(packet(source, address, 1, 0, True, data), (address, 0))
        except BlockingIOError:
            pass
        except OSError as e:
            if e.errno != 105:  # ENOBUFS
                raise


{"ask": ask, "flood": flood}[sys.argv[1]](*sys.argv[2:])
