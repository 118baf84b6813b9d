#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `tundish status` with more services than anybody reads: one screen on a terminal of whatever size, what needs
# attention and the services in trouble first; a pipe gets two hundred of them, a program all.
. "$(dirname "$0")/lib.sh"
N=300
one_nic
$PYTHON "$TOP/tests/net/large.py" $N 2 >"$T/edge.yaml"
ip -n edge route add 10.100.0.0/14 via 10.0.0.11
daemon edge
eventually 30 tun edge status || fatal 'tundishd does not start'
for service in s150 s250; do
	for backend in b0 b1; do
		check "$service has no use of $backend" t backend weight $service $backend 0
	done
done

# rows_of FILE: names of services, in the order of their lines
rows_of() { awk '$1 ~ /^s[0-9]+$/ {print $1}' "$1"; }
t status >"$T/pipe"
is 'a pipe gets two hundred services' "$(rows_of "$T/pipe" | wc -l)" 200
is 'those in trouble first, the others in their order' "$(rows_of "$T/pipe" | head -n 4 | tr '\n' ' ')" 's150 s250 s0 s1 '
is 'and how many more there are' "$(grep -c "^and $((N - 200)) more: tundish service list\$" "$T/pipe")" 1
between 'what needs attention is before them' "$(grep -n '^! service s250' "$T/pipe" | cut -d: -f1)" 3 12
check 'with the command that shows it' grep -q '^  see: tundish service show s250$' "$T/pipe"
is 'a program gets all, in their order' "$(t --json status | jq -c '[.services_total, (.services | length), .services[0].name]')" "[$N,$N,\"s0\"]"
is 'or so many as it asks for' "$(in_ns edge curl -sm 5 --unix-socket /run/tundish/edge.sock 'http://t/v1/status?services=3' | jq -c '[.services[].name]')" '["s150","s250","s0"]'
is 'none too' "$(in_ns edge curl -sm 5 --unix-socket /run/tundish/edge.sock 'http://t/v1/status?services=0' | jq -c '[.services_total, .services]')" "[$N,[]]"
is 'a number it has to be' "$(in_ns edge curl -sm 5 -o /dev/null -w '%{http_code}' --unix-socket /run/tundish/edge.sock 'http://t/v1/status?services=x')" 400

for size in 80x24 100x40 200x60; do
	columns=${size%x*} rows=${size#*x}
	in_ns edge script -qec "stty rows $rows cols $columns; $BUILD/tundish --control /run/tundish/edge.sock status" /dev/null </dev/null | tr -d '\r' >"$T/screen"
	between "on a terminal of $size it is one screen" "$(fold -w "$columns" "$T/screen" | wc -l)" 10 $((rows - 1))
	is 'begins with what needs attention' "$(sed -n '3s/, for .*//p' "$T/screen")" '! service s150'
	is 'has the services in trouble first' "$(rows_of "$T/screen" | head -n 2 | tr '\n' ' ')" 's150 s250 '
	is 'and says how many there are beside' "$(sed -n 's/^and \([0-9]*\) more: tundish service list$/\1/p' "$T/screen")" $((N - $(rows_of "$T/screen" | wc -l)))
done
