#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# doctor on a host where all is well: nothing wrong, exit 0; without a daemon, and without root.
. "$(dirname "$0")/lib.sh"
doctor_host
ADDRESSES='[::]:8080' serve s --workers 2
PORT=8080 flood_start load 10.0.0.1 200 60000
flood_goes load
doctor
doctor_quiet 'under load, without a daemon'
flood_end load
all_answered 'meanwhile all were served'
doctor --interval 0
doctor_quiet 'one look'
is 'each stage is there' "$(echo "$DOCTOR" | jq -r '[.[].stage] | unique - ["conntrack", "nic", "xdp"] | join(" ")')" \
	'accept memory orphans ports process softirq syn time_wait whole' # those three where there are any
is 'what is not of this namespace is not made up' "$(doctor_row unseen sentence)" \
	'settings of the host beyond this network namespace'
is 'every row has the keys' "$(echo "$DOCTOR" | jq -c '[.[] | keys_unsorted] | unique')" \
	'[["id","stage","what","value","limit","unit","drops_boot","drops_now","verdict","wrong","sentence","setting"]]'
is 'the limit is the kernel'\''s' "$(doctor_row accept_queue limit)" 4097
is 'the fullest of its programs is known' "$(doctor_row process_files what | grep -c 'files of server (pid')" 1

text=$(t doctor)
is 'as text: the same rows' "$(echo "$text" | sed '/^$/,$d' | grep -cE '^(ok|note|warn|bad) ')" "$(echo "$DOCTOR" | jq length)"
is 'and an end' "$(echo "$text" | tail -n 1)" 'nothing is wrong now'

DOCTOR=$(in_ns edge setpriv --reuid=65534 --regid=65534 --clear-groups "$BUILD/tundish" --control /nowhere --json doctor)
DOCTOR_EXIT=$?
doctor_quiet 'without root'
check 'it says what it does not see' grep -q 'programs of other users' <<<"$(doctor_row unseen sentence)"
is 'queues are seen all the same' "$(doctor_row accept_queue limit)" 4097

app_config
start edge
doctor
doctor_quiet 'beside a daemon'
is 'its program on the NIC is seen' "$(doctor_row xdp_errors what)" 'XDP of eth0: failures'

# ---- the file for sysctl.d: the kernel takes it, and then it says the same
of_namespace() { grep -E '^net\.(ipv4|core\.somaxconn)' "$T/90.conf" >"$T/applied.conf"; }
t doctor --sysctl --connections 1000000 >"$T/90.conf"
of_namespace
between 'settings of this namespace' "$(wc -l <"$T/applied.conf")" 4 8
check 'the kernel takes each' in_ns edge sysctl -p "$T/applied.conf"
is 'they are in force' "$(in_ns edge cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/tcp_max_tw_buckets | xargs)" '62500 1000000'
t doctor --sysctl --connections 1000000 | diff "$T/90.conf" - >"$T/diff"
is 'and then it says the same' "$(cat "$T/diff")" ''
t doctor --sysctl --connections 1000 | grep -E '^net\.(ipv4|core\.somaxconn)' | diff "$T/applied.conf" - >"$T/diff"
is 'and for fewer nothing is taken back' "$(cat "$T/diff")" ''

refused 'too many' 2 'no number from 1 to' t doctor --connections 4000000000
refused 'an interval of a day' 2 'no number from 0 to 3600' t doctor --interval 86400
refused 'a word' 2 'is no number' t doctor --sysctl --connections many
doctor --interval 0 --connections 100000000
doctor_says 'a target beyond the limits' capacity bad 'LimitNOFILE=|more memory|fs.file-max' 'do not fit'
