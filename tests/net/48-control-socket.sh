#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The control socket speaks HTTP and JSON with the objects that --json shows.
# parallel: yes
. "$(dirname "$0")/lib.sh"
three_backends dsr
http() { curl -sm 5 --unix-socket /run/tundish/edge.sock "$@"; }
is 'backends' "$(http http://t/v1/backends | jq -c '[.[].name]')" '["b1","b2","b3"]'
is 'drain by POST' "$(http -o /dev/null -w '%{http_code}' -X POST http://t/v1/backends/web/b1/drain)" 200
is 'it took effect' "$(backend_field b1 state)" drain
is 'no such backend' "$(http -o /dev/null -w '%{http_code}' -X POST http://t/v1/backends/web/b7/drain)" 404
is 'no such object' "$(http -o /dev/null -w '%{http_code}' http://t/v1/nothing)" 404
is 'a GET changes nothing' "$(http -o /dev/null -w '%{http_code}' http://t/v1/backends/web/b2/drain | head -c 1)" 4
is 'b2 is still up' "$(backend_field b2 state)" up
is 'what the verifier took is told' "$(t --json status | jq -c '[.loads[] | select(.seconds > 0 and .instructions > 1000) | .what][:2]')" \
	'["verifying tundish_trace","verifying tundish_xdp for eth0"]'
