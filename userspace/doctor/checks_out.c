// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way out: source ports, TIME_WAIT, orphans, transmit queues.
 *
 * The limit of ports is per (local IP, remote IP, remote port), not per host, and who looks for
 * a port begins to pay at half of the range: once all of one parity are taken each connect()
 * searches some 200 times longer. Which tuple is how full only the daemon knows; here are the
 * range, what is cut off it, and what TIME_WAIT holds in all. TIME_WAIT is a defence, so no
 * advice here shortens it: tcp_fin_timeout does not (it is for orphans in FIN_WAIT2), a lower
 * tcp_max_tw_buckets skips it, which is unsafe, and tcp_tw_recycle is gone.
 */
#include "checks.h"

#define RANGE_SMALL 10000

static bool has_range(const struct td_look *l)
{
	int64_t low = TD_SYSCTL(l, PORT_LOW), high = TD_SYSCTL(l, PORT_HIGH);

	return low >= 0 && high >= low && high <= 65535;
}

static bool in_range(const struct td_look *l, unsigned int port)
{
	return port >= TD_SYSCTL(l, PORT_LOW) && port <= TD_SYSCTL(l, PORT_HIGH);
}

static int64_t reserved_ports(const struct td_look *l)
{
	int64_t n = 0;

	for (int64_t p = TD_SYSCTL(l, PORT_LOW); p <= TD_SYSCTL(l, PORT_HIGH); p++)
		n += td_facts_reserved(l->now, (unsigned int)p);
	return n;
}

static int64_t usable_ports(const struct td_look *l)
{
	return TD_SYSCTL(l, PORT_HIGH) - TD_SYSCTL(l, PORT_LOW) + 1 - reserved_ports(l);
}

/* All sockets here may be to one destination, or to many: so this can only warn. */
void td_check_port_range(struct td_look *l)
{
	int64_t usable, sockets;
	struct td_row *row;

	if (!has_range(l))
		return;
	usable = usable_ports(l);
	sockets = TD_MAX(TD_COUNTER(l, TIME_WAIT), 0) + TD_MAX(TD_COUNTER(l, ESTABLISHED), 0);
	row = td_row_add(l, "ports", "port_range", "source ports, for each destination");
	row->unit = "ports";
	row->limit = usable;
	if (usable < RANGE_SMALL && sockets * 2 >= usable) {
		td_row_say(
			row, TD_VERDICT_WARN,
			"only %lld ports for connections to any one destination, while %lld are open or in "
			"TIME_WAIT: connect() slows down at half of them and fails with EADDRNOTAVAIL at "
			"all",
			(long long)usable, (long long)sockets);
	} else if (usable < RANGE_SMALL) {
		td_row_say(
			row, TD_VERDICT_NOTE,
			"only %lld ports for connections to any one destination; the default range has "
			"28232",
			(long long)usable);
	} else {
		td_row_say(
			row, TD_VERDICT_OK,
			"for each (local IP, remote IP, remote port), not for the host; keep below half: "
			"there connect() becomes some 200 times dearer");
		return;
	}
	td_row_set(row, "sysctl -w net.ipv4.ip_local_port_range=\"16384 65535\"");
}

/* Of translated connections none becomes dear, so half of it is only a sign. */
static void say_nat(struct td_row *row, const struct td_tuple_use *t)
{
	if (t->utilization >= 0.999)
		td_row_say(
			row, TD_VERDICT_BAD,
			"no NAT source port is left from %s to %s port %lld: new connections are "
			"refused",
			t->local, t->remote, (long long)t->port);
	else if (t->seconds >= 0 && t->seconds < 600)
		td_row_say(row, TD_VERDICT_WARN,
			   "at the present rate the NAT source ports from %s to %s port %lld last "
			   "%.0f s",
			   t->local, t->remote, (long long)t->port, t->seconds);
	else if (t->utilization >= 0.5)
		td_row_say(row, TD_VERDICT_NOTE,
			   "%.0f%% of the NAT source ports from %s to %s port %lld are taken",
			   t->utilization * 100, t->local, t->remote, (long long)t->port);
	else
		return;
	td_row_set(row, "a further source under services[].sources in tundish.yaml, or a further "
			"address of the backend; `tundish port list` shows each tuple");
}

