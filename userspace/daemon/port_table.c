// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of tuples, from scan to scan: read as a whole, joined by key with what was
 * remembered of each, and asked what is worth an event. Tuples without sockets leave it.
 */
#include <math.h>

#include "core/address.h"
#include "daemon/source_ports.h"

#define READ_SHARE	20 /* a table that takes long to read is read anew so many times later */
#define FAILED_KEPT_NS	(600 * TD_NS_PER_S) /* a tuple with failures is shown so long at least */
#define EVENTS_IN_ROUND 16

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

void td_port_table_done(struct td_source_ports *s)
{
	free(s->tuples);
	free(s->entries);
	s->tuples = NULL;
	s->entries = NULL;
	s->n_tuples = 0;
}

/* ---- reading -------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
	const struct td_tuple *x = a, *y = b;

	return memcmp(&x->key, &y->key, sizeof(x->key));
}

/* What was remembered, to those of the same key; both ascend by it. */
static void join(struct td_tuple *fresh, size_t n, const struct td_tuple *former, size_t n_former,
		 uint64_t former_ns)
{
	for (size_t i = 0, k = 0; i < n; i++) {
		int c = 1;

		while (k < n_former && (c = by_key(&former[k], &fresh[i])) < 0)
			k++;
		if (k < n_former && c == 0) {
			fresh[i].budget = former[k].budget;
			memcpy(fresh[i].failed, former[k].failed, sizeof(fresh[i].failed));
			fresh[i].failed_ns = former[k].failed_ns;
		} else {
			/* Made since the table was last read: that all began with zero then. */
			fresh[i].budget.look_ns = former_ns;
		}
	}
}

static bool is_present(const struct td_source_ports *p, const struct tundish_port_key *key)
{
	return key->space < TUNDISH_SPACES_MAX && p->spaces[key->space].present;
}

static void note_failures(struct td_source_ports *p, struct td_tuple *t, uint64_t now)
{
	for (size_t i = 0; i < TUNDISH_PORT_FAILED_MAX; i++) {
		if (t->value->failed[i] > t->failed[i])
			t->failed_ns = p->failed_ns = now;
		t->failed[i] = t->value->failed[i];
	}
}

