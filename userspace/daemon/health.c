// SPDX-License-Identifier: GPL-2.0-only
/*
 * Health of backends: asks the sources for their verdicts, writes what they come to
 * into the backends' entries, and has the plan bring it into force, as a command
 * does. What one of them says stands in the entry while the daemon is dead, too.
 *
 * A backend that is this host, of a service with a worker group, is as healthy as the
 * group is. Checks (checks.c) speak when they have something to say.
 */
#include "core/health.h"
#include "daemon/daemon.h"

/* What a pass found of the service's group, once for all its backends here. */
struct found {
	bool looked;
	struct td_verdict verdict;
};

/* @alone: there is nowhere else to go, so all that counts is whether somebody is there */
static void look_at_group(struct td_daemon *d, uint32_t service, bool alone, bool was_down,
			  uint64_t now, struct td_verdict *ret)
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
		if (alone)
			continue;
		if (w->flags & TUNDISH_WORKER_DRAIN)
			look.drained++;
		else
			look.full += w->queue > w->limit;
	}
	td_group_health_look(&m->health, &look, m->grace_ns, now, ret);
}

/* @service: its name, or NULL, which costs a look at the maps; @before: "up", or what is bad */
static void tell(struct td_daemon *d, uint32_t id, const char *service, const char *before,
		 const char *reason)
{
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[id];
	_cleanup_(td_state_done) struct td_state s = {0};
	char object[160];

	if (!service)
		td_kernel_read_state(d->kernel, &s); /* where it fails it is "unknown" */
	snprintf(object, sizeof(object), "backend %.63s/%.63s",
		 service ? service : td_service_name(&s, b->service), b->name);
	if (!strcmp(before, "up"))
		td_event(d, "health", object, "%s: %s", before, reason);
	else
		td_event_bad(d, "health", object, "%s: %s", before, reason);
}

/* Takes a verdict. Returns whether the backend's entry changed. */
static bool hear(struct td_daemon *d, uint32_t id, const char *service,
		 enum td_health_source source, const struct td_verdict *v)
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
	b.health_since_ns = td_now_ns();
	td_kernel_put_backend(d->kernel, id, &b); /* the wish; the plan brings it into force */
	td_step_done(d);
	tell(d, id, service, down ? "down" : "up",
	     sum->says == TD_OPINION_NONE ? "nobody looks at it any more" : sum->reason);
	return true;
}

const char *td_backend_kept_why(const struct td_daemon *d, uint32_t id)
{
	return d->memory[id].kept_by_limit ? "as many are ejected as max_ejected allows, so new "
					     "connections still go to it"
					   : "no other backend is left, so new connections still "
					     "go to it";
}

/* Services of which some healthy backend is in use. */
static void find_healthy(const struct td_daemon *d, bool *healthy)
{
	const struct tundish_backend *all = td_kernel_backends(d->kernel);

	for (uint32_t id = 1; id < d->settings.backends_max; id++)
		if (all[id].state == TUNDISH_BACKEND_UP && all[id].weight &&
		    !(all[id].flags & TUNDISH_BACKEND_UNHEALTHY) &&
		    all[id].service < d->settings.services_max)
			healthy[all[id].service] = true;
}

/* To go on is no worse than to refuse all; but it has to be said. It may be so for all of them
 * at once, so names are looked up once. */
static void tell_last_ones(struct td_daemon *d)
{
	_cleanup_free_ bool *healthy = calloc(d->settings.services_max, sizeof(*healthy));
	const struct tundish_backend *all = td_kernel_backends(d->kernel);
	_cleanup_(td_state_done) struct td_state s = {0};

	if (!healthy)
		return;
	find_healthy(d, healthy);
	for (uint32_t id = 1; id < d->settings.backends_max; id++) {
		struct td_backend_memory *m = &d->memory[id];
		bool last = td_backend_is_last(&all[id]);

		m->kept_by_limit = last && all[id].service < d->settings.services_max &&
				   healthy[all[id].service];
		/* A group of which nobody listens has told what there is to tell. */
		if (last && !m->told_last &&
		    !(all[id].delivery == TUNDISH_DELIVERY_WORKERS &&
		      m->health.of[TD_HEALTH_GROUP].says == TD_OPINION_DOWN)) {
			if (!s.n_services)
				td_kernel_read_state(d->kernel, &s);
			tell(d, id, td_service_name(&s, all[id].service), "in use all the same",
			     td_backend_kept_why(d, id));
		}
		m->told_last = last;
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

		bool alone = b->delivery == TUNDISH_DELIVERY_WORKERS;

		if (b->state == TUNDISH_BACKEND_FREE || b->state == TUNDISH_BACKEND_GONE ||
		    b->service >= d->settings.services_max)
			continue;
		/* Alone it has nobody to look at it but its checks, if there are. */
		if (td_kernel_steering(d->kernel)[b->service].group &&
		    (alone ? !td_check_is_asked(d, id) : td_nexthop_is_local(d, id))) {
			v = &found[b->service].verdict;
			if (!found[b->service].looked)
				look_at_group(d, b->service, alone,
					      b->flags & TUNDISH_BACKEND_UNHEALTHY, now, v);
			found[b->service].looked = true;
		}
		changed |= hear(d, id, NULL, TD_HEALTH_GROUP, v);
	}
	return changed;
}

void td_health_configure(struct td_daemon *d, uint32_t service, const struct td_service_conf *c)
{
	d->group_memory[service].grace_ns = c->workers.restart_grace_ms * TD_NS_PER_MS;
	d->health_on = true;
}

void td_health_stale(struct td_daemon *d)
{
	d->health_stale = true;
	if (d->health_timer)
		td_timer_arm(d->health_timer, d->health_wait_usec);
}

void td_health_hear(struct td_daemon *d, uint32_t id, const char *service,
		    enum td_health_source source, const struct td_verdict *v)
{
	if (hear(d, id, service, source, v))
		td_health_stale(d);
}

/* The plan follows at once; but of several changes in a short time one plan comes of all, so
 * that planning takes a fifth of the time at most. */
static void settle(struct td_daemon *d)
{
	struct td_error e = {0};
	uint64_t begin = td_now_ns();

	if (d->health_stale) {
		if (td_replan(d, &e) < 0) {
			td_log(TD_LOG_WARNING, "%s", e.text);
			return; /* the next look tries again */
		}
		d->health_stale = false;
		d->health_wait_usec = TD_MIN(4 * (td_now_ns() - begin) / 1000, 1000000);
	}
	tell_last_ones(d);
}

static int on_settle(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;

	if (d->kernel && d->ready)
		settle(d);
	return 0;
}

void td_health_look(struct td_daemon *d)
{
	td_checks_look(d);
	/* Once more when the last such service has gone: what was said of it is void. */
	if (d->health_on || !d->health_clear) {
		if (d->groups_on)
			td_kernel_measure_queues(d->kernel);
		d->health_stale |= hear_all(d);
		d->health_clear = !d->health_on;
		settle(d);
	} else if (d->health_stale) {
		settle(d);
	}
}

int td_health_open(struct td_daemon *d)
{
	d->group_memory = calloc(d->settings.services_max, sizeof(*d->group_memory));
	return d->group_memory ? td_timer_add(d, &d->health_timer, 1000, on_settle) : -ENOMEM;
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
