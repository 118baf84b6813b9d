// SPDX-License-Identifier: GPL-2.0-only
/*
 * Configurations that come over the control socket: shown, checked, compared
 * with what runs, applied. A comparison is the plan itself, so that it cannot
 * say something else than what an apply does.
 */
#include "api/api.h"
#include "config/config.h"
#include "core/override.h"
#include "daemon/lanes.h"

static void add(json_t *list, const char *kind, const char *object, const char *why)
{
	json_array_append_new(
		list, json_pack("{s:s s:s s:s}", "kind", kind, "object", object, "why", why));
}

static void add_interfaces(const struct td_daemon *d, const struct td_config *c, json_t *list)
{
	for (size_t i = 0; i < c->n_interfaces; i++) {
		bool known = false;

		for (size_t j = 0; j < d->config->n_interfaces && !known; j++)
			known = !strcmp(c->interfaces[i].name, d->config->interfaces[j].name);
		if (!known)
			add(list, "attach", c->interfaces[i].name, "new in the file");
	}
	for (size_t j = 0; j < d->config->n_interfaces; j++) {
		bool wanted = false;

		for (size_t i = 0; i < c->n_interfaces && !wanted; i++)
			wanted = !strcmp(c->interfaces[i].name, d->config->interfaces[j].name);
		if (!wanted)
			add(list, "detach", d->config->interfaces[j].name,
			    "not in the file any more");
	}
}

static void add_settings(const struct td_daemon *d, const struct td_config *c, json_t *list)
{
	if (memcmp(&c->timeouts, &d->config->timeouts, sizeof(c->timeouts)))
		add(list, "timeouts", "timeouts", "other values in the file");
	if (memcmp(&c->limits, &d->config->limits, sizeof(c->limits)))
		add(list, "limits", "limits",
		    "other values in the file; the pinned maps keep theirs until `tundish unload`");
	if (!td_ports_conf_equal(&c->ports, &d->config->ports))
		add(list, "ports", "ports", "other values in the file");
	if (c->own_connections != d->config->own_connections)
		add(list, "own", "own_connections",
		    c->own_connections ? "on in the file" : "off in the file");
	if (strcmp(c->control.group, d->config->control.group) ||
	    strcmp(c->control.admin_group, d->config->control.admin_group))
		add(list, "control", "control", "groups differ");
	if (!d->options.metrics && strcmp(c->metrics_listen, d->config->metrics_listen))
		add(list, "metrics", "metrics.listen", "another address in the file");
	if (c->metrics_commands != d->config->metrics_commands)
		add(list, "metrics", "metrics.commands",
		    c->metrics_commands ? "true in the file" : "false in the file");
}

/* What differs, in half a sentence; NULL: nothing. */
static const char *health_differs(const struct td_health_conf *now,
				  const struct td_health_conf *file)
{
	struct td_health_conf same;

	if (td_health_conf_equal(now, file))
		return NULL;
	if (!now || !file)
		return file ? "checked, new in the file" : "not checked any more in the file";
	same = *file;
	same.passive = now->passive;
	return td_health_conf_equal(now, &same) ? "passive: other values in the file"
						: "other checks in the file";
}

static bool own_health_differs(const struct td_service_conf *now,
			       const struct td_service_conf *file)
{
	for (size_t i = 0; i < file->n_backends; i++)
		for (size_t k = 0; k < now->n_backends; k++)
			if (!strcmp(now->backends[k].name, file->backends[i].name) &&
			    !td_own_health_conf_equal(now->backends[k].health,
						      file->backends[i].health))
				return true;
	return false;
}

/* Health is no part of the plan: only what it comes to is. */
static void add_health(const struct td_daemon *d, const struct td_config *c, json_t *list)
{
	for (size_t i = 0; i < c->n_services; i++) {
		const struct td_service_conf *file = &c->services[i];
		const struct td_service_conf *now = td_config_service(d->config, file->name);
		const char *why = health_differs(now ? now->health : NULL, file->health);

		if (!why && now && own_health_differs(now, file))
			why = "other checks of a backend in the file";
		if (why)
			add(list, "health", file->name, why);
	}
}

