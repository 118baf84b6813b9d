#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `tundish capture`: what arrives, leaves and is dropped, with the reason, as tshark reads it; one at
# a time; and its end, whoever ends.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/capture.sh"
three_backends ipip

lease() { bpftool -j map dump pinned /sys/fs/bpf/edge/capture | jq -r '[.. | .until? // empty] | last'; }
idle() { [ "$(lease)" = 0 ]; }
ended() { t events --once | grep "capture-end" | tail -1 | grep -q "$1"; }

# ---- in and out -------------------------------------------------------------------------
captures both port 80 and host $VIP --count 24
get $VIP 8 >"$T/answers"
captured both
is 'a capture ends at its count' "$?/$(shown both frame.number | wc -l)" 0/24
check 'and says so' grep -q '^tundish: 24 packets; 24 packets were captured$' "$T/both.err"
is 'tshark has nothing to say' "$(grep -cv 'Running as user' "$T/both.tshark")" 0
is 'each packet stands there as it arrived and as it left' \
	"$(shown both frame.packet_id | sort | uniq -c | awk '{print $1}' | sort -u)" 2
is 'with both directions' "$(shown both frame.packet_flags_direction | sort | uniq -c | xargs)" '12 0x00000001 12 0x00000002'
is "with XDP's verdict, which is TX" "$(shown both frame.verdict.ebpf_xdp | sort -u)" 3
is 'on the NIC' "$(shown both frame.interface_name | sort -u)" eth0
is 'with where it went' "$(shown both frame.comment | grep -cE '^to b[123] of web by ipip$')" 24
is 'as the tunnel has it' "$(shown both frame.packet_flags_direction ip.dst frame.comment | awk '
	$1 == "0x00000001" && $2 != "192.0.2.10" {print}
	$1 == "0x00000002" {split($2, a, ","); if (a[1] != "10.0.0.1" substr($4, 2) || a[2] != "192.0.2.10") print}')" ''

# ---- dropped ----------------------------------------------------------------------------
for b in $BACKENDS; do t backend disable web "$b"; done
captures dropped --point dropped service web --count 2
get $VIP 1 >/dev/null 2>&1
captured dropped
is 'what is dropped is told with its reason' "$(shown dropped frame.comment ip.dst | sort -u)" "dropped: no_backend, service web	$VIP"
captures reason reason no_backend --count 1
captures_second() { t capture reason ttl --write "$T/second.pcapng"; }
refused 'a second one at a time is refused' 1 'captures already \(reason no_backend\)' captures_second
check 'without a file' test ! -e "$T/second.pcapng"
get $VIP 1 >/dev/null 2>&1
captured reason
is 'by reason' "$(shown reason frame.comment)" 'dropped: no_backend, service web'
for b in $BACKENDS; do t backend enable web "$b"; done

# ---- what does not match ------------------------------------------------------------------
captures none host 203.0.113.9 --seconds 2
get $VIP 4 >/dev/null
captured none
is 'what does not match is not there' "$(shown none frame.number | wc -l)" 0
check 'and the end is told' grep -q '^tundish: 0 packets; 2 seconds are over$' "$T/none.err"
refused 'no word' 2 '"hots" is no word of it; did you mean "host"' t capture hots 1.2.3.4 --write "$T/x"
refused 'or' 2 '"or" is not possible' t capture port 80 or port 81 --write "$T/x"
refused 'no address' 2 '"1.2.3.400" is no address' t capture host 1.2.3.400 --write "$T/x"
refused 'no port' 2 '"0" is no port' t capture port 0 --write "$T/x"
refused 'three addresses' 2 'one address too many' t capture host 1.2.3.4 and host 1.2.3.5 and net 1.0.0.0/8 --write "$T/x"
refused 'two families' 2 'both IPv4 and IPv6' t capture host 1.2.3.4 and host 2001:db8::1 --write "$T/x"
refused 'no service' 4 'no service "wep"; did you mean "web"' t capture service wep --write "$T/x"
refused 'no reason' 2 '"no_backends" is no reason' t capture reason no_backends --write "$T/x"
refused 'an event is no reason' 2 'no reason of a verdict' t capture reason flow_new --write "$T/x"
refused 'two reasons' 2 '"ttl" is one reason too many, a packet has one$' t capture reason no_backend and reason ttl --write "$T/x"
refused 'too long' 2 'more than 255 characters' t capture "$(printf 'port 80 and %.0s' {1..40})" --write "$T/x"
refused 'bytes that are no text' 2 'control character' t capture $'port\n80' --write "$T/x"
refused 'no such point' 2 'valid: all, in, out, dropped' t capture --point outside --write "$T/x"
refused 'too many seconds' 2 'not a number from 0 to 3600' t capture --seconds 3601 --write "$T/x"
refused 'JSON' 2 'no JSON' t --json capture
check 'nothing is captured after that' idle

