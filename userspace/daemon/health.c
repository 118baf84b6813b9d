// SPDX-License-Identifier: GPL-2.0-only
/*
 * Health of backends: asks the sources for their verdicts, writes what they come to
 * into the backends' entries, and has the plan bring it into force, as a command
 * does. What one of them says stands in the entry while the daemon is dead, too.
 *
 * A backend that is this host, of a service with a worker group, is as healthy as the
 * group is.
 */
#include "core/health.h"
#include "daemon/daemon.h"

/* What a pass found of the service's group, once for all its backends here. */
struct found {
	bool looked;
	struct td_verdict verdict;
};

static void look_at_group(struct td_daemon *d, uint32_t service, bool was_down, uint64_t now,
			  struct td_verdict *ret)
{
	const struct tundish_steering *s = &td_kernel_steering(d->kernel)[service];
	const struct tundish_group *g = &td_kernel_groups(d->kernel)[s->group];
	const struct tundish_worker *all = td_kernel_workers(d->kernel);
	struct td_group_memory *m = &d->group_memory[service];
	char name[TUNDISH_NAME_LEN];
	struct td_group_look look = {.name = name, .empty_since = g->empty_since};

	if (m->group != s->group) {
		m->group = s->group;
		m->health = (struct td_group_health){.down = was_down};
	}
	snprintf(name, sizeof(name), "%.*s", (int)sizeof(g->name) - 1, g->name);
	for (uint32_t i = 0; i < TD_MIN(g->used, g->size); i++) {
		const struct tundish_worker *w = &all[g->first + i];

		if (!w->cookie)
			continue;
		look.workers++;
		if (w->flags & TUNDISH_WORKER_DRAIN)
			look.drained++;
		else
			look.full += w->queue > w->limit;
	}
	td_group_health_look(&m->health, &look, m->grace_ns, now, ret);
}

static void tell(struct td_daemon *d, uint32_t id, const char *before, const char *reason)
{
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[id];
	_cleanup_(td_state_done) struct td_state s = {0};
	char object[160];

	td_kernel_read_state(d->kernel, &s); /* where it fails the service is "unknown" */
	snprintf(object, sizeof(object), "backend %.63s/%.63s", td_service_name(&s, b->service),
		 b->name);
	td_event(d, "health", object, "%s: %s", before, reason);
}

/* Takes a verdict. Returns whether the backend's entry changed. */
static bool hear(struct td_daemon *d, uint32_t id, enum td_health_source source,
		 const struct td_verdict *v)
{
	struct tundish_backend b = td_kernel_backends(d->kernel)[id];
	struct td_health *h = &d->memory[id].health;
	const struct td_verdict *sum;
	bool down;

	h->of[source] = *v;
	sum = td_health_sum(h);
	down = sum->says == TD_OPINION_DOWN;
	if (down == !!(b.flags & TUNDISH_BACKEND_UNHEALTHY))
		return false;
	b.flags ^= TUNDISH_BACKEND_UNHEALTHY;
	td_kernel_put_backend(d->kernel, id, &b); /* the wish; the plan brings it into force */
	td_step_done(d);
	tell(d, id, down ? "down" : "up",
	     sum->says == TD_OPINION_NONE ? "nobody looks at it any more" : sum->reason);
	return true;
}

/* To go on is no worse than to refuse all; but it has to be said. */
static void tell_last_ones(struct td_daemon *d)
{
	const struct tundish_backend *all = td_kernel_backends(d->kernel);

	for (uint32_t id = 1; id < d->settings.backends_max; id++) {
		bool last = td_backend_is_last(&all[id]);

		if (last && !d->memory[id].told_last)
			tell(d, id, "in use all the same",
			     "no other backend is left, so new connections still go to it");
		d->memory[id].told_last = last;
	}
}

static bool hear_all(struct td_daemon *d)
{
	_cleanup_free_ struct found *found = calloc(d->settings.services_max, sizeof(*found));
	const struct tundish_backend *all = td_kernel_backends(d->kernel);
	uint64_t now = td_now_ns();
	bool changed = false;

	if (!found)
		return false; /* at the next look */
	for (uint32_t id = 1; id < d->settings.backends_max; id++) {
		const struct tundish_backend *b = &all[id];
		struct td_verdict none = {.says = TD_OPINION_NONE}, *v = &none;

		if (!td_backend_listed(b) || b->state == TUNDISH_BACKEND_GONE ||
		    b->service >= d->settings.services_max)
			continue;
		if (td_kernel_steering(d->kernel)[b->service].group && td_nexthop_is_local(d, id)) {
			v = &found[b->service].verdict;
			if (!found[b->service].looked)
				look_at_group(d, b->service, b->flags & TUNDISH_BACKEND_UNHEALTHY,
					      now, v);
			found[b->service].looked = true;
		}
		changed |= hear(d, id, TD_HEALTH_GROUP, v);
	}
	return changed;
}

void td_health_configure(struct td_daemon *d, uint32_t service, const struct td_service_conf *c)
{
	d->group_memory[service].grace_ns = c->workers.restart_grace_ms * TD_NS_PER_MS;
	d->health_on |= c->delivery != TUNDISH_DELIVERY_WORKERS;
}

void td_health_look(struct td_daemon *d)
{
	struct td_error e = {0};

	/* Once more when the last such service has gone: what was said of it is void. */
	if (!d->health_on && d->health_clear)
		return;
	if (d->groups_on)
		td_kernel_measure_queues(d->kernel);
	d->health_stale |= hear_all(d);
	d->health_clear = !d->health_on;
	if (d->health_stale) {
		if (td_replan(d, &e) < 0) {
			td_log(TD_LOG_WARNING, "%s", e.text);
			return;
		}
		d->health_stale = false;
	}
	tell_last_ones(d);
}

int td_health_open(struct td_daemon *d)
{
	d->group_memory = calloc(d->settings.services_max, sizeof(*d->group_memory));
	return d->group_memory ? 0 : -ENOMEM;
}

const char *td_backend_health(const struct td_daemon *d, uint32_t id, const char **ret_reason)
{
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[id];
	const struct td_verdict *sum = td_health_sum(&d->memory[id].health);
	bool down = b->flags & TUNDISH_BACKEND_UNHEALTHY && b->state != TUNDISH_BACKEND_GONE;

	*ret_reason = !down			     ? NULL
		      : sum->says == TD_OPINION_DOWN ? sum->reason
						     : "so it was when the daemon began";
	return td_opinion_name(down ? TD_OPINION_DOWN : sum->says);
}
