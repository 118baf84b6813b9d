// SPDX-License-Identifier: GPL-2.0-only
/*
 * Health checks: from results to a verdict (core/checks.h), and from there to the backend's
 * entry, which the plan follows (health.c) and the next daemon begins with.
 *
 * The prober (probe/) is one descriptor in the event loop. A check is asked again within its
 * interval, from when it was due and not from when it came to it, so that its rate is what the
 * file says; one that takes longer than its interval is asked again at once.
 */
#include <sys/epoll.h>
#include <sys/resource.h>

#include "core/address.h"
#include "daemon/checks.h"

/* Of descriptors some are for the rest of the daemon. */
#define OTHER_FILES  512u
#define SOCKETS_MIN  64u
#define SOCKETS_MAX  16384u
#define PROGRAMS_MAX 64u
#define PERCENT_MAX  1000u /* of a weight, whoever says so */

uint32_t td_checks_chance(struct td_checks *k)
{
	k->seed ^= k->seed << 13; /* xorshift32 (Marsaglia, 2003) */
	k->seed ^= k->seed >> 17;
	k->seed ^= k->seed << 5;
	return k->seed >> 7;
}

/* ---- the entry -------------------------------------------------------------------------- */

static uint32_t flags_of(const struct td_check *c)
{
	return (c->type != TD_CHECK_NONE && c->state.known && c->state.down
			? TUNDISH_BACKEND_CHECK_DOWN
			: 0) |
	       (c->agent_port && c->said.down ? TUNDISH_BACKEND_AGENT_DOWN : 0) |
	       (c->agent_port && c->said.drain ? TUNDISH_BACKEND_AGENT_DRAIN : 0) |
	       (c->passive && c->passive->state.out ? TUNDISH_BACKEND_EJECTED : 0);
}

/* Nothing only where nothing is said. */
static uint32_t part_of(uint32_t whole, uint16_t percent)
{
	return percent ? TD_MAX(whole * percent / 100, 1) : 0;
}

/* Percent that its weight is to be changed by. */
static int16_t adjust_of(const struct td_check *c, int16_t before, uint64_t now)
{
	uint32_t percent = td_check_share(&c->state, &c->rules, now);

	if ((c->agent_port && !c->agent_known) || (c->weighs && !c->weight_known))
		return before; /* it will say */
	if (c->agent_port)
		percent = part_of(percent, c->said.percent);
	if (c->weighs)
		percent = part_of(percent, c->percent);
	return (int16_t)((int)TD_MIN(percent, PERCENT_MAX) - 100);
}

#define CHECK_FLAGS                                                                                \
	(TUNDISH_BACKEND_CHECK_DOWN | TUNDISH_BACKEND_AGENT_DOWN | TUNDISH_BACKEND_AGENT_DRAIN |   \
	 TUNDISH_BACKEND_EJECTED)

/* When what is thought of it changed last. A server that is tried in vain is out since it went:
 * who goes first of several stays first. */
static uint64_t since_of(const struct td_check *c, const struct tundish_backend *b)
{
	uint64_t since = c->state.known ? c->state.since_ns : b->health_since_ns;

	if (!c->passive || !c->passive->state.times)
		return since;
	if (c->passive->state.out && b->flags & TUNDISH_BACKEND_EJECTED && b->health_since_ns)
		return b->health_since_ns;
	return TD_MAX(since, c->passive->state.since_ns);
}

/* What the entry carries of checks, anew. @p: NULL: nothing */
static void put(struct td_daemon *d, uint32_t id, uint32_t flags, int16_t adjust, uint64_t since,
		const struct td_passive *p)
{
	const struct tundish_backend *entry = &td_kernel_backends(d->kernel)[id];
	struct tundish_backend b = *entry;

	b.flags = (b.flags & ~CHECK_FLAGS) | flags;
	b.adjust = adjust;
	b.health_since_ns = since;
	b.ejections = p ? p->state.times : 0;
	if (!b.ejections)
		b.ejected_s = 0;
	else if (p->state.out)
		b.ejected_s = (uint32_t)(p->state.since_ns / TD_NS_PER_S);
	if (!memcmp(&b, entry, sizeof(b)))
		return;
	if (b.adjust != entry->adjust || (b.flags ^ entry->flags) & TUNDISH_BACKEND_AGENT_DRAIN)
		td_health_stale(d);
	td_kernel_put_backend(d->kernel, id, &b);
	td_step_done(d);
}

