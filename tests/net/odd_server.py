#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Servers that go wrong in each way of a table (checks.table): one on a port for each row, from
PORT on. FILE says `good` or `bad`; each connection is treated as the row says for that word.

    odd_server.py TABLE PORT FILE DIRECTORY ADDRESS

DIRECTORY has the certificates; a line for each connection goes to connections.log there:
row, client's address, phase.

What a server does, the column's word before a colon:

    http:CODE       that status          body:TEXT       status 200 and that body
    method:WORD     200 to this method, 405 to others    host:NAME   the same by the Host header
    path:PATH       the same by the path                 moved       302
    hang            reads, never answers                 close       without a word
    reset           by RST, after it has read            half-head   closes within the headers
    half-body       closes within the body               drip        a byte each 100 ms
    endless-body    endless-head                         banner:TEXT sent at once
    answer:TEXT     behind what came                     tls:NAME    200, with NAME.crt
    plain           200 where TLS is asked for           closed      nobody listens
    udp:TEXT        an answer to a datagram              mute        none
"""
import asyncio
import os
import socket
import ssl
import struct
import sys

table, first, phase_file, directory, address = sys.argv[1:6]
phase = "good"
log = open(directory + "/connections.log", "a", buffering=1)


def rows():
    for line in open(table):
        if line.strip() and not line.startswith("#"):
            cells = [c.strip() for c in line.split("|")]
            yield cells[0], {"good": cells[3], "bad": cells[4]}


def look():
    global phase
    try:
        phase = open(phase_file).read().strip() or phase
    except OSError:
        pass


def answer(status, body="ok\n", more=""):
    return (f"HTTP/1.1 {status} Odd\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n{body}").encode()


async def request(reader):
    """Its first line and its headers, lower case."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < 65536:
        got = await reader.read(4096)
        if not got:
            break
        data += got
    lines = data.decode("latin-1").split("\r\n")
    words = (lines[0] + "  ").split(" ")
    headers = dict(l.lower().split(": ", 1) for l in lines[1:] if ": " in l)
    return words[0], words[1], headers


async def flushed(writer):
    """Without end, but not without the others."""
    await writer.drain()
    await asyncio.sleep(0.005)


HEAD = b"HTTP/1.1 200 OK\r\n"


async def http(kind, text, reader, writer):
    method, path, headers = await request(reader)
    good = {"method": method, "path": path, "host": headers.get("host", "")}
    if kind in good:
        writer.write(answer(200 if good[kind] == text else 405, "" if method == "HEAD" else "ok\n"))
    elif kind == "http":
        writer.write(answer(text, "" if method == "HEAD" else "ok\n"))
    elif kind == "body":
        writer.write(answer(200, text))
    elif kind in ("tls", "plain"):
        writer.write(answer(200))
    elif kind == "moved":
        writer.write(answer(302, "", "Location: http://elsewhere.example/\r\n"))
    elif kind == "half-head":
        writer.write(HEAD + b"Content-Le")
    elif kind == "half-body":
        writer.write(HEAD + b"Content-Length: 1000\r\n\r\nfi")
    elif kind == "endless-head":
        writer.write(HEAD)
        while True:
            writer.write(b"X: y\r\n" * 1000)
            await flushed(writer)
    elif kind == "endless-body":
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(b"megabytes " * 1000)
            await flushed(writer)
    elif kind == "drip":
        for byte in answer(200):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)


async def behave(kind, text, reader, writer):
    if kind == "hang":
        while await reader.read(4096):
            pass
    elif kind == "close":
        return
    elif kind == "reset":
        await reader.read(4096)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif kind == "banner":
        writer.write((text + "\r\n").encode())
        await writer.drain()
        await reader.read(4096)
    elif kind == "answer":
        await reader.read(4096)
        writer.write((text + "\r\n").encode())
    elif kind == "exec":
        return
    else:
        await http(kind, text, reader, writer)
    await writer.drain()


def serves(name, behaviours):
    async def connected(reader, writer):
        look()
        peer = writer.get_extra_info("peername")[0]
        log.write(f"{name} {peer} {phase}\n")
        kind, _, text = behaviours[phase].partition(":")
        try:
            await asyncio.wait_for(behave(kind, text, reader, writer), 10)
        except (OSError, asyncio.TimeoutError):
            pass
        finally:
            writer.transport.abort() if kind == "reset" else writer.close()

    return connected


def context(name):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(f"{directory}/{name}.crt", f"{directory}/{name}.key")
    return c


def tls_of(behaviours):
    """One that has the certificate of the phase, where a row speaks TLS."""
    all_of = {p: context(b[4:]) for p, b in behaviours.items() if b.startswith("tls:")}
    if not all_of:
        return None

    def choose(sock, name, c):
        look()
        sock.context = all_of.get(phase, c)

    c = all_of["good"]
    c.sni_callback = choose
    return c


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name, behaviours):
        self.name, self.behaviours = name, behaviours

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        look()
        log.write(f"{self.name} {peer[0]} {phase}\n")
        kind, _, text = self.behaviours[phase].partition(":")
        if kind == "udp":
            self.transport.sendto(text.encode(), peer)


async def one(name, behaviours, port):
    """Listens, as long as the phase has it listen, in the way that it has."""
    loop = asyncio.get_running_loop()
    server, how = None, None
    while True:
        look()
        now = behaviours[phase]
        want = now if now in ("closed", "plain") else "datagrams" if now[:3] in ("udp", "mut") else "stream"
        if want != how:
            if server:
                server.close()
            server, how = None, want
            if want == "datagrams":
                server, _ = await loop.create_datagram_endpoint(
                    lambda: Datagrams(name, behaviours), local_addr=(address, port))
            elif want != "closed":
                server = await asyncio.start_server(
                    serves(name, behaviours), address, port, backlog=512,
                    ssl=tls_of(behaviours) if want == "stream" else None)
        await asyncio.sleep(0.02)


async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    tasks = [asyncio.ensure_future(one(n, b, int(first) + i)) for i, (n, b) in enumerate(rows())
             if not b["good"].startswith("exec:")]
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    await asyncio.gather(*tasks)


asyncio.run(main())
