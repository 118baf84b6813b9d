#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The unit by systemd's own tools: nothing unknown in it, and an exposure below 3.
cd "$(dirname "$0")/../.." || exit 1
if ! command -v systemd-analyze >/dev/null; then
	echo 'skip - the unit: there is no systemd-analyze here'
	exit 0
fi
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
failed=0
# Where nothing is installed the program is somewhere else, and so are the manuals.
sed -e 's|^ExecStart=.*|ExecStart=/bin/true|' -e '/^Documentation=/d' scripts/tundishd.service >"$dir/tundishd.service"
if said=$(systemd-analyze verify --man=no "$dir/tundishd.service" 2>&1) && [ -z "$said" ]; then
	echo 'ok - systemd-analyze verify finds nothing'
else
	failed=1
	echo 'not ok - systemd-analyze verify'
	echo "$said"
fi
level=$(systemd-analyze security --offline=true --no-pager scripts/tundishd.service 2>&1 |
	sed -n 's/.*Overall exposure level[^:]*: \([0-9.]*\).*/\1/p')
if awk "BEGIN { exit !(\"$level\" != \"\" && ${level:-10} < 3) }"; then
	echo "ok - systemd-analyze security: $level"
else
	failed=1
	echo "not ok - systemd-analyze security: \"$level\" is not below 3"
fi
exit $failed