void td_check_tuple(struct td_look *l)
{
	const struct td_tuple_use *t = &l->now->tuple;
	struct td_row *row;

	if (!t->known)
		return;
	row = td_row_add(l, "ports", "port_tuple", "fullest tuple, to %.45s port %lld", t->remote,
			 (long long)t->port);
	row->unit = "ports";
	row->value = t->used;
	row->limit = t->usable;
	if (t->nat) {
		say_nat(row, t);
		return;
	}
	if (t->utilization >= 0.999) {
		td_row_say(
			row, TD_VERDICT_BAD,
			"no source port is left from %s to %s port %lld, %lld of them in TIME_WAIT: "
			"connect() fails with EADDRNOTAVAIL",
			t->local, t->remote, (long long)t->port, (long long)t->time_wait);
	} else if (t->utilization >= 0.5) {
		td_row_say(
			row, TD_VERDICT_WARN,
			"%.0f%% of the source ports from %s to %s port %lld are taken, past the half from "
			"which connect() is some 200 times dearer",
			t->utilization * 100, t->local, t->remote, (long long)t->port);
	} else if (t->seconds >= 0 && t->seconds < 600) {
		td_row_say(
			row, TD_VERDICT_WARN,
			"at the present rate the source ports from %s to %s port %lld last %.0f s",
			t->local, t->remote, (long long)t->port, t->seconds);
	} else {
		return;
	}
	td_row_set(row,
		   "more source addresses (`egress` in tundish.yaml), or keep connections open and "
		   "use them again; `tundish port list` shows each tuple");
}

void td_check_reserved(struct td_look *l)
{
	struct td_row *row;

	if (!has_range(l))
		return;
	row = td_row_add(l, "ports", "reserved_ports", "reserved ports in the range");
	row->unit = "ports";
	row->value = reserved_ports(l);
	row->limit = TD_SYSCTL(l, PORT_HIGH) - TD_SYSCTL(l, PORT_LOW) + 1;
	if (row->value * 2 > row->limit)
		td_row_say(
			row, TD_VERDICT_NOTE,
			"over half of the range is reserved (ip_local_reserved_ports): nothing else may "
			"take these ports unless it asks for them");
}

bool td_listens_anywhere(const struct td_listen *x)
{
	static const struct tundish_addr one = {{0, 0, 0, TUNDISH_BE32(1)}};

	if (tundish_addr_is_v4(&x->address) ? (TUNDISH_BE32(x->address.word[3]) >> 24) == 127
					    : tundish_addr_equal(&x->address, &one))
		return true;
	return !x->pid || strncmp(x->command, "rpc", 3) == 0 || strcmp(x->command, "tundishd") == 0;
}

