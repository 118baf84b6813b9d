#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Reading and changing on the control socket are two rights, by the groups of who asks; groups come
# from the file; who is refused is told once. The metrics listener changes nothing, and hears
# nobody from outside unless it is told to.
# parallel: yes
. "$(dirname "$0")/lib.sh"
# Real groups, of this scenario's mount namespace alone.
cp -r /etc $T/etc && mount --bind $T/etc /etc
printf 'tundish:x:64990:\nreaders:x:64991:\nadmins:x:64992:\n' >>/etc/group
three_backends dsr
SOCKET=/run/tundish/edge.sock
# as GROUPS COMMAND...: as a user of its own in these groups.
as() {
	local groups=$1
	shift
	setpriv --reuid 64999 --regid 64999 --groups "$groups" "$@"
}
cp "$BUILD/tundish" $T/
status_of() { # GROUPS METHOD PATH
	as "$1" curl -sm 5 -o "$T/answer" -w '%{http_code}' -X "$2" --unix-socket $SOCKET "http://t/v1/$3"
}
chmod 777 $T
is 'the socket is of the group tundish' "$(stat -c '%a %G' $SOCKET)" '660 tundish'
refused 'a stranger does not reach it' 1 'permission' as 64999 $T/tundish --control $SOCKET status
check 'a member reads' as 64990 $T/tundish --control $SOCKET status
check 'by its primary group too' setpriv --reuid 64999 --regid 64990 --clear-groups $T/tundish --control $SOCKET status
refusals=$SECONDS
refused 'and changes nothing' 1 'may not change' as 64990 $T/tundish --control $SOCKET backend drain web b1
is 'which is 403' "$(status_of 64990 POST backends/web/b1/drain)" 403
is 'with a sentence and an exit status' "$(jq -r '"\(.error) \(.exit)"' "$T/answer")" \
	'uid 64999 may not change anything here: that takes root, or a group named by control.admin_group 1'
for path in backends/web/b1/drain backends/web/b1/weight workers/app/w0/drain config/apply capture capture/end reload unload; do
	is "POST $path" "$(status_of 64990 POST $path)" 403
done
for path in status services backends workers flows tuples ports timewait config events metrics egress; do
	is "GET $path" "$(status_of 64990 GET $path)" 200
done
check 'a file is checked and compared for a member' as 64990 sh -c "$T/tundish --control $SOCKET config diff $T/edge.yaml"
refused 'and not applied' 1 'may not change' as 64990 $T/tundish --control $SOCKET config apply "$T/edge.yaml"
is 'nothing has changed' "$(backend_field b1 state)" up
for _ in {1..300}; do status_of 64990 POST reload >/dev/null; done
# one in ten seconds
between 'refusals are told, and do not fill the events' "$(t events --once | grep -c control-refused)" 1 $((2 + (SECONDS - refusals) / 10))

echo 'control: {group: readers, admin_group: admins}' >>"$T/edge.yaml"
# Root's daemon has given up what it takes to give the socket to another group.
check 'other groups by an apply' t config apply "$T/edge.yaml"
check 'that the socket is not given to at once is told' eventually 5 grep -q 'cannot give the control socket' "$T/tundishd-edge.log"
stop edge
start edge
is 'the socket is of the other one' "$(stat -c '%a %G' $SOCKET)" '660 readers'
refused 'a member of the former does not reach it' 1 'permission' as 64990 $T/tundish --control $SOCKET status
refused 'a reader reads only' 1 'admins' as 64991 $T/tundish --control $SOCKET backend drain web b1
check 'who is in both changes' as 64991,64992 $T/tundish --control $SOCKET backend drain web b1
is 'it took effect' "$(backend_field b1 state)" drain
# Who may apply is answered for it, though it takes that right from him.
sed -i 's/^control:.*/control: {group: readers}/' "$T/edge.yaml"
check 'who gives his right away by an apply is answered' as 64991,64992 $T/tundish --control $SOCKET config apply "$T/edge.yaml"
refused 'and has it no more' 1 'may not change' as 64991,64992 $T/tundish --control $SOCKET config apply "$T/edge.yaml"
sed -i 's/^control:.*/control: {group: nobody-has-this}/' "$T/edge.yaml"
check 'a group that there is not' t config apply "$T/edge.yaml"
is 'is told' "$(t --json status | jq -r '.attention[] | select(.what == "control") | .why')" \
	'the control socket keeps its group: there is no group "nobody-has-this" (control.group)'
check 'and root goes on' t backend enable web b1

sed -i 's/^control:.*/control: {group: tundish}/' "$T/edge.yaml"
stop edge
start edge
# A crowd of one user: root's requests are answered meanwhile, and then its own again.
(exec setpriv --reuid 64999 --regid 64999 --groups 64990 $PYTHON - $SOCKET >"$T/crowd.out" 2>"$T/crowd.log" <<-'PY'
	import contextlib, socket, sys, time
	held, refused = [], 0
	for i in range(100):
	    s = socket.socket(socket.AF_UNIX)
	    s.settimeout(0.2)
	    s.connect(sys.argv[1])
	    with contextlib.suppress(BrokenPipeError):  # refused and closed before it spoke
	        s.send(b"GET /v1/sta")
	    held.append(s)
	time.sleep(0.5)
	for s in held:
	    try:
	        refused += s.recv(100).startswith(b"HTTP/1.1 503")
	    except (TimeoutError, ConnectionError):
	        pass
	print(refused, flush=True)
	time.sleep(2)
PY
) &
crowd=$!
eventually 20 test -s "$T/crowd.out"
begin=${EPOCHREALTIME/./}
check 'root is answered in a crowd' t status
timely 'soon (microseconds)' $((${EPOCHREALTIME/./} - begin)) 0 1000000
wait $crowd
is 'the crowd had its share of sixteen connections' "$(cat "$T/crowd.out")" 84
check 'and is heard again' eventually 15 as 64990 $T/tundish --control $SOCKET status

metrics() { in_ns "$1" curl -sm 3 -o /dev/null -w '%{http_code}' "${@:3}" "http://$2:9799/metrics"; }
is 'metrics on loopback' "$(metrics edge 127.0.0.1)" 200
is 'and nowhere else' "$(metrics client 10.0.0.1)" 000
is 'only with GET' "$(metrics edge 127.0.0.1 -X POST -d '{}')" 405
for path in unload reload backends/web/b1/drain; do
	is "it changes nothing: $path" "$(in_ns edge curl -sm 3 -o /dev/null -w '%{http_code}' -X POST \
		-H 'X-Tundish: 1' "http://127.0.0.1:9799/v1/$path" | head -c 2)" 40
done
stop edge
METRICS=10.0.0.1:9799 start edge
is 'elsewhere where that is written' "$(metrics client 10.0.0.1)" 200
