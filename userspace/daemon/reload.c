// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a configuration to the data path: check everything, plan everything, and
 * only then begin. A file that is refused has changed nothing. A step that the kernel
 * refuses in the middle is undone with all those before it, by planning back over what
 * stands then; so a reload is in force as a whole or not at all.
 *
 * New VIPs are owned, and announced, when the data path serves them already;
 * those that go are given up when it does not serve them any more.
 */
#include "config/config.h"
#include "daemon/history.h"
#include "daemon/lanes.h"
#include "daemon/nat.h"

/* A half-open flow's clock has seven bits, and the sweep must come by between
 * its timeout and the clock's wrap. */
#define SYN_TICKS_MAX 112

/* Of translated connections that are over (include/tundish/nat_state.h). */
#define NAT_RESTING_MS	    10000u
#define NAT_RESET_CLIENT_MS 60000u
#define NAT_RESET_SERVER_MS 10000u

int td_config_check_host(const char *name, const struct td_config *c, struct td_error *error)
{
	for (size_t i = 0; i < c->n_interfaces; i++)
		if (!if_nametoindex(c->interfaces[i].name))
			return td_fail(error, ENODEV,
				       "%s:%u:%u: there is no interface \"%s\" on this host; "
				       "`ip link` lists those that are",
				       name, c->interfaces[i].at.line, c->interfaces[i].at.column,
				       c->interfaces[i].name);
	return 0;
}

static uint32_t ticks(uint32_t ms, uint32_t max)
{
	uint64_t t = ((uint64_t)ms * TD_NS_PER_MS + (1ull << TUNDISH_TICK_SHIFT) - 1) >>
		     TUNDISH_TICK_SHIFT;

	return t < 1 ? 1 : t > max ? max : t;
}

static int set_timeouts(struct td_daemon *d, const struct td_config *c)
{
	struct tundish_settings s = *td_kernel_settings(d->kernel);
	uint32_t syn = ticks(c->timeouts.syn_ms, SYN_TICKS_MAX);
	uint32_t established = ticks(c->timeouts.established_ms, TUNDISH_TICKS_MAX);
	uint32_t closing = ticks(c->timeouts.closing_ms, TUNDISH_TICKS_MAX);
	uint32_t udp_new = ticks(c->timeouts.udp_new_ms, TUNDISH_TICKS_MAX);
	uint32_t udp = ticks(c->timeouts.udp_ms, TUNDISH_TICKS_MAX);
	int r;

	if (s.syn_timeout == syn && s.established_timeout == established &&
	    s.closing_timeout == closing && s.udp_new_timeout == udp_new && s.udp_timeout == udp)
		return 0;
	s.syn_timeout = syn;
	s.established_timeout = established;
	s.closing_timeout = closing;
	s.udp_new_timeout = udp_new;
	s.udp_timeout = udp;
	r = td_kernel_set_timeouts(d->kernel, &s);
	td_step_done(d);
	return r;
}

/* At least so long: the first tick may have begun long before. */
static uint16_t nat_ticks(uint32_t ms)
{
	return (uint16_t)TD_MIN(ticks(ms, TUNDISH_TICKS_MAX) + 1, TUNDISH_TICKS_MAX);
}

static int set_nat_timeouts(struct td_daemon *d, const struct td_config *c)
{
	const struct td_timeouts_conf *t = &c->timeouts;
	struct tundish_nat_timeouts now = {
		.syn = nat_ticks(t->syn_ms),
		.established = nat_ticks(t->nat_established_ms),
		.half_closed = nat_ticks(t->half_closed_ms),
		.closing = nat_ticks(t->closing_ms),
		.resting = nat_ticks(NAT_RESTING_MS),
		.reset_client = nat_ticks(NAT_RESET_CLIENT_MS),
		.reset_server = nat_ticks(NAT_RESET_SERVER_MS),
		.udp_new = nat_ticks(t->udp_new_ms),
		.udp = nat_ticks(t->udp_ms),
	};
	int r;

	if (!memcmp(&td_kernel_nat_settings(d->kernel)->timeouts, &now, sizeof(now)))
		return 0;
	r = td_kernel_set_nat_timeouts(d->kernel, &now);
	td_step_done(d);
	return r;
}

static int set_gue_port(struct td_daemon *d, const struct td_config *c)
{
	int r;

	if (td_kernel_settings(d->kernel)->gue_port_be == htons(c->gue.port))
		return 0;
	r = td_kernel_set_gue_port(d->kernel, c->gue.port);
	td_step_done(d);
	return r;
}

