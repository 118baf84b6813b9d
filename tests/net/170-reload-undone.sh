#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A step that the kernel refuses in the middle of a reload: all is undone. Each step of a change that
# touches everything fails in turn, and after each the maps, VIPs, interfaces, groups, lanes and pools
# are what they were, commands included, while connections are open and new ones come.
. "$(dirname "$0")/lib.sh"
two_nics
vips_on_lo $BACKENDS
for b in $BACKENDS; do
	web "$b"
done
ip -n switch link add side type bridge
ip -n switch link set side up
add_nic edge eth2 side
cgroups app
add_address edge lo 198.51.100.10/32 198.51.100.11/32

cat >"$T/first.yaml" <<YAML
interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]
services:
  - name: web
    vips: [$VIP, "$VIP6"]
    ports: [80]
    delivery: dsr
    backends: [{name: b1, address: 10.0.1.11}, {name: b2, address: 10.0.1.12}, {name: b3, address: 10.0.1.13, weight: 50}]
  - name: app
    vips: [192.0.2.30]
    ports: [80]
    delivery: workers
    workers: {listen: "[::]:8090"}
  - name: shop
    vips: [192.0.2.40]
    ports: [80]
    delivery: fullnat
    sources: [10.0.1.200]
    backends: [{name: n1, address: 10.0.1.11, port: 8080}]
egress:
  - {name: pool, cgroup: $CG/app, sources: [198.51.100.10]}
timeouts: {established: 30m}
YAML
cat >"$T/second.yaml" <<YAML
interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}, {name: eth2, attach: generic}]
services:
  - name: web
    vips: [$VIP]
    ports: [80, 81]
    delivery: dsr
    backends: [{name: b1, address: 10.0.1.11, weight: 10}, {name: b3, address: 10.0.1.13, weight: 60}]
  - name: other
    vips: [192.0.2.31, "2001:db8::31"]
    ports: [80]
    delivery: workers
    workers: {listen: "[::]:8091"}
  - name: shop
    vips: [192.0.2.40, 192.0.2.41]
    ports: [80]
    delivery: fullnat
    sources: [10.0.1.201]
    backends: [{name: n1, address: 10.0.1.11, port: 8080}, {name: n2, address: 10.0.1.12, port: 8080}]
egress:
  - {name: pool, cgroup: $CG/app, sources: [198.51.100.11]}
timeouts: {established: 40m}
gue: {port: 6090}
YAML
cp "$T/first.yaml" "$T/edge.yaml"
daemon edge TUNDISH_TEST_FAIL_AT=1
ready edge || fatal 'tundishd does not start'
LISTEN='[::]:8090' serve s --workers 2
_two() { [ "$(t --json worker list app | jq length)" = 2 ]; }
eventually 10 _two || fatal 'no workers'
_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
eventually 10 _serves || fatal "no service on $VIP within 10 s"
check 'a weight by command' t backend weight web b3 40
check 'a drain by command' t backend drain web b2 --deadline 5h
check 'another backend is drained and back' t backend drain web b1
check 'as it was' t backend enable web b1

# stands: all that users see or that the data path goes by, without counts and what ends by itself.
dump() { bpftool -j map dump pinned /sys/fs/bpf/edge/"$1" 2>/dev/null; }
stands() {
	echo "config $(t config show | sha256sum)"
	t --json backend list | jq -c '.[] | select(.leaving | not) | .seconds_to_disabled |= (. != null) | del(.connections_active, .connections_total, .packets, .bytes, .connections_per_second, .packets_per_second, .bytes_per_second)'
	t --json service list | jq -c '.[] | [.service, .vips, .ports, .delivery, .backends, .backends_up]'
	t --json worker list | jq -c 'sort_by(.pid, .worker) | .[] | [.service, .pid, .state]'
	t --json egress list 2>/dev/null | jq -c '.[] | [.pool, .source, .state]'
	t --json status | jq -c '.interfaces[] | [.name, .mode]'
	dump vips | jq -Sc '[.[].formatted] | sort_by(.key | tostring) | .[]'
	dump services | jq -c '.[].formatted.value | select(.state == 1)'
	dump lanes | jq -c '[.[].formatted.value | select(.number > 0 and (.flags / 8 | floor) % 2 == 0) | [.source, .host, .port_be, .flags]] | sort | .[]'
	dump settings | jq -c '.[0].formatted.value | [.syn_timeout, .established_timeout, .gue_port_be, .n_prefixes]'
	# which backend each slot of the first service has
	bpftool -j map lookup pinned /sys/fs/bpf/edge/maglev key 1 0 0 0 | jq -c '.formatted.value.slot | map(. % 131072)' | sha256sum
	ip -n edge -j addr | jq -c '[.[].addr_info[].local] | sort'
	for nic in eth0 eth1 eth2; do echo "$nic $(mode_of $nic)"; done
}
stands >"$T/before"
check 'there is something to compare' test "$(wc -l <"$T/before")" -gt 15
hold $VIP 40
LOAD_SECONDS=600 load $VIP
refused 'a configuration by command is undone, too' 1 'all was undone' t config apply "$T/second.yaml"
is 'and told so' "$(t --json events --once --event apply | jq -r '.[-1].event')" apply-undone
refused_steps=0
for n in $(seq 1 80); do
	cp "$T/second.yaml" "$T/edge.yaml"
	before=$(t --json status | jq .reloads)
	kill -HUP "${PID[edge]}"
	_done() { [ "$(t --json status | jq .reloads)" -gt "$before" ]; }
	eventually 10 _done || fatal "step $n: the reload does not end"
	last=$(grep -E '^tundishd: reload(-undone|-refused)? ' "$T/tundishd-edge.log" | tail -n 1)
	case $last in *' reload '*) break ;; esac
	refused_steps=$n
	case $last in
	*'all was undone, the former configuration is in force again'*) ;;
	*) not_ok "step $n: told as undone (\"$last\")" ;;
	esac
	# An own address that went and came is an end of tunnels again when its event was heard.
	as_before() { stands >"$T/after" && cmp -s "$T/before" "$T/after"; }
	as_before || eventually 5 as_before ||
		not_ok "step $n: all is as it was ($last; $(diff "$T/before" "$T/after" | head -n 6 | cut -c 1-300))"
	[ "$(get $VIP 6 | grep -c '^b[13] ')" = 6 ] || not_ok "step $n: new connections are served"
done
between 'steps were refused one after the other, and all undone' "$refused_steps" 15 79
steady 'the open connections are where they were'
end_load >/dev/null
between 'requests were made meanwhile' "$REQUESTS" 100 10000000
is 'none failed' "$FAILURES" 0
check 'then the reload succeeds' grep -q 'edge.yaml: SIGHUP: [0-9]* steps in' "$T/tundishd-edge.log"
is 'and is in force' "$(t --json service list | jq -c '[.[].service] | sort')" '["other","shop","web"]'
is 'with what was new' "$(mode_of eth2)" generic


is 'the sentence names step, reason and outcome' \
	"$(grep -c 'reload-undone .*: step [0-9]* of [0-9]*, .*: the kernel refused it: No space left on device; all was undone' "$T/tundishd-edge.log" | awk '{print ($1 > 5)}')" 1
