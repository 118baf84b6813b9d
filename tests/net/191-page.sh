#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The stats page in a real browser: it says what the control socket says, is ordered and filtered, follows a
# backend that goes down and comes back and a daemon that is away, takes no markup from anybody, fits a phone,
# and changes nothing unless the configuration lets it.
. "$(dirname "$0")/lib.sh"
one_nic
vips_on_lo b1 b2 b3
for b in b1 b2 b3; do web $b; done
web edge
# A health check whose word is markup.
printf '#!/bin/sh\necho "<img src=x onerror=window.owned=1><b>bold</b>"\nexit 1\n' >"$T/hostile"
chmod +x "$T/hostile"
base_config() { # COMMANDS
	config edge <<-YAML
		interfaces: [{name: eth0, attach: native}]
		metrics: {commands: $1}
		services:
		  - name: web
		    vips: [$VIP, "$VIP6"]
		    ports: [80]
		    delivery: dsr
		    health: {type: tcp, port: 8080, interval: 200ms, timeout: 100ms, rise: 1, fall: 1}
		    backends: [{name: b1, address: 10.0.0.11}, {name: b2, address: 10.0.0.12}, {name: b3, address: 10.0.0.13, weight: 10}]
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
		  - name: odd
		    vips: [$VIP2]
		    ports: [82]
		    delivery: dsr
		    health: {type: exec, command: [$T/hostile], interval: 1s, timeout: 900ms, rise: 1, fall: 1}
		    backends: [{name: b1, address: 10.0.0.13}]
	YAML
}
base_config false
start edge
_checked() { [ "$(t --json backend list | jq -r '[.[] | select(.health != "none") | .health] | unique | length')" = 2 ]; }
check 'the checks have answered' eventually 10 _checked
for _ in 1 2 3; do get $VIP 20 >/dev/null; done
hold $VIP 30

# ---- without a browser ------------------------------------------------------------
http() { in_ns edge curl -sm 5 -o "$T/answer" -w '%{http_code}' "$@"; }
URL=http://127.0.0.1:9799
is 'there is a page' "$(http -D "$T/head" $URL/)" 200
between 'of less than 100 KB' "$(stat -c %s "$T/answer")" 1000 100000
cp "$T/answer" "$T/page.html"
is 'that takes nothing from elsewhere' "$(grep -coE '(src|href)="?(https?:)?//' "$T/answer")" 0
for header in "Content-Security-Policy: default-src 'none'; script-src 'sha256-" 'X-Content-Type-Options: nosniff' \
	'Referrer-Policy: no-referrer' 'Cache-Control: no-cache'; do
	check "with ${header%%:*}" grep -qF "$header" "$T/head"
done
tag=$(sed -n 's/^ETag: \(.*\)\r$/\1/p' "$T/head")
is 'and is not sent twice' "$(http -H "If-None-Match: $tag" -w '%{http_code} %{size_download}' $URL/)" '304 0'
is 'another one is' "$(http -H 'If-None-Match: "x"' $URL/)" 200
for path in status services backends backends/web workers/app tuples ports timewait events metrics; do
	is "it may read $path" "$(http $URL/v1/$path)" 200
done
for path in config flows flows/count trace egress workers 'ports?scan=1' ports/blocked nothing; do
	is "but not $path" "$(http "$URL/v1/$path")" 404
done
for path in 'backends?limit=501' 'services?limit=501' 'tuples?top=501' 'ports?top=501'; do
	is "in pieces: $path" "$(http "$URL/v1/$path")" 400
done
is 'a piece' "$(http "$URL/v1/backends?limit=2" && jq -c '[.[].name]' "$T/answer")" '200["b1","b2"]'
is 'other names of this host are refused' "$(http -H 'Host: evil.example:9799' $URL/v1/status)" 403
is 'but not for metrics' "$(http -H 'Host: evil.example:9799' $URL/metrics)" 200
is 'its own is not' "$(http -H "Host: $(uname -n):9799" $URL/v1/status)" 200
drain() { http -X POST "$@" $URL/v1/backends/web/b1/drain; }
is 'nothing is changed there' "$(drain -H 'X-Tundish: 1')" 403
check 'and the key is named' grep -q 'metrics: {commands: true}' "$T/answer"
check 'which is an event' eval 't --json events --once | jq -es "flatten | map(select(.event == \"control-refused\")) | length > 0"'
is 'b1 is up' "$(backend_field b1 state)" up

