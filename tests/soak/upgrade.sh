#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A hundred upgrades over maps that another build made, by turns as a package does it (the daemon is
# stopped, then the next one started) and by re-execution, under wrk on every delivery and with changing
# health: each replaces what is attached and pinned, no request fails, no connection breaks, nothing is
# left of any former build.
# shellcheck source=tests/soak/lib.sh
. "$(dirname "$0")/lib.sh"
other_build() { # as if what is pinned had been made by another build
	bpftool -j map dump pinned /sys/fs/bpf/edge/settings | $PYTHON -c '
import json, subprocess, sys
value = [int(b, 16) for b in json.load(sys.stdin)[0]["value"]]
value[8] ^= 1
subprocess.run(["bpftool", "map", "update", "pinned", "/sys/fs/bpf/edge/settings", "key", "0", "0", "0", "0",
                "value"] + [str(b) for b in value], check=True)'
}
soak_begins
pid=${PID[edge]} wrong=0 package=0 reexec=0
for ((n = 1; n <= ${SOAK_COUNT:-100}; n++)); do
	health_changes
	was=$(program)
	other_build || fatal 'settings cannot be written'
	if [ $((n % 2)) = 0 ]; then
		stop edge
		moment 100
		start edge
		pid=${PID[edge]}
		package=$((package + 1))
	else
		before=$(began)
		if [ $((n % 4)) = 1 ]; then kill -USR2 "$pid"; else t daemon reexec >/dev/null; fi
		eventually 60 more_than "$before" || fatal "re-execution $n does not end"
		eventually 20 t status || fatal "re-execution $n: the daemon does not answer"
		kill -0 "$pid" || fatal "re-execution $n: another process"
		reexec=$((reexec + 1))
	fi
	[ "$(program)" != "$was" ] || wrong=$((wrong + 1))
	seen
done
echo "figures: $package upgrades by stop and start, $reexec by re-execution, each with programs of another build"
is 'upgrades after which the former program was attached still' $wrong 0
traffic_ends
leaks_end
