#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
#
# Holds rules and the dashboard to the metrics that there are: names, labels asked for, words of labels that are
# reasons. Prints a sentence for each breach.
#
#   names.py [--rules] FILE...     --rules: prints a rules file of all that the dashboard asks, for promtool
import json
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
breaches = []


def manuals(option):
    return subprocess.run([TOP / "scripts/check-manuals", option], capture_output=True, text=True, check=True).stdout


labels, reasons = {}, set()
for name, braces, kind in re.findall(r"^\.It Li (\w+)(\S*)\n\.Pq (\w+)", manuals("--metrics"), re.M):
    own = set(re.findall(r"\w+", braces))
    for end in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
        labels[name + end] = own | ({"le"} if end == "_bucket" else set())
for name, kind in re.findall(r"^\.It Cm (\w+) Pq (\w+)", manuals("--counters"), re.M):
    if kind == "DROP":
        reasons.add(name.removeprefix("drop_"))
    else:
        labels[f"tundish_{name}_total"] = set()
recording = (TOP / "scripts/prometheus/tundish.recording.yaml").read_text()
recorded = {name: set(re.findall(r"\w+", by.group(1))) - {"le"} if (by := re.search(r"by \(([^)]*)\)", expr)) else {"instance", "table"}
            for name, expr in re.findall(r"record: (\S+)\n\s+expr: ([^\n]*)", recording)}


def expressions(path):
    """Of a dashboard, what its panels and its variables ask; of rules, their text."""
    text = path.read_text()
    if path.suffix != ".json":
        return [line for line in text.split("\n") if not line.lstrip().startswith(("#", "- record:"))]
    board = json.loads(text)
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    for variable in board["templating"]["list"]:
        asked += re.findall(r"label_values\((.*), \w+\)", variable["query"])
    ids = [panel["id"] for panel in board["panels"]]
    if len(ids) != len(set(ids)):
        breaches.append(f"{path.name}: two panels have one id")
    # Grafana's own: red from 80 on, whatever is counted.
    breaches.extend(f"{path.name}: {panel['title']} has no thresholds" for panel in board["panels"]
                    if panel["type"] == "stat" and "thresholds" not in panel["fieldConfig"]["defaults"])
    breaches.extend(f"{path.name}: all of {v['name']} is a list of each" for v in board["templating"]["list"]
                    if v.get("includeAll") and v.get("allValue") != ".*")
    return asked


def check(path, expression):
    for name, braces in re.findall(r"([a-zA-Z_:]*tundish_[a-zA-Z0-9_:]*)(\{[^}]*\})?", expression):
        known = recorded.get(name) if ":" in name else labels.get(name)
        if known is None:
            breaches.append(f"{path.name}: there is no metric {name}")
            continue
        for label, value in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', braces):
            if label not in known | {"instance", "job"}:
                breaches.append(f"{path.name}: {name} has no label {label}")
            if label == "reason" and name == "tundish_drops_total":
                breaches.extend(f"{path.name}: there is no reason {word}" for word in value.split("|") if word not in reasons)


rules = sys.argv[1] == "--rules"
for n in sys.argv[2:] if rules else sys.argv[1:]:
    for expression in expressions(pathlib.Path(n)):
        check(pathlib.Path(n), expression)
        if rules:
            plain = re.sub(r"\$__rate_interval", "1m", expression)
            breaches.append(f"  - {{record: asked_{len(breaches)}, expr: {json.dumps(plain)}}}")
if rules:
    print("groups:\n- name: asked\n  rules:")
for sentence in breaches:
    print(sentence)
sys.exit(1 if breaches and not rules else 0)
