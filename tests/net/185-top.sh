#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `tundish top` on a real terminal (tmux): what it shows is what the control socket says, rows are ordered and
# filtered, services opened, backends drained after a question; it fits any size, needs no colour, and stays
# while the daemon is away. What it cannot do it says in a sentence.
. "$(dirname "$0")/lib.sh"
getent group games >/dev/null || fatal 'no group games'
three_backends dsr
web edge
cat >>"$T/edge.yaml" <<YAML
  - name: app
    vips: [$VIP2]
    ports: [80]
    delivery: workers
    workers: {listen: "0.0.0.0:8080"}
  - name: quiet
    vips: [$VIP2]
    ports: [81]
    delivery: dsr
    backends: [{name: b1, address: 10.0.0.11, weight: 0}]
control: {group: games}
YAML
stop edge
start edge
hold $VIP 30

export LC_ALL=C.UTF-8
tm() { env -u TMUX tmux -S "$T/tmux" -f /dev/null "$@"; }
TOP_COMMAND="nsenter --net=/run/netns/edge $BUILD/tundish --control /run/tundish/edge.sock top"
# top_on SIZE [ENV...]: on a new terminal of that size
top_on() {
	local x=${1%x*} y=${1#*x}
	shift
	tm kill-server 2>/dev/null
	eventually 5 eval '! tm list-sessions' || fatal 'tmux does not end'
	tm new-session -d -s s -x "$x" -y "$y" env "$@" $TOP_COMMAND
}
screen() { tm capture-pane -p -t s; }
keys() { tm send-keys -t s "$@"; }
_shows() { screen | grep -qE -- "$1"; }
# shows NAME PATTERN: within some seconds
shows() {
	if eventually 10 _shows "$2"; then
		ok "$1"
	else
		not_ok "$1 (no \"$2\" on the screen)"
		screen | sed 's/^/  | /'
	fi
}
cell() { screen | awk -v name="$1" -v n="$2" '$1 == name {print $n}'; } # ROW COLUMN
order() { screen | awk '$1 ~ /^(b[123]|web|app|quiet)$/ {printf "%s ", $1}'; }

top_on 110x24
shows 'it begins with the services' '^services: 3, by what is wrong'
is 'what is wrong comes first' "$(order)" 'quiet web app '
shows 'with the reason' '^quiet .*down .*no backend takes connections'
shows 'and what needs attention is above' '^! service quiet, for [0-9][^:]*: no usable backend'
held() { [ "$(cell web 4)" = "$(t --json service list | jq '.[] | select(.service == "web") | .connections_active')" ]; }
check 'connections are those of the control socket' eventually 10 held
is 'backends that are up too' "$(cell web 3)" 3/3
keys / a p p Enter
shows 'a filter leaves its rows' '^services: 1 of 3, .*with "app"'
is 'those alone' "$(order)" 'app '
keys Enter
shows 'a workers service has workers' '^workers of app: [1-9]'
shows 'by their names, with their queues' '^w0 .* up +0/[1-9]'
keys Escape
shows 'back: the filter is there still' '1 of 3'
keys Escape
shows 'and gone with the next' '^services: 3,'
keys G Home
eventually 5 _shows '^services' && keys Down Enter
shows 'a service has backends' '^backends of web: 3'
same() {
	local b
	for b in b1 b2 b3; do
		[ "$(cell $b 6) $(cell $b 9)" = "$(t --json backend list web |
			jq -r ".[] | select(.name == \"$b\") | \"\(.connections_active) \(.connections_total)\"")" ] || return
	done
}
check 'their figures are those of the control socket' eventually 10 same
keys s s s s s s
shows 'ordered by a column' 'by ACTIVE'
by_active() { [ "$(order)" = "$(t --json backend list web | jq -r 'sort_by(-.connections_active) | map(.name + " ") | add')" ]; }
check 'the greatest first' eventually 5 by_active
keys r
shows 'or last' 'by ACTIVE, reversed'
keys r S S S S S
shows 'by name' 'by NAME'
keys Home Down d
shows 'a drain asks first' 'drain web/b2\? \(y/n\)'
is 'and has done nothing' "$(t --json backend list web | jq -r '.[1].state')" up
keys n
shows 'no is no' 'nothing was changed'
keys d y
shows 'yes is told' 'web/b2: drain'
is 'and done' "$(t --json backend list web | jq -r '.[1].state')" drain
shows 'the row says so' '^b2 .* drain '
keys e y
shows 'enabled again' '^b2 .* up '
steady 'the open connections stay'

# sizes
lines() { [ "$(screen | wc -l)" = "$1" ] && [ "$(screen | wc -L)" -le "$2" ]; }
tm resize-window -t s -x 80 -y 24
shows '80x24: all that matters' '^NAME +ADDRESS +WEIGHT +STATE +HEALTH +ACTIVE'
check '80x24: all within' lines 24 80
tm resize-window -t s -x 40 -y 10
shows '40x10: names and states' '^NAME +ADDRESS +WEIGHT +STATE'
shows '40x10: rows' '^b3 '
check '40x10: all within' lines 10 40
keys Right Right Right Right
shows 'other columns come under the cursor keys' '^NAME +ACTIVE +MAX'
for size in 9x2 1x1 300x60; do # that it stays is what counts
	tm resize-window -t s -x "${size%x*}" -y "${size#*x}"
	keys Down Up '?' Escape a Escape
done
keys Left Left Left Left
tm resize-window -t s -x 110 -y 24
shows 'large again: all of it' '^NAME +ADDRESS +WEIGHT .*PACKETS'
shows 'and live' '^b1 .* up '
keys '?'
shows 'help' '^Enter '
keys x a
shows 'attention, all of it' '^  do: '
shows 'with a command' 'tundish service show quiet'
keys x

# the daemon
stop edge KILL
shows 'a daemon that is away is told' '^no answer for [0-9]+s: no daemon answers'
shows 'what it said last stays' '^b1 '
start edge
shows 'and back it is live' ' tundish .*, up [0-9]+s'
keys q
check 'q ends it' eventually 5 eval '! tm list-sessions'

# terminals
top_on 80x24 TERM=vt100
shows 'vt100' '^services: 3'
top_on 80x24 NO_COLOR=1 LC_ALL=C
shows 'no colour, no wide characters' '^services: 3'
is 'no colour is sent' "$(tm capture-pane -e -p -t s | grep -cP '\e\[([0-9]+;)*(3|4)[0-7][;m]')" 0
keys / é Enter
shows 'and what is no character there does no harm' '^services: [0-3]'
tm kill-server
one() { # TERM: at a terminal of script(1)
	TERM=$1 script -qec "$TOP_COMMAND" /dev/null </dev/null
}
refused 'dumb: a sentence' 1 'cannot place its cursor; use .tundish status' one dumb
refused 'unknown: a sentence' 1 'is not known on this host' one 'x"y'
refused 'no terminal: a sentence' 1 'top needs a terminal' t top
refused 'no JSON' 2 'status. has the same' t --json top
refused 'an interval within reason' 2 'not in 1 to 3600' t top --interval 0

# who may not
cp "$BUILD/tundish" "$T/" && chmod 755 "$T" # the build may be where only root gets to
TOP_COMMAND="setpriv --reuid 64999 --regid $(getent group games | cut -d: -f3) --clear-groups $T/tundish
	--control /run/tundish/edge.sock top"
top_on 100x24
shows 'a user who may read sees all' '^services: 3'
keys Down Enter
shows 'down to the backends, and their rows are here' '^b1 '
keys d y
shows 'but drains none, and is told why' 'may not change'
is 'none is drained' "$(t --json backend list web | jq -r 'map(.state) | unique | .[]')" up
keys q
stop edge
refused 'no daemon: a sentence' 3 'no daemon answers' t top

# what answers is a daemon of another version, or none: names that act on a terminal, wide ones, keys that are
# missing, values of other kinds, and at last no JSON
cat >"$T/odd.py" <<'PY'
import http.server, json, os, socketserver, sys
evil = "\x1b]2;OWNED\x07\x1b[2J\x9b31m\r\n\u202e\t" + "a\u0301\u0301\u0301\u0301"
def service(name, **more):
    return dict(name=name, service=name, state="up", delivery="dsr", backends=3, backends_up=3, **more)
status = {"version": "9" + evil, "uptime_seconds": "soon", "services": [service("\u65e5\u672c\u8a9e-\u00fcber"),
          service("plain", reason=evil), service(evil), {}, None, 7, [], {"name": None, "state": 5, "vips": {"x": 1}}],
          "attention": [{"what": evil, "why": evil * 40}, {}, None, "x"], "drops": [1], "flows": "many"}
class Odd(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        odd = os.path.exists(sys.argv[1] + ".nonsense")
        body = b"\x1b[2Jno JSON" if odd else json.dumps(
            status if "status" in self.path else [service(evil, address=evil), None, 3]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
    def address_string(self): return ""
class Server(socketserver.ThreadingUnixStreamServer):
    def get_request(self):
        return super().get_request()[0], ("", 0)
Server(sys.argv[1], Odd).serve_forever()
PY
(exec $PYTHON "$T/odd.py" "$T/odd.sock" 2>"$T/odd.log") &
odd=$!
eventually 5 test -S "$T/odd.sock" || fatal 'no odd daemon'
TOP_COMMAND="$BUILD/tundish --control $T/odd.sock top"
top_on 90x24
shows 'another version: what it has is shown' '^services: 8'
shows 'names that act are written out' '\\x1b\]2;OWNED\\x07\\x1b\[2J'
is 'and do nothing' "$(tm display-message -p -t s '#{pane_title}' | grep -c OWNED)" 0
column() { screen | grep -- "$1" | sed 's/ up .*//' | wc -L; }
is 'wide characters take two columns' "$(column plain)" "$(column über)"
keys / 日 Enter
shows 'and can be looked for' '^services: 1 of 8'
keys Escape Enter
shows 'rows that are none are empty ones' '^backends of .*: 3'
keys d y a Escape '?' Escape s s s r End Home
shows 'nothing of it ends the screen' '^backends of '
touch "$T/odd.sock.nonsense"
shows 'no JSON: a sentence' '^no answer for .* is no such daemon'
keys q
refused 'nor does it begin' 1 'no JSON' script -qec "$TOP_COMMAND" /dev/null
kill $odd

# `status` on a terminal is one screen
start edge
tm kill-server 2>/dev/null
eventually 5 eval '! tm list-sessions'
tm new-session -d -s s -x 80 -y 24 env -u TMUX sh -c "nsenter --net=/run/netns/edge $BUILD/tundish \
	--control /run/tundish/edge.sock status; exec sleep 60"
shows 'status begins on the screen' '^tundish .*, up '
shows 'with what needs attention' '^! service quiet'
shows 'and what to do' '^  see: tundish service show quiet'
shows 'and ends there' '^drops '
