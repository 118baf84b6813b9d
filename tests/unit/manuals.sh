#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The manuals tell what the programs do: scripts/check-manuals finds nothing, finds what is
# taken away or added, and every example of a configuration is one that the daemon takes.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failed=0

ok() { echo "ok - $*"; }
not_ok() {
	echo "not ok - $*"
	failed=1
}

# breach NAME FILE SED PATTERN: with this change to one file, a sentence that matches.
breach() {
	local tree=$scratch/tree said
	rm -rf "$tree" && mkdir "$tree"
	cp -r --parents scripts/man include/tundish bpf userspace/cli userspace/config userspace/doctor \
		userspace/tundishd/main.c userspace/api userspace/daemon userspace/core/events.h "$tree"
	sed -i "$3" "$tree/$2"
	if cmp -s "$2" "$tree/$2"; then
		not_ok "$1 (the change does not fit $2 any more)"
	elif said=$(scripts/check-manuals "$tree"); then
		not_ok "$1 (nothing found)"
	elif grep -qE -- "$4" <<<"$said"; then
		ok "$1"
	else
		not_ok "$1 (said: $said)"
	fi
}

# valid NAME <YAML
valid() {
	local said
	cat >"$scratch/example.yaml"
	if said=$("$BUILD/tundishd" --check --config "$scratch/example.yaml" 2>&1); then
		ok "$1"
	else
		not_ok "$1 ($said)"
	fi
}

if said=$(scripts/check-manuals); then
	ok 'the manuals tell what there is, and nothing else'
else
	not_ok "the manuals: $said"
fi

man=scripts/man
breach 'a key that is not told' $man/tundish.yaml.5 '/^\.It Cm timeouts\.closing$/d' 'key timeouts.closing is missing'
breach 'a key that is not there' $man/tundish.yaml.5 's/^\.It Cm limits\.vips$/.It Cm limits.pips/' 'no key limits.pips'
breach 'a command that is not told' $man/tundish.8 '/^\.It Cm backend drain/d' 'command backend drain is missing'
breach 'a command that is not there' userspace/cli/commands.c 's/\.name = "apply"/.name = "commit"/' 'no command config apply'
breach 'a row of doctor' $man/tundish-doctor.8 's/^\.It Cm orphans/.It Cm waifs/' 'row orphans is missing'
breach 'an option of a command' userspace/cli/commands.c 's/{"top", "N"/{"first", "N"/' '--first of tuple list'
breach 'an option of all commands' $man/tundish.8 's/^\.It Fl -pin/.It Fl -pins/' 'option pin is missing'
breach 'an option of the daemon' userspace/tundishd/main.c 's/{"debug", no_argument/{"loud", no_argument/' 'option loud is missing'
breach 'a counter that is not told' $man/tundish.8 '/^\.It Cm drop_ttl /d' 'counter drop_ttl is missing'
breach 'a counter told otherwise' include/tundish/counters.h 's/pings to a VIP/echoes to a VIP/' 'sent_ping is told otherwise'
breach 'an event that is not told' $man/tundish.8 '/^\.It Cm health Pq/d' 'tundish.8: event health is missing'
breach 'an event without a row' userspace/daemon/scan.c 's/"scan-late"/"scan-slow"/' 'events.h: event scan-slow is missing'
breach 'a step without a row' userspace/daemon/apply.c 's/= "vip-remove"/= "vip-gone"/' 'events.h: event vip-gone is missing'
breach 'an event that nobody tells' userspace/daemon/load.c 's/"reload-undone"/"reload"/' 'there is no event reload-undone'
breach 'the priority of an event' userspace/core/events.h 's/X("full", WARNING/X("full", INFO/' 'event full is told otherwise'
breach 'a metric that is not told' userspace/api/metric_table.h 's/X(table_entries,/X(table_used,/' 'metric tundish_table_used.* is missing'
breach 'a metric that is not there' $man/tundishd.8 's/^\.It Li tundish_trials_total/.It Li tundish_errors_total/' 'no metric tundish_errors_total'
breach 'labels of a metric' userspace/api/metric_table.h 's/"pool,reason"/"pool,why"/' 'metric tundish_egress_left_alone_total.pool,why. is missing'
breach 'the type of a metric' $man/tundishd.8 's/^\.Pq gauge, the 20/.Pq counter, the 20/' 'tuple_connections_active.* is: gauge, the 20'
breach 'a metric told otherwise' userspace/api/metric_table.h 's/"Packets from clients\."/"Frames from clients."/' 'tundish_packets_total.* is told otherwise'
breach 'a metric that a text names' $man/tundishd.8 's/^\.Li tundish_checks_total \.$/.Li tundish_check_total ./' 'no metric tundish_check_total'
breach 'a map' include/tundish/maps.h 's/X(traffic)/X(bandwidth)/' 'map bandwidth is missing'
breach 'a field of a map' include/tundish/maps.h 's/__u32 nexthop;/__u32 next_hop_index;/' 'field next_hop_index'
breach 'a bit of a flow' include/tundish/maps.h 's/__u64 vip : 14;/__u64 vip : 15;/' 'live.vip .* has bits 17-31'
breach 'the layout version' include/tundish/limits.h 's/\(LAYOUT_VERSION\) .*/\1 99/' 'layout version is 99'