/* Not later than it is armed already. */
static void arm_shares(struct td_checks *k, uint64_t at_ns)
{
	uint64_t usec = at_ns / 1000 + 1, armed;
	int on = SD_EVENT_OFF;

	sd_event_source_get_enabled(k->shares, &on);
	if (on != SD_EVENT_OFF && sd_event_source_get_time(k->shares, &armed) >= 0 && armed <= usec)
		return;
	sd_event_source_set_time(k->shares, usec);
	sd_event_source_set_enabled(k->shares, SD_EVENT_ONESHOT);
}

void td_check_settle(struct td_check *c, uint64_t now)
{
	struct td_daemon *d = c->d;
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[c->backend];
	uint64_t changes = td_check_share_changes(&c->state, &c->rules, now);

	put(d, c->backend, flags_of(c), adjust_of(c, b->adjust, now), since_of(c, b), c->passive);
	if (changes)
		arm_shares(d->checks, changes);
}

/* Steps of slow starts, of all whose time has come. */
static int on_shares(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;
	struct td_checks *k = d->checks;
	uint64_t now = td_now_ns();

	for (uint32_t i = 0; d->kernel && i < k->n_ids; i++) {
		struct td_check *c = k->of[k->ids[i]];

		if (!c->state.warm_ns)
			continue;
		td_check_settle(c, now); /* which arms for the next one */
		if (!td_check_share_changes(&c->state, &c->rules, now))
			c->state.warm_ns = 0;
	}
	return 0;
}

/* ---- results ------------------------------------------------------------------------------ */

static const char *type_name(const struct td_check *c)
{
	static const char *const names[] = {"no", "tcp", "http", "https", "udp", "exec"};

	return names[c->type];
}

void td_check_speak(struct td_check *c, enum td_health_source source, enum td_opinion says,
		    const char *format, ...)
{
	struct td_verdict v = {.says = says};
	va_list ap;

	va_start(ap, format);
	vsnprintf(v.reason, sizeof(v.reason), format, ap);
	va_end(ap);
	td_health_hear(c->d, c->backend, c->service_name, source, &v);
}

static void speak_of_check(struct td_check *c, const char *reason)
{
	enum td_opinion says = c->state.down ? TD_OPINION_DOWN : TD_OPINION_UP;
	char address[TD_ADDRESS_TEXT];

	if (c->type == TD_CHECK_EXEC)
		td_check_speak(c, TD_HEALTH_CHECK, says, "exec check: %s", reason);
	else
		td_check_speak(c, TD_HEALTH_CHECK, says, "%s check of %s port %u: %s", type_name(c),
			       td_address_print(&c->address, address), c->port, reason);
}

/* As the data path counts times (bpf/waits.h). */
static void keep_time(const struct td_check *c, uint64_t ns)
{
	struct td_check_times *t = &c->d->checks->times[c->service];
	uint64_t us = ns / 1000;
	uint32_t bucket = us ? 64 - (uint32_t)__builtin_clzll(us) : 0;

	if (strcmp(t->service, c->service_name)) {
		*t = (struct td_check_times){0};
		snprintf(t->service, sizeof(t->service), "%s", c->service_name);
	}
	t->waits.bucket[TD_MIN(bucket, TUNDISH_WAIT_BUCKETS - 1)]++;
	t->waits.sum += ns;
}

static void keep(struct td_check *c, struct td_inquiry *q, const struct td_probe_result *r,
		 uint64_t now)
{
	q->answered = true;
	q->verdict = r->verdict;
	q->at_ns = now;
	q->latency_ns = r->latency_ns;
	snprintf(q->reason, sizeof(q->reason), "%s", r->reason);
	c->d->checks->results[r->verdict]++;
	if (q == &c->check && r->verdict != TD_PROBE_UNABLE)
		keep_time(c, r->latency_ns);
}

