#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
#
# Connects in a loop and closes first, as a simple client program does; prints which source
# addresses it had.
#
#   connects.py ADDRESS PORT COUNT [--stop] [--udp] [--hold] [--bind ADDRESS | --source ADDRESS]
#               [--until FILE] [--timeout SECONDS] [--rate PER-SECOND]
#
# --stop ends at the first connect(2) that is refused; --bind binds that address as many programs
# do, which takes a port for all destinations; --source with IP_BIND_ADDRESS_NO_PORT; --hold keeps all
# open until its input ends; --until goes on until the file is there; a handshake that takes longer than
# --timeout is "timed out" among the errors, apart from what connect(2) refuses at once.
import argparse
import collections
import errno
import json
import os
import socket
import sys
import time

IP_BIND_ADDRESS_NO_PORT = 24

p = argparse.ArgumentParser()
p.add_argument("address")
p.add_argument("port", type=int)
p.add_argument("count", type=int)
p.add_argument("--stop", action="store_true")
p.add_argument("--rate", type=int)
p.add_argument("--udp", action="store_true")
p.add_argument("--hold", action="store_true")
p.add_argument("--bind")
p.add_argument("--source")
p.add_argument("--until")
p.add_argument("--timeout", type=float)
a = p.parse_args()
family = socket.AF_INET6 if ":" in a.address else socket.AF_INET
by, errors, held = collections.Counter(), collections.Counter(), []
opened = failed = 0
begun = time.monotonic()
for i in range(a.count):
    if a.rate:
        time.sleep(max(0, begun + i / a.rate - time.monotonic()))
    if a.until and os.path.exists(a.until):
        break
    s = socket.socket(family, socket.SOCK_DGRAM if a.udp else socket.SOCK_STREAM)
    s.settimeout(a.timeout)
    try:
        if a.source:
            s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        if a.bind or a.source:
            s.bind((a.bind or a.source, 0))
        s.connect((a.address, a.port))
    except OSError as e:
        failed += 1
        late = isinstance(e, TimeoutError) and e.errno is None
        errors["timed out" if late else errno.errorcode.get(e.errno, str(e.errno))] += 1
        s.close()
        if a.stop:
            break
        continue
    opened += 1
    by[s.getsockname()[0]] += 1
    if a.hold:
        held.append(s)
    else:
        s.close()
print(json.dumps({"opened": opened, "failed": failed, "errors": errors, "by": by}), flush=True)
if a.hold:
    sys.stdin.read()
