#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Ten thousand addresses of a prefix in each family, in front of four listeners; more prefixes than can
# be counted by address.
# parallel: yes
. "$(dirname "$0")/lib.sh"
PRIORITY=$REAL_TIME # shares of work, whatever else runs here
group_host
ip -n client route add 198.18.0.0/18 via 10.0.0.1
ip -n client route add 2001:db8:1::/64 via fd00::1
config edge <<YAML
interfaces: [{name: eth0, attach: native}]
services:
  - name: app
    vips: [198.18.0.0/18, "2001:db8:1::/64", $VIP]
    ports: ["8000-8099"]
    delivery: workers
    workers: {listen: "[::]:8080"}
  - name: inside
    vips: [198.18.0.7]
    ports: [8000]
    delivery: workers
    workers: {listen: "[::]:9090"}
YAML
serve s --workers 4
LISTEN='[::]:9090' serve inside --workers 1
start edge
PORT=8000 flood 198.18.1.0 4000 10000 --vips 10000 --check
all_answered 'ten thousand of IPv4'
is 'all four serve' "$(echo "$RESULT" | jq -r '.tally | keys | join(" ")')" 's0 s1 s2 s3'
between 'about evenly' "$(echo "$RESULT" | jq '[.tally[]] | max')" 2500 3500
PORT=8000 flood 2001:db8:1::1 4000 10000 --vips 10000 --check
all_answered 'ten thousand of IPv6'
PORT=8000 flood 198.18.2.0 4000 2000 --vips 100 --ports 100 --check
all_answered 'on a hundred ports'
PORT=8000 flood 198.18.0.7 2000 200 --check
is 'one inside belongs to another service' "$(answered_by ^inside) $(result answered)" '200 200'
PORT=8001 flood 198.18.0.7 2000 200 --check
is 'its other ports to the prefix' "$(answered_by '^s[0-3]$')" 200
PORT=8000 flood $VIP 2000 200 --check
all_answered 'a single VIP beside them'
PORT=8000 flood 198.18.64.1 1000 4 --timeout 1000
is 'beyond the prefix is nothing' "$(result answered)" 0

# More prefixes than have a number for each address.
sed -i "s|^    vips: \[198.18.0.7\]|    vips: [198.18.0.7$(printf ', 198.19.%d.0/24' {0..79})]|" "$T/edge.yaml"
ip -n client route add 198.19.0.0/17 via 10.0.0.1
check 'eighty more' t config apply "$T/edge.yaml"
# How many depends on which numbers those have that stood before.
_says() { t --json status | jq -r '.attention[] | select(.what == "virtual IPs") | .why' | sed 's/[0-9]* more/N more/; s/198.19.[0-9]*.0/X/'; }
is 'status says so in a sentence' "$(_says)" \
	'connections are counted together and not by address in X/24 and N more: 16383 addresses can be told apart in all'
PORT=8000 flood 198.19.0.1 2000 200 --vips 4 --check
all_answered 'the first of them'
PORT=8000 flood 198.19.79.1 2000 200 --vips 4 --check
all_answered 'the last of them'
is 'one counted by address, one together' \
	"$(t --json tuple list --top 1000 | jq -r '.[].vip | select(startswith("198.19."))' | sort -u | xargs)" \
	'198.19.0.1 198.19.0.2 198.19.0.3 198.19.0.4 198.19.79.0/24'
t unload >/dev/null
is 'nothing of it is left on the host' "$(ip -n edge route show table local | grep -c '198\.1[89]\.')" 0
