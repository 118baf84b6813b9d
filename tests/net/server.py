#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A plain HTTP server with a process and SO_REUSEPORT listeners for each worker.

server.py [--blind] NAME WORKERS ADDRESS:PORT...
    answers "NAMEk CLIENT ADDRESS PORT", with the address and port that the client
    asked for, as getsockname() tells them

With --blind it never asks for the client's address, not of accept(2) either, and says
"-" for it; the parent listens, the workers accept.
"""
import ctypes
import os
import socket
import sys
import threading


def plain(address):
    return address[7:] if address.startswith("::ffff:") else address


def serve(name, s):
    try:
        data = b""
        while b"\r\n\r\n" not in data:
            part = s.recv(4096)
            if not part:
                return
            data += part
        client, own = "-" if BLIND else plain(s.getpeername()[0]), s.getsockname()
        body = ("%s %s %s %d\n" % (name, client, plain(own[0]), own[1])).encode()
        s.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    except OSError:
        pass
    finally:
        s.close()


def listen(text):
    host, port = text.rsplit(":", 1)
    six = host.startswith("[")
    s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if six:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind((host.strip("[]"), int(port)))
    s.listen(128)
    return s


def accept(listener):
    if not BLIND:
        return listener.accept()[0]
    while True:
        fd = LIBC.accept(listener.fileno(), None, None)
        if fd >= 0:
            return socket.socket(fileno=fd)


def accept_all(name, listener):
    while True:
        serve(name, accept(listener))


BLIND = sys.argv[1] == "--blind"
LIBC = ctypes.CDLL(None)


def main():
    name, workers, *addresses = sys.argv[1 + BLIND:]
    made = [[listen(a) for a in addresses] for _ in range(int(workers))] if BLIND else None
    for k in range(int(workers)):
        if os.fork() == 0:
            listeners = made[k] if BLIND else [listen(a) for a in addresses]
            for listener in listeners[1:]:
                threading.Thread(target=accept_all, args=(name + str(k), listener), daemon=True).start()
            accept_all(name + str(k), listeners[0])
    os.wait()


main()
