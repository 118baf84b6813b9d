// SPDX-License-Identifier: GPL-2.0-only
/* Verdicts on backends, and how a worker group comes to its own; see health.h. */
#include "core/health.h"

const struct td_verdict *td_health_sum(const struct td_health *h)
{
	const struct td_verdict *best = &h->of[0];

	for (size_t i = 1; i < TD_HEALTH_SOURCES; i++)
		if (h->of[i].says > best->says)
			best = &h->of[i];
	return best;
}

const char *td_opinion_name(enum td_opinion says)
{
	return says == TD_OPINION_DOWN ? "down" : says == TD_OPINION_UP ? "up" : "none";
}

static void tell_why(struct td_group_health *g, const struct td_group_look *l)
{
	size_t size = sizeof(g->reason);

	if (!l->workers)
		snprintf(g->reason, size, "nothing listens on %s", l->name);
	else if (l->drained == l->workers)
		snprintf(g->reason, size, "each of the %u workers on %s is drained", l->workers,
			 l->name);
	else if (!l->drained)
		snprintf(g->reason, size,
			 "the accept queue of each of the %u workers on %s is full", l->workers,
			 l->name);
	else
		snprintf(g->reason, size,
			 "of the %u workers on %s %u are drained, and the accept queue of each "
			 "other one is full",
			 l->workers, l->name, l->drained);
}

void td_group_health_look(struct td_group_health *g, const struct td_group_look *l,
			  uint64_t grace_ns, uint64_t now_ns, struct td_verdict *ret)
{
	bool room = l->workers > l->drained + l->full;

	if (room) {
		g->stuck_since = 0;
		g->room_since = g->room_since ?: now_ns;
		if (now_ns - g->room_since >= TD_GROUP_ROOM_NS)
			g->down = false;
	} else {
		g->room_since = 0;
		/* Nobody there has a time of its own, which a restart needs. */
		g->stuck_since = !l->workers ? 0 : g->stuck_since ?: now_ns;
		g->down |= g->stuck_since && now_ns - g->stuck_since >= TD_GROUP_STUCK_NS;
		g->down |= !l->workers && l->empty_since &&
			   (int64_t)(now_ns - l->empty_since) >= (int64_t)grace_ns;
		tell_why(g, l);
	}
	ret->says = g->down ? TD_OPINION_DOWN : TD_OPINION_UP;
	if (!g->down)
		snprintf(ret->reason, sizeof(ret->reason), "workers on %s have room", l->name);
	else if (g->reason[0])
		snprintf(ret->reason, sizeof(ret->reason), "%s", g->reason);
	else
		snprintf(ret->reason, sizeof(ret->reason),
			 "workers on %s had no room when the daemon began", l->name);
}
