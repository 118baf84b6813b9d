#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A real Prometheus, configured by the example, scrapes a daemon with many backends, health checks and source
# ports: it asks for OpenMetrics and understands all of it, the figures are those of the data path, rules and each
# query of the dashboard go through. Both forms are what their own checkers take for right. Readers who take
# nothing have neither others wait nor memory grow.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
cat >>"$T/edge.yaml" <<'YAML'
    health: {type: http, port: 80, path: /healthz, interval: 200ms, timeout: 1s, rise: 1, fall: 2}
YAML
many() { # 60 services of 50 backends each: some 3 MB of metrics, more than sockets' buffers take
	$PYTHON - <<'PY'
for s in range(60):
    print(f"  - {{name: 'many{s}-{'x' * 40}', vips: [198.18.0.{1 + s}], ports: [80], delivery: dsr, own: false, backends: [")
    for b in range(50):
        print(f"      {{name: 'backend-{b}-{'y' * 40}', address: 10.200.0.{1 + b}, weight: {1 + b}}},")
    print("    ]}")
PY
}
many >"$T/many"
sed -i "/^services:/r $T/many" "$T/edge.yaml"
ip -n edge route add 10.200.0.0/24 via 10.0.0.11
reload
is 'the configuration is in force' "$(t --json service list | jq length)" 61
get $VIP 20 >/dev/null
hold $VIP 9
_checked() { [ "$(t --json backend list web | jq '[.[] | select(.health == "up")] | length')" = 3 ]; }
eventually 10 _checked || fatal 'backends are not up'

