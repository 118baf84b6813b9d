#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Another judge of rewritten packets, who shares no text with the program nor with its
tests: scapy takes each packet apart, makes of it what was meant, computes all
checksums and lengths from nothing, and the result is compared byte by byte.

    rewrite.py DIR      before.pcap, after.pcap and meant.jsonl, of native_rewrite --write
"""
import ipaddress
import json
import logging
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import (  # noqa: E402
    IP, TCP, UDP, Dot1Q, Ether, ICMP, IPv6, Raw, RawPcapReader, raw)

REWRITE, ICMP_ERROR, RESET, OPTIONS, TOA, NATIVE, GENERIC, COMPLETE = range(1, 9)
TAKE_HOP, IS_PARTIAL = 1, 2


def total(data):
    """RFC 1071, with Python's own large numbers."""
    if len(data) % 2:
        data += b"\0"
    n = sum(int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2))
    while n > 0xffff:
        n = (n & 0xffff) + (n >> 16)
    return n


def address(text):
    a = ipaddress.IPv6Address(bytes.fromhex(text))
    return a.ipv4_mapped or a


class Packet:
    """A network packet in parts: header, protocol, transport header and all behind it."""

    def __init__(self, data):
        self.v6 = data[0] >> 4 == 6
        self.data = data
        if self.v6:
            ip = IPv6(data[:40])
            self.protocol, at = ip.nh, 40
            while self.protocol in (0, 43, 44, 60):
                length = 8 if self.protocol == 44 else 8 + 8 * data[at + 1]
                self.protocol, at = data[at], at + length
            self.tos, self.hops, self.source, self.destination = ip.tc, ip.hlim, ip.src, ip.dst
            self.said = 40 + ip.plen - at
        else:
            at = (data[0] & 15) * 4
            ip = IP(data[:at])
            self.protocol = ip.proto
            self.tos, self.hops, self.source, self.destination = ip.tos, ip.ttl, ip.src, ip.dst
            self.said = ip.len - at
        self.header, self.body = data[:at], data[at:at + self.said]

    def pseudo(self, covered):
        return pseudo(self.source, self.destination, self.protocol, covered)

    def covered(self):
        """Of the body, what the transport's checksum is over."""
        if self.protocol == 17:
            length = int.from_bytes(self.body[4:6], "big")
            if 8 <= length:
                return length
        return self.said


def pseudo(source, destination, protocol, covered):
    return total(ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed +
                 protocol.to_bytes(2, "big") + (covered & 0xffff).to_bytes(2, "big"))


def network(v6, source, destination, tos, hops, protocol, length, ident=0, flags=0):
    """A header made by scapy for so many bytes behind it."""
    if v6:
        return raw(IPv6(src=str(source), dst=str(destination), tc=tos, hlim=hops,
                        nh=protocol, plen=length))
    return raw(IP(src=str(source), dst=str(destination), tos=tos, ttl=hops, proto=protocol,
                  len=20 + length, id=ident, flags=flags))


def with_check(body, at, value):
    return body[:at] + value.to_bytes(2, "big") + body[at + 2:]


def transport(p, source, destination, sport, dport, mode):
    """The body with other ports, and a checksum: right, partial, none, or as wrong as before."""
    at = 16 if p.protocol == 6 else 6
    covered = p.covered()
    before = int.from_bytes(p.body[at:at + 2], "big")
    body = sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + p.body[4:]
    if at + 2 > len(body):
        return body
    if mode == "partial":
        return with_check(body, at, pseudo(source, destination, p.protocol, covered))
    if p.protocol == 17 and not before and mode != "complete":
        return body
    cut = len(p.body) < p.said or covered > len(p.body)
    error = 0xffff - total(p.pseudo(covered).to_bytes(2, "big") + p.body[:covered])
    if mode != "complete" and (error or cut):
        # wrong, or not to be seen as a whole: what is summed up must stay the same
        was = total(p.pseudo(covered).to_bytes(2, "big") + p.body[:4] + p.body[at:at + 2])
        now = pseudo(source, destination, p.protocol, covered) + total(body[:4])
        check = (was - now) % 0xffff
        return with_check(body, at, check or (0xffff if p.protocol == 17 else 0))
    # scapy computes it, given the addresses of a packet that it makes itself
    lower = IPv6 if ":" in str(source) else IP
    upper = (TCP if p.protocol == 6 else UDP)(with_check(body, at, 0)[:covered])
    del upper.chksum
    made = raw(lower(src=str(source), dst=str(destination)) / upper)
    return made[40 if lower is IPv6 else 20:] + body[covered:]


def readdress(p, to, hop):
    """The header of before with other addresses; options and extensions stay."""
    hops = p.hops - hop
    if p.v6:
        ip = IPv6(p.header)
        ip.src, ip.dst, ip.hlim = str(to[0]), str(to[1]), hops
        return raw(ip)[:40] + p.header[40:]
    ip = IP(p.header)
    ip.src, ip.dst, ip.ttl = str(to[0]), str(to[1]), hops
    del ip.chksum
    return raw(ip)