/* Takes tuples that are over out of the kernel's table and of ours. */
static void drop(struct td_daemon *d, uint64_t now)
{
	struct td_source_ports *p = d->source_ports;
	size_t kept = 0;

	for (size_t i = 0; i < p->n_tuples; i++) {
		struct td_tuple *t = &p->tuples[i];
		bool over = t->key.protocol && td_budget_over(&t->budget, t->value, now) &&
			    (!t->failed_ns || now - t->failed_ns > FAILED_KEPT_NS);

		if (is_present(p, &t->key) && !over) {
			p->tuples[kept++] = *t;
			continue;
		}
		if (td_kernel_delete_port(d->kernel, &t->key) < 0)
			continue;
		for (size_t k = 0; k < TUNDISH_PORT_FAILED_MAX; k++)
			p->gone_failed[k] += t->value->failed[k];
	}
	p->n_tuples = kept;
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

static void look_at_changes(struct td_daemon *d)
{
	struct td_source_ports *p = d->source_ports;
	size_t told = 0, more = 0;

	for (size_t i = 0; i < p->n_tuples; i++) {
		struct td_tuple *t = &p->tuples[i];
		unsigned int changes;

		if (!t->key.protocol)
			continue;
		changes = td_budget_changes(&t->budget, &t->picture,
					    (double)p->interval_ns / TD_NS_PER_S);
		if (!changes)
			continue;
		if (told++ < EVENTS_IN_ROUND)
			tell(d, t, changes);
		else
			more++;
	}
	if (more)
		td_event(d, "ports-half", "source ports",
			 "and %zu more tuples; see `tundish port list`", more);
}

int td_port_table_read(struct td_daemon *d, bool after_scan)
{
	struct td_source_ports *p = d->source_ports;
	_cleanup_free_ struct td_port_entry *entries = NULL;
	_cleanup_free_ struct td_tuple *fresh = NULL;
	uint64_t now = td_now_ns(), begun = now;
	size_t n = 0;
	int r;

	if (!p->on ||
	    (!after_scan && p->read_ns && now - p->read_ns < READ_SHARE * p->read_cost_ns))
		return 0;
	r = td_kernel_ports(d->kernel, &entries, &n);
	if (r < 0)
		return r;
	fresh = calloc(n + 1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		fresh[i].key = entries[i].key;
		fresh[i].value = &entries[i].value;
	}
	if (n)
		qsort(fresh, n, sizeof(*fresh), by_key);
	now = td_now_ns();
	join(fresh, n, p->tuples, p->n_tuples, p->read_ns);
	td_port_table_done(p);
	p->tuples = TD_TAKE_PTR(fresh);
	p->entries = TD_TAKE_PTR(entries);
	p->n_tuples = n;
	p->read_cost_ns = now - begun;
	p->read_ns = now;
	for (size_t i = 0; i < n; i++) {
		struct td_tuple *t = &p->tuples[i];
		const struct td_space *s = &p->spaces[t->key.space % TUNDISH_SPACES_MAX];

		note_failures(p, t, now);
		if (after_scan && s->scanned)
			td_budget_scanned(&t->budget, t->value, s->scan, now);
		if (after_scan)
			td_budget_look(&t->budget, t->value, now);
		td_budget_picture(&t->budget, &t->key, t->value, &s->budget, now, &t->picture);
	}
	if (after_scan) {
		drop(d, now);
		look_at_changes(d);
	}
	return 0;
}

/* ---- the fullest -------------------------------------------------------------------------- */

static int by_use(const void *a, const void *b)
{
	const struct td_tuple *x = *(struct td_tuple *const *)a, *y = *(struct td_tuple *const *)b;

	if (x->picture.utilization != y->picture.utilization)
		return x->picture.utilization > y->picture.utilization ? -1 : 1;
	if (x->picture.used != y->picture.used)
		return x->picture.used > y->picture.used ? -1 : 1;
	return by_key(x, y);
}

static void add_other(struct td_selection *s, const struct td_tuple *t)
{
	const struct td_picture *i = &t->picture;

	for (size_t k = 0; k < TUNDISH_PORT_STATE_MAX; k++)
		s->other.state[k] += i->state[k];
	s->other.used += i->used;
	s->other.reusable += i->reusable;
	s->other.opening_rate += i->opening_rate;
	s->other.time_wait_rate += i->time_wait_rate;
	s->other.freed_rate += i->freed_rate;
	for (size_t k = 0; k < TUNDISH_PORT_FAILED_MAX; k++)
		s->other_failed[k] += t->value->failed[k];
	s->n_other++;
}

static bool is_empty(const struct td_tuple *t)
{
	bool failed = false;

	for (size_t k = 0; k < TUNDISH_PORT_FAILED_MAX; k++)
		failed = failed || t->value->failed[k];
	return !t->picture.used && !failed && t->picture.opening_rate <= 0;
}

int td_port_table_select(struct td_daemon *d, size_t top, bool and_above, bool idle,
			 struct td_selection *ret)
{
	struct td_source_ports *p = d->source_ports;
	int r = td_port_table_read(d, false);
	size_t n = 0;

	*ret = (struct td_selection){0};
	if (r < 0)
		return r;
	ret->rows = calloc(p->n_tuples + 1, sizeof(*ret->rows));
	if (!ret->rows)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_tuples; i++)
		if ((idle || !is_empty(&p->tuples[i])) && is_present(p, &p->tuples[i].key)) {
			if (p->tuples[i].key.protocol)
				ret->rows[n++] = &p->tuples[i];
			else
				add_other(ret, &p->tuples[i]);
		}
	if (n)
		qsort(ret->rows, n, sizeof(*ret->rows), by_use);
	ret->n = TD_MIN(n, top);
	while (and_above && ret->n < TD_MIN(n, (size_t)TD_TUPLES_MOST) &&
	       ret->rows[ret->n]->picture.utilization > TD_TUPLES_ABOVE)
		ret->n++;
	for (size_t i = ret->n; i < n; i++)
		add_other(ret, ret->rows[i]);
	return 0;
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