# ---- with one -----------------------------------------------------------------------
mkfifo "$T/steps" "$T/answers"
# page STEP ARGUMENTS...: each is a string, or JSON where it begins with a digit
page() {
	local answer
	jq -nc '[$ARGS.positional[] | if test("^[0-9]+$") then tonumber else . end]' --args "$@" >&8
	IFS= read -r answer <&9
	printf '%s\n' "$answer"
}
begin_page() {
	(exec nsenter --net=/run/netns/edge env HOME="$T" $PYTHON "$TOP/tests/net/page.py" $URL/ "$T/profile" \
		<"$T/steps" >"$T/answers" 2>"$T/browser.log") &
	exec 8>"$T/steps" 9<"$T/answers"
	IFS= read -r answer <&9
	[ "$answer" = true ] || fatal 'no browser begins'
}
shows() { is "$1" "$(page wait "$2")" true; } # NAME SCRIPT
text_of() { page run "return document.querySelector('$1').textContent" | jq -r .; }
cell() { page rows "$1" | jq -r --arg n "$2" --arg c "$3" '.[] | select(.["#"] == $n) | .[$c]'; } # TABLE ROW COLUMN
names() { page rows "$1" | jq -r 'map(.["#"]) | join(" ")'; }
shot() { [ -z "${PAGE_SHOTS-}" ] || page shot "$PAGE_SHOTS/$1.png" >/dev/null; }
begin_page
is 'the page is live' "$(page open)" true
is 'and says whose it is' "$(text_of '#host')" "$(uname -n)"

is 'what is wrong comes first' "$(names '#services-table')" 'quiet odd web app'
is 'attention is that of the control socket' \
	"$(page run "return [...document.querySelectorAll('#attention-list .what')].map((e) => e.textContent).sort()" | jq -c .)" \
	"$(t --json status | jq -c '[.attention[].what] | sort')"
is 'with commands' \
	"$(page run "return [...document.querySelectorAll('#attention-list code')].map((e) => e.textContent).sort()" | jq -c .)" \
	"$(t --json status | jq -c '[.attention[].command | select(.)] | sort')"
check 'and since when' eval 'text_of "#attention-list" | grep -qE "status 1.*since [0-9]{2}:[0-9]{2}:[0-9]{2}"'
digits() { tr -dc '0-9'; }
_as_said() { # figures move: within some looks
	local s
	for s in web app quiet odd; do
		[ "$(cell '#services-table' $s Active | digits) $(cell '#services-table' $s State)" = \
			"$(t --json service list | jq -r ".[] | select(.service == \"$s\") | \"\(.connections_active) \(.state)\"")" ] || return
	done
}
check 'services are those of the control socket' eventually 10 _as_said
is 'with their VIPs' "$(cell '#services-table' web VIPs)" "$VIP $VIP6 tcp 80"
is 'workers are counted' "$(cell '#services-table' app Up)" "$(t --json service show app | jq -r '(if type == "array" then .[0] else . end).workers.up') worker"
_tuples() {
	[ "$(page rows '#tuples-table' | jq -r '.[0] | [.Client, .VIP, .Port, .Active] | join(" ")')" = \
		"$(t --json tuple list --top 1 | jq -r '.[0] | [.client, .vip, (.port | tostring), (.active | tostring)] | join(" ")')" ]
}
check 'clients too' eventually 15 _tuples
shows 'TIME_WAIT' "return /of at most \d/.test(document.querySelector('#timewait-facts').textContent)"
is 'events, the newest first' "$(page rows '#events-table' | jq -r '.[-1].Event')" "$(t --json events --once | jq -rs 'flatten | .[0].event')"


# drops by reason, in words; events by what they say and how grave they are
in_ns client curl -sm 1 -o /dev/null "http://$VIP2:81/"
check 'what is dropped is told' eventually 10 eval '[ -n "$(cell "#drops-table" no_backend Packets)" ]'
is 'with the sentence of its counter' "$(cell '#drops-table' no_backend 'What they were')" \
	"$(sed -n 's/.*X(drop_no_backend, DROP, "\(.*\)").*/\1/p' "$TOP/include/tundish/counters.h")"
reasons=$(grep -o 'X(drop_[a-z0-9_]*, *DROP' "$TOP/include/tundish/counters.h" | sed 's/X(drop_\(.*\), .*/\1/')
between 'there are reasons' "$(wc -l <<<"$reasons")" 10 100
is 'each one has a sentence' "$(while read -r reason; do grep -qF "$reason: \"" "$T/page.html" || echo "$reason"; done <<<"$reasons")" ''
_graver() { # as many, and each marked
	[ "$(page rows '#events-table' | jq -c 'map(.Level) | [length, (map(select(. == "error" or . == "warning")) | length)]')" = \
		"$(t --json events --once | jq -cs 'flatten | map(select(.priority == "err" or .priority == "warning")) | [length, length]')" ]
}
page click '#events-bad' >/dev/null
check 'of events the graver ones alone' eventually 10 _graver
between 'which are some' "$(page rows '#events-table' | jq length)" 1 100
page type '#events-filter' 'ODD/b1' >/dev/null
_of_odd() { page rows '#events-table' | jq -e 'map(.Object) | length > 0 and all(test("(^| )odd/b1$"))' >/dev/null; }
check 'of one object' eventually 5 _of_odd
check 'which a link keeps' eval 'page open "$(page run "return location.hash" | jq -r .)" >/dev/null && eventually 10 _of_odd'
check 'counted' eval 'text_of "#events-count" | grep -qE "^[0-9]+ of [0-9]+$"'
page type '#events-filter' '' >/dev/null
page click '#events-bad' >/dev/null
_all_events() { [ "$(text_of '#events-count' | digits)" = "$(t --json events --once | jq -s 'flatten | length')" ]; }
check 'and all again' eventually 10 _all_events
page run 'scrollTo(0, 0); return true' >/dev/null # plots are asked for of what is on the screen

