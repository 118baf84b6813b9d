# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Servers that clients' connections are watched at; shared by 155-passive*.sh.
. "$(dirname "${BASH_SOURCE[0]}")/translated.sh"

# watched DELIVERY KEYS [MORE of health]: `web` before b1 b2 b3.
watched() {
	VIPS=$VIP translated "$1" 4 "    health: {type: ${TYPE:-none}, timeout: 500ms, passive: {failures: 5, $2}${3-}}
timeouts: {syn: 20s}"
}
state_is() { [ "$(backend_field "$1" state)/$(backend_field "$1" health)" = "$2" ]; }
all_are() { for b in $BACKENDS; do state_is "$b" "$1" || return 1; done; }
who() { get $VIP 40 | awk '{print $1}' | sort -u | xargs; }
dies() { kill -KILL "${PID[web-$1]}" && wait "${PID[web-$1]}" 2>/dev/null; }
why() { backend_field "$1" reason; }
events() { t --json events --once | jq -r ".[] | select(.event | test(\"$1\")) | \"\(.object): \(.reason)\""; }
metric() { in_ns edge curl -gsm 5 http://127.0.0.1:9799/metrics | sed -n "s/^$1 //p"; }
# COUNT clients who try to connect for a second, and go away. Prints how many got through.
knock() {
	in_ns client timeout 20 "$PYTHON" - $VIP "$1" <<-'PY'
		import select, socket, sys, time
		sockets = []
		for _ in range(int(sys.argv[2])):
		    s = socket.socket()
		    s.setblocking(False)
		    s.connect_ex((sys.argv[1], 80))
		    sockets.append(s)
		time.sleep(1)
		done = select.select([], sockets, [], 0)[1]
		print(sum(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 for s in done))
		PY
}
drop_syns() { in_ns "$1" nft "table inet deaf { chain in { type filter hook input priority 0; tcp flags & (syn|ack) == syn drop; }; }"; }
hear_syns() { in_ns "$1" nft delete table inet deaf; }
