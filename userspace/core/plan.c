// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps between two states, in their order; see plan.h. What each entry
 * shall become is decided in target.c, target_lanes.c, target_quic.c and target_vips.c.
 *
 * What makes a cut plan safe: each step writes one entry that is complete in
 * itself, the order keeps everything that is referred to complete, and each
 * step leaves a trace in the state (a row in its backends' weights), so that a
 * new plan from a half-way state holds just the remaining steps.
 */
#include "core/plan.h"

#include "core/target.h"

void td_plan_done(struct td_plan *p)
{
	td_state_done(&p->target);
	free(p->steps);
	*p = (struct td_plan){0};
}

static int add(struct td_plan *p, enum td_step_kind kind, uint32_t id, size_t index,
	       const char *why)
{
	struct td_step *s;

	if (td_grow(&p->steps, p->n_steps, sizeof(*p->steps)) < 0)
		return -ENOMEM;
	s = &p->steps[p->n_steps++];
	*s = (struct td_step){.kind = kind, .id = id, .index = index};
	snprintf(s->why, sizeof(s->why), "%s", why);
	return 0;
}

static int add_services(struct td_plan *p, const struct td_target *t, enum td_change change,
			enum td_step_kind kind)
{
	int r = 0;

	for (size_t i = 0; i < t->n_services && !r; i++)
		if (t->services[i].change == change)
			r = add(p, kind, t->services[i].s.id, i, t->services[i].why);
	return r;
}

static int add_backends(struct td_plan *p, const struct td_target *t, enum td_change change,
			enum td_step_kind kind)
{
	int r = 0;

	for (size_t i = 0; i < t->n_backends && !r; i++)
		if (t->backends[i].change == change)
			r = add(p, kind, t->backends[i].b.id, i, t->backends[i].why);
	return r;
}

static int add_rows(struct td_plan *p, const struct td_target *t, bool wanted)
{
	int r = 0;

	for (size_t i = 0; i < t->n_services && !r; i++) {
		const struct td_target_service *s = &t->services[i];

		if (s->row_changes && !!s->conf == wanted)
			r = add(p, TD_STEP_ROW_SET, s->s.id, i, s->row_why);
	}
	return r;
}

static int add_vips(struct td_plan *p, const struct td_target *t, enum td_change change)
{
	int r = 0;

	for (size_t i = 0; i < t->n_vips && !r; i++) {
		const struct td_target_vip *v = &t->vips[i];

		if (v->change != change)
			continue;
		/* Those that stay come first in the target, in its order. */
		if (change == TD_CHANGE_PUT || change == TD_CHANGE_NARROW)
			r = add(p, TD_STEP_VIP_PUT, v->v.value.id, i, v->why);
		else
			r = add(p, TD_STEP_VIP_DELETE, v->v.value.id, v->installed_index, v->why);
	}
	return r;
}

static int add_hosts(struct td_plan *p, const struct td_target *t, const struct td_state *installed,
		     enum td_change change)
{
	size_t kept = 0, k = 0;
	int r = 0;

	for (size_t i = 0; i < t->n_hosts && !r; i++) {
		const struct td_target_host *h = &t->hosts[i];

		while (k < installed->n_hosts && memcmp(&installed->hosts[k].address, &h->h.address,
							sizeof(h->h.address)) < 0)
			k++;
		if (h->change == change && change == TD_CHANGE_PUT)
			r = add(p, TD_STEP_HOST_PUT, h->h.value.number, kept,
				h->installed ? "used in another way" : "new in the file");
		else if (h->change == change)
			r = add(p, TD_STEP_HOST_DELETE, h->h.value.number, k,
				"nothing uses it any more");
		kept += h->change != TD_CHANGE_GONE;
	}
	return r;
}

static int add_quic(struct td_plan *p, const struct td_target *t, enum td_change change)
{
	int r = 0;

	for (size_t i = 0; i < t->n_quic && !r; i++) {
		const struct td_target_quic *q = &t->quic[i];

		if (q->change != change)
			continue;
		if (change == TD_CHANGE_PUT)
			r = add(p, TD_STEP_QUIC_PUT, q->q.backend, i, q->why);
		else
			r = add(p, TD_STEP_QUIC_DELETE, q->q.backend, q->installed_index, q->why);
	}
	return r;
}

static int add_lanes(struct td_plan *p, const struct td_target *t, enum td_change change,
		     enum td_step_kind kind)
{
	int r = 0;

	for (size_t i = 0; i < t->n_lanes && !r; i++)
		if (t->lanes[i].change == change)
			r = add(p, kind, t->lanes[i].l.id, i, t->lanes[i].why);
	return r;
}

static int add_fans(struct td_plan *p, const struct td_target *t, enum td_change change,
		    enum td_step_kind kind)
{
	int r = 0;

	for (size_t i = 0; i < t->n_fans && !r; i++)
		if (t->fans[i].change == change)
			r = add(p, kind, t->fans[i].f.id, i, t->fans[i].why);
	return r;
}

static int add_steps(struct td_plan *p, const struct td_target *t, const struct td_state *installed,
		     bool deletions_first)
{
	int r = add_services(p, t, TD_CHANGE_PUT, TD_STEP_SERVICE_PUT);

	r = r ?: add_hosts(p, t, installed, TD_CHANGE_PUT);
	r = r ?: add_lanes(p, t, TD_CHANGE_PUT, TD_STEP_LANE_PUT);
	r = r ?: add_fans(p, t, TD_CHANGE_PUT, TD_STEP_FAN_PUT);
	r = r ?: add_backends(p, t, TD_CHANGE_PUT, TD_STEP_BACKEND_PUT);
	r = r ?: add_quic(p, t, TD_CHANGE_PUT);
	r = r ?: add_rows(p, t, true);
	r = r ?: add_backends(p, t, TD_CHANGE_PUT_AFTER_ROW, TD_STEP_BACKEND_PUT);
	r = r ?: add_vips(p, t, TD_CHANGE_NARROW);
	r = r ?: add_vips(p, t, TD_CHANGE_DELETE_FIRST);
	r = r ?: add_vips(p, t, deletions_first ? TD_CHANGE_DELETE : TD_CHANGE_PUT);
	r = r ?: add_vips(p, t, deletions_first ? TD_CHANGE_PUT : TD_CHANGE_DELETE);
	r = r ?: add_rows(p, t, false);
	r = r ?: add_backends(p, t, TD_CHANGE_GONE, TD_STEP_BACKEND_GONE);
	r = r ?: add_fans(p, t, TD_CHANGE_GONE, TD_STEP_FAN_GONE);
	r = r ?: add_lanes(p, t, TD_CHANGE_GONE, TD_STEP_LANE_GONE);
	r = r ?: add_hosts(p, t, installed, TD_CHANGE_GONE);
	r = r ?: add_services(p, t, TD_CHANGE_GONE, TD_STEP_SERVICE_GONE);
	return r ?: add_quic(p, t, TD_CHANGE_DELETE);
}

static int copy_target(struct td_state *s, const struct td_target *t)
{
	s->services = calloc(t->n_services + 1, sizeof(*s->services));
	s->backends = calloc(t->n_backends + 1, sizeof(*s->backends));
	s->vips = calloc(t->n_vips + 1, sizeof(*s->vips));
	s->lanes = calloc(t->n_lanes + 1, sizeof(*s->lanes));
	s->hosts = calloc(t->n_hosts + 1, sizeof(*s->hosts));
	s->fans = calloc(t->n_fans + 1, sizeof(*s->fans));
	s->quic = calloc(t->n_quic + 1, sizeof(*s->quic));
	if (!s->services || !s->backends || !s->vips || !s->lanes || !s->hosts || !s->fans ||
	    !s->quic)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_lanes; i++)
		s->lanes[s->n_lanes++] = t->lanes[i].l;
	for (size_t i = 0; i < t->n_hosts; i++)
		if (t->hosts[i].change != TD_CHANGE_GONE)
			s->hosts[s->n_hosts++] = t->hosts[i].h;
	for (size_t i = 0; i < t->n_fans; i++)
		s->fans[s->n_fans++] = t->fans[i].f;
	for (size_t i = 0; i < t->n_services; i++)
		s->services[s->n_services++] = t->services[i].s;
	for (size_t i = 0; i < t->n_backends; i++)
		s->backends[s->n_backends++] = t->backends[i].b;
	for (size_t i = 0; i < t->n_vips; i++)
		if (t->vips[i].change < TD_CHANGE_DELETE_FIRST)
			s->vips[s->n_vips++] = t->vips[i].v;
	for (size_t i = 0; i < t->n_quic; i++)
		if (t->quic[i].change < TD_CHANGE_DELETE_FIRST)
			s->quic[s->n_quic++] = t->quic[i].q;
	return 0;
}

