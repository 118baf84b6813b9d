#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A large configuration: large.py SERVICES BACKENDS-OF-EACH [options]; to standard output.

Services s0, s1, ... on 198.19.0.1 and on, by ipip to b0, b1, ... of 10.100.0.0/14, which somebody else
has to route. --web ADDRESS and --to NAME=ADDRESS,...: one more first, by dsr. --weight W: of the first
--changed backends (1) of one service in --every (1), by turns W and W + 1; of all others 100.
"""
import argparse

p = argparse.ArgumentParser()
p.add_argument("services", type=int)
p.add_argument("each", type=int)
p.add_argument("--web")
p.add_argument("--to", default="b1=10.0.0.11")
p.add_argument("--weight", type=int, default=100)
p.add_argument("--every", type=int, default=1)
p.add_argument("--changed", type=int, default=1)
o = p.parse_args()
print("interfaces: [{name: eth0, attach: native}]")
print(f"limits: {{services: {o.services + 10}, backends: {min(131071, o.services * o.each + 1010)}, vips: 4096}}")
print("services:")
if o.web:
    to = ", ".join("{name: %s, address: %s}" % tuple(one.split("=")) for one in o.to.split(","))
    print(f"  - {{name: web, vips: [{o.web}], ports: [80], delivery: dsr, backends: [{to}]}}")
for s in range(o.services):
    print(f"  - name: s{s}\n    vips: [198.19.{s // 250}.{1 + s % 250}]\n    ports: [80]\n    delivery: ipip\n    own: false\n    backends:")
    for b in range(o.each):
        n = s * o.each + b
        w = o.weight + b % 2 if b < o.changed and s % o.every == 0 else 100
        print(f"      - {{name: b{b}, address: 10.{100 + n // 62500}.{n // 250 % 250}.{1 + n % 250}, weight: {w}}}")