# what the daemon keeps of the last hour, a point each ten seconds, and its doctor
shows 'plots of the last hour' "return document.querySelectorAll('#tiles .plot path').length >= 5"
shows 'of services on the screen too' "return document.querySelectorAll('#services-table .spark path').length > 0"
_findings() {
	[ "$(page rows '#doctor-table' | jq -c 'map(.What) | sort')" = \
		"$(in_ns edge curl -s $URL/v1/doctor | jq -c 'map(select(.verdict != "ok") | .what) | sort')" ]
}
check 'findings of doctor' eventually 30 _findings

# order and filter, by hand
order() { page click_text '#services-table > .scroll > table > thead button' "$1"; }
is 'a heading orders' "$(order Service) $(names '#services-table')" 'true app odd quiet web'
is 'which is told' "$(page run "return document.querySelector('#services-table th[aria-sort]').getAttribute('aria-sort')")" '"ascending"'
is 'and the other way round' "$(order Service) $(names '#services-table')" 'true web quiet odd app'
is 'figures begin with the greatest' "$(order Active) $(names '#services-table' | cut -d' ' -f1)" 'true web'
for column in VIPs State Reason Up New Packets Bytes; do
	is "by $column" "$(order "$column") $(page run "return document.querySelector('#services-table th[aria-sort]').textContent")" "true \"$column\""