static bool same_limits(const struct td_limits_conf *a, const struct td_limits_conf *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* Off the interfaces that are not in the file any more. */
static void detach_former(struct td_daemon *d, const struct td_config *c)
{
	_cleanup_free_ struct td_attachment *all = NULL;
	size_t n = 0;

	if (td_kernel_attachments(d->kernel, &all, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct td_error e = {0};
		bool wanted = false;

		for (size_t j = 0; j < c->n_interfaces && !wanted; j++)
			wanted = !strcmp(all[i].name, c->interfaces[j].name);
		if (wanted)
			continue;
		if (td_kernel_detach(d->kernel, all[i].name, &e) < 0)
			td_event_bad(d, "detach", all[i].name, "failed: %s", e.text);
		else
			td_event(d, "detach", all[i].name, "not in the file any more");
		td_step_done(d);
	}
	td_links_refresh(d, true);
}

/* ---- one change ------------------------------------------------------------------ */

struct change {
	const struct td_config *config;
	bool whole; /* all that a file says; else what follows from commands and this host */
	struct td_state installed;
	struct td_groups groups;
	struct td_plan plan;
};

static void change_done(struct change *c)
{
	td_groups_done(&c->groups);
	td_plan_done(&c->plan);
	td_state_done(&c->installed);
}

/* All that may be refused by what is there, and before anything changes. */
static int prepare(struct td_daemon *d, struct change *c, struct td_error *error)
{
	struct td_plan_host host;
	int r;

	r = td_endpoints_read(d, c->config);
	if (r < 0)
		return td_fail(error, -r, "cannot list this host's addresses: %s", strerror(-r));
	r = td_kernel_read_state(d->kernel, &c->installed);
	r = r ?: td_kernel_read_lanes(d->kernel, &c->installed);
	if (r < 0)
		return td_fail(error, -r, "cannot read the maps in %s: %s", d->options.pin,
			       strerror(-r));
	r = td_lane_host_look(d, c->config, &host, error);
	r = r ?: td_plan_make(&c->installed, c->config, &host, &d->settings, &c->plan, error);
	r = r ?: td_lanes_check(d, &c->plan, error);
	r = r ?: td_groups_plan(d, c->config, &c->groups, error);
	return r ?: td_egress_plan(d, c->config, error);
}

/* What the kernel may refuse although the plan is good. */
static int carry_out(struct td_daemon *d, struct change *c, struct td_error *error)
{
	struct td_error e = {0};
	int r = 0;

	if (c->whole) {
		r = td_attach_all(d, c->config, error);
		if (r < 0)
			return r;
		r = td_step_fails(d) ?: set_timeouts(d, c->config);
		r = r ?: td_step_fails(d) ?: set_nat_timeouts(d, c->config);
		if (r < 0)
			return td_fail(error, -r, "cannot write the timeouts: %s", strerror(-r));
		r = td_step_fails(d) ?: set_gue_port(d, c->config);
		if (r < 0)
			return td_fail(error, -r, "cannot write the port of GUE: %s", strerror(-r));
		/* VIPs that leave go from this host before they go from the map, which is what
		 * a next daemon knows them by. */
		if (td_vips_own(d, c->config, &c->installed, false, &e) < 0)
			td_log(TD_LOG_WARNING, "%s", d->vips_trouble);
	}
	/* Before the VIPs that lead to them. */
	r = td_step_fails(d);
	if (r < 0)
		return td_fail(error, -r, "cannot write the worker groups: %s", strerror(-r));
	r = td_groups_put(d, c->config, &c->groups, &c->plan.target, error);
	if (r < 0)
		return r;
	d->lanes->config = c->config;
	return td_apply(d, &c->installed, &c->plan, error);
}

/* What is told where it fails, and mends by itself. */
static void settle(struct td_daemon *d, struct change *c)
{
	struct td_error e = {0};

	td_lanes_settle(d, &c->plan.target);
	if (!c->whole)
		return;
	td_histories_follow(d, &c->plan.target);
	td_egress_put(d, c->config);
	td_own_connections_put(d, c->config);
	td_nexthops_refresh_all(d, true);
	if (!d->config)
		td_nexthops_wait(d, 2000);
	if (td_vips_own(d, c->config, &c->installed, true, &e) < 0)
		td_log(TD_LOG_WARNING, "%s", d->vips_trouble);
	detach_former(d, c->config);
	td_nat_sources_look(d);
}

/* ---- the way back ------------------------------------------------------------------ */

/* What commands and health have said of the backends as it was before. A plan takes it for
 * void where the file's value changed or the backend went, as both did for a moment. */
static void put_wishes_back(struct td_daemon *d, const struct td_state *before)
{
	for (size_t i = 0; i < before->n_backends; i++) {
		const struct td_backend_state *was = &before->backends[i];
		const struct tundish_backend *now = &td_kernel_backends(d->kernel)[was->id];
		struct tundish_backend value = *now;

		if (was->value.state == TUNDISH_BACKEND_GONE ||
		    now->state == TUNDISH_BACKEND_FREE || now->service != was->value.service)
			continue;
		value.file_weight = was->value.file_weight;
		value.run_weight = was->value.run_weight;
		value.file_state = was->value.file_state;
		value.run_state = was->value.run_state;
		value.flags = was->value.flags;
		value.adjust = was->value.adjust;
		value.health_since_ns = was->value.health_since_ns;
		value.drain_deadline = was->value.drain_deadline;
		value.ejected_s = was->value.ejected_s;
		value.ejections = was->value.ejections;
		if (now->state == TUNDISH_BACKEND_GONE)
			value.state = was->value.state;
		if (!memcmp(&value, now, sizeof(value)))
			continue;
		td_kernel_put_backend(d->kernel, was->id, &value);
		td_step_done(d);
	}
}

/* From wherever the steps ended to the configuration that was in force, by a plan over what
 * stands then: so it needs no memory of what was done. */
static void undo(struct td_daemon *d, const struct td_state *before, struct td_error *error)
{
	_cleanup_(change_done) struct change back = {.config = d->config, .whole = true};
	struct td_error e = {0}, first = *error;
	int r;

	d->fail_at = 0;
	put_wishes_back(d, before);
	r = prepare(d, &back, &e);
	r = r ?: carry_out(d, &back, &e);
	if (r == 0) {
		settle(d, &back);
		td_fail(error, ECANCELED,
			"%.400s; all was undone, the former configuration is in force again",
			first.text);
	} else {
		td_fail(error, ECANCELED,
			"%.180s; and to undo it failed too: %.180s; a reload goes on from there",
			first.text, e.text[0] ? e.text : strerror(-r));
	}
}

static int run(struct td_daemon *d, const struct td_config *config, struct td_error *error)
{
	_cleanup_(change_done) struct change c = {.config = config, .whole = config != d->config};
	int r = prepare(d, &c, error);

	d->undone = false;
	d->steps_planned = c.plan.n_steps;
	if (r < 0)
		return r;
	r = carry_out(d, &c, error);
	if (r == 0) {
		settle(d, &c);
		return 0;
	}
	d->lanes->config = d->config;
	if (!error->text[0])
		td_fail(error, -r, "%s", strerror(-r));
	/* At the start there is nothing to go back to, and a command's own step is undone by
	 * who gave it. */
	if (c.whole && d->config) {
		undo(d, &c.installed, error);
		d->undone = true;
	}
	return r;
}

int td_reload(struct td_daemon *d, struct td_config **config, const char *name,
	      struct td_error *error)
{
	struct td_config *c = *config;
	const char *metrics = d->options.metrics ?: c->metrics_listen;
	struct td_error e = {0};
	int r;

	r = td_config_check_host(name, c, error);
	if (r < 0)
		return r;
	td_step_failing(d);
	r = run(d, c, error);
	if (r < 0)
		return r;
	if (d->config && !same_limits(&d->config->limits, &c->limits)) {
		free(d->limits_note);
		d->limits_note = strdup("limits changed in the file, the pinned maps keep theirs "
					"until `tundish unload`");
	}
	/* A busy port must not keep the data path from starting. */
	if (td_control_set_metrics(d->control, metrics, &e) < 0)
		td_log(TD_LOG_WARNING, "%s", e.text);
	snprintf(d->metrics_trouble, sizeof(d->metrics_trouble), "%.255s", e.text);
	td_rights_apply(d, c);
	snprintf(d->config_name, sizeof(d->config_name), "%s", name);
	td_config_free(d->config);
	d->config = TD_TAKE_PTR(*config);
	td_source_ports_apply(d, d->config);
	td_checks_configure(d);
	return 0;
}

int td_replan(struct td_daemon *d, struct td_error *error)
{
	return run(d, d->config, error);
}
