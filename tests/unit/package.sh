#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The Debian package is built, lintian has nothing to say, and it holds what it should. How it
# behaves when it is installed is `make test-package`.
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
for tool in dpkg-buildpackage dh lintian; do
	command -v $tool >/dev/null || {
		echo "skip - the package: there is no $tool here (scripts/setup package)"
		exit 0
	}
done
if deb=$(scripts/package 2>&1); then
	echo 'ok - built, and lintian is content'
else
	echo 'not ok - the package is not built, or lintian has found something'
	echo "$deb" | tail -n 30
	exit 1
fi
deb=$(echo "$deb" | tail -n 1) failed=0
dpkg-deb -c "$deb" | awk '$1 !~ /^d/ {print $6}' >"$BUILD/deb/contents"
for file in /usr/sbin/tundish /usr/sbin/tundishd /lib/systemd/system/tundishd.service /usr/lib/sysusers.d/tundish.conf \
	/usr/share/bash-completion/completions/tundish /usr/share/zsh/vendor-completions/_tundish /usr/share/doc/tundish/tundish.yaml.example.gz \
	/usr/share/doc/tundish/copyright /usr/share/tundish/prometheus/tundish.rules.yaml \
	$(for m in scripts/man/*.[1-8]; do echo "/usr/share/man/man${m##*.}/${m##*/}.gz"; done); do
	if grep -qx ".$file" "$BUILD/deb/contents"; then
		echo "ok - it has $file"
	else
		failed=1
		echo "not ok - it lacks $file"
	fi
done
if dpkg-deb -c "$deb" | awk '$1 ~ /^.......(w|..w)|^...s|^......s/ || $2 != "root/root"' | grep .; then
	failed=1
	echo 'not ok - files of others, or that others may write, or with privileges of their own'
else
	echo "ok - all files are root's"
fi
exit $failed
