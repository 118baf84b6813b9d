#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The last hour: traffic shows up in the points of its own service and of all together, a service that
# stays keeps its points over a reload, one that goes loses them, and a new daemon begins anew.
# parallel: yes
. "$(dirname "$0")/lib.sh"
two_services() { # FIRST SECOND: their names
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		services:
		  - {name: $1, vips: [$VIP], ports: [80], delivery: dsr, backends: [{name: b1, address: 10.0.0.11}, {name: b2, address: 10.0.0.12}]}
		  - {name: $2, vips: [$VIP2], ports: [80], delivery: dsr, backends: [{name: b3, address: 10.0.0.13}]}
	YAML
}
one_nic
vips_on_lo $BACKENDS
for b in $BACKENDS; do web "$b"; done
two_services web quiet
start edge
_serves() { [ "$(get $VIP 12 | grep -c '^b')" = 12 ]; }
eventually 10 _serves || fatal "no service on $VIP within 10 s"

hour() { # [QUERY]
	curl -s --unix-socket /run/tundish/edge.sock "http://localhost/v1/history${1:-}"
}
points() { # QUERY FILTER
	hour "$1" | jq -c "$2"
}
is 'no point has ended yet, or one has' "$(points '' '.[0] | [.service, .step_seconds, (.up | length) <= 1]')" '[null,10,true]'
load $VIP
# two points that have load, one of which is whole
loaded() { [ "$(points '?service=web' '[.[0].connections_rate[] | select(. != null and . > 5)] | length >= 2')" = true ]; }
check 'connections of the service show up' eventually 60 loaded
end_load >/dev/null
hour '?service=web,quiet' >"$T/services"
hour >"$T/all"
is 'the answer has the services that were asked for, in order' "$(jq -c '[.[].service]' "$T/services")" '["web","quiet"]'
is 'the other service had none' "$(jq -c '[.[1].connections_rate[]] | add' "$T/services")" 0
is 'packets and bytes are there' "$(jq -c '.[0] | (.packets_rate | max > 10) and (.bytes_rate | max > 1000)' "$T/services")" true
is 'and their backends' "$(jq -c '[.[0].up[-1], .[1].up[-1]]' "$T/services")" '[2,1]'
is 'all together have as many' "$(jq -sc '(.[0][0].connections_rate | max) <= (.[1][0].connections_rate | max)' "$T/services" "$T/all")" true
is 'and all backends, and what is of the host alone' \
	"$(jq -c '.[0] | [.up[-1], (.drops_rate[-1] | type), (.time_wait[-1] | type), has("port_utilization")]' "$T/all")" '[3,"number","number",true]'
is 'each list has as many points' "$(jq -c '[.[] | [.[] | arrays | length] | unique | length]' "$T/all" "$T/services" | xargs)" '[1] [1,1]'
is 'it ends now' "$(points '' "(.[0].end - $(date +%s)) | . <= 1 and . > -30 * $TUNDISH_TEST_SLOW")" true
is 'numbers have three digits' "$(jq -c '[.[0].bytes_rate[] | select(. > 1000) | . % 10] | unique' "$T/services")" '[0]'

told() { hour "$1" | jq -r .error; }
is 'an unknown one is told, with what was meant' "$(told '?service=web,quite')" \
	'there is no service "quite"; there are: web, quiet; did you mean "quiet"?'
is 'as 404' "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket /run/tundish/edge.sock 'http://localhost/v1/history?service=x')" 404
is 'and so is none' "$(told '?service=' | cut -d';' -f1)" 'there is no service ""'
many=$(printf 'web,%.0s' {1..64})
is '64 at once are answered' "$(points "?service=${many%,}" length)" 64
is 'more are not' "$(told "?service=${many}web")" 'service: at most 64 names at once; ask again for the others'

two_services web other
check 'a reload in which one goes and one comes' reload
is 'who stays keeps its points' "$(points '?service=web' '.[0].connections_rate | max > 5')" true
is 'who came has none of who went' "$(points '?service=other' '[.[0].connections_rate[]] | length <= 1')" true
is 'who went has none' "$(told '?service=quiet' | cut -d';' -f1)" 'there is no service "quiet"'
stop edge
start edge
is 'another daemon begins anew' "$(points '?service=web' '.[0].connections_rate | length <= 1')" true
