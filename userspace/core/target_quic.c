// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which backend each server id of QUIC shall stand for.
 *
 * One that is not in the file any more keeps its id until its last flow has ended, unless
 * another backend has been given it.
 */
#include "core/server_id.h"
#include "core/target.h"

struct want {
	struct td_quic_state q;
	const struct td_target_backend *backend;
};

static int by_key(const void *a, const void *b)
{
	const struct want *x = a, *y = b;
	int c = td_quic_state_compare(&x->q, &y->q);

	/* the one that counts comes first */
	return c ?: x->backend->wanted != y->backend->wanted ? x->backend->wanted ? -1 : 1 : 0;
}

static size_t collect(const struct td_target *t, struct want *wants)
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < t->n_backends; i++) {
		const struct tundish_backend *b = &t->backends[i].b.value;

		if (b->server_id.length && b->state != TUNDISH_BACKEND_FREE)
			wants[n++] = (struct want){
				.q = {.key = {b->service, b->server_id},
				      .backend = t->backends[i].b.id},
				.backend = &t->backends[i],
			};
	}
	qsort(wants, n, sizeof(*wants), by_key);
	for (size_t i = 0; i < n; i++)
		if (!kept || td_quic_state_compare(&wants[kept - 1].q, &wants[i].q))
			wants[kept++] = wants[i];
	return kept;
}

int td_target_quic(struct td_target *t, const struct td_state *installed)
{
	_cleanup_free_ struct want *wants = calloc(t->n_backends + 1, sizeof(*wants));
	size_t n;

	t->quic = calloc(installed->n_quic + t->n_backends + 1, sizeof(*t->quic));
	if (!wants || !t->quic)
		return -ENOMEM;
	n = collect(t, wants);
	/* Those that stay come first, in the order of the state. */
	for (size_t i = 0; i < n; i++) {
		struct td_target_quic *q = &t->quic[t->n_quic++];
		const struct td_quic_state *in = td_state_quic(installed, &wants[i].q.key);

		q->q = wants[i].q;
		if (in && in->backend == q->q.backend)
			continue;
		q->change = TD_CHANGE_PUT;
		snprintf(q->why, sizeof(q->why), "names backend %.63s",
			 wants[i].backend->b.value.name);
	}
	for (size_t i = 0; i < installed->n_quic; i++) {
		const struct td_quic_state *in = &installed->quic[i];
		struct td_target_quic *q = &t->quic[t->n_quic];

		if (n && bsearch(in, wants, n, sizeof(*wants), td_quic_state_compare))
			continue;
		t->n_quic++;
		q->q = *in;
		q->change = TD_CHANGE_DELETE;
		q->installed_index = i;
		snprintf(q->why, sizeof(q->why), "names no backend any more");
	}
	return 0;
}