static int make(const struct td_state *installed, const struct td_config *config,
		const struct td_plan_host *host, const struct tundish_settings *limits,
		struct td_target *t, struct td_plan *p, struct td_error *error)
{
	int r;

	r = td_target_services(t, installed, config, limits, error);
	r = r ?: td_target_backends(t, installed, limits, error);
	r = r ?: td_target_lanes(t, installed, host, limits, error);
	r = r
		    ?: td_target_vips(t, installed, config, host->endpoints, host->n_endpoints,
				      limits, error);
	r = r ?: td_target_quic(t, installed);
	r = r ?: copy_target(&p->target, t);
	/* Old and new VIPs fit into the table together, or the old ones go first. */
	return r ?: add_steps(p, t, installed, t->n_vips > limits->vips_max);
}

int td_plan_make(const struct td_state *installed, const struct td_config *config,
		 const struct td_plan_host *host, const struct tundish_settings *limits,
		 struct td_plan *ret, struct td_error *error)
{
	struct td_target t = {0};
	struct td_plan p = {0};
	int r;

	r = make(installed, config, host, limits, &t, &p, error);
	td_target_done(&t);
	if (r == -ENOMEM)
		td_fail(error, ENOMEM, "out of memory while planning the change");
	if (r < 0) {
		td_plan_done(&p);
		return r;
	}
	*ret = p;
	return 0;
}