done
order Service >/dev/null
page type '#filter' od >/dev/null
is 'a filter leaves its rows' "$(names '#services-table')" odd
is 'and says how many' "$(text_of '#services-count')" '1 of 4'
page type '#filter' "$VIP6" >/dev/null
is 'by address too' "$(names '#services-table')" web
page click_text '#services-table .name button' web >/dev/null
shows 'a service opens' "return document.querySelectorAll('.open tbody tr').length === 3"
link=$(page run 'return location.hash' | jq -r .)
page open >/dev/null
is 'which a link keeps' "$(page open "$link") $(names '#services-table') $(text_of '#services-count')" 'true web 1 of 4'
shows 'all of it' "return document.querySelectorAll('.open tbody tr').length === 3"
_backends() {
	local b
	for b in b1 b2 b3; do
		[ "$(cell .open $b Active | digits) $(cell .open $b Total | digits) $(cell .open $b Weight) $(cell .open $b Health)" = \
			"$(t --json backend list web | jq -r ".[] | select(.name == \"$b\") | \"\(.connections_active) \(.connections_total) \(.weight) \(.health)\"")" ] || return
	done
}
check 'backends are those of the control socket' eventually 10 _backends

# a backend goes and comes back while somebody looks
page type '#filter' '' >/dev/null
page run "document.querySelector('.open th[role=rowheader]').id = 'stays'" >/dev/null
kill "${PID[web-b2]}"
shows 'a backend that goes down is down' "return [...document.querySelectorAll('.open tbody tr')].some((r) => r.textContent.startsWith('b2') && /down/.test(r.textContent))"
check 'with the reason of the control socket' eventually 10 eval \
	'[ "$(cell .open b2 Reason)" = "$(t --json backend list web | jq -r ".[] | select(.name == \"b2\") | .reason")" ]'
check 'since when' eval 'cell .open b2 Since | grep -qE "[0-9]{2}:[0-9]{2}:[0-9]{2}"'
_degraded() { [ "$(cell '#services-table' web State)" = degraded ]; }
check 'its service is degraded' eventually 10 _degraded
shows 'it needs attention' "return /backend web\/b2/.test(document.querySelector('#attention-list').textContent)"
web b2
shows 'and comes back by itself' "return [...document.querySelectorAll('.open tbody tr')].some((r) => r.textContent.startsWith('b2') && !/down/.test(r.textContent))"
shows 'without attention' "return !/backend web\/b2/.test(document.querySelector('#attention-list').textContent)"
is 'rows are the same elements all the time' "$(page run "return document.querySelector('#stays').textContent")" '"b1"'

# hostile text
page click_text '#services-table .name button' odd >/dev/null
for place in '#attention-list' '.open' '#services-table' '#events-table'; do
	shows "what a check says is text in $place" "return document.querySelector('$place').textContent.includes('<img src=x')"
done
is 'and no markup' "$(page run "return [document.querySelectorAll('img, main b').length, window.owned === undefined]" | jq -c .)" '[0,true]'
page open '#service=%3Cimg%20src%3Dx%20onerror%3Dwindow.owned%3D1%3E&filter=%3Cscript%3E&sort.services=%3Cb%3E' >/dev/null
is 'nor in a link' "$(page run "return [document.querySelectorAll('img, main b').length, window.owned === undefined]" | jq -c .)" '[0,true]'
is 'markup from strings is refused altogether' \
	"$(page run "try { document.body.innerHTML = '<b>'; return 'done' } catch { return 'refused' }")" '"refused"'

# for whom
page open >/dev/null
is 'nobody is offered a command' "$(page run "return document.querySelectorAll('.act').length")" 0
page tree >"$T/tree"
for role in banner main region table columnheader rowheader cell; do
	check "a screen reader has a $role" jq -e --arg r $role 'map(select(.[0] == $r)) | length > 0' "$T/tree"
done
check 'tables are named' jq -e 'map(select(.[0] == "table" and .[1] == "Services with their state and rates")) | length == 1' "$T/tree"
page run "location.hash = 'filter=o'" >/dev/null
page run "document.querySelector('.skip').focus()" >/dev/null
page keys ENTER >/dev/null
is 'one can skip to the services' "$(page run "return document.activeElement.id + ' ' + location.hash")" '"services #filter=o"'
page run "location.hash = ''; document.querySelector('#filter').focus()" >/dev/null
page keys TAB >/dev/null
is 'headings are reached by keys' "$(page run 'return document.activeElement.textContent')" '"Service"'
page keys ENTER >/dev/null
is 'and pressed' "$(page run "return document.querySelector('#services-table th[aria-sort]').textContent")" '"Service"'
page run "document.querySelector('#services-table .name button').focus()" >/dev/null
page keys ENTER >/dev/null
is 'services too, and keep the focus' "$(page run "return document.activeElement.getAttribute('aria-expanded')")" '"true"'
wide='return document.documentElement.scrollWidth <= innerWidth'
shot light
page scheme dark >/dev/null
shot dark
is 'dark where that is wanted' "$(page run "return getComputedStyle(document.body).backgroundColor")" '"rgb(20, 23, 26)"'
page size 360 800 >/dev/null
page scheme light >/dev/null
is 'a phone does not scroll sideways' "$(page run "$wide")" true
shot phone
page run 'scrollTo(0, 1100)' >/dev/null
shot phone-below
check 'and has a table still' eval 'page tree | jq -e "map(select(.[0] == \"columnheader\")) | length > 5"'
page size 1280 900 >/dev/null
page run 'scrollTo(0, 0)' >/dev/null

# answers that this host does not give by itself
page open >/dev/null
page run "document.querySelector('#services-table [data-service=web]').id = 'spark'" >/dev/null
given() { # PATH STATUS BODY: the page gets this for what begins with the path
	page run "const was = window.fetch, [path, status, body] = arguments;
		window.fetch = (p, o) => p.startsWith('/v1/' + path) ? Promise.resolve(new Response(body, {status: Number(status)})) : was(p, o)" "$@" >/dev/null
}
finding='{"id": "x", "what": "queue", "verdict": "warn", "value": 5000, "limit": null, "unit": "frames", "sentence": "full"}'
given doctor 200 "[$finding, $finding, {\"id\": \"y\", \"what\": \"z\", \"verdict\": \"note\", \"value\": null}]"
given ports 200 "$(jq -nc '[{remote_port: 1, seconds_to_exhaustion: 9}, {remote_port: 2, seconds_to_exhaustion: null}, {remote_port: 3, seconds_to_exhaustion: 5}]')"
doctor_rows() { page rows '#doctor-table' | jq -r "$1"; }
check 'findings that are called the same are all there' eventually 30 eval '[ "$(doctor_rows "map(.What) | join(\" \")")" = "queue queue z" ]'
page click_text '#doctor-table thead button' What >/dev/null
is 'drawn anew too' "$(doctor_rows 'map(.What) | join(" ")')" 'queue queue z'
is 'figures of doctor have their unit' "$(doctor_rows '.[0].Value' | digits) $(doctor_rows '.[0] | .Value[-6:], .Limit' | tr '\n' ' ')" '5000 frames  '
when() { page click_text '#ports-table thead button' When >/dev/null && page rows '#ports-table' | jq -c 'map(.Port)'; }
shows 'source ports, one of which does not fill' "return document.querySelectorAll('#ports-table tbody tr').length === 3"
is 'what is not known is last' "$(when)" '["1","3","2"]'
is 'the other way round too' "$(when)" '["3","1","2"]'
given ports 503 '{"error": "a scan is under way"}'
given timewait 503 '{"error": "source ports are not watched; set ports: {watch: on}"}'
given tuples 404 '{"error": "nothing there"}'
page run "const was = window.fetch; window.hung = [];
	window.fetch = (p, o) => p.startsWith('/v1/doctor') ? (hung.push(performance.now()), new Promise(() => {})) : was(p, o)" >/dev/null
shows 'what is off is not there' "return document.querySelector('#timewait').hidden && document.querySelector('#tuples').hidden"
shows 'nobody waits for a doctor who is long' "return hung.length && performance.getEntriesByType('resource').some((e) => e.name.endsWith('/v1/status') && e.startTime > hung[0] + 500)"
is 'what is refused for now stays as it was' "$(page rows '#ports-table' | jq length) $(text_of '#ports .trouble')" '3 a scan is under way'
attend() { given status 200 "$(http $URL/v1/status >/dev/null && jq -c ".attention = $1" "$T/answer")"; }
attend '[{what: "first", why: "4 of 9"}, {what: "queue", why: "5 of 9 full", seconds: 0, do: "this", command: "that"}]'
shows 'attention, from now on' "return /queue: 5 of 9 full, since \d\d:/.test(document.querySelector('#attention-list').textContent)"
is 'is read aloud' "$(text_of '#attention-said')" '2 things need attention: first: 4 of 9; queue: 5 of 9 full'
page run "getSelection().selectAllChildren(document.querySelector('#attention-list code'))" >/dev/null
attend '[{what: "queue", why: "6 of 9 full", seconds: 9, do: "this", command: "that"}]'
shows 'other figures are shown' "return /^queue: 6 of 9 full/.test(document.querySelector('#attention-list').textContent)"
is 'and leave what somebody copies' "$(page run 'return String(getSelection())')" '"that"'
attend '[{what: "queue", why: "7 of 9 full", seconds: 9, do: "this", command: "that"}]'
page run "document.querySelector('#attention-said').firstChild.data = 'as it was'" >/dev/null
shows 'once more' "return /^queue: 7 of 9 full/.test(document.querySelector('#attention-list').textContent)"
is 'without being read aloud for them' "$(text_of '#attention-said')" 'as it was'
attend '[]'
shows 'that nothing is wrong is' "return document.querySelector('#attention-said').textContent === 'nothing needs attention' && document.querySelector('#attention-list').textContent === 'nothing'"
is 'one look of doctor at a time' "$(page run 'return hung.length')" 1
is 'rows that move keep the focus' "$(page run "const lost = [];
	for (const b of [...document.querySelectorAll('#services-table .name button')]) {
		b.focus();
		document.querySelector('#services-table thead button').click();
		if (document.activeElement !== b)
			lost.push(b.textContent);
	}
	return lost" | jq -c .)" '[]'
is 'what is hidden is, however it is laid out' "$(page run "const e = document.querySelector('.tools');
	e.hidden = true; const display = getComputedStyle(e).display; e.hidden = false; return display")" '"none"'
is 'plots are drawn in their place' "$(page run "return document.querySelector('#spark').isConnected")" true
given services 200 "$(http $URL/v1/services >/dev/null && jq -c 'map(if .service == "web" then .backends = 6000 else . end)' "$T/answer")"
page run "const was = window.fetch; window.fetch = (p, o) => !p.startsWith('/v1/backends/web') ? was(p, o) : Promise.resolve(new Response(JSON.stringify(
	Array.from({length: 500}, (x, i) => ({id: i + 1 + Number(new URL(p, location).searchParams.get('after')), name: 'b' + i})))));
	location.hash = 'service=web'" >/dev/null
