// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fullest tuples, of up to a million: in one pass, with those that are the first so
 * far in a heap whose top is the last of them.
 */
#include "daemon/nat.h"

static int by_key(const struct td_tuple *a, const struct td_tuple *b)
{
	return memcmp(&a->key, &b->key, sizeof(a->key));
}

static int by_use(const struct td_tuple *a, const struct td_tuple *b)
{
	if (a->picture.utilization != b->picture.utilization)
		return a->picture.utilization > b->picture.utilization ? -1 : 1;
	if (a->picture.used != b->picture.used)
		return a->picture.used > b->picture.used ? -1 : 1;
	return by_key(a, b);
}

static int by_time_wait(const struct td_tuple *a, const struct td_tuple *b)
{
	uint32_t n = a->picture.state[TUNDISH_PORT_time_wait],
		 m = b->picture.state[TUNDISH_PORT_time_wait];

	if (n != m)
		return n > m ? -1 : 1;
	if (a->value.closed.here != b->value.closed.here)
		return a->value.closed.here > b->value.closed.here ? -1 : 1;
	if (td_closer_all(&a->value.closed) != td_closer_all(&b->value.closed))
		return td_closer_all(&a->value.closed) > td_closer_all(&b->value.closed) ? -1 : 1;
	return by_key(a, b);
}

int td_tuple_compare(enum td_tuple_order order, const struct td_tuple *a, const struct td_tuple *b)
{
	return order == TD_TUPLES_BY_USE ? by_use(a, b) : by_time_wait(a, b);
}

static int rows_by_use(const void *a, const void *b)
{
	return by_use(*(struct td_tuple *const *)a, *(struct td_tuple *const *)b);
}

static int rows_by_time_wait(const void *a, const void *b)
{
	return by_time_wait(*(struct td_tuple *const *)a, *(struct td_tuple *const *)b);
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
		s->other_failed[k] += t->value.failed[k];
	s->n_other++;
}

static bool is_empty(const struct td_tuple *t)
{
	bool failed = false;

	for (size_t k = 0; k < TUNDISH_PORT_FAILED_MAX; k++)
		failed = failed || t->value.failed[k];
	return !t->picture.used && !failed && t->picture.opening_rate <= 0;
}

/* ---- the heap --------------------------------------------------------------------------- */

static void sink(struct td_tuple **rows, size_t n, size_t i, enum td_tuple_order order)
{
	struct td_tuple *t = rows[i];

	for (size_t child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && td_tuple_compare(order, rows[child + 1], rows[child]) > 0)
			child++;
		if (td_tuple_compare(order, rows[child], t) <= 0)
			break;
		rows[i] = rows[child];
	}
	rows[i] = t;
}

static void take(struct td_selection *s, struct td_tuple *t, size_t most, enum td_tuple_order order)
{
	if (s->n < most) {
		s->rows[s->n++] = t;
		for (size_t i = s->n / 2; s->n == most && i > 0; i--)
			sink(s->rows, s->n, i - 1, order);
	} else if (most && td_tuple_compare(order, t, s->rows[0]) < 0) {
		add_other(s, s->rows[0]);
		s->rows[0] = t;
		sink(s->rows, s->n, 0, order);
	} else {
		add_other(s, t);
	}
}

bool td_tuple_listed(const struct td_source_ports *p, const struct td_tuple *t)
{
	if (t->key.space == TD_SPACE_NAT)
		return true;
	return t->key.protocol && t->key.space < TUNDISH_SPACES_MAX &&
	       p->spaces[t->key.space].present;
}

static void take_all(const struct td_source_ports *p, struct td_tuples *from, size_t most,
		     enum td_tuple_order order, bool idle, struct td_selection *ret)
{
	for (size_t i = 0; i < from->n; i++) {
		struct td_tuple *t = &from->row[i];

		if (!idle && is_empty(t))
			continue;
		if (td_tuple_listed(p, t))
			take(ret, t, most, order);
		else if (!t->key.protocol && p->spaces[t->key.space % TUNDISH_SPACES_MAX].present)
			add_other(ret, t);
	}
}

int td_port_table_select(struct td_daemon *d, enum td_tuple_order order, size_t top, bool and_above,
			 bool idle, struct td_selection *ret)
{
	struct td_source_ports *p = d->source_ports;
	bool lanes = order == TD_TUPLES_BY_USE;
	int r = td_port_table_read(d);
	size_t most, n;

	*ret = (struct td_selection){0};
	if (r == 0 && lanes)
		r = td_lane_ports_read(d, false);
	if (r < 0)
		return r;
	most = and_above ? TD_MAX(top, (size_t)TD_TUPLES_MOST) : top;
	n = p->tuples.n + (lanes ? d->nat->rows.n : 0);
	ret->rows = calloc(TD_MIN(most, n) + 1, sizeof(struct td_tuple *));
	if (!ret->rows)
		return -ENOMEM;
	take_all(p, &p->tuples, most, order, idle, ret);
	if (lanes)
		take_all(p, &d->nat->rows, most, order, idle, ret);
	n = ret->n;
	if (n)
		qsort(ret->rows, n, sizeof(struct td_tuple *),
		      order == TD_TUPLES_BY_USE ? rows_by_use : rows_by_time_wait);
	ret->n = TD_MIN(n, top);
	while (and_above && ret->n < n && ret->rows[ret->n]->picture.utilization > TD_TUPLES_ABOVE)
		ret->n++;
	for (size_t i = ret->n; i < n; i++)
		add_other(ret, ret->rows[i]);
	return 0;
}