# ---- both forms
scrape() { in_ns edge curl -sm 20 "$@" http://127.0.0.1:9799/metrics; }
open='application/openmetrics-text;version=1.0.0'
scrape -D "$T/head" -o "$T/text"
check 'without a wish it is text 0.0.4' grep -qi '^Content-Type: text/plain; version=0.0.4' "$T/head"
check 'which comes in pieces' grep -qi '^Transfer-Encoding: chunked' "$T/head"
check 'promtool finds nothing in it' eval "promtool check metrics <$T/text"
scrape -D "$T/head" -o "$T/open" -H "Accept: $open,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
check 'who names OpenMetrics has that' grep -qi '^Content-Type: application/openmetrics-text; version=1.0.0' "$T/head"
check "Prometheus' parser of it finds nothing" $PYTHON "$TOP/tests/prometheus/openmetrics.py" "$T/open"
is 'HEAD is answered without a body' "$(scrape -I -o "$T/head" -w '%{http_code} %{size_download}')" '200 0'
scrape --http1.0 -o "$T/old"
between 'a client of HTTP/1.0 has all of it' "$(wc -l <"$T/old")" $(($(wc -l <"$T/text") - 20)) $(($(wc -l <"$T/text") + 200))
is 'the control socket tells it too' "$(in_ns edge curl -s -H "Accept: $open" --unix-socket /run/tundish/edge.sock http://t/v1/metrics | tail -n 1)" '# EOF'

# ---- readers who take nothing
resident() { awk '/^VmRSS/ {print $2}' /proc/"${PID[edge]}"/status; }
before=$(resident)
mkfifo "$T/go"
(exec nsenter --net=/run/netns/edge $PYTHON "$TOP/tests/net/slow_readers.py" 127.0.0.1 9799 30 <"$T/go" >"$T/slow" 2>&1) &
PID[slow]=$!
exec {GO}>"$T/go"
check 'thirty who read nothing' eventually 60 grep -q ready "$T/slow"
between 'take little memory (KiB)' $(($(resident) - before)) -100000 24576
check 'the daemon answers others' t status
is 'and who wants metrics' "$(scrape -H "Accept: $open" | tail -n 1)" '# EOF'
echo >&"$GO"
check 'who goes on reading' eventually 30 grep -q '^[0-9]' "$T/slow"
read -r count last < <(tail -n 1 "$T/slow")
is 'has the rest, to the end' "$last" '# EOF'
between 'all of it' "${count:-0}" $(($(stat -c %s "$T/open") * 9 / 10)) $(($(stat -c %s "$T/open") * 11 / 10))

# ---- two thousand at once
before=$(resident)
(exec nsenter --net=/run/netns/edge $PYTHON "$TOP/tests/net/scrapers.py" 127.0.0.1 9799 2000 >"$T/scrapers" 2>&1) &
PID[scrapers]=$!
check 'the daemon answers others meanwhile' t status
wait "${PID[scrapers]}"
unset 'PID[scrapers]'
of() { tail -n 1 "$T/scrapers" | jq ".[\"$1\"] // 0"; }
check 'some have all of it' [ "$(of whole)" -ge 10 ]
is 'each of the others is told, not heard, or waits its turn; none has a part' "$(($(of whole) + $(of 503) + $(of closed) + $(of waiting))) $(of cut)" '2000 0'
between 'they took little memory (KiB)' $(($(resident) - before)) -100000 32768
is 'the next one has all of it' "$(scrape -H "Accept: $open" | tail -n 1)" '# EOF'

# ---- a real Prometheus
mkdir "$T/prometheus"
cp "$TOP"/scripts/prometheus/* "$T/prometheus"
sed -e "s|/usr/share/tundish|$T|; s/_interval: 15s/_interval: 1s/; s/scrape_timeout: 10s/scrape_timeout: 1s/" \
	"$TOP/scripts/prometheus/prometheus.example.yaml" >"$T/prometheus.yml"
(exec nsenter --net=/run/netns/edge prometheus --config.file="$T/prometheus.yml" --storage.tsdb.path="$T/tsdb" \
	--web.listen-address=127.0.0.1:9090 --log.level=warn >"$T/prometheus.log" 2>&1) &
PID[prometheus]=$!
api() { in_ns edge curl -sgm 20 "http://127.0.0.1:9090/api/v1/$1" "${@:2}"; }
query() { api query -G --data-urlencode "query=$1" | jq -r '[.data.result[].value[1]] | join(" ")'; }
_gives() { [ "$(query "$1")" = "$2" ]; }
check 'Prometheus scrapes it' eventually 40 _gives 'up{job="tundish"}' 1 || tail -n 5 "$T/prometheus.log"
check 'open connections' eventually 20 _gives 'sum(tundish_connections_active{service="web"})' 9
is 'as many series of a metric as there are backends' "$(query 'count(tundish_backend_up)')" 3003
check 'rates by service are recorded' eventually 30 _gives 'count(service:tundish_connections:rate1m)' 61
check 'a histogram of health checks' eventually 20 _gives 'count(tundish_check_latency_seconds_count{service="web"} > 0)' 1
check 'and its 99th percentile' eventually 30 _gives 'count(service:tundish_check_latency_seconds:p99_5m{service="web"} > 0)' 1
is 'it was OpenMetrics: it knows units' "$(api 'metadata?metric=tundish_check_latency_seconds' | jq -r '.data[][].unit')" seconds
is 'nothing is wrong with the target' "$(api targets | jq -r '.data.activeTargets[].lastError')" ''
_rules() { [ "$(api rules | jq -r '[.data.groups[].rules[].health] | group_by(.) | map("\(.[0]) \(length)") | join(", ")')" = 'ok 22' ]; }
check 'each rule goes through' eventually 30 _rules
failed=0
while IFS= read -r asked; do
	asked=${asked//\$__rate_interval/1m} asked=${asked//\$instance/.*} asked=${asked//\$service/.*}
	[ "$(api query -G --data-urlencode "query=$asked" | jq -r .status)" = success ] || { failed=$((failed + 1)) && echo "# $asked"; }
done < <(jq -r '.panels[].targets[]?.expr' "$TOP/scripts/prometheus/tundish.dashboard.json")
is 'and each query of the dashboard' $failed 0
is 'which shows them' "$(query 'sum(service:tundish_connections_active:sum{instance=~".*",service=~"web"})')" 9
