#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Health checks of an edge that owns the VIP itself reach it on a backend by its MAC address alone, for
# each pair of families; what answers on the backend's own address makes no check good.
# parallel: yes
. "$(dirname "$0")/lib.sh"
way_host

is 'without the way there is no server' "$(in_ns edge curl -s --max-time 2 http://10.0.0.11/ || echo none)" none
is 'IPv4' "$(way $VIP 80 dsr 10.0.0.11)" "right 10.0.0.1 $VIP 80 led"
is 'IPv6' "$(way $VIP6 80 dsr fd00::11)" "right fd00::1 $VIP6 80 led"
is 'IPv6 by an IPv4 address' "$(SOURCE=fd00::1 way $VIP6 80 dsr 10.0.0.11)" "right fd00::1 $VIP6 80 led"
is 'IPv4 by an IPv6 address' "$(SOURCE=10.0.0.1 way $VIP 80 dsr fd00::11)" "right 10.0.0.1 $VIP 80 led"
is 'UDP' "$(udp_way $VIP 53 dsr 10.0.0.11)" 'b1 1'
is 'UDP over IPv6' "$(udp_way $VIP6 53 dsr fd00::11)" 'b1 1'
is 'UDP across families' "$(SOURCE=10.0.0.1 udp_way $VIP 53 dsr fd00::11) $(SOURCE=fd00::1 udp_way $VIP6 53 dsr 10.0.0.11)" \
	'b1 1 b1 1'
is 'much to send' "$(POST=300000 way $VIP 80 dsr 10.0.0.11)" '300000 led'

# Only an end of the connection that goes the same way ends it there.
none_left() { [ -z "$(in_ns b1 ss -Htn state established state close-wait state fin-wait-1 state fin-wait-2 sport = 80)" ]; }
check 'the backend has no connection left' eventually 5 none_left
is 'nor TIME_WAIT' "$(in_ns edge ss -Htn state time-wait | wc -l) $(in_ns b1 ss -Htn state time-wait sport = 80 | wc -l)" '0 0'

is 'refused at once' "$(way $VIP 81 dsr 10.0.0.11)" 'Connection refused led'
BEGAN=$EPOCHREALTIME
is 'UDP too' "$(UDP=1 way $VIP 54 dsr 10.0.0.11)" 'Connection refused led'
timely 'and at once' $(((${EPOCHREALTIME/./} - ${BEGAN/./}) / 1000)) 0 1900
is 'over IPv6' "$(UDP=1 way $VIP6 54 dsr fd00::11)" 'Connection refused led'
is 'across families' "$(UDP=1 SOURCE=10.0.0.1 way $VIP 54 dsr fd00::11) $(UDP=1 SOURCE=fd00::1 way $VIP6 54 dsr 10.0.0.11)" \
	'Connection refused led Connection refused led'

vip_web_ends right
vip_web b1 wrong 10.0.0.11 fd00::11
is 'the own address answers' "$(in_ns edge curl -s http://10.0.0.11/ | cut -d' ' -f1)" wrong
is 'and is not asked' "$(way $VIP 80 dsr 10.0.0.11)" 'Connection refused led'
is 'over IPv6 neither' "$(way $VIP6 80 dsr fd00::11)" 'Connection refused led'
check 'no more programs' in_ns edge "$BUILD/tundish" --pin /sys/fs/bpf/way unload
# The very danger that the second word is for: past the programs the stand-in answers.
is 'without the programs that is told' "$(PAST=1 way $VIP 80 dsr 10.0.0.11)" "wrong 10.0.0.1 10.0.0.11 80 not led"
