#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What a trace says that a change would come to, and what it then comes to: without a backend, with
# another weight, with other ports, with one that is disabled. Asking changes nothing.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
NEXT=$T/next.yaml
# The targets of so many clients' ports: as told of a change, and as they are.
told() { for i in $(seq 21000 21011); do t --json trace "10.0.0.100:$i" "$VIP:${PORT:-80}" "$@" | jq -r '.what_if.target'; done | xargs; }
now() { for i in $(seq 21000 21011); do t --json trace "10.0.0.100:$i" "$VIP:${PORT:-80}" | jq -r '.target'; done | xargs; }
what_if() { t --json trace "10.0.0.100:21000" "$VIP:80" "${@:2}" | jq -r ".what_if.$1"; }
slots() { t --json trace "10.0.0.100:21000" "$VIP:80" --config "$NEXT" | jq -r '.what_if | "\(.slots_left) \(.slots_moved)"'; }
changed() { sed "$1" "$T/edge.yaml" >"$NEXT"; }

before=$(now)
without=$(told --without b1)
is 'asking changes nothing' "$(now)" "$before"
is 'nobody would go to it' "$(grep -c b1 <<<"$without")" 0
between 'so many slots would be left, of 65537' "$(what_if slots_left --without b1)" 21000 22700
between 'and hardly any other one moved' "$(what_if slots_moved --without b1)" 0 655
check 'b1 is drained' t backend drain web b1
is 'all go where that was told' "$(now)" "$without"
check 'and comes back' t backend enable web b1
is 'as it was' "$(now)" "$before"

changed 's/10.0.0.12, weight: 100/10.0.0.12, weight: 300/'
heavier=$(told --config "$NEXT")
is 'nothing is applied' "$(now)" "$before"
read -r left moved < <(slots)
is 'with another weight nobody leaves' "$left" 0
between 'and the share of that one moves' "$moved" 16900 18100 # 3/5 less 1/3 of them is 17,476
check 'it is applied' t config apply "$NEXT"
is 'all go where that was told' "$(now)" "$heavier"
check 'and back' t config apply "$T/edge.yaml"

changed 's/ports: .*/ports: [81]/'
is 'with other ports this one is nobody'"'s" "$(what_if reason --config "$NEXT")" 'no service on this address and port'
is 'and the other one has a service' "$(PORT=81 told --config "$NEXT")" "$(
	t config apply "$NEXT" >/dev/null
	PORT=81 now
)"
check 'and back' t config apply "$T/edge.yaml"

hold $VIP 30
mine=$(backend_field b1 connections_active)
changed 's/10.0.0.11, weight: 100/10.0.0.11, state: disabled/'
is 'connections of one that is to be disabled would end' "$(what_if connections_ended --config "$NEXT")" "$mine"
is 'and all others stay' "$(what_if connections_staying --config "$NEXT")" $((30 - mine))
is 'all of them where it is left out alone' "$(what_if connections_staying --without b1)" 30
port=$(t --json flow list | jq -r '[.[] | select(.backend == "b1" and .state == "established")][0].client_port')
is 'a known flow stays' "$(t --json trace "10.0.0.100:$port" "$VIP:80" --without b1 | jq -r .what_if.target)" b1
sed '/^services:/,$d' "$T/edge.yaml" >"$NEXT"
printf 'services: [{name: other, vips: [192.0.2.77], ports: [80], delivery: dsr, backends: [{name: b1, address: 10.0.0.11}]}]\n' >>"$NEXT"
is 'without their service all would end' "$(what_if connections_ended --config "$NEXT")" 30
steady 'none has noticed'

refused 'a backend that there is not' 1 'no backend "b9"' t trace 10.0.0.100:1 $VIP:80 --without b9
refused 'without a service' 1 'no service' t trace 10.0.0.100:1 $VIP:82 --without b1
refused 'both at once' 2 'one change at a time' t trace 10.0.0.100:1 $VIP:80 --without b1 --config "$NEXT"
echo 'bogus: 1' >"$NEXT"
refused 'a file with a mistake' 1 'next.yaml:1:1' t trace 10.0.0.100:1 $VIP:80 --config "$NEXT"
refused 'no file' 1 'No such file' t trace 10.0.0.100:1 $VIP:80 --config "$T/none"
