// SPDX-License-Identifier: GPL-2.0-only
/*
 * What choosing and draining ask of the daemon over time: a drain whose deadline is over
 * becomes a disabling, and a service whose backends all have their max_connections is told
 * of, at most once in ten seconds.
 *
 * The deadline stands in the backend's entry, in seconds of the monotonic clock, so it
 * outlives the daemon; a clock that is set does not move it.
 */
#include "core/override.h"
#include "daemon/daemon.h"

#define LOOK_USEC     500000ull
#define TELL_NS	      (10 * TD_NS_PER_S)
#define DEADLINE_MOST (30 * 86400u)

/* What is known of a service's refusals. */
struct td_crowd {
	uint64_t refused, told; /* as counted, as told */
	uint64_t last_ns, told_ns;
};

static uint32_t seconds_now(void)
{
	return (uint32_t)(td_now_ns() / TD_NS_PER_S);
}

/* ---- draining ------------------------------------------------------------------------- */

static int read_deadline(const struct td_request *q, const char **ret_text, json_t **ret_body)
{
	json_t *body = NULL, *deadline;
	const char *key;
	json_t *value;

	*ret_text = q->query(q, "deadline");
	if (!q->body_length)
		return 0;
	body = json_loadb(q->body, q->body_length, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(body)) {
		json_decref(body);
		return -EINVAL;
	}
	json_object_foreach (body, key, value)
		if (strcmp(key, "deadline")) {
			json_decref(body);
			return -EINVAL;
		}
	deadline = json_object_get(body, "deadline");
	*ret_body = body;
	if (deadline)
		*ret_text = json_string_value(deadline);
	return deadline && !*ret_text ? -EINVAL : 0;
}

int td_drain_read(const struct td_request *q, struct tundish_backend *b, struct td_reply *reply)
{
	json_t *body = NULL;
	const char *text;
	uint32_t seconds = 0;
	int r = read_deadline(q, &text, &body);

	if (r == 0 && text && (td_read_seconds(text, &seconds) < 0 || seconds > DEADLINE_MOST))
		r = -EINVAL;
	json_decref(body);
	if (r < 0) {
		td_reply_error(reply, 400, 2,
			       "drain takes a deadline of at most 30 days, as {\"deadline\": "
			       "\"10m\"} or ?deadline=10m, and nothing else");
		return r;
	}
	b->drain_deadline = text ? TD_MAX(seconds_now() + seconds, 1) : 0;
	return 0;
}

int64_t td_drain_left(const struct tundish_backend *b)
{
	if (!b->drain_deadline || td_backend_admin_state(b) != TUNDISH_BACKEND_DRAIN)
		return -1;
	return TD_MAX((int64_t)b->drain_deadline - seconds_now(), 0);
}

/* A service's name, from what is read when the first one is asked for. */
static const char *name_of(struct td_daemon *d, struct td_state *s, uint32_t service)
{
	if (!s->n_services)
		td_kernel_read_state(d->kernel, s); /* where it fails it is "unknown" */
	return td_service_name(s, service);
}

static bool end_drains(struct td_daemon *d)
{
	const struct tundish_backend *all = td_kernel_backends(d->kernel);
	_cleanup_(td_state_done) struct td_state s = {0};
	uint32_t now = seconds_now();
	bool changed = false;

	for (uint32_t id = 1; id < d->settings.backends_max; id++) {
		struct tundish_backend b = all[id];
		char object[160];

		if (!b.drain_deadline || (int32_t)(now - b.drain_deadline) < 0 ||
		    b.state == TUNDISH_BACKEND_FREE || b.state == TUNDISH_BACKEND_GONE ||
		    td_backend_admin_state(&b) != TUNDISH_BACKEND_DRAIN)
			continue;
		td_override_state(&b, TUNDISH_BACKEND_DISABLED); /* forgets the deadline */
		td_kernel_put_backend(d->kernel, id, &b);
		td_step_done(d);
		snprintf(object, sizeof(object), "backend %.63s/%.63s", name_of(d, &s, b.service),
			 b.name);
		td_event(d, "disable", object,
			 "the deadline of its drain is over, %lld connections were left",
			 (long long)b.connections_active);
		changed = true;
	}
	return changed;
}

/* ---- refusals -------------------------------------------------------------------------- */

static void tell_crowds(struct td_daemon *d, uint64_t now)
{
	const struct tundish_deliver *all = td_kernel_deliveries(d->kernel);
	_cleanup_(td_state_done) struct td_state s = {0};

	for (uint32_t id = 1; id < d->settings.services_max; id++) {
		uint64_t refused = __atomic_load_n(&all[id].refused, __ATOMIC_RELAXED);
		struct td_crowd *c = &d->crowds[id];
		char object[100];

		if (refused < c->refused) /* another service's by now */
			c->told = 0;
		if (refused != c->refused)
			c->last_ns = now;
		c->refused = refused;
		if (refused <= c->told || (c->told_ns && now - c->told_ns < TELL_NS))
			continue;
		snprintf(object, sizeof(object), "service %.63s", name_of(d, &s, id));
		td_event(d, "full", object,
			 "all its backends had their max_connections, %llu new connections were "
			 "refused",
			 (unsigned long long)(refused - c->told));
		c->told = refused;
		c->told_ns = now;
	}
}

void td_choice_attention(struct td_daemon *d, const struct td_state *s, td_attention_add add,
			 json_t *list)
{
	uint64_t now = td_now_ns();

	for (size_t i = 0; i < s->n_services; i++) {
		const struct td_crowd *c = &d->crowds[s->services[i].id];
		char what[100];

		if (s->services[i].value.state != TUNDISH_SERVICE_ACTIVE || !c->last_ns ||
		    now - c->last_ns >= TD_RECENT_NS)
			continue;
		snprintf(what, sizeof(what), "service %.63s", s->services[i].value.name);
		add(list, what,
		    "within the last minute all its backends had their max_connections, and new "
		    "connections were refused",
		    "add backends, or raise max_connections where they can bear it");
	}
}

/* ---- time ------------------------------------------------------------------------------ */

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;
	struct td_error e = {0};

	sd_event_source_set_time(source, usec + LOOK_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (!d->kernel || !d->ready)
		return 0;
	d->choice_stale |= end_drains(d);
	if (d->choice_stale) {
		if (td_replan(d, &e) < 0)
			td_log(TD_LOG_WARNING, "%s", e.text);
		else
			d->choice_stale = false;
	}
	tell_crowds(d, td_now_ns());
	return 0;
}

int td_choice_open(struct td_daemon *d)
{
	const struct tundish_deliver *all = td_kernel_deliveries(d->kernel);
	uint64_t now;

	d->crowds = calloc(d->settings.services_max, sizeof(*d->crowds));
	if (!d->crowds)
		return -ENOMEM;
	/* what a former daemon has told */
	for (uint32_t id = 1; id < d->settings.services_max; id++)
		d->crowds[id].refused = d->crowds[id].told = all[id].refused;
	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	return sd_event_add_time(d->event, NULL, CLOCK_MONOTONIC, now + LOOK_USEC, 10000, on_look,
				 d);
}
