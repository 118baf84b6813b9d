// SPDX-License-Identifier: GPL-2.0-only
/* The states of backends and their weights in the row, by what the file, commands and health
 * say of each and of the others of its service (pool.h). */
#include "core/override.h"
#include "core/pool.h"
#include "core/target.h"

static bool resets(const struct td_target_backend *t)
{
	return t->service_conf->health && t->service_conf->health->resets;
}

/* @by: what follows the state's name in a sentence */
static uint8_t state_of(const struct td_target_backend *t, enum td_pool_place place,
			const char **by)
{
	const struct tundish_backend *b = &t->b.value;
	uint8_t state = td_backend_state_wanted(b);

	*by = b->flags & TUNDISH_BACKEND_RUN_STATE     ? " by command"
	      : b->flags & TUNDISH_BACKEND_AGENT_DRAIN ? " by its agent"
						       : "";
	if (state != TUNDISH_BACKEND_DOWN)
		return state;
	*by = " by health";
	if (place == TD_POOL_KEPT_LAST)
		*by = " all the same, as no other backend is left";
	if (place == TD_POOL_KEPT_LIMIT)
		*by = " all the same, as max_ejected of them are out";
	if (place == TD_POOL_KEPT_LAST || place == TD_POOL_KEPT_LIMIT)
		return TUNDISH_BACKEND_UP;
	return resets(t) ? TUNDISH_BACKEND_DISABLED : state;
}

static void settle_state(struct td_target_backend *t, enum td_pool_place place)
{
	struct tundish_backend *b = &t->b.value;
	uint8_t former = td_backend_state_shown(b);
	const char *by;
	uint8_t state = state_of(t, place, &by);

	if (b->state != state) {
		b->state = state;
		if (!t->why[0])
			snprintf(t->why, sizeof(t->why), "state %s%s, was %s",
				 td_backend_state_name(td_backend_state_shown(b)), by,
				 td_backend_state_name(former));
		t->change = TD_CHANGE_PUT;
	}
	b->weight = 0;
	if (state == TUNDISH_BACKEND_UP && place != TD_POOL_SPARE)
		b->weight = td_backend_share(b);
	/* Packets of a disabled backend's flows go to their slot's owner, which
	 * must not be that backend any more by then. */
	if (t->change == TD_CHANGE_PUT && state == TUNDISH_BACKEND_DISABLED && t->installed_weight)
		t->change = TD_CHANGE_PUT_AFTER_ROW;
}

static int by_service(const void *a, const void *b)
{
	const struct td_target_backend *x = *(struct td_target_backend *const *)a;
	const struct td_target_backend *y = *(struct td_target_backend *const *)b;

	if (x->b.value.service != y->b.value.service)
		return x->b.value.service < y->b.value.service ? -1 : 1;
	return (x->b.id > y->b.id) - (x->b.id < y->b.id);
}

/* Those of one service, @members as many. */
static int settle_pool(struct td_target_backend *const *backends, struct td_pool_member *members,
		       size_t n)
{
	const struct td_health_conf *h = backends[0]->service_conf->health;
	int r;

	for (size_t i = 0; i < n; i++) {
		const struct tundish_backend *b = &backends[i]->b.value;
		uint8_t state = td_backend_state_wanted(b);

		members[i] = (struct td_pool_member){
			.usable = td_backend_share(b) &&
				  (state == TUNDISH_BACKEND_UP || state == TUNDISH_BACKEND_DOWN),
			.backup = b->flags & TUNDISH_BACKEND_BACKUP,
			.healthy = !(b->flags & TUNDISH_BACKEND_UNHEALTHY),
			.since_ns = b->health_since_ns,
		};
	}
	r = td_pool_settle(members, n, h ? h->max_ejected : 100);
	for (size_t i = 0; r == 0 && i < n; i++)
		settle_state(backends[i], members[i].place);
	return r;
}

int td_target_pool(struct td_target *t)
{
	_cleanup_free_ struct td_target_backend **all =
		calloc(t->n_backends + 1, sizeof(struct td_target_backend *));
	_cleanup_free_ struct td_pool_member *members = calloc(t->n_backends + 1, sizeof(*members));
	size_t n = 0;
	int r = 0;

	if (!all || !members)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_backends; i++)
		if (t->backends[i].wanted)
			all[n++] = &t->backends[i];
	if (n)
		qsort(all, n, sizeof(*all), by_service);
	for (size_t i = 0, end; r == 0 && i < n; i = end) {
		for (end = i; end < n && all[end]->service_conf == all[i]->service_conf; end++)
			;
		r = settle_pool(all + i, members, end - i);
	}
	return r;
}