shows 'a list that is cut says so' "return /the first 5\u202f000 of 6\u202f000 backends/.test(document.querySelector('.open').textContent)"
page open >/dev/null

# who does not look asks for nothing
asked() { page run "return performance.getEntriesByType('resource').length"; }
hide() { page run "Object.defineProperty(document, 'hidden', {value: $1, configurable: true}); document.dispatchEvent(new Event('visibilitychange'))" >/dev/null; }
page run "performance.setResourceTimingBufferSize(100000)" >/dev/null
hide true
_rests() { # what was under way ends; then there is nothing for two turns
	was=$(asked)
	sleep 4.5
	[ "$(asked)" = "$was" ]
}
check 'a page that nobody looks at asks for nothing' eventually 20 _rests
was=$(asked)
hide false
_asks() { [ "$(asked)" -gt "$was" ]; }
check 'and goes on when somebody does' eventually 10 _asks

# the daemon is away
stop edge KILL
shows 'no answer is told, since when' "return /^no answer since \d\d:\d\d:\d\d$/.test(document.querySelector('#live').textContent)"
is 'what it said last stays' "$(page rows '#services-table' | jq length)" 4
base_config true
start edge
shows 'it comes back by itself' "return document.querySelector('#live').textContent === 'live'"
_anew() { [ "$(page rows '#events-table' | jq -c 'map(.Event)')" = "$(t --json events --once | jq -cs 'flatten | map(.event) | reverse')" ]; }
check 'with the events of the daemon that is there now' eventually 20 _anew

