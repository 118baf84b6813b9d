#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Events: filtered, followed over a crash of the daemon, and in the journal (a real systemd-journald) once
# each, with their parts as fields, while standard error is the journal; under the daemon's system call filter.
# parallel: yes
. "$(dirname "$0")/lib.sh"
journald=$(ls /lib/systemd/systemd-journald /usr/lib/systemd/systemd-journald 2>/dev/null | head -n 1)
[ -n "$journald" ] || fatal 'no systemd-journald here'
mkdir -p /run/systemd/journal /run/log/journal
[ -s /etc/machine-id ] || {
	tr -d - </proc/sys/kernel/random/uuid >"$T/id" && touch /etc/machine-id && mount --bind "$T/id" /etc/machine-id
}
("$journald" >"$T/journald.log" 2>&1) &
eventually 10 test -S /run/systemd/journal/stdout || fatal 'systemd-journald does not start'
in_journal() { journalctl --directory "/run/log/journal" -o json "$@" 2>/dev/null; }

three_backends dsr
stop edge
# as systemd would start it: standard error is a stream of the journal, and JOURNAL_STREAM says so
TUNDISHD="$T/logged"
cat >"$TUNDISHD" <<-SH
	#!$PYTHON
	import os, socket, sys
	s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
	s.connect("/run/systemd/journal/stdout")
	s.send(b"tundishd\n\n6\n1\n0\n0\n0\n")
	os.dup2(s.fileno(), 2)
	st = os.fstat(2)
	os.environ["JOURNAL_STREAM"] = f"{st.st_dev}:{st.st_ino}"
	os.execv("$BUILD/tundishd", ["tundishd"] + sys.argv[1:])
SH
chmod +x "$TUNDISHD"
start edge
(exec nsenter --net=/run/netns/edge "$BUILD/tundish" --control /run/tundish/edge.sock events --event command,start \
	>"$T/followed" 2>"$T/follower.log") &
follower=$!
check 'a drain' t backend drain web b2
fields() { in_journal EVENT=command | jq -sc '[.[] | [.OBJECT, .REASON, .MESSAGE, .PRIORITY, .SYSLOG_IDENTIFIER]]'; }
eventually 10 eval '[ "$(fields)" != "[]" ]'
is 'in the journal it is one entry, with its parts' "$(fields)" \
	'[["backend web/b2","drain by command","command backend web/b2: drain by command","5","tundishd"]]'
id=$(in_journal EVENT=command | jq -r .MESSAGE_ID)
is 'found by the id of all events, too' "$(in_journal MESSAGE_ID="$id" EVENT=command | wc -l)" 1
all() { t --json events --once | jq -c '[.[] | [.event, .object]]'; }
journaled() { in_journal MESSAGE_ID="$id" | jq -sc '[.[] | [.EVENT, .OBJECT]]'; }
same() { [ "$(all)" = "$(journaled)" ]; }
check 'all events are there, in order, each once' eventually 10 same
is 'and none as a line beside' "$(in_journal _TRANSPORT=stdout | jq -r .MESSAGE | grep -c 'drain by command')" 0


count() { t --json events --once "$@" | jq length; }
is 'by event' "$(count --event command)" 1
is 'by the first word of names' "$(count --event reload)" 0
refused 'half a word' 2 'no event "sta"; .*did you mean "start"' t events --once --event command,sta
is 'by object' "$(count --event command --object b2)$(count --event command --object b1)" 10
is 'by service' "$(count --event command --service web)$(count --service we)" 10
is 'by time' "$(count --event command --since 10m)" 1
refused 'no time' 2 'no time; valid: 10m' t events --once --since now

check 'who follows has seen it' eventually 10 grep -q 'drain by command' "$T/followed"
# killed between two questions or, stopped before, within one: what is told then differs
told() { grep -cE 'no daemon answers|did not answer' "$T/follower.log"; }
dies() { # TIMES: so often it is told in all
	stop edge KILL
	check "who follows is told that the daemon is away ($1)" eventually 5 eval "[ \"\$(told)\" = $1 ]"
	start edge
}
dies 1
check 'an act of the next daemon' t backend enable web b2
check 'and goes on' eventually 10 grep -q 'enable by command' "$T/followed"
asked() { in_ns edge ss -xaH src /run/tundish/edge.sock | awk '$3 > 0 { n = 1 } END { exit !n }'; }
kill -STOP "${PID[edge]}"
check 'a question that is not answered' eventually 5 asked
dies 2
check 'an act of the one after it' t backend drain web b2
check 'and goes on again' eventually 10 eval '[ "$(grep -c "drain by command" "$T/followed")" = 2 ]'
is 'each once, in order' "$(sed 's/^[^ ]* //; s/ .*//' "$T/followed" | xargs)" 'start command start command start command'
kill "$follower"

# what failed is graver than what was done, and as grave in the answer as in the journal
echo 'services: [{nome: web}]' >>"$T/edge.yaml"
check 'a file with a mistake' reload
grave() { in_journal -p "$1" MESSAGE_ID="$id" | jq -r .EVENT | sort -u | xargs; }
check 'is an error in the journal' eventually 10 eval '[ "$(grave err)" = reload-refused ]'
is 'and in the answer' "$(t --json events --once --event reload | jq -r '.[-1] | "\(.event) \(.priority)"')" 'reload-refused err'
edge_config dsr
check 'a reload' reload
is 'which is none' "$(t --json events --once --event reload | jq -r '.[-1] | "\(.event) \(.priority)"')" 'reload notice'

# a variable that is inherited is no journal
TUNDISHD='' JOURNAL_STREAM=1:2
export JOURNAL_STREAM
stop edge
TUNDISHD="$BUILD/tundishd" start edge
check 'a standard error that is none has lines' grep -q 'tundishd: start' "$T/tundishd-edge.log"