# ---- ends ---------------------------------------------------------------------------------
captures interrupted tcp
get $VIP 2 >/dev/null
enough interrupted
is '^C ends it well' $? 0
check 'with a summary' grep -qE '^tundish: [0-9]+ packets; it was ended by command$' "$T/interrupted.err"
check 'and a whole file' test "$(shown interrupted frame.number | wc -l)" -ge 10
is 'that tshark takes' "$(grep -cv 'Running as user' "$T/interrupted.tshark")" 0

# ^C ends one's own alone; a file that was there is its owner's.
(umask 0 && : >"$T/others.pcapng")
captures others tcp
eventually 10 test -s "$T/others.pcapng"
check 'a file that was there is kept from others' [ "$(stat -c %a "$T/others.pcapng")" = 600 ]
ends() { in_ns edge curl -s --unix-socket /run/tundish/edge.sock -X POST "http://l/v1/capture/end?process=$1"; }
is "another's is not ended" "$(ends 1 | jq .ended)" false
check 'and goes on' kill -0 "${PID[others]}"
is 'the process that began it is known' "$(ends "${PID[others]}" | jq .ended)" true
captured others
check 'and told' grep -q 'it was ended by command$' "$T/others.err"

captures killed tcp
kill -KILL "${PID[killed]}"
{ captured killed; } 2>/dev/null
check 'the daemon sees that its reader was killed' eventually 15 ended 'its reader is gone'
check 'and captures no more' idle

# No room: one sentence, and whole blocks up to there.
mkdir "$T/small" && mount -t tmpfs -o size=16k tmpfs "$T/small"
(exec nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock capture tcp --write "$T/small/full.pcapng" 2>"$T/full.err") &
full=$!
eventually 10 test -s "$T/small/full.pcapng"
get $VIP 40 >/dev/null
wait $full
ended_with=$?
eventually 10 idle # the daemon has seen it
is 'a full disk ends it' "$ended_with/$(cat "$T/full.err")" "1/tundish: cannot write $T/small/full.pcapng: No space left on device"
cp "$T/small/full.pcapng" "$T/full.pcapng"
check 'with what there was room for' [ "$(shown full frame.number | wc -l)" -ge 1 ]
is 'which tshark takes' "$(grep -cv 'Running as user' "$T/full.tshark")" 0
captures_into() { in_ns edge "$BUILD/tundish" --control /run/tundish/edge.sock capture tcp >"$1"; }
is 'so does a file that cannot be' "$(t capture --write /nowhere/x 2>&1)" 'tundish: cannot write /nowhere/x: No such file or directory'
eventually 10 idle
refused 'no room on standard output' 1 '^tundish: cannot write packets: No space left on device$' captures_into /dev/full
check 'and it ends at the daemon' eventually 10 idle

# Filled to its last bytes by packets, and over them by what is told each second while there are none.
captures brim icmp --size 1 --snaplen 2048 --seconds 600
left_of() { echo $(((1 << 20) - $(stat -c %s "$T/brim.pcapng"))); }
in_ns client ping -q -f -c 250 -s 1400 -W 2 $VIP >"$T/ping"
# one ping after the other, each of which the file has before the next
fill_up() { # BYTES_LEFT SIZE
	local left
	for _ in {1..500}; do
		left=$(left_of)
		[ "$left" -gt "$1" ] || return 0
		in_ns client ping -q -c 1 -s "$2" -W 2 $VIP >"$T/ping"
		has_it() { [ "$(left_of)" -lt "$left" ]; }
		eventually 5 has_it || return 1
	done
	return 1
}
check 'a file is filled but for its last bytes' eval 'fill_up 10000 1400 && fill_up 1500 0'
captured brim
is 'one that is full is ended, whatever filled it' "$?/$(grep -cE '^tundish: [0-9]+ packets; 1 MiB were captured$' "$T/brim.err")" 0/1

