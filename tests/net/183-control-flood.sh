#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Readers of the control socket, and who asks for metrics, at full speed and with all that is slow, large
# and silent: the data path is untouched, health checks come in time, who may change things is answered
# soon, and memory stays bounded.
. "$(dirname "$0")/lib.sh"
cp -r /etc $T/etc && mount --bind $T/etc /etc
printf 'tundish:x:64990:\n' >>/etc/group
three_backends dsr
cp "$T/edge.yaml" "$T/plain.yaml"
sed -i 's|^    backends:|    health: {type: http, port: 80, path: /healthz, interval: 200ms, timeout: 2s, rise: 1, fall: 2}\n&|' "$T/edge.yaml"
check 'health checks' reload
_all_up() { [ "$(t --json backend list | jq '[.[] | select(.health == "up")] | length')" = 3 ]; }
eventually 10 _all_up || fatal 'backends are not up'
chmod 755 $T && chmod 644 "$T/plain.yaml"
resident() { awk '/^VmHWM/ {print $2}' /proc/"${PID[edge]}"/status; }
before=$(resident)
load $VIP
SECONDS_OF_IT=15
for user in 64996 64997 64998; do
	(exec setpriv --reuid $user --regid $user --groups 64990 $PYTHON "$TOP/tests/net/control_flood.py" /run/tundish/edge.sock $SECONDS_OF_IT "$T/plain.yaml" \
		>"$T/flood-$user" 2>"$T/flood-$user.log") &
	PID[flood-$user]=$!
done
# shellcheck disable=SC2016 # expanded there
(exec nsenter --net=/run/netns/edge setpriv --reuid 64999 --regid 64999 --clear-groups timeout $SECONDS_OF_IT \
	bash -c 'while :; do curl -sm 20 http://127.0.0.1:9799/metrics | grep -c "^# TYPE tundish_egress_shifts_total"; done' >"$T/metrics" 2>&1) &
PID[flood-metrics]=$!
for user in 64996 64997 64998; do eventually 10 test -s "$T/flood-$user" || fatal 'no flood'; done

# Root asks, and each is answered; meanwhile a backend dies and comes back.
longest=0 failed=0
asks_once() {
	local begun=${EPOCHREALTIME/./} took
	t "$@" >/dev/null 2>&1 || failed=$((failed + 1))
	took=$(((${EPOCHREALTIME/./} - begun) / 1000))
	[ $took -le $longest ] || longest=$took
}
for _ in {1..15}; do asks_once status; done
end_load
is 'requests of clients that failed until then' "$FAILURES" 0
load $VIP
kill "${PID[web-b3]}"
wait "${PID[web-b3]}" 2>/dev/null
begun=${EPOCHREALTIME/./}
_b3_down() { [ "$(backend_field b3 health)/$(backend_field b3 state)" = down/down ]; }
check 'in the flood a dead backend is seen to be dead' eventually 5 _b3_down
timely 'soon (milliseconds)' $(((${EPOCHREALTIME/./} - begun) / 1000)) 0 3000
end_load
# In the moment between its death and its ejection it had a third of them.
between 'of requests meanwhile about those failed that it had' "$FAILURES" 0 $((REQUESTS * 2 / 3 + 10))
load $VIP
web b3
_b3_up() { [ "$(backend_field b3 health)" = up ]; }
asks_once backend weight web b1 90
check 'and a living one to be living' eventually 40 _b3_up
for _ in {1..10}; do asks_once status; done
is "root's requests that failed" $failed 0
timely "the longest of root's requests (milliseconds)" $longest 0 2000
for user in 64996 64997 64998; do wait "${PID[flood-$user]}"; done
wait "${PID[flood-metrics]}"
for user in 64996 64997 64998; do tail -n 1 "$T/flood-$user"; done
end_load
between 'requests of clients' "$REQUESTS" 500 10000000
is 'of which none failed' "$FAILURES" 0
sum() { tail -qn 1 "$T"/flood-6499? | jq -s "[.[] | to_entries[] | select(.key | test(\"$1\")) | .value] | add // 0"; }
between 'readers were answered all the same' "$(sum '^(fast|pipeline|flows) 200')" 10 100000000
between 'configurations were checked' "$(sum '^check 200')" 1 100000
between 'heads that are too large were refused' "$(sum '^head (4|5|Broken|Connection)')" 1 1000000
between 'metrics were answered' "$(grep -c '^1' "$T/metrics")" 2 1000000
between 'only b3 ever was unhealthy' "$(grep -cE '(down|eject).* web/b[12]' "$T/tundishd-edge.log")" 0 0
between 'memory that it took at most, KiB' $(($(resident) - before)) 0 262144
check 'afterwards readers are heard' eventually 30 setpriv --reuid 64996 --regid 64996 --groups 64990 curl -sfm 5 -o /dev/null --unix-socket /run/tundish/edge.sock http://t/v1/status
