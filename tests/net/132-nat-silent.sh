#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Answers that miss the edge: a server of `nat` whose route to clients leads past it. SYNs are
# seen and never an answer, which status, an event and doctor tell within a minute; and that it
# is over.
# parallel: yes
. "$(dirname "$0")/translated.sh"
MEMBERS='b1 b2'
plain_servers 2
# To b1 another router is the way to clients.
ip -n b1 route replace default via 10.0.1.13
VIPS=$VIP translated nat 4 'timeouts: {syn: 20s}'
start edge

silent() { t --json status | jq -c .nat.silent; }
is_silent() { [ "$(silent)" = "$1" ]; }
told() { t --json events --once | jq -e "[.[] | select(.event == \"$1\" and .object == \"backend web/b1\")] | length > 0"; }
row() { t --json doctor --interval 0 | jq -r ".[] | select(.id == \"nat_answers\") | .$1"; }

is 'at first nobody is' "$(silent)" '[]'
lines=$(in_ns client timeout 20 "$PYTHON" - $VIP <<-'PY'
	import socket, sys
	def one():
	    s = socket.socket()
	    s.setblocking(False)
	    s.connect_ex((sys.argv[1], 80))
	    return s
	import select, time
	sockets = [one() for _ in range(60)]
	time.sleep(1)
	done = select.select([], sockets, [], 1)[1]
	print(sum(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 for s in done))
PY
)
between 'only the other server is reached' "$lines" 10 50
asks() { (in_ns client timeout 2 "$PYTHON" "$TOP/tests/net/client.py" get $VIP 80 30 >/dev/null 2>&1) & }
_until_silent() { asks; sleep 1; is_silent '["web/b1"]'; }
check 'that nobody hears it is known within a minute' eventually 60 _until_silent
check 'status says so, and what to do' grep -q "backend web/b1: nobody hears b1's answers: .* SYNs within half a minute and none answered" <(attention)
is 'the remedy' "$(t --json status | jq -r '.attention[] | select(.why | test("nobody hears")) | .do')" \
	'if it is up, its default route must lead to this host; or use delivery: fullnat'
check 'an event, once' told no-answers
is 'doctor' "$(row verdict) $(row value)" 'bad 1'
is 'of the other nothing' "$(t --json events --once | jq '[.[] | select(.event == "no-answers")] | length')" 1

ip -n b1 route replace default via 10.0.1.1
_until_heard() { asks; sleep 1; is_silent '[]'; }
check 'a right route, and it is heard again' eventually 60 _until_heard
check 'which is told too' told answers
is 'doctor is content' "$(row verdict)" ok
