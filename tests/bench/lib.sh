# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
#
# Common to the measurements over veth: one edge per contender, each a namespace of its
# own between the same two ends, so that what one has loaded slows no other down.
#
#   source ── g-NAME ═ in  [NAME]  out ═ s-NAME ── sink
#
# Private /run and bpffs, and the end of everything with the script, come from
# tests/net/lib.sh.

# shellcheck source=tests/net/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../net/lib.sh"

SINK=10.9.1.2

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}
mac() { ip -n "$1" -json link show "$2" | jq -r '.[0].address'; } # NAMESPACE DEVICE

# wire NAMESPACE DEVICE NAMESPACE DEVICE: whole checksums and segments, and NAPI.
wire() {
	ip link add "$2" netns "$1" type veth peer name "$4" netns "$3" || fail "cannot make $2"
	_plain "$1" "$2"
	_plain "$3" "$4"
}
_plain() {
	ip -n "$1" link set "$2" up
	# GRO while it is up, or the peer is not told that it may redirect here
	in_ns "$1" ethtool -K "$2" tx off tso off gso off gro on >/dev/null 2>&1
}

# start_tundish NAMESPACE: with $T/NAMESPACE.yaml there.
start_tundish() {
	daemon "$1"
	ready "$1" || fail "tundishd does not start: $(tail -n 3 "$T/tundishd-$1.log")"
}

# many_connections: room in conntrack for all that is made here; given back at the end.
# The limits are the host's, not a namespace's.
CONNTRACK_WAS=
many_connections() {
	modprobe nf_conntrack 2>/dev/null
	local max=/proc/sys/net/netfilter/nf_conntrack_max buckets=/sys/module/nf_conntrack/parameters/hashsize
	[ -w $max ] || return 0
	CONNTRACK_WAS="$(cat $max) $(cat $buckets 2>/dev/null)"
	[ "${CONNTRACK_WAS%% *}" -ge 4194304 ] || echo 4194304 >$max
	[ ! -w $buckets ] || [ "${CONNTRACK_WAS##* }" -ge 1048576 ] || echo 1048576 >$buckets
}
restore() {
	[ -n "$CONNTRACK_WAS" ] || return 0
	echo "${CONNTRACK_WAS%% *}" >/proc/sys/net/netfilter/nf_conntrack_max
	[ -z "${CONNTRACK_WAS##* }" ] || echo "${CONNTRACK_WAS##* }" >/sys/module/nf_conntrack/parameters/hashsize
} 2>/dev/null
trap restore EXIT