/* Settings made at run time, which are there although the file says otherwise. */
static void add_run_time(const struct td_state *s, json_t *list)
{
	for (size_t i = 0; i < s->n_backends; i++) {
		const struct tundish_backend *b = &s->backends[i].value;
		char object[160], why[128];

		if (b->state == TUNDISH_BACKEND_GONE || b->state == TUNDISH_BACKEND_FREE)
			continue;
		snprintf(object, sizeof(object), "%.63s/%.63s", td_service_name(s, b->service),
			 b->name);
		if (b->flags & TUNDISH_BACKEND_RUN_WEIGHT) {
			snprintf(why, sizeof(why), "weight %u by command, %u in the file",
				 b->run_weight, b->file_weight);
			add(list, "run-time", object, why);
		}
		if (b->flags & TUNDISH_BACKEND_RUN_STATE) {
			snprintf(why, sizeof(why), "state %s by command, %s in the file",
				 td_backend_state_name(b->run_state),
				 td_backend_state_name(b->file_state));
			add(list, "run-time", object, why);
		}
	}
}

int td_plan_for(struct td_daemon *d, const struct td_config *c, struct td_state *installed,
		struct td_plan *ret, struct td_error *error)
{
	struct td_plan_host host;
	int r;

	r = td_kernel_read_state(d->kernel, installed);
	r = r ?: td_kernel_read_lanes(d->kernel, installed);
	if (r < 0)
		return td_fail(error, -r, "cannot read the maps in %s: %s", d->options.pin,
			       strerror(-r));
	r = td_lane_host_look(d, c, &host, error);
	r = r ?: td_plan_make(installed, c, &host, &d->settings, ret, error);
	/* What is kept of this host is that of the configuration in force. */
	td_lane_host_look(d, d->config, &host, NULL);
	return r;
}

/* What applying `c` would do. Returns NULL with the error filled in. */
static json_t *changes(struct td_daemon *d, const struct td_config *c, struct td_error *error)
{
	_cleanup_(td_state_done) struct td_state installed = {0};
	struct td_plan plan = {0};
	json_t *list;

	if (td_plan_for(d, c, &installed, &plan, error) < 0)
		return NULL;
	list = json_array();
	add_interfaces(d, c, list);
	add_settings(d, c, list);
	add_health(d, c, list);
	for (size_t i = 0; i < plan.n_steps; i++) {
		char object[160];

		td_step_object(&installed, &plan, &plan.steps[i], object, sizeof(object));
		add(list, td_step_kind_name(plan.steps[i].kind), object, plan.steps[i].why);
	}
	/* Those that outlive it, which the target still has. */
	add_run_time(&plan.target, list);
	td_plan_done(&plan);
	return list;
}

static void show(struct td_daemon *d, struct td_reply *reply)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int r;

	if (!out) {
		td_reply_error(reply, 500, 1, "out of memory");
		return;
	}
	r = td_config_print(d->config, out);
	if (fclose(out) != 0 || r < 0) {
		td_reply_error(reply, 500, 1, "cannot print the configuration");
		return;
	}
	reply->text = TD_TAKE_PTR(text);
	reply->content_type = "application/yaml";
}

void td_answer_config(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	_cleanup_(td_config_freep) struct td_config *c = NULL;
	const char *name = q->query(q, "name") ?: "configuration";
	const char *verb = q->n_words > 1 ? q->word[1] : NULL;
	struct td_error e = {0};
	json_t *list;
	bool applies;

	if (!verb) {
		show(d, reply);
		return;
	}
	if (strcmp(verb, "check") && strcmp(verb, "diff") && strcmp(verb, "apply")) {
		td_reply_error(reply, 404, 2,
			       "there is no /v1/config/%.40s; there are: check, diff, "
			       "apply",
			       verb);
		return;
	}
	applies = !strcmp(verb, "apply");
	if (applies && !td_rights_ask(d, q, true, reply))
		return;
	td_offer_read(d, q, name, applies, &c, reply);
	if (!c)
		return;
	if (td_config_check_host(name, c, &e) < 0) {
		td_reply_error(reply, 422, 1, "%s", e.text);
		return;
	}
	if (applies) {
		td_offer_apply(d, q, &c, name, changes, reply);
		return;
	}
	list = changes(d, c, &e);
	if (!list)
		td_reply_error(reply, 422, 1, "%s", e.text);
	else
		reply->json = json_pack("{s:o}", "changes", list);
}
