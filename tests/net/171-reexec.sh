#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The daemon executes itself anew, by signal and by command, under load: the same process, no refused
# request, no lost packet; the program that is on disk by then is what runs, and its programs are in
# the place of the former ones; one that cannot go on is refused, and the daemon is as it was.
. "$(dirname "$0")/lib.sh"
three_backends dsr
hold $VIP 40
stop edge
cp "$BUILD/tundishd" "$T/tundishd"
# checks, by a library that has descriptors of its own, and by a program that is running each time
sed -i -e 's|^    delivery: .*|&\n    health: {type: http, path: /healthz, interval: 200ms, timeout: 10s}|' \
	-e "s|^  - name: web|  - {name: other, vips: [192.0.2.71], ports: [80], delivery: dsr, backends: [{name: b1, address: 10.0.0.11}],\n     health: {type: exec, command: [/bin/sleep, '31.71'], interval: 100ms, timeout: 1m}}\n&|" "$T/edge.yaml"
run_copy() {
	(exec env NOTIFY_SOCKET="$T/notify" nsenter --net=/run/netns/edge "$T/tundishd" --config "$T/edge.yaml" --control /run/tundish/edge.sock \
		--pin /sys/fs/bpf/edge --metrics 127.0.0.1:9799 >>"$T/tundishd-edge.log" 2>&1) &
	PID[edge]=$!
	ready edge || fatal 'the copy does not start'
}
# what systemd hears
(exec $PYTHON -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    for line in s.recv(4096).decode().split("\n"):
        print(line.split("=")[0], flush=True)' "$T/notify" >"$T/notified") &
PID[notify]=$!
eventually 5 test -S "$T/notify" || fatal 'no socket for notifications'
run_copy

# asks: requests on both listeners, one after another, until it is ended; each has to be answered.
cat >"$T/asks.py" <<'PY'
import http.client, signal, socket, sys
n = failed = 0
go_on = True
def end(*_):
    global go_on
    go_on = False
signal.signal(signal.SIGTERM, end)
def control():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect("/run/tundish/edge.sock")
    c = http.client.HTTPConnection("tundish")
    c.sock = s
    c.request("GET", "/v1/services", headers={"Connection": "close"})
    return c.getresponse()
def metrics():
    c = http.client.HTTPConnection("127.0.0.1", 9799, timeout=30)
    c.request("GET", "/metrics", headers={"Connection": "close"})
    return c.getresponse()
print("asks", flush=True)
while go_on:
    for how in control, metrics:
        try:
            r = how()
            if r.status != 200 or not r.read():
                raise OSError(f"status {r.status}")
        except (OSError, http.client.HTTPException) as e:
            failed += 1
            print("failed", how.__name__, repr(e), file=sys.stderr, flush=True)
        n += 1
print(n, failed, flush=True)
PY
(exec nsenter --net=/run/netns/edge $PYTHON "$T/asks.py" >"$T/asks" 2>"$T/asks.log") &
PID[asks]=$!
load $VIP
pid=${PID[edge]}
began() { grep -c 'tundishd: ready' "$T/tundishd-edge.log"; }
more_than() { [ "$(began)" -gt "$1" ]; }
program() { ip -n edge -j -d link show eth0 | jq '.[0].xdp.prog.id'; }
before=$(program)
inherits() { # descriptors that would stay open
	local f flags n=0
	for f in /proc/"$pid"/fdinfo/*; do
		flags=$(awk '/^flags/ {print $2}' "$f") # nothing where it has been closed meanwhile
		[ $((8#${flags:-2000000} & 8#2000000)) != 0 ] || n=$((n + 1))
	done 2>/dev/null
	echo $n
}
checked() { t --json backend list "$1" | jq -e 'all(.check.result == "good")'; }
sleeps() { [ "$(pgrep -fc '^/bin/sleep 31.71')" = "$1" ]; }
check 'the backends are checked' eventually 10 checked web
check 'a program too' eventually 10 sleeps 1
left=$(inherits)

for n in 1 2 3; do
	was=$(began)
	kill -USR2 "$pid"
	check "signal $n: it begins anew" eventually 20 more_than "$was"
	check "signal $n: and answers, in the same process" kill -0 "$pid"
	steady "signal $n: the open connections stay"
done
check 'the backends are checked on' eventually 10 checked web
between 'no descriptor is left of a former program' "$(inherits)" 1 "$left"
check 'no program of its checks either' eventually 10 sleeps 1
is 'nor a dead one' "$(ps --ppid "$pid" -o stat= | grep -c Z)" 0
was=$(began)
check 'so by command' t daemon reexec
check 'it begins anew, once more' eventually 20 more_than "$was"
check 'and answers' eventually 20 t status
is 'the same program is attached: the build is the same' "$(program)" "$before"
is 'it has no more privileges than it had' "$(awk '/^CapEff/ {print $2}' /proc/"$pid"/status)" 000000c000003000

# Another version lies on disk: another word in it, and maps that say they were made by another build.
# Of the word its first character alone: the linker keeps a string that is another's tail within it, so
# that a commit which ends in 16 holds the default of 16 too.
version=$("$T/tundishd" --version | cut -d' ' -f2)
$PYTHON - "$BUILD/tundishd" "$T/new" "$version" <<'PY'
import sys
data = open(sys.argv[1], "rb").read()
old = sys.argv[3].encode() + b"\0"
assert old in data
open(sys.argv[2], "wb").write(data.replace(old, b"N" + old[1:]))
PY
chmod +x "$T/new"
mv "$T/new" "$T/tundishd"
other_build() { # as if the programs had been made by another build
	bpftool -j map dump pinned /sys/fs/bpf/edge/settings | $PYTHON -c '
import json, subprocess, sys
value = [int(b, 16) for b in json.load(sys.stdin)[0]["value"]]
value[8] ^= 1
subprocess.run(["bpftool", "map", "update", "pinned", "/sys/fs/bpf/edge/settings", "key", "0", "0", "0", "0",
                "value"] + [str(b) for b in value], check=True)'
}
check 'the maps are of another build' other_build
dispatcher=$(t --json status | jq '.interfaces[0].dispatcher')
if [ "$dispatcher" = true ]; then
	refused 'beside programs of others another build begins anew' 1 'restart it instead' t daemon reexec
	check 'as if it were the same again' other_build
	was=$(began)
	check 'so that it goes on' t daemon reexec
	check 'the new version begins' eventually 30 more_than "$was"
else
	was=$(began)
	kill -USR2 "$pid"
	check 'the new version begins' eventually 30 more_than "$was"
	check 'its programs are in the place of the former ones' test "$(program)" != "$before"
	is 'once' "$(ip -n edge -j -d link show eth0 | jq '[.[].xdp.attached[]?] | length <= 1')" true
fi
check 'and answers in the same process' eventually 20 t status
is 'it is the new version' "$(t --json status | jq -r .version)" "N${version:1}"
steady 'the open connections stay through the upgrade'

# What cannot go on.
printf '#!/bin/sh\necho "this is no good" >&2\nexit 1\n' >"$T/bad"
chmod +x "$T/bad"
mv "$T/bad" "$T/tundishd"
refused 'a program that refuses is refused, with its sentence' 1 'this is no good; this daemon goes on' t daemon reexec
kill -USR2 "$pid"
check 'also by signal' eventually 20 grep -q 'reexec-refused .*this is no good' "$T/tundishd-edge.log"
rm "$T/tundishd"
refused 'none at all' 1 'there is no program' t daemon reexec
printf 'no program' >"$T/tundishd"
chmod +x "$T/tundishd"
refused 'none that the kernel takes' 1 'Exec format error; this daemon goes on' t daemon reexec
cp "$BUILD/tundishd" "$T/tundishd.next"
mv "$T/tundishd.next" "$T/tundishd"
echo '    no_such_key: 1' >>"$T/edge.yaml"
refused 'a file that it would not take' 1 'no_such_key' t daemon reexec
sed -i '$d' "$T/edge.yaml"
check 'the daemon answers still' t status
was=$(began)
check 'and goes on where all is good again' t daemon reexec
check 'it begins anew' eventually 20 more_than "$was"

kill -TERM "${PID[asks]}"
wait "${PID[asks]}"
asked=$(tail -n 1 "$T/asks")
between 'requests were made to both listeners' "${asked% *}" 20 10000000
is 'and each was answered' "${asked#* }" 0
end_load >/dev/null
between 'requests of clients too' "$REQUESTS" 100 10000000
is 'none failed' "$FAILURES" 0
is 'none was slow (a lost packet)' "$SLOW" 0
steady 'the open connections are where they were'
is 'systemd heard of each: away, and ready' "$(grep -cE '^(RELOADING|READY)$' "$T/notified" | awk '{print ($1 >= 13)}')" 1
stop edge
is 'and at the end that it stops' "$(grep -c '^STOPPING$' "$T/notified")" 1
