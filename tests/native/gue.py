#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
#
# Reads pairs of packets, what came and what left, and makes by itself what should have left:
#
#   gue.py FILE PORT_HERE PORT_OUT
#
# A packet to PORT_HERE comes in a tunnel, all others have to have gone into one to PORT_OUT.
# Only addresses, the next hop's VLAN and the source port are taken from the packet that left,
# and of these the source port has to be the flow's own.
import logging
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import IP, IPv6, UDP, TCP, Dot1Q, Ether, Raw, rdpcap, raw  # noqa: E402

PORT_HERE, PORT_OUT = int(sys.argv[2]), int(sys.argv[3])
GUE = {4: b"\0\4\0\0", 6: b"\0\x29\0\0"}


def link(data):
    """The link header, and what follows it."""
    offset = 12
    while data[offset:offset + 2] in (b"\x81\0", b"\x88\xa8"):
        offset += 4
    return data[:offset + 2], data[offset + 2:]


def length_of(ip):
    return int.from_bytes(ip[2:4], "big") if ip[0] >> 4 == 4 else 40 + int.from_bytes(ip[4:6], "big")


def header_of(ip):
    return (ip[0] & 15) * 4 if ip[0] >> 4 == 4 else 40


def forwarded(ip):
    """One hop less; scapy computes the checksum."""
    if ip[0] >> 4 == 6:
        return ip[:7] + bytes([ip[7] - 1]) + ip[8:]
    head = IP(ip[:header_of(ip)])
    head.ttl -= 1
    del head.chksum
    return raw(head)[:header_of(ip)] + ip[header_of(ip):]


def wanted_out(came, left):
    """The frame, and who its flow is."""
    ip = link(came)[1]
    padding = ip[length_of(ip):]
    inner = forwarded(ip[:length_of(ip)])
    tos = ip[1] if ip[0] >> 4 == 4 else int.from_bytes(ip[0:2], "big") >> 4 & 255
    was_link, was = link(left)
    v4 = was[0] >> 4 == 4
    udp_at = 20 if v4 else 40
    source = int.from_bytes(was[udp_at:udp_at + 2], "big")
    if not 0xc000 <= source <= 0xffff:
        raise ValueError(f"source port {source}")
    udp = UDP(sport=source, dport=PORT_OUT, chksum=0) / Raw(GUE[ip[0] >> 4] + inner)
    if v4:
        outer = IP(src=IP(was).src, dst=IP(was).dst, tos=tos, ttl=64, id=0, flags="DF", proto=17) / udp
    else:
        outer = IPv6(src=IPv6(was).src, dst=IPv6(was).dst, tc=tos, fl=0, hlim=64, nh=17) / udp
    ethernet = Ether(left)
    kind = 0x0800 if v4 else 0x86dd
    head = Ether(dst=ethernet.dst, src=ethernet.src, type=kind)
    if len(was_link) > 14:
        tci = int.from_bytes(was_link[14:16], "big")
        head.type = 0x8100
        head /= Dot1Q(prio=tci >> 13, id=tci >> 12 & 1, vlan=tci & 4095, type=kind)
    frame = head / outer
    tcp = Ether(came).getlayer(TCP)
    addresses = IP(ip) if ip[0] >> 4 == 4 else IPv6(ip)
    return raw(frame) + padding, (addresses.src, tcp.sport, tcp.dport), source


def wanted_in(came):
    was_link, ip = link(came)
    udp = UDP(ip[header_of(ip):])
    gue = raw(udp.payload)
    if udp.dport != PORT_HERE:
        return None
    inner = gue if gue[0] >> 6 else gue[4:]
    return was_link[:-2] + (b"\x08\0" if inner[0] >> 4 == 4 else b"\x86\xdd") + inner


def main():
    packets = [raw(p) for p in rdpcap(sys.argv[1])]
    flows, ports = {}, set()
    out = unwrapped = 0
    for n, (came, left) in enumerate(zip(packets[::2], packets[1::2])):
        ip = link(came)[1]
        protocol = ip[9] if ip[0] >> 4 == 4 else ip[6]
        if protocol == 17:
            want = wanted_in(came)
            unwrapped += 1
        else:
            want, flow, source = wanted_out(came, left)
            if flows.setdefault(flow, source) != source:
                sys.exit(f"pair {n}: flow {flow} has source ports {flows[flow]} and {source}")
            ports.add(source)
            out += 1
        if want != left:
            at = next((i for i, (a, b) in enumerate(zip(want, left)) if a != b), min(len(want), len(left)))
            sys.exit(f"pair {n}: byte {at}\ncame   {came.hex()}\nleft   {left.hex()}\nwanted {want.hex()}")
    if out < 1000 or unwrapped < 200 or len(ports) < len(flows) * 8 // 10:
        sys.exit(f"{out} in tunnels, {unwrapped} out of them, {len(flows)} flows, {len(ports)} source ports")
    print(f"{out} packets put into tunnels and {unwrapped} taken out are as scapy makes them")


main()