void td_check_overlap(struct td_look *l)
{
	const struct td_listen *first = NULL;
	uint8_t set[8192], overlap[8192] = {0};
	char ports[160], list[400];
	int64_t n = 0, certain = 0;
	struct td_row *row;

	if (!has_range(l) || l->now->unseen & TD_UNSEEN_LISTENERS)
		return;
	memcpy(set, l->now->reserved, sizeof(set));
	for (size_t i = 0; i < l->now->n_listeners; i++) {
		const struct td_listen *x = &l->now->listeners[i];

		if (!in_range(l, x->port) || td_facts_reserved(l->now, x->port))
			continue;
		if (!td_listens_anywhere(x)) {
			certain++;
			first = first ? first : x;
			set[x->port / 8] |= (uint8_t)(1 << (x->port % 8));
		}
		n += !(overlap[x->port / 8] >> (x->port % 8) & 1);
		overlap[x->port / 8] |= (uint8_t)(1 << (x->port % 8));
	}
	row = td_row_add(l, "ports", "port_overlap", "services' ports in the range");
	row->unit = "ports";
	row->value = n;
	if (!n)
		return;
	if (!td_doctor_ports_print(overlap, ports, sizeof(ports)))
		snprintf(ports, sizeof(ports), "many of them");
	if (!certain) {
		td_row_say(
			row, TD_VERDICT_NOTE,
			"listeners in the range of source ports (%s): no matter if they take any port; one "
			"that needs its port may find it taken when it starts again",
			ports);
		return;
	}
	td_row_say(
		row, TD_VERDICT_WARN,
		"services listen in the range of source ports (%s; %s among them): an outgoing "
		"connection may hold such a port when its service starts again, which then fails with "
		"EADDRINUSE",
		ports, first->command);
	if (td_doctor_ports_print(set, list, sizeof(list)))
		td_row_set(row, "sysctl -w net.ipv4.ip_local_reserved_ports=%s", list);
	else
		td_row_set(
			row,
			"sysctl -w net.ipv4.ip_local_port_range=\"LOW HIGH\" beside these ports");
}

/* ---- TIME_WAIT -------------------------------------------------------------------------- */

void td_check_time_wait(struct td_look *l)
{
	int64_t value = TD_COUNTER(l, TIME_WAIT), limit = TD_SYSCTL(l, MAX_TW_BUCKETS);
	int64_t entered = TD_COUNTER(l, TIME_WAIT_ENTERED);
	struct td_row *row;

	if (value < 0)
		return;
	row = td_row_add(l, "time_wait", "time_wait", "TIME_WAIT");
	row->unit = "sockets";
	row->value = value;
	row->limit = limit;
	td_row_counter(l, row, TD_COUNTER_TIME_WAIT_OVERFLOW);
	if (td_row_hurts(row))
		td_row_say(
			row, TD_VERDICT_BAD,
			"TIME_WAIT overflows, %.0f/s: connections end without it, and late packets of "
			"theirs may reach the next one on the same ports",
			row->drops_now);
	else if (limit == 0)
		td_row_say(
			row, TD_VERDICT_WARN,
			"tcp_max_tw_buckets is 0: no connection gets its TIME_WAIT, which is unsafe");
	else if (td_is_near(value, limit))
		td_row_say(
			row, TD_VERDICT_WARN,
			"TIME_WAIT is nearly at its limit, beyond which it is skipped, which is unsafe");
	else
		td_row_past(row, entered, "connections ended without TIME_WAIT");
	if (row->verdict >= TD_VERDICT_WARN) {
		td_row_set(row, "sysctl -w net.ipv4.tcp_max_tw_buckets=%lld",
			   (long long)td_doubled(TD_MAX(value, limit), 262144, 1 << 30));
	} else if (row->verdict == TD_VERDICT_OK) {
		td_row_say(
			row, TD_VERDICT_OK,
			"a defence, not a fault: 60 s for each connection that this host closed first, "
			"about 300 bytes each; what they can cost is source ports, per destination");
	}
}

/* 2, the default, is for loopback alone. 1 lets connect() take over a port of its own whose
 * TIME_WAIT is over a second old: safe with timestamps, and no use to a server. */
