#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""SYNs that no stack would send.

syns.py ADDRESS PORT COUNT [--first N] [--bad] [--answered | --closed] [--rate N]
    so many, each from another address that nobody has (198.18.0.0/16) and another port,
    the same ones of the same N;
    --bad: with a checksum that is wrong, so that every server drops them
    --answered: each with the ACK of a client that has got its SYN-ACK, and --closed with its FIN, too
"""
import argparse
import socket
import struct
import time


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


SYN, ACK, FIN = 2, 16, 17


def segment(source, destination, port, at, flags, bad=False):
    seq = (at * 7919 + (flags != SYN)) & 0xFFFFFFFF
    tcp = struct.pack("!HHIIBBHHH", 1024 + at % 60000, port, seq, 0, 6 << 4, flags, 65535, 0, 0) + b"\x02\x04\x05\xb4"
    pseudo = source + destination + struct.pack("!BBH", 0, 6, len(tcp))
    right = checksum(pseudo + tcp)
    tcp = tcp[:16] + struct.pack("!H", right ^ 0x5555 if bad else right) + tcp[18:]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), at & 0xFFFF, 0, 64, 6, 0, source, destination) + tcp


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("address")
    p.add_argument("port", type=int)
    p.add_argument("count", type=int)
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--bad", action="store_true")
    p.add_argument("--answered", action="store_true")
    p.add_argument("--closed", action="store_true")
    p.add_argument("--rate", type=int, default=2000)
    o = p.parse_args()
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    to = socket.inet_aton(o.address)
    for i in range(o.first, o.first + o.count):
        spoofed = socket.inet_aton("198.18.%d.%d" % (i >> 8 & 255, i & 255))
        for flags in [SYN] + [ACK] * (o.answered or o.closed) + [FIN] * o.closed:
            s.sendto(segment(spoofed, to, o.port, i, flags, o.bad), (o.address, 0))
        if i % 20 == 19:
            time.sleep(20 / o.rate)
