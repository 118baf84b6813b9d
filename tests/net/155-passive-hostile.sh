#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Nobody ejects a server from outside: not by spoofed SYNs, which it answers, not by SYNs that
# it has to drop, not by connections that are reset or left half open.
# parallel: yes
. "$(dirname "$0")/passive.sh"
plain_servers 2

# The data path's own counts.
lanes() { bpftool -j map dump pinned /sys/fs/bpf/edge/lanes | jq "[.[].formatted.value.$1] | add"; }
syns() { in_ns client "$PYTHON" "$TOP/tests/net/syns.py" $VIP 80 "$@"; }
# Connections that their clients reset at once, with data under way and without, and in SYN.
rude() {
	in_ns client timeout 30 "$PYTHON" - $VIP "$1" <<-'PY'
		import socket, struct, sys
		for i in range(int(sys.argv[2])):
		    s = socket.socket()
		    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		    if i % 3 == 0:
		        s.setblocking(False)
		        s.connect_ex((sys.argv[1], 80))
		    else:
		        s.connect((sys.argv[1], 80))
		        if i % 3 == 1:
		            s.sendall(b"GET /big HTTP/1.1\r\nHost: v\r\n\r\n")
		    s.close()
		PY
}
none_ejected() { is "$1" "$(metric 'tundish_backend_ejections_total{.*' | xargs)" '0 0 0'; }

first=0
for delivery in fullnat nat; do
	watched $delivery 'hold_down: 60s, hold_down_max: 60s, trial: false'
	if [ $delivery = fullnat ]; then start edge; else reload; fi
	check "$delivery: all are up" eventually 10 all_are up/up

	# Servers answer; that their answers lead nowhere is not their fault. Connections alone
	# eject here, so nothing else is in the way.
	before=$(lanes answered)
	syns 3000 --first $first
	between "$delivery: spoofed SYNs are answered" $(($(lanes answered) - before)) 2900 3000
	rude 300
	sleep 5 # SYNs count as unanswered when they have waited for some seconds
	is "$delivery: nothing failed" "$(metric 'tundish_backend_failures_in_a_row{.*' | xargs)" '0 0 0'
	is "$delivery: nothing was refused" "$(lanes rejected)" 0
	none_ejected "$delivery: nobody is ejected"

	watched $delivery 'hold_down: 60s, hold_down_max: 60s'
	check "$delivery: reload" reload

	# Each server drops what has a wrong checksum. That looks like a server that does not answer;
	# so it is asked, and answers.
	trials=$(metric 'tundish_trials_total{result="good"}')
	_tried() { syns 60 --bad --first $((first + 3000)); [ "$(metric 'tundish_trials_total{result="good"}')" -gt "$trials" ]; }
	check "$delivery: SYNs that servers drop make it ask them" eventually 30 _tried
	none_ejected "$delivery: and eject nobody"
	check "$delivery: all stay in" all_are up/up
	check "$delivery: which is told" grep -qE 'web/b[123]: it did not answer [0-9]+ connections in a row, but took one of this host' <<<"$(events not-ejected)"
	is "$delivery: trials were all good" "$(metric 'tundish_trials_total{result="\(bad\|refused\|timeout\|unable\)"}' | xargs)" '0 0 0 0'
	first=$((first + 10000))
	is "$delivery: all are served" "$(get $VIP 30 | grep -c '^b')" 30
done