breach 'a map that is not pinned any more' bpf/maps.bpf.h 's/} tuples SEC/} counts SEC/' 'no map tuples is defined in bpf'
breach 'a map of another type' bpf/nat_maps.bpf.h 's/NAT_HASH(BPF_MAP_TYPE_HASH, links/NAT_HASH(BPF_MAP_TYPE_LRU_HASH, links/' 'map links is LRU hash, not hash'
breach 'a map that may be mapped' bpf/nat_maps.bpf.h 's/(fans, BPF_F_MMAPABLE/(fans, 0/' 'map fans is array, not array, mapped'
breach 'a manual of the maps that somebody wrote into' $man/tundish-maps.7 's/^Written by: daemon\.$/Written by: me./' 'make it by scripts/maps-manual'
breach 'a layout' include/tundish/maps.h 's/^\t__u64 packets;/\t__u32 packets;/' 'make it by scripts/maps-manual'
breach 'the default of a key' $man/tundish.yaml.5 '/^Default is auto\.$/d' 'default of interfaces\[\]\.attach is missing'
breach 'the default of an option' $man/tundishd.8 '/^Default is to run\.$/d' 'tundishd.8: the default of check is missing'
breach 'the example of a delivery' $man/tundish.yaml.5 's/^    delivery: gue$/    delivery: dsr/' 'example of delivery gue is missing'

# Where the database of manuals is old mandoc says so, which is not of these pages; and not every
# manual that they name is installed.
if said=$(mandoc -T lint $man/*.[1-8] 2>/dev/null |
	grep -vE 'mandoc.db lacks|manual not found|section name: Sh ROWS'); then
	not_ok "mandoc -T lint: $said"
else
	ok 'mandoc -T lint'
fi

if [ -x "$BUILD/tundishd" ]; then
	n=0
	while IFS= read -r -d '' example; do
		n=$((n + 1))
		valid "example $n of README.md" <<<"$example"
	done < <(awk '/^```yaml$/ {on = 1; next} /^```$/ {if (on) printf "%c", 0; on = 0} on' README.md)
	[ $n -ge 2 ] || not_ok "README.md has examples (found $n)"
	n=0
	while IFS= read -r -d '' example; do
		n=$((n + 1))
		valid "example $n of tundish.yaml(5)" <<<"$example"
	done < <(awk '/^\.Sh EXAMPLES/ {there = 1} !there {next} /^\.Bd/ {on = 1; next} /^\.Ed/ {printf "%c", 0; on = 0} on' $man/tundish.yaml.5)
	[ $n -ge 2 ] || not_ok "tundish.yaml(5) has examples (found $n)"
	valid 'scripts/tundish.yaml.example' <scripts/tundish.yaml.example
else
	not_ok "no $BUILD/tundishd: run \"make\" first"
fi
exit $failed
