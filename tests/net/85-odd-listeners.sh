#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Listeners that are not as they should be: each is served as well as can be, and `status` says
# in a sentence what is the matter.
# parallel: yes
. "$(dirname "$0")/lib.sh"
PRIORITY=$REAL_TIME # whatever else runs here
group_host
service() { # NAME PORT LISTEN
	printf '  - {name: %s, vips: [%s, "%s"], ports: [%s], delivery: workers, workers: {listen: "%s"}}\n' \
		"$1" $VIP2 $VIP62 "$2" "$3"
}
app_config '' "$(
	service empty 81 '[::]:8081'
	service odd 82 '[::]:8082'
	service mptcp 83 '[::]:8083'
	service four 84 '0.0.0.0:8084' | sed "s/, \"$VIP62\"//"
)"
start edge
says() { # PATTERN of an entry's words
	t --json status | jq -r '.attention[] | "\(.what): \(.why)"' | grep -qiE "$1"
}
of() { t --json worker list "$1" | jq -r "[.[].$2] | unique | map(tostring) | join(\" \")"; } # SERVICE FIELD

check 'a group that stays empty is told' eventually 5 says 'empty.*(worker|listen)'

LISTEN='[::]:8082' serve single --workers 1 --no-reuseport
PORT=82 flood $VIP2 1000 200 --check
all_answered 'one without SO_REUSEPORT is a group of one'
is 'one worker' "$(t --json worker list odd | jq length)" 1
end_server single

# Another user's: whoever may listen there is of the group; its user is told.
cp "$BUILD/bench/server" "$T/server" && chmod 1777 "$T"
(exec nsenter --net=/run/netns/edge setpriv --reuid=65534 --regid=65534 --clear-groups \
	"$T/server" --workers 2 --name nobody --pids "$T/nobody.pids" '[::]:8082' >"$T/nobody.log" 2>&1) &
PID[nobody]=$!
check 'a listener of another user' eventually 10 test -s "$T/nobody.pids"
PORT=82 flood $VIP62 1000 200 --check
all_answered 'serves'
is 'its user is told' "$(of odd uid)" 65534
end_server nobody

LISTEN='[::]:8083' serve mptcp --workers 1 --mptcp
check 'an MPTCP listener is told' eventually 5 says 'mptcp'
is 'it is no worker' "$(t --json worker list mptcp | jq length)" 0
end_server mptcp

LISTEN='0.0.0.0:8084' serve four --workers 2
PORT=84 flood $VIP2 1000 200 --check
all_answered 'IPv4 listeners serve IPv4'
end_server four

# Three programs in one group.
group_nginx 2
serve s --workers 2
(exec nsenter --net=/run/netns/edge $PRIORITY "$PYTHON" "$TOP/tests/net/server.py" py 2 "$LISTEN" >"$T/python.log" 2>&1) &
check 'a group of three programs' eventually 10 workers_are 6
is 'each by its name' "$(of app command | tr ' ' '\n' | sed 's/python.*/python/' | sort | xargs)" 'nginx python server'
flood $VIP 500 300 --http
all_answered 'they serve together'
between 'each has its share' "$(answered_by '^s[01]$')" 90 110

# A program that listens on the VIP itself keeps its connections; new ones go to the group.
LISTEN="$VIP:80" serve own --workers 1
flood $VIP 500 60 --timeout 1000
is 'a listener on the VIP itself gets none' "$(answered_by ^own)" 0
check 'it is told' eventually 5 says "$VIP.*(listen|socket)"
