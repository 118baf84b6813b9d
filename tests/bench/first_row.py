#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""first_row.py TIMES LINE COMMAND...: milliseconds, the median, from before the command is started until
that line of its output (1: the first) is there; nobody reads on, which ends it."""
import statistics
import subprocess
import sys
import time

took = []
for _ in range(int(sys.argv[1])):
    began = time.monotonic()
    with subprocess.Popen(sys.argv[3:], stdout=subprocess.PIPE) as p:
        for _ in range(int(sys.argv[2])):
            line = p.stdout.readline()
        took.append(time.monotonic() - began)
        if not line:
            sys.exit(f"{' '.join(sys.argv[3:])}: no such line")
        p.stdout.close()
    time.sleep(0.2)
print(round(statistics.median(took) * 1000, 1))