static void ask_again(struct td_check *c, struct td_inquiry *q, uint64_t interval_ns, uint64_t now)
{
	q->due_ns += td_check_wait(interval_ns, td_checks_chance(c->d->checks));
	if (q->due_ns < now) /* it took longer: at once, and not all that was missed */
		q->due_ns = now;
	td_probe_at(q->probe, q->due_ns);
}

/* What its status says of its weight, keepalived's misc_dynamic. */
static void weigh(struct td_check *c, const struct td_probe_result *r, uint64_t now)
{
	uint16_t before = c->percent;
	char object[160];

	if (!c->weighs || r->verdict != TD_PROBE_GOOD || !td_check_weigh(r->status, &c->percent))
		return;
	if (c->weight_known && c->percent == before)
		return;
	c->weight_known = true;
	td_check_settle(c, now);
	if (c->percent == before)
		return;
	snprintf(object, sizeof(object), "backend %.63s/%.63s", c->service_name, c->name);
	td_event(c->d, "weight", object, "its check says %u%% of its weight: %.100s", c->percent,
		 r->reason);
}

void td_check_on_result(void *context, const struct td_probe_result *r)
{
	static const enum td_check_outcome outcomes[] = {
		[TD_PROBE_GOOD] = TD_CHECK_GOOD,
		[TD_PROBE_BAD] = TD_CHECK_BAD,
		[TD_PROBE_REFUSED] = TD_CHECK_REFUSED,
		[TD_PROBE_TIMEOUT] = TD_CHECK_BAD,
	};
	struct td_check *c = context;
	uint64_t now = td_now_ns();
	unsigned int row = c->state.known ? c->state.against + 1u : 1;
	bool changed = r->verdict != TD_PROBE_UNABLE && c->d->kernel && /* else it says nothing */
		       td_check_take(&c->state, &c->rules, outcomes[r->verdict], now);

	if (c->passive && r->verdict != TD_PROBE_UNABLE && c->d->kernel)
		td_passive_checked(&c->passive->state, r->verdict == TD_PROBE_GOOD);
	keep(c, &c->check, r, now);
	ask_again(c, &c->check, td_check_interval(&c->state, &c->rules, &c->check.pace), now);
	if (c->d->kernel)
		weigh(c, r, now);
	if (!changed)
		return;
	td_check_settle(c, now); /* first, so that a daemon that ends here has told the next one */
	if (row > 1) {
		char reason[sizeof(r->reason)];

		snprintf(reason, sizeof(reason), "%.120s, %u in a row", r->reason, row);
		speak_of_check(c, reason);
	} else {
		speak_of_check(c, r->reason);
	}
}

static void speak_of_agent(struct td_check *c)
{
	td_check_speak(c, TD_HEALTH_AGENT, c->said.down ? TD_OPINION_DOWN : TD_OPINION_UP,
		       "its agent says %s%s%s", c->said.down ? "down" : "up",
		       c->said.reason[0] ? ": " : "", c->said.reason);
}

static void tell_agent(struct td_check *c, const struct td_agent_state *before)
{
	char object[160];

	snprintf(object, sizeof(object), "backend %.63s/%.63s", c->service_name, c->name);
	if (before->max_connections != c->said.max_connections)
		td_event(c->d, "agent", object,
			 "it asks for at most %u connections, which is not followed: write "
			 "max_connections into the file",
			 c->said.max_connections);
	if (before->drain == c->said.drain && before->percent == c->said.percent)
		return;
	td_event(c->d, "agent", object, "it says %s%u%% of its weight",
		 c->said.drain ? "no new connections, and " : "", c->said.percent);
}

/* One that does not answer changes nothing: whether it can be reached is what checks are for. */
void td_check_on_agent(void *context, const struct td_probe_result *r)
{
	struct td_check *c = context;
	struct td_agent_state before = c->said;
	uint64_t now = td_now_ns();
	bool tell;

	keep(c, &c->agent, r, now);
	ask_again(c, &c->agent, c->agent.pace.interval_ns, now);
	if (r->verdict != TD_PROBE_GOOD || !c->d->kernel)
		return;
	if (td_agent_take(&c->said, r->answer, r->length) < 0) {
		c->agent.verdict = TD_PROBE_BAD;
		snprintf(c->agent.reason, sizeof(c->agent.reason),
			 "its answer has no word that is known");
		return;
	}
	tell = !c->agent_known || before.down != c->said.down;
	c->agent_known = true;
	td_check_settle(c, now);
	if (tell)
		speak_of_agent(c);
	tell_agent(c, &before);
}

