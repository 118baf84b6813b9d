#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# HAProxy's and keepalived's documented checks as a table (checks.table), each row a server that is bad, good,
# bad and good again. tundish thinks of it what the table says, and so does a real HAProxy that asks the
# same server at the same time, both as often as each other.
# parallel: yes
. "$(dirname "$0")/translated.sh"
BACKENDS=b1
plain_servers 2
TABLE=$TOP/tests/net/checks.table
FIRST=20000
cell() { awk -F'|' -v n="$1" '{gsub(/^ +| +$/, "", $n); print $n}'; } # N of lines
rows() { grep -v '^#' "$TABLE"; }
mapfile -t NAMES < <(rows | cell 1)
say() { echo "$1" >"$T/phase.new" && mv "$T/phase.new" "$T/phase"; }
say bad

# ---- certificates, programs, servers ------------------------------------------------------
signed() { # FILE NAME DAYS
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" -keyout "$T/$1.key" -out "$T/$1.csr" &&
		openssl x509 -req -in "$T/$1.csr" -CA "$T/ca.crt" -CAkey "$T/ca.key" -CAcreateserial -days "$3" -out "$T/$1.crt" \
			-extfile <(echo "subjectAltName=DNS:$2")
}
itself() { # FILE NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" -addext "subjectAltName=DNS:$2" \
		-days 2 -keyout "$T/$1.key" -out "$T/$1.crt"
}
{ itself ca authority && signed good web.example 2 && signed other other.example 2 && signed expired web.example -1 &&
	itself self web.example; } >"$T/openssl.log" 2>&1 || fatal 'no certificates'
while IFS='|' read -r name _ _ good bad _; do
	[[ $good == *exec:* ]] || continue
	cat >"$T/${name// /}" <<-SH
		#!/bin/sh
		read -r phase <$T/phase
		if [ "\$phase" = good ]; then ${good#*exec:}; else ${bad#*exec:}; fi
	SH
	chmod +x "$T/${name// /}"
done < <(rows)
(exec nsenter --net=/run/netns/b1 "$PYTHON" "$TOP/tests/net/odd_server.py" "$TABLE" $FIRST "$T/phase" "$T" 10.0.1.11 >"$T/odd.out" 2>"$T/odd.log") &
eventually 10 grep -q ready "$T/odd.out" || fatal 'no servers'

# ---- who asks them ------------------------------------------------------------------------
{
	cat <<-CFG
		global
			external-check
			insecure-fork-wanted
			stats socket $T/haproxy.sock level admin
		defaults
			timeout connect 1s
			timeout check 1s
			timeout server 5s
			external-check path "/usr/bin:/bin"
			default-server inter 500ms fastinter 250ms fall 3 rise 2
	CFG
	port=$FIRST
	while IFS= read -r line; do
		his=$(cell 8 <<<"$line")
		if [ "$his" != - ]; then
			echo "backend $(cell 1 <<<"$line")"
			echo "	server b1 10.0.1.11:8080 port $port ${his%% ;;*}" | sed "s|DIR|$T|g"
			# shellcheck disable=SC2001
			[[ $his != *' ;; '* ]] || sed "s|DIR|$T|g; s| ;; |\n\t|g; s|^|\t|" <<<"${his#* ;; }"
		fi
		port=$((port + 1))
	done < <(rows)
} >"$T/haproxy.cfg"
haproxy -c -f "$T/haproxy.cfg" >"$T/haproxy-config.log" 2>&1 || fatal 'HAProxy does not take its configuration'
(exec nsenter --net=/run/netns/edge haproxy -db -f "$T/haproxy.cfg" >"$T/haproxy.log" 2>&1) &

{
	echo 'interfaces: [{name: eth0, attach: native}, {name: eth1, attach: native}]'
	echo 'services:'
	port=$FIRST
	while IFS= read -r line; do
		cat <<-YAML
			  - name: $(cell 1 <<<"$line")
			    vips: [192.0.2.$((port - FIRST + 50))]
			    ports: [80]
			    delivery: fullnat
			    sources: [10.0.1.250]
			    health: {port: $port, interval: 500ms, fast_interval: 250ms, timeout: 1s, rise: 2, fall: 3, $(cell 7 <<<"$line" | sed "s|DIR|$T|g")}
			    backends: [{name: b1, address: 10.0.1.11, port: 8080}]
		YAML
		port=$((port + 1))
	done < <(rows)
	echo 'limits: {flows: 1024, flows6: 1024, tuples: 1024, nat: 4096, lanes: 256}'
} | config edge
start edge

# ---- what they think ------------------------------------------------------------------------
haproxy_stat() {
	"$PYTHON" - "$T/haproxy.sock" <<-'PY'
		import csv, socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.connect(sys.argv[1])
		s.sendall(b"show stat\n")
		text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
		for r in csv.DictReader(text.lstrip("# ").splitlines()):
		    if r["svname"] == "b1":
		        print(r["pxname"], r["status"].split()[0].lower(), r["chkdown"], r["weight"])
	PY
}
# "NAME TUNDISH / HAPROXY", for each row.
thoughts() {
	join -a 1 -e - -o 0,1.2,2.2 <(t --json backend list | jq -r '.[] | "\(.service) \(.health)"' | sort) \
		<(haproxy_stat | sort) | awk '{print $1, $2, "/", $3}' | sort
}
wanted() { # PHASE
	if [ "$1" = bad ]; then
		rows | awk -F'|' '{gsub(/ /, "", $1); gsub(/^ +| +$/, "", $6); print $1, $6}' | sort
	else
		rows | awk -F'|' '{gsub(/ /, "", $1); print $1, "up /", ($6 ~ /-/ ? "-" : "up")}' | sort
	fi
}
agree() { THOUGHTS=$(thoughts) && [ "$THOUGHTS" = "$WANTED" ]; }
# Whoever is up in spite of it was asked often enough to be down.
asked() { # PHASE
	local name
	# A tcp check is over before the server's program hears of it.
	for name in $(rows | awk -F'|' '$6 ~ /up \/ up/ && $1 ~ /^http/ {print $1}'); do
		[ "$(tail -n "+$LOGGED" "$T/connections.log" | grep -c "^$name 10.0.1.250 $1")" -ge 5 ] || return 1
	done
}
phase() { # NAME PHASE
	local line
	WANTED=$(wanted "$2")
	LOGGED=$(($(wc -l <"$T/connections.log") + 1))
	say "$2"
	eventually 20 agree || true
	[ "$2" = good ] || [ "$1" = first ] || eventually 10 asked bad || not_ok "$1: too few were asked"
	agree || true
	while IFS= read -r line; do
		is "$1, $2: ${line%% *}" "$(grep "^${line%% *} " <<<"$THOUGHTS")" "$line"
	done <<<"$WANTED"
}
phase first bad
phase second good
phase third bad
phase last good

# Each was down twice, where it was at all, and not to and fro.
events=$(t --json events --once)
for name in "${NAMES[@]}"; do
	want=$(rows | awk -F'|' -v n="$name" '{gsub(/ /, "", $1); if ($1 == n) print ($6 ~ /^ *down/ ? 2 : 0)}')
	downs=$(jq "[.[] | select(.event == \"health\" and .object == \"backend $name/b1\" and (.reason | startswith(\"down: \")))] | length" <<<"$events")
	his=$(haproxy_stat | awk -v n="$name" '$1 == n {print $3}')
	is "changes of mind: $name, and HAProxy's" "$downs ${his:-$want}" "$want $want"
done
is 'a status of 52 is half of the weight' "$(t --json backend list exec-weight | jq '.[0] | .weight_now // .weight')" 50
