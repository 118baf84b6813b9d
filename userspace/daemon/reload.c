// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a configuration to the data path: check everything, plan everything, and
 * only then begin. A file that is refused has changed nothing.
 *
 * New VIPs are owned, and announced, when the data path serves them already;
 * those that go are given up when it does not serve them any more.
 */
#include "config/config.h"
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
			td_event(d, "detach", all[i].name, "failed: %s", e.text);
		else
			td_event(d, "detach", all[i].name, "not in the file any more");
		td_step_done(d);
	}
	td_links_refresh(d, true);
}

static int run(struct td_daemon *d, const struct td_config *c, struct td_error *error)
{
	struct td_state installed = {0};
	struct td_groups groups = {0};
	struct td_plan_host host;
	struct td_plan plan = {0};
	struct td_error e = {0};
	int r;

	r = td_endpoints_read(d, c);
	if (r < 0)
		return td_fail(error, -r, "cannot list this host's addresses: %s", strerror(-r));
	r = td_kernel_read_state(d->kernel, &installed);
	r = r ?: td_kernel_read_lanes(d->kernel, &installed);
	if (r < 0)
		return td_fail(error, -r, "cannot read the maps in %s: %s", d->options.pin,
			       strerror(-r));
	r = td_lane_host_look(d, c, &host, error);
	if (r < 0)
		goto out;
	r = td_plan_make(&installed, c, &host, &d->settings, &plan, error);
	if (r < 0)
		goto out;
	r = td_lanes_check(d, &plan, error);
	if (r < 0)
		goto out;
	r = td_groups_plan(d, c, &groups, error);
	if (r < 0)
		goto out;
	r = td_egress_plan(d, c, error);
	if (r < 0)
		goto out;
	if (c != d->config) {
		/* The last thing that may be refused, and before anything changes. */
		r = td_attach_all(d, c, error);
		if (r < 0)
			goto out;
		r = set_timeouts(d, c) ?: set_nat_timeouts(d, c);
		if (r < 0) {
			td_fail(error, -r, "cannot write the timeouts: %s", strerror(-r));
			goto out;
		}
		r = set_gue_port(d, c);
		if (r < 0) {
			td_fail(error, -r, "cannot write the port of GUE: %s", strerror(-r));
			goto out;
		}
	}
	/* VIPs that leave go from this host before they go from the map, which is what
	 * a next daemon knows them by. */
	if (c != d->config && td_vips_own(d, c, &installed, false, &e) < 0)
		td_log(TD_LOG_WARNING, "%s", d->vips_trouble);
	/* Before the VIPs that lead to them. */
	r = td_groups_put(d, c, &groups, &plan.target, error);
	if (r < 0)
		goto out;
	d->lanes->config = c;
	r = td_apply(d, &installed, &plan, error);
	if (r < 0)
		goto out;
	td_lanes_settle(d, &plan.target);
	if (c != d->config) {
		td_egress_put(d, c);
		td_own_connections_put(d, c);
		td_nexthops_refresh_all(d, true);
		if (!d->config)
			td_nexthops_wait(d, 2000);
		if (td_vips_own(d, c, &installed, true, &e) < 0)
			td_log(TD_LOG_WARNING, "%s", d->vips_trouble);
		detach_former(d, c);
		td_nat_sources_look(d);
	}
out:
	if (r < 0)
		d->lanes->config = d->config;
	td_groups_done(&groups);
	td_plan_done(&plan);
	td_state_done(&installed);
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
	snprintf(d->config_name, sizeof(d->config_name), "%s", name);
	td_config_free(d->config);
	d->config = TD_TAKE_PTR(*config);
	td_source_ports_apply(d, d->config);
	td_checks_configure(d);
	return 0;
}

int td_reload_file(struct td_daemon *d, struct td_error *error)
{
	_cleanup_(td_config_freep) struct td_config *c = NULL;
	int r;

	r = td_config_load(d->options.config, &c, error);
	if (r == 0)
		r = td_reload(d, &c, d->options.config, error);
	d->reloads++;
	return r;
}

int td_replan(struct td_daemon *d, struct td_error *error)
{
	return run(d, d->config, error);
}
