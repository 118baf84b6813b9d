// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of tuples, from scan to scan: read in pieces, each tuple joined with what was
 * remembered of it, and asked what is worth an event. Tuples without sockets leave it.
 *
 * It may be large (some 2 us for each of up to a million), so between two pieces others
 * are served, with figures of which some are of this reading and some of the one before.
 */
#include <math.h>

#include "core/address.h"
#include "daemon/source_ports.h"

#define READ_SHARE	20 /* a table that takes long to read is read anew so many times later */
#define FAILED_KEPT_NS	(600 * TD_NS_PER_S) /* a tuple with failures is shown so long at least */
#define EVENTS_IN_ROUND 16
#define AT_ONCE_NS	(5 * TD_NS_PER_MS) /* of a reading, while whoever asks waits */
#define SWEEP_ROWS	4096

const char *td_tuple_text(const struct tundish_port_key *key, char *buffer)
{
	char local[TD_ADDRESS_TEXT], remote[TD_ADDRESS_TEXT];
	bool v4 = tundish_addr_is_v4(&key->remote);

	td_address_print(&key->local, local);
	if (!key->protocol)
		snprintf(buffer, TD_TUPLE_TEXT, "others");
	else if (!td_port_has_remote(key))
		snprintf(buffer, TD_TUPLE_TEXT, "%s (%s)", local,
			 key->protocol == IPPROTO_TCP ? "bind" : "UDP");
	else
		snprintf(buffer, TD_TUPLE_TEXT, "%s to %s%s%s:%u", local, v4 ? "" : "[",
			 td_address_print(&key->remote, remote), v4 ? "" : "]",
			 __builtin_bswap16(key->remote_port_be));
	return buffer;
}

static bool is_present(const struct td_source_ports *p, const struct tundish_port_key *key)
{
	return key->space < TUNDISH_SPACES_MAX && p->spaces[key->space].present;
}

static void note_failures(struct td_source_ports *p, struct td_tuple *t, uint64_t now)
{
	for (size_t i = 0; i < TUNDISH_PORT_FAILED_MAX; i++) {
		if (t->value.failed[i] > t->failed[i])
			t->failed_ns = p->failed_ns = now;
		t->failed[i] = t->value.failed[i];
	}
}

/* Whether it is to go, from the kernel's table and from ours. */
static bool is_over(const struct td_source_ports *p, const struct td_tuple *t, uint64_t now)
{
	return !is_present(p, &t->key) ||
	       (t->key.protocol && td_budget_over(&t->budget, &t->value, now) &&
		(!t->failed_ns || now - t->failed_ns > FAILED_KEPT_NS));
}

/* ---- what is worth an event -------------------------------------------------------------- */

static void tell(struct td_daemon *d, const struct td_tuple *t, unsigned int changes)
{
	const struct td_picture *i = &t->picture;
	const struct td_space *s = &d->source_ports->spaces[t->key.space];
	char object[TD_TUPLE_TEXT], of[TD_NETNS_PATH + 16] = "";

	td_tuple_text(&t->key, object);
	if (s->name[0])
		snprintf(of, sizeof(of), " in %s", s->name);
	if (changes & TD_BUDGET_OVER_HALF)
		td_event(d, "ports-half", object,
			 "%u of %u source ports%s are used, %u of them by TIME_WAIT: from one half "
			 "on connect(2) takes long to find one",
			 i->used, i->usable, of, i->state[TUNDISH_PORT_time_wait]);
	if (changes & TD_BUDGET_UNDER_HALF)
		td_event(d, "ports-half-over", object, "%u of %u source ports%s are used", i->used,
			 i->usable, of);
	if (changes & TD_BUDGET_SOON && i->exhaustion_s <= 0)
		td_event(d, "ports-exhausting", object,
			 i->usable ? "all %u source ports%s are used"
				   : "%u source ports%s: all are blocked by programs that bound "
				     "them, see `tundish port blocked`",
			 i->usable, of);
	else if (changes & TD_BUDGET_SOON)
		td_event(
			d, "ports-exhausting", object,
			"%u of %u source ports%s are used; at %.0f more a second there is none left "
			"in %.0f s",
			i->used, i->usable, of, i->opening_rate, ceil(i->exhaustion_s));
	if (changes & TD_BUDGET_NOT_SOON)
		td_event(d, "ports-exhausting-over", object,
			 "%u of %u source ports%s are used, and it is not filling", i->used,
			 i->usable, of);
}

static void look_at_changes(struct td_daemon *d, struct td_tuple *t)
{
	struct td_source_ports *p = d->source_ports;
	unsigned int changes;

	if (!t->key.protocol)
		return;
	changes = td_budget_changes(&t->budget, &t->picture, (double)p->interval_ns / TD_NS_PER_S);
	if (!changes)
		return;
	if (p->reading.told++ < EVENTS_IN_ROUND)
		tell(d, t, changes);
	else
		p->reading.more++;
}

/* ---- reading -------------------------------------------------------------------------- */

static void end_reading(struct td_source_ports *p)
{
	p->reading.entries = td_kernel_ports_end(p->reading.entries);
	p->reading.on = false;
}

void td_port_table_done(struct td_source_ports *p)
{
	end_reading(p);
	td_tuples_done(&p->tuples);
	p->read_ns = 0;
}

