#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A balancer as the server sees it: a TCP connection from an address that is nobody's here, with
the client's own address in an option of the segments up to the first answer (made by scapy, as
no kernel writes one), and one HTTP request on it. Prints the status and the body.

toa.py SOURCE DESTINATION PORT MAC [--client ADDRESS --client-port N] [--path /]
   --shape plain|last|broken|many   the option alone, behind others, with a length that is wrong,
                                    behind another one of its kind
"""
import argparse
import os
import random
import socket
import sys
import time

from scapy.layers.inet import IP, TCP  # not scapy.all, which takes a second
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

p = argparse.ArgumentParser()
p.add_argument("source")
p.add_argument("destination")
p.add_argument("port", type=int)
p.add_argument("mac")
p.add_argument("--client")
p.add_argument("--client-port", type=int, default=4711)
p.add_argument("--path", default="/")
p.add_argument("--shape", choices=("plain", "last", "broken", "many"), default="plain")
o = p.parse_args()

sport = random.randrange(20000, 60000)
ip = IPv6 if ":" in o.source else IP
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.bind(("eth0", 0))
link.settimeout(0.2)
SLOW = int(os.environ.get("TUNDISH_TEST_SLOW", "1"))


def option():
    if not o.client:
        return []
    v6 = ":" in o.client
    address = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, o.client)
    toa = (254, o.client_port.to_bytes(2, "big") + address)
    if o.shape == "last":
        return [("NOP", None), ("NOP", None), ("Timestamp", (1, 0)), toa]
    if o.shape == "broken":
        return [(254, b"\x01")]
    if o.shape == "many":
        return [(254, b"\xf9\x89\x00\x00"), toa]
    return [toa]


def send(flags, seq, ack, options=(), data=b""):
    segment = TCP(sport=sport, dport=o.port, flags=flags, seq=seq, ack=ack, options=list(options), window=65535)
    packet = Ether(dst=o.mac) / ip(src=o.source, dst=o.destination) / segment
    link.send(bytes(packet / Raw(data) if data else packet))


def receive(seconds=5):
    end = time.monotonic() + seconds * SLOW
    while time.monotonic() < end:
        try:
            q = Ether(link.recv(65535))
        except socket.timeout:
            continue
        if TCP in q and q[TCP].dport == sport and q[TCP].sport == o.port:
            return q[TCP]
    sys.exit("no answer")


seq = random.randrange(1 << 31)
send("S", seq, 0)
answer = receive()
if "R" in answer.flags:
    sys.exit("reset")
ack = answer.seq + 1
seq += 1
send("A", seq, ack, option())
request = ("GET %s HTTP/1.0\r\nHost: x\r\n\r\n" % o.path).encode()
send("PA", seq, ack, option(), request)
seq += len(request)
body = b""
while True:
    answer = receive()
    if "R" in answer.flags:
        sys.exit("reset")
    data = answer[Raw].load if Raw in answer else b""  # not what pads a short frame
    if answer.seq == ack:
        body += data
        ack += len(data)
        if "F" in answer.flags:
            ack += 1
            send("FA", seq, ack)
            break
        if data:
            send("A", seq, ack)
head, _, text = body.partition(b"\r\n\r\n")
print(head.split()[1].decode(), text.decode().strip())
