#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Completion in a real bash and a real zsh: commands, options, and names that the daemon
# knows; and "did you mean" for names that it does not.
# parallel: yes
. "$(dirname "$0")/lib.sh"
export T
BACKENDS=b1
one_nic
LISTEN="0.0.0.0:8080"
config edge <<-YAML
	interfaces: [{name: eth0, attach: native}]
	services:
	  - name: shop-front
	    vips: [$VIP]
	    ports: [80, 8000-8010]
	    delivery: dsr
	    backends:
	      - {name: alpha, address: 10.0.0.11}
	      - {name: beta, address: 10.0.0.12}
	  - name: shop-api
	    vips: ["$VIP6"]
	    ports: 443
	    delivery: dsr
	    backends: [{name: gamma, address: "fd00:0::11"}]
	  - name: app
	    vips: [$VIP2]
	    ports: 80
	    delivery: workers
	    workers: {listen: "$LISTEN"}
YAML
serve s --workers 2
start edge
control=/run/tundish/edge.sock

# line | what it becomes (CC stands for the program and its socket)
lines() {
	cat <<-'LINES'
		CC back|CC backend
		CC backend dr|CC backend drain
		CC backend drain shop-f|CC backend drain shop-front
		CC backend drain shop-front al|CC backend drain shop-front alpha
		CC backend drain shop-front *|CC backend drain shop-front alpha beta
		CC backend drain shop-api *|CC backend drain shop-api gamma
		CC backend weight shop-front beta --js|CC backend weight shop-front beta --json
		CC backend drain shop-front beta --wa|CC backend drain shop-front beta --wait
		CC service show *|CC service show app shop-api shop-front
		CC service show nothing|CC service show nothing
		CC worker drain app *|CC worker drain app all w0 w1
		CC flow list --service=shop-a|CC flow list --service=shop-api
		CC flow list --service shop-a|CC flow list --service shop-api
		CC flow list service=shop-f|CC flow list service=shop-front
		CC flow list --backend ga|CC flow list --backend gamma
		CC flow list --state time|CC flow list --state time-wait
		CC flow list --protocol=u|CC flow list --protocol=udp
		CC trace 192.0.2.20:|CC trace 192.0.2.20:80
		CC config check /etc/host.con|CC config check /etc/host.conf
		CC exec app -- nsent|CC exec app -- nsenter
	LINES
}
told() { # SHELL SCRIPT
	{
		lines
		[ "$1" != bash ] || echo 'CC trace [2001:db8|CC trace [2001:db8::10]:443' # zsh quotes the brackets
	} | sed "s|CC|tundish --control $control|g; s/|.*//" |
		PATH=$BUILD:$PATH in_ns edge "$PYTHON" "$TOP/tests/net/shells.py" "$1" "$TOP/scripts/completion/$2"
}
wanted=$(lines | sed "s/.*|//; s|CC|tundish --control $control|")
for shell in bash zsh; do
	if ! command -v $shell >/dev/null; then
		skip "$shell" "it is not here"
		continue
	fi
	mapfile -t got < <(told $shell tundish.$shell)
	mapfile -t want <<<"$wanted"
	[ $shell != bash ] || want+=("tundish --control $control trace [2001:db8::10]:443")
	for i in "${!want[@]}"; do
		is "$shell: ${want[i]#*"$control "}" "${got[i]-}" "${want[i]}"
	done
	# Names that a shell could read are not offered, and nobody waits for who is silent.
	for kind in hostile silent; do
		rm -f "$T/odd" "$T/odd.ready"
		(cd "$T" && exec "$PYTHON" "$TOP/tests/net/shells.py" $kind "$T/odd" >"$T/odd.ready") &
		odd=$!
		eventually 10 test -s "$T/odd.ready" || fatal 'the odd server does not start'
		case $kind in hostile) rest='good' ;; silent) rest='' ;; esac
		is "$shell: names of a $kind daemon" \
			"$(cd "$T" && echo "tundish --control $T/odd service show *" | PATH=$BUILD:$PATH "$PYTHON" \
				"$TOP/tests/net/shells.py" $shell "$TOP/scripts/completion/tundish.$shell")" \
			"tundish --control $T/odd service show${rest:+ $rest}"
		kill $odd
	done
	is "$shell: nothing was run" "$(find "$T" -name pwned | wc -l)" 0
done

# Each state that is offered is one that the daemon knows.
for state in $("$BUILD/tundish" __complete flow list --state ''); do
	t flow list --state "$state" >/dev/null || not_ok "state $state is offered, and refused"
done

refused 'a service that is mistyped' 4 'there is no service "shop-forn?t"; there are: .*; did you mean "shop-front"\?' \
	t service show shop-fornt
refused 'a backend' 4 'has no backend "aplha"; .*; did you mean "alpha"\?' t backend drain shop-front aplha
refused 'a backend of another service is not meant' 4 'shows those it has$' t backend drain shop-front gama
refused 'a worker, of which two are as near' 4 'has no worker "w9"; `tundish worker list app` shows those it has$' \
	t worker drain app w9
refused 'a filter by a service' 4 'there is no service "ap"; .*did you mean "app"\?' t flow list --service ap
refused 'a filter by a backend' 4 'there is no backend "bata"; .*did you mean "beta"\?' t flow list --backend bata
refused 'by the backend of another service' 4 'service "shop-front" has no backend "gamma"' \
	t flow list --service shop-front --backend gamma
is 'a filter by names that there are' "$(t --json flow list --service shop-front --backend beta | jq length)" 0
is 'an object of the control socket' \
	"$(curl -s --unix-socket "$control" http://x/v1/servcies | jq -r .error)" 'there is no /v1/servcies; did you mean "services"?'
refused 'an option of the daemon' 2 'no option; valid: --config, .*did you mean --metrics\?' \
	"$BUILD/tundishd" --metrisc off
