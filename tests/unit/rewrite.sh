#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Rewritten packets are what scapy makes of them: tests/native/rewrite.py judges each packet that
# native_rewrite went through.
set -u
TOP=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$TOP/build}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
"$BUILD/tests/native_rewrite" --write "$dir" || { echo 'not ok - native_rewrite --write'; exit 1; }
/usr/bin/python3 "$TOP/tests/native/rewrite.py" "$dir" || exit 1
# One bit, and the judge must see it.
/usr/bin/python3 - "$dir/after.pcap" <<-'PY'
	import sys
	data = bytearray(open(sys.argv[1], "rb").read())
	data[24 + 16 + 14 + 11] ^= 1
	open(sys.argv[1], "wb").write(data)
PY
if /usr/bin/python3 "$TOP/tests/native/rewrite.py" "$dir" >"$dir/log"; then
	echo 'not ok - the judge sees a wrong bit'
	exit 1
fi
echo 'ok - the judge sees a wrong bit'
