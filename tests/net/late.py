#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A handshake that ends late: late.py SOURCE SPORT ADDRESS PORT SECONDS

The SYN, and SECONDS after its SYN-ACK the ACK, a request, and the FIN; prints that the SYN-ACK came. The
host's own stack knows nothing of the connection: its resets have to be kept back by the caller.
"""
import socket
import struct
import sys
import time

from syns import checksum


def segment(flags, seq, ack, data=b""):
    tcp = struct.pack("!HHIIBBHHH", sport, port, seq, ack, 5 << 4, flags, 65535, 0, 0) + data
    pseudo = source + to + struct.pack("!BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp + b"\0" * (len(tcp) % 2))) + tcp[18:]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, source, to) + tcp


source, to = socket.inet_aton(sys.argv[1]), socket.inet_aton(sys.argv[3])
sport, port, seconds = int(sys.argv[2]), int(sys.argv[4]), float(sys.argv[5])
hears = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
hears.settimeout(5)
says = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
says.sendto(segment(0x02, 1000, 0), (sys.argv[3], 0))
while True:
    packet = hears.recv(2048)
    at = (packet[0] & 15) * 4
    if packet[12:16] == to and struct.unpack("!HH", packet[at : at + 4]) == (port, sport):
        break
theirs = struct.unpack("!I", packet[at + 4 : at + 8])[0]
assert packet[at + 13] == 0x12, "no SYN-ACK"
time.sleep(seconds)
says.sendto(segment(0x10, 1001, theirs + 1), (sys.argv[3], 0))
request = b"GET / HTTP/1.0\r\n\r\n"
says.sendto(segment(0x18, 1001, theirs + 1, request), (sys.argv[3], 0))
says.sendto(segment(0x11, 1001 + len(request), theirs + 1), (sys.argv[3], 0))
print("SYN-ACK")
