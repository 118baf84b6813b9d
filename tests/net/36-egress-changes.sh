#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What changes under a pool: its cgroup comes late, goes and comes again; sources vanish under
# load and return; the file is reloaded; pools on nested cgroups; several clients at once.
# parallel: yes
. "$(dirname "$0")/lib.sh"
one_nic
web b1
web b2
egress_sources 6
cgroups app
in_ns edge sh -c 'echo 20000 24999 >/proc/sys/net/ipv4/ip_local_port_range'
egress_config() { # SOURCES [FURTHER LINES]
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services: []
		egress:
		  - name: late
		    cgroup: $CG/late
		    sources: [$1]
		${2-}
		ports: {interval: 600s} # a scan in their midst would give a source one more
	YAML
}
attached() { t --json status | jq -e ".egress[] | select(.pool == \"${1:-late}\") | .attached"; }
not_attached() { ! attached "$@"; }
attention() { t --json status | jq -r '.attention[].why' | grep -E "$1"; }
state() { t --json egress list | jq -r ".[] | select(.source == \"$1\") | .state"; }
state_is() { [ "$(state "$1")" = "$2" ]; }
by() { jq -c '.by'; }

egress_config '10.0.0.201, 10.0.0.202, 10.0.0.250'
start edge
check 'a cgroup that is not there is told' attention 'there is no cgroup .*/late'
check 'a source that is not on the host too' attention 'not on this host: 10.0.0.250'
is 'in egress list too' "$(state 10.0.0.201)" detached
_told() { t events --once | grep -c 'egress-detached.*there is no cgroup'; }
mkdir "$CG/late"
check 'it is taken when it appears' eventually 5 attached
is 'that it was not there was told once' "$(_told)" 1
is 'the others are used' "$(connects late 10.0.0.11 20 | by)" '{"10.0.0.201":10,"10.0.0.202":10}'
rmdir "$CG/late"
check 'it is told when it goes' eventually 5 not_attached
mkdir "$CG/late"
check 'and taken again' eventually 5 attached
programs() { bpftool cgroup show "$1" | grep -c egress_; }
has_programs() { [ "$(programs "$1")" = 3 ]; }
rmdir "$CG/late" && mkdir "$CG/late" # between two looks, mostly: another one of the same name
check 'one made anew at once too' eventually 5 has_programs "$CG/late"
# The pool is given last, and the daemon answers when it has done so.
check 'with its pool' attached
# To where nothing was before: of what was tried to b1 one source may have had one more.
is 'with all that was' "$(connects late 10.0.0.12 20 | by)" '{"10.0.0.201":10,"10.0.0.202":10}'
add_address edge eth0 10.0.0.250/32
check 'a source that comes is used' eventually 5 state_is 10.0.0.250 up

# Removed under load: none is refused. The one that is in its handshake from the address at that
# moment dies with it, whatever anybody does.
(connects late 10.0.0.11 100000 --rate 500 --timeout $((3 * TUNDISH_TEST_SLOW)) --until "$T/enough" >"$T/load.json") &
load=$!
_has() { [ "$(t --json egress list | jq '[.[].connections_total] | add')" -gt "$1" ]; }
eventually 10 _has 200
ip -n edge addr del 10.0.0.202/32 dev eth0
check 'a source that vanishes is told' eventually 5 state_is 10.0.0.202 absent
eventually 10 _has 600
touch "$T/enough"
wait $load
is 'and no connection is refused' "$(jq -c '.errors | del(.["timed out"])' "$T/load.json")" '{}'
between 'and none is lost but the one under way' "$(jq '.errors["timed out"] // 0' "$T/load.json")" 0 1
add_address edge eth0 10.0.0.202/32
check 'it comes back by itself' eventually 5 state_is 10.0.0.202 up

# Reload: the difference alone.
total=$(t --json egress list | jq '.[] | select(.source == "10.0.0.201") | .connections_total')
mkdir "$CG/late/inner"
egress_config '10.0.0.203, 10.0.0.201' "$(printf '  - name: inner\n    cgroup: %s\n    sources: [10.0.0.204]' "$CG/late/inner")"
reload
check 'a new pool' eventually 5 attached inner
is 'sources that stay keep their counts' \
	"$(t --json egress list late | jq '.[] | select(.source == "10.0.0.201") | .connections_total')" "$total"