# with commands
_offered() { page open '#service=web' && page wait "return document.querySelectorAll('.act').length === 9"; }
check 'where the file lets it, it has buttons' _offered
for header in '' 'X-Tundish: 0'; do
	is "a form cannot press them (${header:-no header})" "$(drain ${header:+-H "$header"})" 403
done
is 'nor another page' "$(drain -H 'X-Tundish: 1' -H 'Origin: http://evil.example')" 403
is 'nor under another name' "$(drain -H 'X-Tundish: 1' -H 'Host: evil.example')" 403
is 'nothing else is there' "$(http -X POST -H 'X-Tundish: 1' $URL/v1/reload) $(http -X POST -H 'X-Tundish: 1' $URL/v1/workers/app/w0/drain)" '405 405'
is 'b1 is up still' "$(backend_field b1 state)" up
page run "document.querySelector('.act[aria-label=\"drain web/b1\"]').click()" >/dev/null
is 'a command asks first' "$(page run "return document.querySelector('#ask').open && document.querySelector('#ask-title').textContent")" '"drain web/b1?"'
shot ask
page keys ESCAPE >/dev/null
is 'no is no' "$(page run "return document.querySelector('#ask').open") $(backend_field b1 state)" 'false up'
page run "const was = window.fetch; window.fetch = (p, o) => o.method !== 'POST' ? was(p, o)
	: new Promise((done) => { window.late = () => { window.fetch = was; done(new Response('{}')); }; })" >/dev/null
