#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# /metrics on its own address: valid lines, and figures that are those of the data path.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
get $VIP 20 >/dev/null
hold $VIP 9
in_ns edge curl -si -H 'Accept: application/openmetrics-text; version=1.0.0' \
	http://127.0.0.1:9799/metrics >"$T/metrics"
check 'answers 200' grep -q '^HTTP/1.1 200' "$T/metrics"
check 'says that it is OpenMetrics' grep -qi '^Content-Type: application/openmetrics-text' "$T/metrics"
check 'ends as OpenMetrics wants' bash -c "tail -n 1 $T/metrics | grep -q '^# EOF'"
value() { sed -n "s/^$1 //p" "$T/metrics"; }
is 'open connections' "$(sed -n 's/^tundish_connections_active{service="web",target="b[0-9]"} //p' "$T/metrics" | awk '{s += $1} END {print s}')" 9
is 'a backend is up' "$(value 'tundish_backend_up{service="web",backend="b1"}')" 1
for b in $BACKENDS; do
	is "$b: connections in total" "$(value "tundish_connections_total{service=\"web\",target=\"$b\"}")" "$(backend_field $b connections_total)"
done
check 'drops by reason' grep -q '^tundish_drops_total{reason="' "$T/metrics"
is 'every line is well formed' "$(sed '1,/^\r$/d' "$T/metrics" | grep -vcE '^(# (HELP|TYPE|UNIT|EOF)|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.eE+-]+( [0-9.]+)?$)')" 0
is 'no series twice' "$(sed '1,/^\r$/d' "$T/metrics" | grep -v '^#' | sed 's/ [^ ]*$//' | sort | uniq -d | wc -l)" 0
is 'nothing else there' "$(in_ns edge curl -sm 5 -o /dev/null -w '%{http_code}' http://127.0.0.1:9799/v1/config)" 404

# None: whatever the file says, which by default is that address, and after it is read again too.
listeners() { in_ns edge ss -Hltn "sport = :9799" | wc -l; }
trouble() { t --json status | jq '[.attention[] | select(.what == "metrics")] | length'; }
is 'there it listens' "$(listeners) $(trouble)" '1 0'
stop edge
METRICS=off start edge
is '--metrics off: nowhere' "$(listeners) $(trouble)" '0 0'
reload
is 'after a reload too' "$(listeners) $(trouble)" '0 0'
stop edge
METRICS=of start edge
check 'another word is told' bash -c "grep -q 'metrics address \"of\": expected ADDR:PORT.*, or off' $T/tundishd-edge.log"
is 'and in status' "$(trouble)" 1