void td_check_tw_reuse(struct td_look *l)
{
	int64_t mode = TD_SYSCTL(l, TW_REUSE), stamps = TD_SYSCTL(l, TIMESTAMPS);
	struct td_row *row;

	if (mode < 0)
		return;
	row = td_row_add(l, "time_wait", "tw_reuse", "tcp_tw_reuse");
	row->unit = "mode";
	row->value = mode;
	if (mode == 1 && stamps == 0) {
		td_row_say(row, TD_VERDICT_NOTE, "1 has no effect without TCP timestamps");
		td_row_set(row, "sysctl -w net.ipv4.tcp_timestamps=1");
	} else if (mode != 1 && has_range(l) && TD_COUNTER(l, TIME_WAIT) * 2 >= usable_ports(l)) {
		td_row_say(
			row, TD_VERDICT_NOTE,
			"TIME_WAIT holds as many as half of a destination's ports; if they are outgoing "
			"connections to few destinations, 1 lets connect() take such a port again after a "
			"second (%lld is %s; incoming ones it does not concern)",
			(long long)mode, mode == 2 ? "for loopback only" : "off");
		td_row_set(row, "sysctl -w net.ipv4.tcp_tw_reuse=1");
	} else {
		td_row_say(row, TD_VERDICT_OK, "%s",
			   mode == 2   ? "2: for outgoing connections on loopback only"
			   : mode == 1 ? "1: outgoing connections take over ports in TIME_WAIT"
				       : "off");
	}
}

void td_check_fin_timeout(struct td_look *l)
{
	int64_t seconds = TD_SYSCTL(l, FIN_TIMEOUT);
	struct td_row *row;

	if (seconds < 0)
		return;
	row = td_row_add(l, "time_wait", "fin_timeout", "tcp_fin_timeout");
	row->unit = "seconds";
	row->value = seconds;
	td_row_say(
		row, seconds < 60 ? TD_VERDICT_NOTE : TD_VERDICT_OK,
		"does not shorten TIME_WAIT, which is 60 s always; it ends orphans in FIN_WAIT2");
}

void td_check_orphans(struct td_look *l)
{
	int64_t value = TD_COUNTER(l, ORPHANS), limit = TD_SYSCTL(l, MAX_ORPHANS);
	struct td_row *row;

	if (value < 0)
		return;
	row = td_row_add(l, "orphans", "orphans", "orphans, closed with data to send");
	row->unit = "sockets";
	row->value = value;
	row->limit = limit;
	td_row_counter(l, row, TD_COUNTER_ABORT_ON_MEMORY);
	if (limit > 0 && value >= limit)
		td_row_say(
			row, TD_VERDICT_BAD,
			"connections that were closed with data left are reset instead of finished");
	else if (td_row_hurts(row))
		td_row_say(
			row, TD_VERDICT_BAD,
			"connections are aborted for want of memory or for too many orphans, %.0f/s",
			row->drops_now);
	else if (td_is_near(value, limit))
		td_row_say(row, TD_VERDICT_WARN, "orphans are nearly at their limit");
	else
		td_row_past(row, TD_COUNTER(l, PASSIVE_OPENS),
			    "connections aborted for want of memory or for too many orphans");
	if (row->verdict >= TD_VERDICT_WARN && limit > 0)
		td_row_set(row, "sysctl -w net.ipv4.tcp_max_orphans=%lld (up to 64 KiB each)",
			   (long long)td_doubled(limit, 65536, 1 << 24));
}

void td_check_transmit(struct td_look *l)
{
	size_t rows = 0;

	for (size_t i = 0; l->was && i < l->now->n_nics; i++) {
		const struct td_nic *nic = &l->now->nics[i], *was = NULL;
		struct td_row *row;

		for (size_t k = 0; k < l->was->n_nics && !was; k++)
			if (l->was->nics[k].index == nic->index)
				was = &l->was->nics[k];
		if (!nic->up || nic->loopback || !was || was->transmit_drops < 0 ||
		    nic->transmit_drops <= was->transmit_drops || rows++ >= TD_DOCTOR_EACH_MAX)
			continue;
		row = td_row_add(l, "transmit", "nic_transmit", "frames not sent by %s", nic->name);
		row->unit = "frames";
		td_row_drops(l, row, nic->transmit_drops, was->transmit_drops);
		td_row_say(
			row, TD_VERDICT_NOTE,
			"tx_dropped of %s rises: its queue is full, or the far end of a veth takes no more; "
			"`tc -s qdisc show dev %s` shows the queue",
			nic->name, nic->name);
	}
}