is 'the file says which' "$(t --json egress list late | jq -c '[.[].source]')" '["10.0.0.203","10.0.0.201"]'
is 'on nested cgroups the inner one decides' "$(connects late/inner 10.0.0.11 20 | by)" '{"10.0.0.204":20}'
is 'the outer one is its own' "$(PORT=8080 connects late 10.0.0.11 2 | jq '.by | length')" 2

mkdir "$CG/late/deeper"
trace=$(in_cgroup late/deeper sh -c "'$BUILD/tundish' --control /run/tundish/edge.sock --json trace --egress \$\$ 10.0.0.11:80")
check 'a process further down has its pool' grep -qE '10.0.0.20[13]' <<<"$trace"

# Exceptions come and go; a cgroup has one pool; one that leaves the file lets its own go.
egress_config '10.0.0.203, 10.0.0.201' "$(printf '    except: [10.0.0.11]\n  - name: inner\n    cgroup: %s\n    sources: [10.0.0.204]\n  - name: twice\n    cgroup: %s\n    sources: [10.0.0.205]' "$CG/late/inner" "$CG/./late")"
reload
check 'a cgroup that has a pool is told' eventually 5 attention 'has the pool "late" already'
is 'an exception' "$(connects late 10.0.0.11 2 | by)" '{"10.0.0.1":2}'
egress_config '10.0.0.203, 10.0.0.201' "$(printf '    except: [10.99.0.0/16]')"
reload
is 'that is taken back' "$(PORT=8080 connects late 10.0.0.11 2 | jq '.by | has("10.0.0.1")')" false
is 'a pool that leaves the file leaves its cgroup to the outer one' "$(PORT=8080 connects late/inner 10.0.0.11 2 | jq -c '.by | keys - ["10.0.0.201", "10.0.0.203"]')" '[]'
is 'and takes its programs off' "$(programs "$CG/late") $(programs "$CG/late/inner")" '3 0'
is 'sources that left the file have left their places' "$(bpftool -j map dump pinned /sys/fs/bpf/edge/egress |
	jq '[.[].formatted.value | select(.name == "late") | .source[] | select(.flags != 0)] | length')" 2
sed -i "s|cgroup: $CG/late\$|cgroup: $CG/app|" "$T/edge.yaml"
reload
moved() { [ "$(programs "$CG/late") $(programs "$CG/app")" = '0 3' ]; }
check 'another cgroup in the file' eventually 5 moved
egress_config '10.0.0.203, 10.0.0.201' "$(printf '  - name: inner\n    cgroup: %s\n    sources: [10.0.0.204]' "$CG/late/inner")"
reload
check 'and comes back' eventually 5 attached inner

# Beside another program on the same hook.
cat >"$T/beside.c" <<-'C'
	int __attribute__((section("cgroup/connect4"), used)) beside(void *ctx) { return 1; }
	char LICENSE[] __attribute__((section("license"), used)) = "GPL";
C
if clang -O2 -target bpf -c "$T/beside.c" -o "$T/beside.o" 2>/dev/null; then
	bpftool prog load "$T/beside.o" /sys/fs/bpf/beside type cgroup/connect4
	check 'another program beside it' bpftool cgroup attach "$CG/late" connect4 pinned /sys/fs/bpf/beside multi
	is 'both go on' "$(PORT=8080 connects late 10.0.0.11 2 | jq '.by | length')" 2
else
	skip 'another program beside it' 'no clang for BPF'
fi

for i in 1 2 3 4; do
	(PORT=8080 connects late 10.0.0.11 450 >"$T/client$i.json") &
	pids="${pids-} $!"
done
# shellcheck disable=SC2086
wait $pids
is 'four clients at once lose none below 95%' "$(cat "$T"/client?.json | jq -s '[.[].failed] | add')" 0

[ -d /sys/fs/cgroup/cpu ] && {
	sed -i "s|cgroup: $CG/late\$|cgroup: /sys/fs/cgroup/cpu|" "$T/edge.yaml"
	reload
	check 'cgroup v1 is told' eventually 5 attention 'cgroup v1'
}
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services: []
YAML
reload
_none() { [ "$(t --json egress list)" = '[]' ]; }
check 'none in the file' eventually 5 _none
is 'takes all off' "$(connects late/inner 10.0.0.11 2 | by)" '{"10.0.0.1":2}'