def rewritten(p, e, mode):
    """RFC 7915 where the family is another one."""
    to = address(e["source"]), address(e["destination"])
    hop = e["flags"] & TAKE_HOP
    v6 = to[0].version == 6
    if p.v6 == v6:
        header = readdress(p, to, hop)
    elif v6:
        header = network(True, *to, p.tos, p.hops - hop, p.protocol, p.said)
    else:
        big = 20 + p.said > 1260
        header = network(False, *to, p.tos, p.hops - hop, p.protocol, p.said,
                         0 if big else e["id"], "DF" if big else 0)
    if v6 and not p.v6 and p.protocol == 17 and p.body[6:8] == b"\0\0" and mode != "partial" \
            and p.said == len(p.body) and mode != "quoted":
        mode = "complete"
    return header + transport(p, *to, e["sport"], e["dport"], mode)


# RFC 7915: (type, code) to (type, code, what follows)
TO6 = {(3, c): (1, 0, 0) for c in (0, 1, 5, 6, 7, 8, 11, 12)}
TO6.update({(3, c): (1, 1, 0) for c in (9, 10, 13, 15)})
TO6.update({(11, 0): (3, 0, 0), (11, 1): (3, 1, 0), (3, 2): (4, 1, 6), (3, 3): (1, 4, 0),
            (3, 4): (2, 0, "mtu"), (12, 0): (4, 0, "pointer"), (12, 2): (4, 0, "pointer")})
TO4 = {(1, 0): (3, 1, 0), (1, 1): (3, 10, 0), (1, 2): (3, 1, 0), (1, 3): (3, 1, 0),
       (1, 4): (3, 3, 0), (2, 0): (3, 4, "mtu"), (3, 0): (11, 0, 0), (3, 1): (11, 1, 0),
       (4, 0): (12, 0, "pointer"), (4, 1): (3, 2, 0)}
# first and last byte of a header's field, in IPv4 and in IPv6
FIELDS = [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 3), (4, 5)), ((8, 8), (7, 7)),
          ((9, 9), (6, 6)), ((12, 15), (8, 23)), ((16, 19), (24, 39))]


def pointer(value, v6):
    for four, six in FIELDS:
        here, there = (six, four) if v6 else (four, six)
        if here[0] <= value <= here[1]:
            return there[0]
    raise ValueError("a field without counterpart")


def message(m, v6, quoted_length):
    kind, code, word = (TO4 if v6 else TO6)[m[0], m[1]]
    if word == "mtu":
        mtu = int.from_bytes(m[4:8] if v6 else m[6:8], "big")
        if not v6 and not mtu:
            mtu = max([n for n in (32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296)
                       if n < quoted_length] + [68])
        word = min(max(mtu, 1280), 65535) - 20 if v6 else max(mtu + 20, 1280)
    elif word == "pointer":
        value = int.from_bytes(m[4:8], "big") if v6 else m[4]
        word = pointer(value, v6) << (24 if v6 else 0)
    return bytes((kind, code, 0, 0)) + word.to_bytes(4, "big")


def error(p, case):
    to = address(case["to"]["source"]), address(case["to"]["destination"])
    hop = case["to"]["flags"] & TAKE_HOP
    m, quote = p.body[:8], Packet(p.body[8:])
    v6 = to[0].version == 6
    if p.v6 == v6:
        header = readdress(p, to, hop)
        data = m + rewritten(quote, case["quoted"], "quoted") + p.body[8 + len(quote.header) +
                                                                       len(quote.body):]
        was = (p.pseudo(p.said) if p.v6 else 0) + total(p.body)
        now = (pseudo(*to, 58, p.said) if v6 else 0) + total(with_check(data, 2, 0))
        if was % 0xffff:
            return header + with_check(data, 2, (was - now) % 0xffff)
    else:
        cut = p.body[8:]
        words = (m[4] * 8 if m[0] in (1, 3) else 0) if p.v6 else m[5] * 4
        if words:
            cut = cut[:words]
        cut = cut[:len(quote.header) + (1280 - 88 if v6 else 576 - 48)]
        data = message(m, p.v6, len(quote.header) + quote.said) + \
            rewritten(Packet(cut), case["quoted"], "quoted")
        size = len(data)
        header = network(v6, *to, p.tos, p.hops - hop, 58 if v6 else 1, size, case["to"]["id"])
    if v6:
        check = 0xffff - total(pseudo(*to, 58, len(data)).to_bytes(2, "big") +
                               with_check(data, 2, 0))
        return header + with_check(data, 2, check)
    icmp = ICMP(data[:8])
    del icmp.chksum
    return header + with_check(data, 2, int.from_bytes(raw(icmp / Raw(data[8:]))[2:4], "big"))


