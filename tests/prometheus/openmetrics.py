#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
#
# Holds an answer of /metrics to what it should be, as its readers understand it. Prints a sentence for each breach.
#
#   openmetrics.py OPEN [TEXT]
#
# OPEN is read by the parser of Prometheus' Python client, which takes no liberties. Names, types, units, help and
# labels are those of userspace/api/metric_table.h and of the data path's counters. With TEXT both are what
# `test_exposition` prints: each metric is there, and TEXT is the same but for the heads of counters, the units
# and the end.
import pathlib
import re
import subprocess
import sys

from prometheus_client.openmetrics import parser

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
breaches = []


def table():
    """{family: (type, unit, help, labels, those of them that are always there)}"""
    rows = {}
    lines = subprocess.run([TOP / "scripts/check-manuals", "--metrics"], capture_output=True, text=True, check=True).stdout
    for name, braces, told, words in re.findall(r"^\.It Li (\w+)(\S*)\n\.Pq ([^\n]*)\n([^\n]*)", lines, re.M):
        kind, *rest = told.split(", ")
        unit = rest[0] if rest[0] in ("seconds", "bytes", "ratio") else ""
        labels = re.findall(r"\w+", braces)
        always = re.findall(r"\w+", re.sub(r"\[.*?\]", "", braces))
        rows[name.removesuffix("_total") if kind == "counter" else name] = (kind, unit, words, labels, always)
    lines = subprocess.run([TOP / "scripts/check-manuals", "--counters"], capture_output=True, text=True, check=True).stdout
    for name, kind, words in re.findall(r"^\.It Cm (\w+) Pq (\w+)\n([^\n]*)", lines, re.M):
        if kind != "DROP":
            rows["tundish_" + name] = ("counter", "", words, [], [])
    return rows


def classic(text):
    """The same in Prometheus' own format."""
    lines, counters = [], set(re.findall(r"^# TYPE (\S+) counter$", text, re.M))
    for line in text.split("\n"):
        words = line.split(" ")
        if line == "# EOF" or line.startswith("# UNIT"):
            continue
        if line.startswith("# ") and words[2] in counters:
            line = " ".join(words[:2] + [words[2] + "_total"] + words[3:])
        lines.append(line)
    return "\n".join(lines)


def read(name):
    return pathlib.Path(name).read_bytes().decode()  # a carriage return in a label is one


text = read(sys.argv[1])
rows, seen = table(), {}
for family in parser.text_string_to_metric_families(text):
    seen[family.name] = family
    if family.name not in rows:
        breaches.append(f"{family.name} is in no table")
        continue
    kind, unit, words, labels, always = rows[family.name]
    if (family.type, family.unit, family.documentation) != (kind, unit, words):
        breaches.append(f"{family.name} is told to be {family.type}, {family.unit}, {family.documentation}")
    for sample in family.samples:
        there = set(sample.labels) - {"le"}
        if len(sys.argv) < 3 and not set(always) <= there <= set(labels):
            breaches.append(f"{family.name} has labels {', '.join(there)}")
            break
        for value in sample.labels.values():
            if "\n" in value and "tundish_fake" not in value:
                breaches.append(f"{family.name} has a label over two lines")
if len(sys.argv) > 2:
    breaches += [f"{name} is missing" for name in rows if name not in seen]
    told = {s.labels["service"] for f in seen.values() for s in f.samples}
    if told != {'a"} 1\ntundish_fake 9\n# EOF\n\\n{},=?ä\r\t\x01 end'}:
        breaches.append(f"labels come out as {told}")
    if classic(text) != read(sys.argv[2]):
        breaches.append("the two forms differ in more than their heads")
for sentence in breaches[:20]:
    print(sentence)
if not breaches:
    print(f"{len(seen)} families, {sum(len(f.samples) for f in seen.values())} samples")
sys.exit(1 if breaches else 0)