int td_port_table_begin(struct td_daemon *d, bool after_scan)
{
	struct td_source_ports *p = d->source_ports;
	int r = 0;

	end_reading(p);
	if (!p->tuples.place)
		r = td_tuples_new(&p->tuples, d->settings.ports_max, &d->settings.secret);
	r = r < 0 ? r : td_kernel_ports_begin(&p->reading.entries);
	if (r < 0)
		return r;
	p->reading = (struct td_table_reading){
		.entries = p->reading.entries,
		.on = true,
		.after_scan = after_scan,
		.number = p->reading.number + 1,
		.begun_ns = td_now_ns(),
	};
	return 0;
}

static int take_entry(struct td_daemon *d, const struct td_port_entry *e, uint64_t now)
{
	struct td_source_ports *p = d->source_ports;
	size_t known = p->tuples.n;
	struct td_tuple *t = td_tuples_take(&p->tuples, &e->key);
	const struct td_space *s = &p->spaces[e->key.space % TUNDISH_SPACES_MAX];

	if (!t)
		return -ENOMEM;
	/* Made since the table was last read: all that began with zero then. */
	if (p->tuples.n > known)
		t->budget.look_ns = p->read_ns;
	t->seen = p->reading.number;
	t->value = e->value;
	note_failures(p, t, now);
	if (p->reading.after_scan) {
		if (s->scanned)
			td_budget_scanned(&t->budget, &t->value, s->scan, now);
		td_budget_look(&t->budget, &t->value, now);
	}
	td_budget_picture(&t->budget, &t->key, &t->value, &s->budget, now, &t->picture);
	if (!p->reading.after_scan)
		return 0;
	if (!is_over(p, t, now)) {
		look_at_changes(d, t);
	} else if (td_kernel_delete_port(d->kernel, &t->key) == 0) {
		for (size_t k = 0; k < TUNDISH_PORT_FAILED_MAX; k++)
			p->gone_failed[k] += t->value.failed[k];
		td_tuples_remove(&p->tuples, (size_t)(t - p->tuples.row));
	}
	return 0;
}

/* Those that the kernel has no more. */
static bool sweep(struct td_source_ports *p)
{
	for (int i = 0; i < SWEEP_ROWS && p->reading.row < p->tuples.n; i++) {
		if (p->tuples.row[p->reading.row].seen == p->reading.number)
			p->reading.row++;
		else
			td_tuples_remove(&p->tuples, p->reading.row);
	}
	return p->reading.row < p->tuples.n;
}

static int step(struct td_daemon *d, uint64_t now)
{
	struct td_source_ports *p = d->source_ports;
	const struct td_port_entry *entries;
	size_t n;
	int r;

	if (!p->reading.entries)
		return sweep(p);
	r = td_kernel_ports_next(d->kernel, p->reading.entries, &entries, &n);
	for (size_t i = 0; r >= 0 && i < n; i++)
		if (take_entry(d, &entries[i], now) < 0)
			r = -ENOMEM;
	if (r == 0)
		p->reading.entries = td_kernel_ports_end(p->reading.entries);
	return r < 0 ? r : 1;
}

int td_port_table_step(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	uint64_t begun = td_now_ns();
	int r;

	if (!p->reading.on)
		return 0;
	r = step(d, begun);
	p->reading.cost_ns += td_now_ns() - begun;
	if (r > 0)
		return r;
	end_reading(p);
	if (r < 0)
		return r;
	p->read_ns = p->reading.begun_ns;
	p->read_cost_ns = p->reading.cost_ns;
	if (p->reading.more)
		td_event(d, "ports-half", "source ports",
			 "and %zu more tuples; see `tundish port list`", p->reading.more);
	return 0;
}

int td_port_table_read(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	uint64_t now = td_now_ns(), begun = now;
	int r = 1;

	if (!p->on || p->reading.on)
		return 0;
	if (p->read_ns && now - p->read_ns < READ_SHARE * p->read_cost_ns)
		return 0;
	r = td_port_table_begin(d, false);
	if (r < 0)
		return r;
	for (r = 1; r > 0 && now - begun < AT_ONCE_NS; now = td_now_ns())
		r = td_port_table_step(d);
	if (r > 0)
		td_scan_schedule(d);
	return r < 0 ? r : 0;
}

/* ---- as it happens -------------------------------------------------------------------------- */

void td_port_table_on_event(const struct tundish_port_event *e, void *context)
{
	struct td_daemon *d = context;
	char object[TD_TUPLE_TEXT], command[sizeof(e->command) + 1];
	const char *who;

	if (e->kind == TUNDISH_PORT_EVENT_SHIFT)
		td_egress_on_event(d, e);
	if (e->kind != TUNDISH_PORT_EVENT_FAILED)
		return;
	d->source_ports->failed_ns = td_now_ns();
	snprintf(command, sizeof(command), "%.*s", (int)sizeof(e->command),
		 (const char *)e->command);
	who = command[0] ? command : "a program";
	td_tuple_text(&e->key, object);
	if (e->failure == TUNDISH_PORT_FAILED_EADDRINUSE)
		td_event(d, "ports-refused", object, "bind(2) of %s (%u) got EADDRINUSE", who,
			 e->pid);
	else
		td_event(
			d, "ports-refused", object,
			"connect(2) of %s (%u) got EADDRNOTAVAIL: about %u of %u source ports are used",
			who, e->pid, e->used, e->usable);
}
