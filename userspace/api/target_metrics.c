// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each target of a service has had, in /metrics: most of the page where there are many backends. Two
 * entries of a name, while the former one has flows, are one series.
 */
#include "api/metrics.h"

struct target {
	const char *service, *backend;
	uint32_t target_labels, backend_labels;
	uint64_t connections_total, connections_active, packets, bytes;
	bool up, listed;
};

static uint64_t hash_of(const struct target *t)
{
	uint64_t h = 0xcbf29ce484222325;

	for (const char *c = t->service; *c; c++)
		h = (h ^ (unsigned char)*c) * 0x100000001b3;
	h *= 0x100000001b3; /* where one name ends */
	for (const char *c = t->backend; *c; c++)
		h = (h ^ (unsigned char)*c) * 0x100000001b3;
	return h ^ h >> 32;
}

/* The one of that name, which is a new one at the end unless there is one. `places` has room for twice as
 * many, so that the search ends soon. */
static struct target *place_of(struct target *all, size_t *n, uint32_t *places, size_t mask,
			       const struct target *t)
{
	size_t i = hash_of(t) & mask;

	for (; places[i]; i = (i + 1) & mask) {
		struct target *same = &all[places[i] - 1];

		if (!strcmp(same->backend, t->backend) && !strcmp(same->service, t->service))
			return same;
	}
	places[i] = (uint32_t)++ * n;
	all[*n - 1] = (struct target){.service = t->service, .backend = t->backend};
	return &all[*n - 1];
}

static size_t collect(struct td_daemon *d, const struct td_state *s, struct target *all,
		      uint32_t *places, size_t mask)
{
	size_t n = 0;

	td_traffic_begin(d, s->n_backends);
	for (size_t i = 0; i < s->n_backends; i++) {
		const struct tundish_backend *b = &s->backends[i].value;
		struct tundish_traffic traffic;
		struct target *t;

		if (b->state == TUNDISH_BACKEND_FREE)
			continue;
		t = place_of(all, &n, places, mask,
			     &(struct target){.service = td_service_name(s, b->service),
					      .backend = b->name});
		td_traffic_of(d, s->backends[i].id, &traffic);
		t->connections_total += b->connections_total;
		t->connections_active += b->connections_active;
		t->packets += traffic.packets;
		t->bytes += traffic.bytes;
		t->up |= b->state == TUNDISH_BACKEND_UP && !(b->flags & TUNDISH_BACKEND_UNHEALTHY);
		t->listed |= b->state != TUNDISH_BACKEND_GONE &&
			     (b->delivery != TUNDISH_DELIVERY_WORKERS ||
			      td_kernel_steering(d->kernel)[b->service].group);
	}
	td_traffic_end(d);
	return n;
}

#define EACH(family, member)                                                                       \
	td_expose_family(e, TD_METRIC_##family);                                                   \
	for (size_t i = 0; i < n; i++)                                                             \
	td_expose(e, all[i].target_labels, all[i].member)

int td_expose_targets(struct td_exposition *e, struct td_daemon *d, const struct td_state *s)
{
	_cleanup_free_ struct target *all = calloc(s->n_backends + 1, sizeof(*all));
	_cleanup_free_ uint32_t *places = NULL;
	size_t size = 1, n;

	while (size < 2 * (s->n_backends + 1))
		size *= 2;
	places = calloc(size, sizeof(*places));
	if (!all || !places)
		return -ENOMEM;
	n = collect(d, s, all, places, size - 1);
	for (size_t i = 0; i < n; i++) {
		struct target *t = &all[i];

		t->target_labels =
			td_expose_labels(e, "service", t->service, "target", t->backend, NULL);
		t->backend_labels = t->listed ? td_expose_labels(e, "service", t->service,
								 "backend", t->backend, NULL)
					      : 0;
	}
	EACH(connections_total, connections_total);
	EACH(connections_active, connections_active);
	EACH(packets_total, packets);
	EACH(bytes_total, bytes);
	td_expose_family(e, TD_METRIC_backend_up);
	for (size_t i = 0; i < n; i++)
		if (all[i].listed)
			td_expose(e, all[i].backend_labels, all[i].up);
	return 0;
}