page click '.act[aria-label="drain web/b3"]' >/dev/null
page click '#ask-yes' >/dev/null
page keys ESCAPE >/dev/null
page click '.act[aria-label="drain web/b2"]' >/dev/null
page run "window.late()" >/dev/null
is 'a late answer leaves the next question' "$(page wait "return performance.now() > (window.then ??= performance.now()) + 500") $(page run "return [document.querySelector('#ask').open, document.querySelector('#ask-yes').disabled]" | jq -c .)" 'true [true,false]'
page keys ESCAPE >/dev/null
page click '.act[aria-label="drain web/b1"]' >/dev/null
page click '#ask-yes' >/dev/null
check 'yes drains it' eventually 10 eval '[ "$(backend_field b1 state)" = drain ]'
shows 'and the row says so' "return [...document.querySelectorAll('.open tbody tr')].some((r) => /^b1.*drain/.test(r.textContent))"
check 'it is an event, with its origin' eval 't --json events --once | jq -es "flatten | map(select(.reason == \"drain by command over the metrics address from 127.0.0.1\")) | length == 1"'
is 'a weight by a program' "$(http -X POST -H 'X-Tundish: 1' -d '{"weight": 7}' $URL/v1/backends/web/b2/weight) $(backend_field b2 weight)" '200 7'
sed -i 's/commands: true/commands: false/' "$T/edge.yaml"
check 'a reload takes it back' reload
shows 'the buttons too' "return document.querySelectorAll('.act').length === 0"
is 'and refuses again' "$(drain -H 'X-Tundish: 1')" 403

# ---- a thousand services ---------------------------------------------------------------
{
	echo 'interfaces: [{name: eth0, attach: native}]'
	echo 'limits: {services: 1100, backends: 3300, vips: 1100}'
	echo 'services:'
	for i in $(seq 0 999); do
		echo "  - {name: s$i, vips: [198.18.$((i / 250)).$((i % 250 + 1))], ports: [80], own: false, delivery: dsr, backends: [{name: b1, address: 10.0.0.11}, {name: b2, address: 10.0.0.12}, {name: b3, address: 10.0.0.13, weight: 0}]}"
	done
} | config edge
t unload >/dev/null
stop edge
start edge
is 'a thousand services' "$(page open)" true
is 'are all known' "$(text_of '#services-count' | digits)" 1000
between 'and drawn as far as they are wanted' "$(page run "return document.querySelectorAll('#services-table tbody tr').length")" 20 100
page click '#services-table .more' >/dev/null
between 'more on demand' "$(page run "return document.querySelectorAll('#services-table tbody tr').length")" 60 200
is 'by name, as people count' "$(order Service) $(names '#services-table' | cut -d' ' -f1-12)" 'true s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11'
page type '#filter' s99 >/dev/null
is 'a filter finds' "$(text_of '#services-count')" '11 of 1000'
page type '#filter' '' >/dev/null
page run "const more = document.querySelector('#services-table .more'); more.focus(); while (!more.hidden) more.click()" >/dev/null
is 'the last "more" leaves the focus with what came' "$(page run "return document.activeElement.matches('.name button')")" true
is 'a link opens one that is far below' "$(page open '#service=s777' && page wait "return document.querySelectorAll('#services-table .open tbody tr').length === 3")" "true
true"
between 'and draws no more for it' "$(page run "return document.querySelectorAll('#services-table > .scroll > table > tbody > tr').length")" 20 60
page open >/dev/null
shot thousand
page size 360 800 >/dev/null
is 'on a phone too' "$(page run "$wide")" true
shot thousand-phone
echo "# first contentful paint: $(page run "return performance.getEntriesByName('first-contentful-paint')[0].startTime") ms"
echo "# drawing it anew: $(page run "const b = performance.now(); document.querySelector('#filter').dispatchEvent(new Event('input')); return performance.now() - b") ms"
is 'the browser has nothing to complain of' "$(page log | jq -c '[.[] | select(test("TrustedHTML") | not)]')" '[]'
exec 8>&-
