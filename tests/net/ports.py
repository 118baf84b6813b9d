#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
#
# Outgoing connections, opened and closed in a way that is known exactly.
#
#   ports.py serve ADDRESS PORT [--close-first]   answers a byte; who closes first;
#                               [--keep-open]     closes never, not even when the client has
#   ports.py churn ADDRESS PORT N [OPTIONS]       N connections, one after the other, closed at once
#   ports.py hold ADDRESS PORT N [OPTIONS]        N connections, kept until stdin ends
#   ports.py bind ADDRESS N [--asked PORT]        N sockets bound to the address and port 0, the
#                                                 classic mistake; kept until stdin ends
#   ports.py ss                                   sockets of this namespace by tuple and state
#     --source ADDRESS    bound before, with IP_BIND_ADDRESS_NO_PORT
#     --classic           without that option: the port is taken at once
#     --wait-peer         the other end closes first
#     --reset             closes by a reset (SO_LINGER 0), as a server too
#     --half-close        sends its FIN, and closes when the other end has it
#     --per-second N
#     --udp
# The last line of churn and hold is {"opened": N, "errors": {"EADDRNOTAVAIL": N}}; bind has
# "ports" instead of "opened".
import argparse
import collections
import errno
import json
import resource
import selectors
import socket
import struct
import subprocess
import sys
import time

IP_BIND_ADDRESS_NO_PORT = 24
FIN_WAIT2 = 5


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def close(a, s):
    if a.reset:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def serve(a):
    listener = socket.socket(family(a.address), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((a.address, a.port))
    listener.listen(4096)
    listener.setblocking(False)
    chooser = selectors.DefaultSelector()
    chooser.register(listener, selectors.EVENT_READ)
    half_open = []
    print("ready", flush=True)
    while True:
        for key, _ in chooser.select():
            if key.fileobj is not listener:
                try:
                    more = key.fileobj.recv(64)
                except OSError:
                    more = None
                if not more:
                    chooser.unregister(key.fileobj)
                    if a.keep_open and more is not None:
                        half_open.append(key.fileobj)
                    else:
                        key.fileobj.close()
                continue
            try:
                connection, _ = listener.accept()
            except OSError:
                continue
            connection.setblocking(False)
            try:
                connection.send(b"x")
            except OSError:
                pass
            if a.close_first:
                close(a, connection)
            else:
                chooser.register(connection, selectors.EVENT_READ)


def open_one(a):
    kind = socket.SOCK_DGRAM if a.udp else socket.SOCK_STREAM
    s = socket.socket(family(a.address), kind)
    s.settimeout(20)
    try:
        if a.source:
            if not a.classic:
                s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            s.bind((a.source, 0))
        s.connect((a.address, a.port))
        if not a.udp:
            s.recv(1)
        return s
    except OSError:
        s.close()
        raise


def connect_all(a, keep):
    kept, errors, opened = [], collections.Counter(), 0
    begin = time.monotonic()
    for i in range(a.n):
        if a.per_second:
            time.sleep(max(0, begin + i / a.per_second - time.monotonic()))
        try:
            s = open_one(a)
        except OSError as e:
            errors[errno.errorcode.get(e.errno, str(e))] += 1
            continue
        opened += 1
        if keep:
            kept.append(s)
            continue
        if a.wait_peer:
            try:
                s.recv(1)
            except ConnectionResetError:
                pass
        if a.half_close:
            s.shutdown(socket.SHUT_WR)
            while s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != FIN_WAIT2:
                time.sleep(0.0005)
        close(a, s)
    print(json.dumps({"opened": opened, "errors": errors}), flush=True)
    return kept


def bind(a):
    kept, errors = [], collections.Counter()
    kind = socket.SOCK_DGRAM if a.udp else socket.SOCK_STREAM
    for _ in range(a.port):
        s = socket.socket(family(a.address), kind)
        try:
            s.bind((a.address, a.asked))
            kept.append(s)
        except OSError as e:
            errors[errno.errorcode.get(e.errno, str(e))] += 1
            s.close()
    ports = [s.getsockname()[1] for s in kept]
    print(json.dumps({"ports": ports, "errors": errors}), flush=True)
    return kept


def by_ss():
    text = subprocess.run(["ss", "-Htan"], capture_output=True, text=True, check=True).stdout
    tuples = collections.defaultdict(collections.Counter)
    for line in text.splitlines():
        state, _, _, local, remote = line.split()[:5]
        address = local.rsplit(":", 1)[0].strip("[]")
        tuples[f"{address} {remote.replace('[', '').replace(']', '')}"][state] += 1
    print(json.dumps(tuples))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what")
    p.add_argument("address", nargs="?")
    p.add_argument("port", nargs="?", type=int)
    p.add_argument("n", nargs="?", type=int, default=1)
    p.add_argument("--source")
    p.add_argument("--classic", action="store_true")
    p.add_argument("--close-first", action="store_true")
    p.add_argument("--wait-peer", action="store_true")
    p.add_argument("--reset", action="store_true")
    p.add_argument("--half-close", action="store_true")
    p.add_argument("--keep-open", action="store_true")
    p.add_argument("--per-second", type=float, default=0)
    p.add_argument("--udp", action="store_true")
    p.add_argument("--asked", type=int, default=0)
    a = p.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    kept = None
    if a.what == "serve":
        serve(a)
    elif a.what == "churn":
        connect_all(a, False)
    elif a.what == "hold":
        kept = connect_all(a, True)
    elif a.what == "bind":
        kept = bind(a)
    elif a.what == "ss":
        by_ss()
    else:
        p.error("serve, churn, hold, bind or ss")
    if kept is not None:
        sys.stdin.read()


main()
