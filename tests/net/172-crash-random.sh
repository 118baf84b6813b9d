#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# SIGKILL at moments that nobody chose: idle, in a reload, in a start, in a re-execution, while a file
# with other backends comes and goes. No request fails or waits, what is open stays, and in the end all
# is as it was, in the maps and in the kernel. CRASHES=100 for more of it.
. "$(dirname "$0")/lib.sh"
three_backends dsr
RANDOM=${SEED:-$((EPOCHSECONDS % 32768))}
echo "seed $RANDOM"
for b in $BACKENDS; do weights+="$b=$(backend_field "$b" weight) "; done
hold $VIP 40
cp "$T/edge.yaml" "$T/first.yaml"
WEIGHT=70 edge_config dsr
cat >>"$T/edge.yaml" <<YAML
  - name: second
    vips: [$VIP2, 192.0.2.21, 192.0.2.22, "$VIP62"]
    ports: [80, "8000-8010"]
    delivery: dsr
    backends: [{name: b1, address: 10.0.0.11}, {name: b2, address: 10.0.0.12}, {name: b3, address: 10.0.0.13}]
YAML
cp "$T/edge.yaml" "$T/second.yaml"
cp "$T/first.yaml" "$T/edge.yaml"
pins() { find /sys/fs/bpf/edge -mindepth 1 -printf '%f\n' | sort; }
pins >"$T/pins"
made=$(objects edge)
LOAD_SECONDS=900 load $VIP
moment() { sleep "0.0$((RANDOM % 90 + 10))"; }
other_file() { cp "$T/$([ $((RANDOM % 2)) = 0 ] && echo first || echo second).yaml" "$T/edge.yaml"; }
kinds=
for ((n = 1; n <= ${CRASHES:-12}; n++)); do
	other_file
	case $((n % 4)) in
	0) kind=idle && stop edge KILL ;;
	1) kind=reload && kill -HUP "${PID[edge]}" && moment && stop edge KILL ;;
	2)
		kind=start
		stop edge KILL
		daemon edge
		moment
		stop edge KILL
		;;
	3) kind=reexec && kill -USR2 "${PID[edge]}" && moment && stop edge KILL ;;
	esac
	kinds+="$kind "
	[ "$(get $VIP 10 | grep -c '^b[123] ')" = 10 ] || not_ok "$n, $kind: new connections are served without a daemon"
	start edge
	[ "$(ask)" = "$HELD" ] || not_ok "$n, $kind: the open connections stay"
done
echo "kills: $kinds"
cp "$T/first.yaml" "$T/edge.yaml"
check 'the first file again' reload
steady 'the open connections are where they were'
end_load >/dev/null
between 'requests were made' "$REQUESTS" 100 100000000
is 'none failed' "$FAILURES" 0
is 'none was slow (a lost packet)' "$SLOW" 0
is 'weights are as they were' "$(for b in $BACKENDS; do printf '%s ' "$b=$(backend_field "$b" weight)"; done)" "$weights"
is 'the second service is gone' "$(t --json service list | jq -c '[.[].service]')" '["web"]'
is 'its VIPs are off this host' "$(ip -n edge addr | grep -cE "$VIP2|192.0.2.2[12]|$VIP62")" 0
is 'the pins are the same' "$(pins | diff - "$T/pins")" ''
is 'so are the objects in the kernel' "$(objects edge)" "$made"
release >/dev/null
check 'unload' t unload
check 'nothing is left' eventually 10 gone "$made"