/* ---- beginning and end ---------------------------------------------------------------------- */

static void ask_first(struct td_check *c, struct td_inquiry *q, uint64_t now)
{
	if (!q->probe)
		return;
	q->due_ns = now + td_check_first_wait(q->pace.interval_ns, td_checks_chance(c->d->checks));
	td_probe_at(q->probe, q->due_ns);
}

/* As the entry has it from a former daemon. */
static void resume(struct td_check *c, const struct tundish_backend *b)
{
	td_passive_resumed(c, b);
	if (c->state.known || !b->health_since_ns)
		return;
	if (c->type != TD_CHECK_NONE)
		td_check_resume(&c->state, b->flags & TUNDISH_BACKEND_CHECK_DOWN,
				b->health_since_ns, b->adjust < 0 && c->rules.slow_start_ns);
	else if (c->passive && !c->agent_port && b->adjust < 0 && c->rules.slow_start_ns)
		c->state.warm_ns = b->health_since_ns;
	c->said.down = b->flags & TUNDISH_BACKEND_AGENT_DOWN;
	c->said.drain = b->flags & TUNDISH_BACKEND_AGENT_DRAIN;
}

void td_check_begin(struct td_daemon *d, struct td_check *c)
{
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[c->backend];
	const struct td_verdict none = {.says = TD_OPINION_NONE};
	bool former = !c->state.known;
	uint64_t now = td_now_ns();

	resume(c, b);
	/* What stands in the entry stands: the one that says down is the first to be heard, or
	 * the others would have it up for a moment. */
	for (unsigned int down = 2; down--;) {
		if (c->type != TD_CHECK_NONE && former && c->state.known && c->state.down == down)
			speak_of_check(c, "so it was when the daemon began");
		if (c->agent_port && former && b->health_since_ns && c->said.down == down)
			speak_of_agent(c);
		if (c->passive && !c->passive->looked && down && c->passive->state.out)
			td_check_speak(c, TD_HEALTH_PASSIVE, TD_OPINION_DOWN,
				       "%s, before the daemon began", c->passive->why);
	}
	if (c->type == TD_CHECK_NONE)
		td_health_hear(d, c->backend, c->service_name, TD_HEALTH_CHECK, &none);
	if (!c->agent_port)
		td_health_hear(d, c->backend, c->service_name, TD_HEALTH_AGENT, &none);
	if (!c->passive)
		td_health_hear(d, c->backend, c->service_name, TD_HEALTH_PASSIVE, &none);
	if (c->state.known || c->passive || b->ejections)
		td_check_settle(c, now);
	ask_first(c, &c->check, now);
	ask_first(c, &c->agent, now);
}

void td_check_free(struct td_check *c)
{
	if (!c)
		return;
	td_probe_free(c->check.probe);
	td_probe_free(c->agent.probe);
	td_passive_free(c->passive);
	free(c);
}

void td_check_end(struct td_daemon *d, struct td_check *c)
{
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[c->backend];
	const struct td_verdict none = {.says = TD_OPINION_NONE};
	bool there = b->state != TUNDISH_BACKEND_FREE && b->state != TUNDISH_BACKEND_GONE &&
		     b->service == c->service;

	d->checks->of[c->backend] = NULL;
	if (there) {
		td_health_hear(d, c->backend, c->service_name, TD_HEALTH_CHECK, &none);
		td_health_hear(d, c->backend, c->service_name, TD_HEALTH_AGENT, &none);
		td_health_hear(d, c->backend, c->service_name, TD_HEALTH_PASSIVE, &none);
		put(d, c->backend, 0, 0, 0, NULL);
	} else {
		d->memory[c->backend].health = (struct td_health){0};
	}
	td_check_free(c);
}

