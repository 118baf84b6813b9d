#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Where the kernel refuses the programs of source ports and egress, or there is no cgroup v2
# tree to attach them to, all else is served; what is missing is told in one sentence, wherever
# it is asked for; and it is there after a reload when the cause has gone.
. "$(dirname "$0")/lib.sh"
MEMBERS='b1 b2'
BACKENDS=$MEMBERS three_backends dsr
stop edge
t unload >/dev/null
# with WRAPPER...: the daemon started by that; its configuration is the third argument of edge_config.
start_by() {
	echo "--- start by $1" >>"$T/tundishd-edge.log"
	(exec nsenter --net=/run/netns/edge "$@" "$BUILD/tundishd" --config "$T/edge.yaml" \
		--control /run/tundish/edge.sock --pin /sys/fs/bpf/edge --metrics 127.0.0.1:9799 \
		>>"$T/tundishd-edge.log" 2>&1) &
	PID[edge]=$!
	ready edge || fatal "tundishd started by $1 does not serve"
}
edge_with() { # LINES
	edge_config dsr
	echo "$1" >>"$T/edge.yaml"
}
whys() { t --json status | jq -r ".attention[] | select(.what | test(\"$1\")) | .why"; }
serves() { is "$1: connections are served" "$(get $VIP 30 | grep -c '^b[12]')" 30; }
watched() { [ "$(t --json status | jq .source_ports.watch)" = true ]; }
no_pool() { [ -z "$(whys egress)" ]; }

# No cgroup v2 tree, with and without one of v1. Of the daemon's own mount namespace alone: it
# is mounted there again later.
no_tree='no cgroup v2 tree is mounted.*mount one with'
for v1 in '' 'mkdir -p /run/v1 && mount -t cgroup -o none,name=tundish-test v1 /run/v1;'; do
	name="no cgroup v2${v1:+, but v1}"
	if [ -n "$v1" ] && ! unshare -m sh -c "$v1" 2>/dev/null; then
		skip "$name" 'this kernel has no cgroup v1'
		continue
	fi
	edge_with 'egress: [{name: out, cgroup: tundish-nobody, sources: [10.0.0.1]}]'
	start_by unshare -m sh -c "umount -a -t cgroup2; $v1"' exec "$@"' sh
	serves "$name"
	is "$name: status says so" "$(whys 'source ports' | grep -c "$no_tree")" 1
	is "$name: and of the pool" "$(whys 'egress out' | grep -c "$no_tree")" 1
	refused "$name: port list" 1 "not watched: $no_tree" t port list
	refused "$name: port blocked" 1 "not watched: $no_tree" t port blocked
	refused "$name: timewait" 1 "not watched: $no_tree" t timewait
	is "$name: egress list" "$(t egress list | grep -c "10.0.0.1 *detached.*$no_tree")" 1
	refused "$name: trace" 4 "$no_tree" t trace --egress $$ 10.0.0.100:80
	t --json doctor >"$T/doctor.json" 2>"$T/doctor.err"
	check "$name: doctor works" jq -e 'type == "object" or type == "array"' "$T/doctor.json"
	check "$name: metrics are there" in_ns edge curl -sf -o /dev/null http://127.0.0.1:9799/metrics
	check "$name: a backend can be drained" t backend drain web b1
	check "$name: a reload" reload
	is "$name: nothing has changed" "$(whys 'source ports' | grep -c "$no_tree")" 1
	nsenter --mount --target="${PID[edge]}" sh -c 'mkdir -p /run/v2 && mount -t cgroup2 none /run/v2'
	check "$name: a reload with a tree" reload
	check "$name: it is watched" eventually 10 watched
	check "$name: and listed" t port list --scan
	is "$name: nothing is told any more" "$(whys 'source ports' | wc -l)" 0
	is "$name: but that the pool's cgroup is none" "$(whys 'egress out' | grep -c 'there is no cgroup')" 1
	stop edge
	t unload >/dev/null
done

# Without CAP_PERFMON the verifier refuses what looks into the kernel. What a former daemon has
# left in force is adopted.
edge_with 'ports: {watch: off}'
start_by env
stop edge
bare='setpriv --bounding-set -perfmon,-sys_admin'
edge_with 'egress: [{name: out, cgroup: tundish-nobody, sources: [10.0.0.1]}]'
# shellcheck disable=SC2086 # words
start_by $bare
is 'it has not the capability' "$(capsh --decode="$(sed -n 's/^CapPrm:\t//p' /proc/"${PID[edge]}"/status)" | grep -c perfmon)" 0
serves 'no CAP_PERFMON'
for what in 'source ports' egress; do
	is "no CAP_PERFMON: status says so of $what" "$(whys "$what" | grep -c CAP_PERFMON)" 1
done
refused 'no CAP_PERFMON: port list' 1 'not watched: .*CAP_PERFMON' t port list
refused 'no CAP_PERFMON: timewait' 1 'not watched: .*CAP_PERFMON' t timewait
refused 'no CAP_PERFMON: egress list' 1 'no egress pool is in force: .*CAP_PERFMON' t egress list
refused 'no CAP_PERFMON: trace' 1 'no egress pool is in force: .*CAP_PERFMON' t trace --egress $$ 10.0.0.100:80
check 'no CAP_PERFMON: a reload' reload
serves 'no CAP_PERFMON, reloaded'
t --json doctor >"$T/doctor.json" 2>/dev/null
check 'no CAP_PERFMON: doctor works' jq -e . "$T/doctor.json"
stop edge
start_by env
check 'with it all is there' eventually 10 watched
is 'and nothing told but of the cgroup' "$(whys 'source ports|egress' | grep -vc 'there is no cgroup')" 0