def reset(p):
    tcp = TCP(p.body)
    answer = TCP(sport=tcp.dport, dport=tcp.sport, window=0)
    if tcp.flags.A:
        answer.seq, answer.flags = tcp.ack, "R"
    else:
        length = p.said - 4 * tcp.dataofs + int(tcp.flags.S) + int(tcp.flags.F)
        answer.ack, answer.flags = (tcp.seq + length) & 0xffffffff, "RA"
        answer.seq = 0
    if p.v6:
        return raw(IPv6(src=p.destination, dst=p.source, tc=p.tos & 0xfc, hlim=64) / answer)
    return raw(IP(src=p.destination, dst=p.source, tos=p.tos & 0xfc, ttl=64, id=0,
                  flags="DF") / answer)


def options(p, case):
    header = (p.body[12] >> 4) * 4
    have, at = bytearray(p.body[20:header]), 0
    while at < len(have) and have[at]:
        if have[at] == 1:
            at += 1
            continue
        if at + 1 == len(have) or have[at + 1] < 2 or at + have[at + 1] > len(have):
            break
        length = have[at + 1]
        if have[at] == 254:
            have[at:at + length] = b"\1" * length
        elif have[at] == 2 and length == 4 and case["mss"]:
            mss = min(int.from_bytes(have[at + 2:at + 4], "big"), case["mss"])
            have[at + 2:at + 4] = mss.to_bytes(2, "big")
        at += length
    return checked(p, p.header, p.body[:20] + bytes(have) + p.body[header:], case)


def checked(p, header, body, case):
    if case["to"]["flags"] & IS_PARTIAL:
        return header + body
    check = 0xffff - total(pseudo(p.source, p.destination, 6, len(body)).to_bytes(2, "big") +
                           with_check(body, 16, 0))
    return header + with_check(body, 16, check)


def toa(p, case):
    client = address(case["client"])
    option = bytes((254, 4 + len(client.packed))) + case["port"].to_bytes(2, "big") + client.packed
    body = bytearray(p.body[:20] + option + p.body[20:])
    body[12] += len(option) // 4 << 4
    if p.v6:
        header = p.header[:4] + len(body).to_bytes(2, "big") + p.header[6:]
    else:
        ip = IP(p.header)
        ip.len = len(p.header) + len(body)
        del ip.chksum
        header = raw(ip)
    return checked(p, header, bytes(body), case)


def link_of(frame):
    e = Ether(frame)
    at = 14
    while isinstance(e.payload, Dot1Q):
        e, at = e.payload, at + 4
    return frame[:at]


def expected(before, case):
    """The whole frame as it should leave."""
    link = link_of(before)
    if case["op"] == TOA and not case["result"]:
        return before
    p = Packet(before[len(link):])
    behind = before[len(link) + len(p.header) + p.said:]
    op = case["op"]
    if op in (NATIVE, GENERIC):
        return before
    if op in (REWRITE, COMPLETE):
        mode = "complete" if op == COMPLETE else \
            "partial" if case["to"]["flags"] & IS_PARTIAL else "difference"
        made = rewritten(p, case["to"], mode)
    elif op == ICMP_ERROR:
        made = error(p, case)
        if (made[0] >> 4 == 6) != p.v6:
            behind = b""
    elif op == RESET:
        made = reset(p)
        link = link[6:12] + link[:6] + link[12:]
    elif op == OPTIONS:
        made = options(p, case)
    else:
        made = toa(p, case)
    if op == RESET:
        return link + made
    kind = b"\x86\xdd" if made[0] >> 4 == 6 else b"\x08\x00"
    return link[:-2] + kind + made + behind


def main():
    where = sys.argv[1]
    failed = n = 0
    with open(where + "/meant.jsonl") as lines:
        for line, (before, _), (after, _) in zip(lines, RawPcapReader(where + "/before.pcap"),
                                                 RawPcapReader(where + "/after.pcap")):
            case = json.loads(line)
            n += 1
            want = expected(before, case)
            if case["op"] == RESET and len(after) == max(len(want), min(len(before), 60)):
                after = after[:len(want)]  # what pads the frame is nobody's concern
            if after != want:
                failed += 1
                first = next((i for i, (a, b) in enumerate(zip(after, want)) if a != b), -1)
                print("not ok - %s: %d bytes, not %d; differs from byte %d on: %s, not %s" % (
                    case["name"], len(after), len(want), first, after[first:first + 8].hex(),
                    want[first:first + 8].hex()))
    if not failed and n > 2000:
        print("ok - %d packets are what scapy makes of them" % n)
    else:
        print("not ok - %d of %d packets differ" % (failed, n))
    return failed != 0 or n <= 2000


if __name__ == "__main__":
    sys.exit(main())