void td_check_forget(struct td_daemon *d, uint32_t id)
{
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[id];
	const struct td_verdict none = {.says = TD_OPINION_NONE};

	if (b->state == TUNDISH_BACKEND_FREE || b->state == TUNDISH_BACKEND_GONE)
		return;
	if (b->flags & CHECK_FLAGS || b->adjust)
		td_health_hear(d, id, NULL, TD_HEALTH_CHECK, &none);
	/* Of one that is down for its group that stays; else the next check is the first. */
	if (b->flags & CHECK_FLAGS || b->adjust ||
	    (b->health_since_ns && !(b->flags & TUNDISH_BACKEND_UNHEALTHY)))
		put(d, id, 0, 0, 0, NULL);
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct td_daemon *d = userdata;

	if (d->checks->prober)
		td_prober_run(d->checks->prober);
	return 0;
}

/* As many files as may be. */
static uint32_t sockets_max(void)
{
	struct rlimit l = {0};

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return SOCKETS_MIN;
	if (l.rlim_cur < l.rlim_max && l.rlim_cur < SOCKETS_MAX + OTHER_FILES) {
		l.rlim_cur = TD_MIN(l.rlim_max, SOCKETS_MAX + OTHER_FILES);
		setrlimit(RLIMIT_NOFILE, &l);
		getrlimit(RLIMIT_NOFILE, &l);
	}
	if (l.rlim_cur < OTHER_FILES + SOCKETS_MIN)
		return SOCKETS_MIN;
	return (uint32_t)TD_MIN(l.rlim_cur - OTHER_FILES, SOCKETS_MAX);
}

int td_checks_open(struct td_daemon *d, struct td_error *error)
{
	const struct td_prober_options options = {
		.opened = td_check_opened,
		.closed = td_check_closed,
		.context = d,
		.max_sockets = sockets_max(),
		.max_programs = PROGRAMS_MAX,
		.owns_children = true, /* reexec.c has one, and waits for it */
	};
	struct td_checks *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return td_fail(error, ENOMEM, "out of memory at start");
	d->checks = k;
	k->seed = (uint32_t)td_now_ns() | 1;
	k->of = calloc(d->settings.backends_max, sizeof(struct td_check *));
	k->ids = calloc(d->settings.backends_max, sizeof(*k->ids));
	k->times = calloc(d->settings.services_max, sizeof(*k->times));
	if (!k->of || !k->ids || !k->times)
		return td_fail(error, ENOMEM, "out of memory at start");
	r = td_prober_open(&options, &k->prober, error);
	if (r < 0)
		return r;
	r = sd_event_add_io(d->event, &k->ready, td_prober_fd(k->prober), EPOLLIN, on_ready, d);
	r = r < 0 ? r : td_timer_add(d, &k->shares, 1000, on_shares);
	return r < 0 ? td_fail(error, -r, "cannot watch checks: %s", strerror(-r)) : 0;
}

void td_checks_stop_programs(struct td_daemon *d)
{
	if (d->checks)
		td_prober_stop_programs(d->checks->prober);
}

void td_checks_close(struct td_daemon *d)
{
	struct td_checks *k = d->checks;

	if (!k)
		return;
	sd_event_source_unref(k->ready);
	sd_event_source_unref(k->shares);
	for (uint32_t id = 1; k->of && id < d->settings.backends_max; id++)
		td_check_free(k->of[id]);
	td_prober_close(k->prober);
	/* The programs stay on the interfaces, where they do nothing without the sockets of checks, until
	 * the next daemon replaces them, or an unload takes them off: with the last filter goes the
	 * qdisc, and while one comes or goes the kernel drops what this host sends. */
	free(k->of);
	free(k->ids);
	free(k->times);
	free(k);
	d->checks = NULL;
}

/* ---- for others ------------------------------------------------------------------------- */

const struct td_check *td_check_of(const struct td_daemon *d, uint32_t backend)
{
	return d->checks && backend < d->settings.backends_max ? d->checks->of[backend] : NULL;
}

bool td_check_is_asked(const struct td_daemon *d, uint32_t backend)
{
	const struct td_check *c = td_check_of(d, backend);

	return c && c->check.probe;
}