# A reader that does not read: 8,000 packets of 1.4 KB do not fit the ring.
(exec nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock capture icmp --snaplen 2048 --seconds 600 \
	2>"$T/slow.err") | (
	until [ -e "$T/read on" ]; do sleep 0.1; done
	cat >"$T/slow.pcapng"
) &
slow=$!
eventually 10 eval '! idle'
in_ns client ping -q -f -c 4000 -s 1400 -W 2 $VIP >"$T/ping"
check 'pings are answered beside a reader that does not read' grep -q ' 0% packet loss' "$T/ping"
check 'and the daemon answers' t status
touch "$T/read on"
in_ns edge curl -s --unix-socket /run/tundish/edge.sock -X POST http://l/v1/capture/end >/dev/null
wait $slow
check 'what was left out is told' grep -qE '^tundish: [0-9]+ packets, [1-9][0-9]* more left out' "$T/slow.err"
between 'the rest is there' "$(shown slow frame.number | wc -l)" 1000 7900

# One that reads a little now and then holds the slot no longer than 10 s after its end.
(exec nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock capture icmp --snaplen 2048 --seconds 600 \
	2>"$T/little.err") | (
	until [ -e "$T/read all" ]; do
		head -c 40960
		sleep 0.5
	done >"$T/little.pcapng"
	cat >>"$T/little.pcapng"
) &
little=$!
eventually 10 eval '! idle'
in_ns client ping -q -f -c 4000 -s 1400 -W 2 $VIP >"$T/ping"
ends "$(t events --once | grep -oE 'process [0-9]+\).*begins' | tail -1 | grep -oE '[0-9]+' | head -1)" >/dev/null
others_may() { t capture port 81 --seconds 1 --write "$T/then.pcapng"; }
refused 'it holds the slot at first' 1 'captures already \(icmp\)' others_may
check 'and not for long' eventually 60 others_may
touch "$T/read all"
wait $little
check 'what it did not read is told' grep -qE ' [1-9][0-9]* that were not read in time\); it was ended by command$' "$T/little.err"

# ---- the daemon ends, or another takes over -----------------------------------------------
captures over tcp
get $VIP 2 >/dev/null
kill -USR2 "${PID[edge]}"
captured over
is 'a daemon that executes itself anew ends it well' \
	"$?/$(grep -cE '^tundish: [1-9][0-9]* packets; another program takes over the daemon$' "$T/over.err")" 0/1
eventually 10 t status >/dev/null
captures after port 80 --count 2
get $VIP 1 >/dev/null
captured after
is 'and captures then' "$(shown after frame.number | wc -l)" 2
captures ended tcp
get $VIP 2 >/dev/null
stop edge TERM
captured ended
is 'a daemon that ends does so too' "$?/$(grep -cE '^tundish: [1-9][0-9]* packets; the daemon ends$' "$T/ended.err")" 0/1
check 'with what was captured' test "$(shown ended frame.number | wc -l)" -ge 10
start edge

# ---- the daemon is killed ------------------------------------------------------------------
captures orphaned tcp
get $VIP 2 >/dev/null
holds() { [ "$(shown "$1" frame.number | wc -l)" -ge "$2" ]; }
eventually 10 holds orphaned 10 # what lies in the ring goes with its reader
stop edge KILL
captured orphaned
is 'a daemon that is killed is told' "$?/$(grep -c 'did not answer' "$T/orphaned.err")" 1/1
check 'what was captured is whole' test "$(shown orphaned frame.number | wc -l)" -ge 10
gone_after_lease() {
	get $VIP 1 >/dev/null
	idle
}
check 'its lease runs out without it' eventually 15 gone_after_lease
start edge
captures next port 80 --count 2
get $VIP 1 >/dev/null
captured next
is 'the next daemon captures' "$(shown next frame.number | wc -l)" 2

# ---- unload ---------------------------------------------------------------------------------
captures unloaded tcp
check 'a host is unloaded beside it' t unload
captured unloaded
is 'which is told' "$?/$(grep -c '; the data path is unloaded$' "$T/unloaded.err")" 0/1
