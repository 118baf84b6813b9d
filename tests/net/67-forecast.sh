#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A leak is forecast; a churn whose TIME_WAIT levels off is not; both before they get there.
# Clients at real-time priority: their pace is the pace that is asked for.
. "$(dirname "$0")/lib.sh"
port_host
in_ns edge sh -c 'echo 30000 39999 >/proc/sys/net/ipv4/ip_local_port_range'
ports_config 'interval: 2s'
port_server client 10.0.0.100 80
port_server client 10.0.0.100 81
start edge
(ulimit -n 8192 && _unkept && exec $REAL_TIME nsenter --net=/run/netns/edge $PYTHON "$TOP/tests/net/ports.py" hold 10.0.0.100 80 3000 --per-second 50 >"$T/leak.log" 2>&1 <"$(mkfifo "$T/leak.in"; echo "$T/leak.in")") &
exec {leak}>"$T/leak.in"
(exec $REAL_TIME nsenter --net=/run/netns/edge $PYTHON "$TOP/tests/net/ports.py" churn 10.0.0.100 81 3000 --per-second 50 >"$T/churn.log" 2>&1) &
of() { t --json port list | jq -r "[.[] | select(.remote_port == $1)][0] | $2"; }
filled() { [ "$(of 80 .used)" -ge "$1" ]; }
# Within a tenth (and a second of rounding). Where the processor is emulated the clients do not keep
# their pace: it is right to a third there.
near() { # NAME GOT WANTED
	if [ "$TUNDISH_TEST_SLOW" = 1 ]; then
		between "$1" "$2" $(($3 * 9 / 10 - 1)) $(($3 * 11 / 10 + 1))
	else
		between "$1" "$2" $(($3 / 3)) $(($3 * 3))
	fi
}
for used in 400 700 1000; do
	eventually 60 filled $used
	# 10,000 ports at 50 a second.
	read -r now left < <(of 80 '"\(.used) \(.seconds_to_exhaustion)"')
	near "at $now: seconds to exhaustion" "$left" $(((10000 - now) / 50))
	near "at $now: seconds to the cliff" "$(of 80 .seconds_to_cliff)" $(((5000 - now) / 50))
	is "a churn below the limit is no fill" "$(of 81 .seconds_to_exhaustion)" null
done
check 'an event tells it' eventually 20 has_event ports-exhausting
is 'of the leak alone' "$(t events --once | grep ports-exhausting | grep -c ':81')" 0
exec {leak}>&-
