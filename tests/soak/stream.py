#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Connections that last, with data both ways all the time.

serve PORT
    sends back what comes; any number of them on one port, for both families (SO_REUSEPORT)
hold SECONDS COUNT ADDRESS:PORT...
    so many connections to each address. On each a block of random length and content every
    50 ms, which has to come back as it was, before the next one; one in a hundred is a megabyte.
    Until SIGTERM, at most SECONDS. Prints "connected" when all are, and at the end an object:
    connections, broken (with the reasons), blocks, bytes each way, the longest that one took
"""
import asyncio
import collections
import json
import os
import random
import signal
import socket
import sys
import time

STALLED = 20.0 * int(os.environ.get("TUNDISH_TEST_SLOW", "1"))  # seconds for one block: it is dead


async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def serve(port):
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", port))
    server = await asyncio.start_server(echo, sock=s, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


class Holder:
    def __init__(self):
        self.broken = collections.Counter()
        self.connections = self.blocks = self.bytes = 0
        self.longest = 0.0
        self.ended = asyncio.Event()

    async def block(self, reader, writer, rng):
        data = rng.randbytes(1 << 20 if rng.randrange(100) == 0 else rng.randrange(1, 4096))
        begun = time.monotonic()
        writer.write(data)
        back = await reader.readexactly(len(data))
        if back != data:
            raise ValueError("other bytes came back")
        self.blocks += 1
        self.bytes += len(data)
        self.longest = max(self.longest, time.monotonic() - begun)

    async def hold(self, host, port, seed, connected):
        rng = random.Random(seed)
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), STALLED)
            await asyncio.wait_for(self.block(reader, writer, rng), STALLED)
            self.connections += 1
        except Exception as e:
            self.broken[f"{host} does not connect: {e!r}"] += 1
            return
        finally:
            connected()
        try:
            while not self.ended.is_set():
                await asyncio.wait_for(self.block(reader, writer, rng), STALLED)
                await asyncio.sleep(0.05)
        except Exception as e:
            self.broken[f"{host}: {e!r}"] += 1
        # A reset, so that no port is left in TIME_WAIT here.
        s = writer.get_extra_info("socket")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.close()


async def hold(seconds, count, targets):
    h = Holder()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, h.ended.set)
    left = count * len(targets)

    def connected():
        nonlocal left
        left -= 1
        if not left:
            print("connected", flush=True)

    tasks = []
    for target in targets:
        host, port = target.rsplit(":", 1)
        tasks += [asyncio.create_task(h.hold(host.strip("[]"), int(port), f"{target} {i}", connected)) for i in range(count)]
    try:
        await asyncio.wait_for(h.ended.wait(), seconds)
    except asyncio.TimeoutError:
        h.ended.set()
    await asyncio.gather(*tasks)
    print(json.dumps({"connections": h.connections, "broken": sum(h.broken.values()), "why": dict(h.broken.most_common(5)),
                      "blocks": h.blocks, "bytes": h.bytes, "longest_ms": int(h.longest * 1000)}))


if sys.argv[1] == "serve":
    asyncio.run(serve(int(sys.argv[2])))
else:
    asyncio.run(hold(float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
