// SPDX-License-Identifier: GPL-2.0-only
/* Who takes new connections; see pool.h. */
#include "core/pool.h"

struct counts {
	size_t all, healthy; /* that are no backups */
	size_t backups, healthy_backups;
};

static struct counts count(const struct td_pool_member *m, size_t n)
{
	struct counts c = {0};

	for (size_t i = 0; i < n; i++) {
		if (!m[i].usable)
			continue;
		if (m[i].backup) {
			c.backups++;
			c.healthy_backups += m[i].healthy;
		} else {
			c.all++;
			c.healthy += m[i].healthy;
		}
	}
	return c;
}

/* Nobody but backups is healthy, if they are. */
static void settle_without(struct td_pool_member *m, size_t n, const struct counts *c)
{
	for (size_t i = 0; i < n; i++) {
		bool last = !c->healthy_backups && m[i].usable && (!m[i].backup || !c->all);

		if (m[i].healthy)
			m[i].place = TD_POOL_IN;
		else
			m[i].place = last ? TD_POOL_KEPT_LAST : TD_POOL_OUT;
	}
}

static int by_since(const void *a, const void *b)
{
	const struct td_pool_member *x = *(struct td_pool_member *const *)a;
	const struct td_pool_member *y = *(struct td_pool_member *const *)b;

	if (x->since_ns != y->since_ns)
		return x->since_ns < y->since_ns ? -1 : 1;
	return (x > y) - (x < y);
}

int td_pool_settle(struct td_pool_member *m, size_t n, unsigned int max_ejected)
{
	_cleanup_free_ struct td_pool_member **sick = NULL;
	struct counts c = count(m, n);
	size_t n_sick = 0;

	if (!c.healthy) {
		settle_without(m, n, &c);
		return 0;
	}
	if (c.healthy < c.all) {
		sick = calloc(c.all - c.healthy, sizeof(struct td_pool_member *));
		if (!sick)
			return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		if (m[i].healthy)
			m[i].place = m[i].backup ? TD_POOL_SPARE : TD_POOL_IN;
		else
			m[i].place = TD_POOL_OUT;
		if (sick && m[i].usable && !m[i].backup && !m[i].healthy)
			sick[n_sick++] = &m[i];
	}
	if (n_sick)
		qsort(sick, n_sick, sizeof(*sick), by_since);
	for (size_t i = c.all * max_ejected / 100; i < n_sick; i++)
		sick[i]->place = TD_POOL_KEPT_LIMIT;
	return 0;
}
