#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# doctor under a flood of SYNs from addresses that do not answer, with SYN cookies and without.
. "$(dirname "$0")/lib.sh"
doctor_host
ADDRESSES=0.0.0.0:8080 serve s --workers 1 --backlog 32
ip -n edge route add 10.9.0.0/16 via 10.0.0.100 # and the client does not forward
in_ns client sysctl -qw net.ipv4.ip_forward=0
# COUNT RATE: SYNs from the ports of 10.9.0.1, one after the other
cat >"$T/syns.py" <<'PY'
import socket, struct, sys, time
count, rate = int(sys.argv[1]), int(sys.argv[2])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
a, b = socket.inet_aton("10.9.0.1"), socket.inet_aton("10.0.0.1")
def fold(data):
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
for i in range(count):
    tcp = struct.pack("!HHIIBBHHH", 10000 + i % 50000, 8080, i, 0, 5 << 4, 2, 65535, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", fold(a + b + struct.pack("!HH", 6, 20) + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, i % 65536, 0, 64, 6, 0, a, b)
    raw.sendto(ip + tcp, ("10.0.0.1", 0))
    time.sleep(1 / rate)
PY
half_open() { in_ns edge ss -Hatn state syn-recv | wc -l; }
_full() { [ "$(half_open)" -ge 32 ]; }

in_ns client "$PYTHON" "$T/syns.py" 20 500
doctor
doctor_quiet 'twenty of thirty-two are no trouble'
# The kernel lets the oldest go early where over half of the queue is taken.
between 'and are counted' "$(doctor_row syn_queue value)" "$(half_open)" 20
is 'of as many as fit' "$(doctor_row syn_queue limit)" 32

(exec nsenter --net=/run/netns/client "$PYTHON" "$T/syns.py" $((6000 * TUNDISH_TEST_SLOW)) 200) &
flood=$!
check 'the SYN queue is full' eventually 10 _full
doctor
doctor_says 'a full SYN queue' syn_queue bad 'a backlog of 4096 in the listen\(2\) of server for 0.0.0.0:8080' \
	'SYN queue of 0.0.0.0:8080, server \(pid [0-9]*\), is full: SYN cookies answer'
doctor_says 'SYN cookies' syn_cookies warn 'a backlog of 4096' 'cookies are being sent'
between 'as many as do not fit' "$(doctor_row syn_cookies drops_now | cut -d. -f1)" 20 220
is 'no accept queue is blamed' "$(doctor_row accept_queue verdict) $(doctor_row listen_overflows verdict)" 'ok ok'
is 'tcp_max_syn_backlog is not either' "$(doctor_row max_syn_backlog verdict)" ok

in_ns edge sysctl -qw net.ipv4.tcp_syncookies=0
doctor
doctor_says 'without SYN cookies' syn_queue bad '^sysctl -w net.ipv4.tcp_syncookies=1$' 'SYN cookies are off'
is 'SYNs are dropped' "$(doctor_row syn_queue 'drops_now > 0')" true
in_ns edge sh -c "$(doctor_row syn_queue setting)" >/dev/null
is 'the setting is right' "$(in_ns edge cat /proc/sys/net/ipv4/tcp_syncookies)" 1
kill $flood
