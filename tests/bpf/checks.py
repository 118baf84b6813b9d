#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
#
# Reads what test_checks.c has recorded, one packet a line as it came and as it left, and makes by itself
# what should have left.
import json
import logging
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import Ether, IP, IPv6, Raw, TCP, UDP, raw  # noqa: E402

GUE = {4: b"\0\4\0\0", 6: b"\0\x29\0\0"}
HOP = Ether(dst="02:09:09:09:09:01", src="02:09:09:09:09:02")


def is_v6(address):
    return ":" in address


def packet(data):
    """The IP packet of a frame, all its checksums to be computed anew."""
    return (IPv6 if data[12:14] == b"\x86\xdd" else IP)(data[14:])


def summed(p, none):
    """As bytes; UDP without a checksum stays so."""
    if IP in p:
        del p[IP].chksum
    if TCP in p:
        del p[TCP].chksum
    if UDP in p and none:
        p[UDP].chksum = 0
    elif UDP in p:
        del p[UDP].chksum
    return raw(p)


def wrapped(r, inner, left):
    """In the tunnel. The source port is the flow's, and so taken as it is, from its range."""
    version = inner[0] >> 4
    tos = inner[1] if version == 4 else int.from_bytes(inner[0:2], "big") >> 4 & 255
    body, protocol = inner, {4: 4, 6: 41}[version]
    if r["delivery"] == "gue":
        at = 14 + (40 if is_v6(r["backend"]) else 20)
        source = int.from_bytes(left[at:at + 2], "big")
        if source < 0xc000:
            raise ValueError(f"source port {source}")
        body = raw(UDP(sport=source, dport=r["gue_port"], len=12 + len(inner), chksum=0)) + GUE[version] + inner
        protocol = 17
    if is_v6(r["backend"]):
        return raw(IPv6(src=r["tunnel_source"], dst=r["backend"], nh=protocol, hlim=64, tc=tos) / Raw(body))
    return raw(IP(src=r["tunnel_source"], dst=r["backend"], proto=protocol, ttl=64, tos=tos, id=0, flags="DF")
               / Raw(body))


def goes(r, came, left):
    p = packet(came)
    none = UDP in p and p[UDP].chksum == 0
    p.dst = r["vip"]
    ip = summed(p, none)
    if r["delivery"] != "dsr":
        ip = wrapped(r, ip, left)
    link = raw(HOP)[:12] if r["far"] else came[:12]
    return link + (b"\x86\xdd" if ip[0] >> 4 == 6 else b"\x08\0") + ip


def home(r, came):
    return bytes(6) + came[6:14] if r["far"] else came[:14]


def comes(r, came, left):
    p = packet(came)
    none = UDP in p and p[UDP].chksum == 0
    p.src = r["stand_in"]
    return home(r, came) + summed(p, none)


def refused(r, came, left):
    """The quote's own checksums are nobody's concern but an IPv4 header's."""
    p = packet(came)
    v6 = IPv6 in p
    at = 48 if v6 else 28
    quote = (IPv6 if v6 else IP)(came[14 + at:])
    quote.dst = r["stand_in"]
    if not v6:
        del quote.chksum
    head = 40 if v6 else 20
    inner = raw(quote)[:head] + came[14 + at + head:]
    if p.src == r["vip"]:
        p.src = r["stand_in"]
    outer = (IPv6 if v6 else IP)(raw(p)[:head])
    if not v6:
        del outer.chksum
    icmp = came[14 + head:14 + head + 2] + b"\0\0" + came[14 + head + 4:14 + head + 8] + inner
    pseudo = bytes(0)
    if v6:
        import socket
        pseudo = (socket.inet_pton(socket.AF_INET6, p.src) + socket.inet_pton(socket.AF_INET6, p.dst)
                  + len(icmp).to_bytes(4, "big") + b"\0\0\0\x3a")
    data = pseudo + icmp + bytes(len(icmp) % 2)
    total = sum(int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    icmp = icmp[:2] + (~total & 0xffff).to_bytes(2, "big") + icmp[4:]
    return home(r, came) + raw(outer)[:head] + icmp


wrong = 0
n = 0
for line in open(sys.argv[1]):
    r = json.loads(line)
    came, left = bytes.fromhex(r["in"]), bytes.fromhex(r["out"])
    wanted = {"goes": goes, "comes": comes, "refused": refused}[r["what"]](r, came, left)
    n += 1
    if wanted != left:
        wrong += 1
        if wrong < 3:
            print({k: r[k] for k in r if k not in ("in", "out")})
            print("came  ", came[:110].hex())
            print("left  ", left[:110].hex())
            print("wanted", wanted[:110].hex())
print(f"{n} packets, {wrong} wrong")
sys.exit(1 if wrong or n < 500 else 0)
