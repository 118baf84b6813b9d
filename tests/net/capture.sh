# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# `tundish capture`, and what tshark says of its files; for scenarios that have sourced lib.sh.

# captures NAME [ARGUMENTS]: in the background, into $T/NAME.pcapng, once it has begun; by the daemon of NS.
captures() {
	local name=$1 ns=${NS:-edge}
	shift
	: >>"$T/$name.pcapng" && : >"$T/$name.pcapng" # one that is there stays what it is
	(exec nsenter --net=/run/netns/"$ns" "$BUILD/tundish" --control /run/tundish/"$ns".sock --pin /sys/fs/bpf/"$ns" \
		capture --write "$T/$name.pcapng" "$@" 2>"$T/$name.err") &
	PID[$name]=$!
	eventually 10 test -s "$T/$name.pcapng" || fatal "no capture $name: $(cat "$T/$name.err")"
}
# captured NAME: waits for its end; its exit status.
captured() { wait "${PID[$1]}"; }
# enough NAME: ends it by ^C.
enough() {
	kill -INT "${PID[$1]}"
	captured "$1"
}
# shown NAME FIELD...: a line for each packet; those of SHOWN alone, which is a display filter. Checksums are
# judged, and GUE is read.
shown() {
	local name=$1 f fields=()
	shift
	for f in "$@"; do fields+=(-e "$f"); done
	tshark -r "$T/$name.pcapng" -X lua_script:"$TOP/scripts/gue.lua" -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE \
		${SHOWN:+-Y "$SHOWN"} -T fields "${fields[@]}" 2>"$T/$name.tshark" || echo "tshark refuses: $?"
}
