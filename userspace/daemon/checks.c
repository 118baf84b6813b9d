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
	       (c->agent_port && c->said.drain ? TUNDISH_BACKEND_AGENT_DRAIN : 0);
}

/* Percent that its weight is to be changed by. */
static int16_t adjust_of(const struct td_check *c, int16_t before, uint64_t now)
{
	uint32_t share = td_check_share(&c->state, &c->rules, now);
	uint32_t percent = share;

	if (c->agent_port && !c->agent_known)
		return before; /* it will say */
	if (c->agent_port)
		percent = c->said.percent ? TD_MAX(share * c->said.percent / 100, 1) : 0;
	return (int16_t)((int)percent - 100);
}

#define CHECK_FLAGS                                                                                \
	(TUNDISH_BACKEND_CHECK_DOWN | TUNDISH_BACKEND_AGENT_DOWN | TUNDISH_BACKEND_AGENT_DRAIN)

/* What the entry carries of checks, anew. */
static void put(struct td_daemon *d, uint32_t id, uint32_t flags, int16_t adjust, uint64_t since)
{
	const struct tundish_backend *entry = &td_kernel_backends(d->kernel)[id];
	struct tundish_backend b = *entry;

	b.flags = (b.flags & ~CHECK_FLAGS) | flags;
	b.adjust = adjust;
	b.health_since_ns = since;
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

static void settle(struct td_check *c, uint64_t now)
{
	struct td_daemon *d = c->d;
	const struct tundish_backend *b = &td_kernel_backends(d->kernel)[c->backend];
	uint64_t changes = td_check_share_changes(&c->state, &c->rules, now);

	put(d, c->backend, flags_of(c), adjust_of(c, b->adjust, now),
	    c->state.known ? c->state.since_ns : b->health_since_ns);
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
		settle(c, now); /* which arms for the next one */
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

static void speak(struct td_check *c, enum td_health_source source, enum td_opinion says,
		  const char *format, ...) TD_PRINTF(4, 5);

static void speak(struct td_check *c, enum td_health_source source, enum td_opinion says,
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
		speak(c, TD_HEALTH_CHECK, says, "exec check: %s", reason);
	else
		speak(c, TD_HEALTH_CHECK, says, "%s check of %s port %u: %s", type_name(c),
		      td_address_print(&c->address, address), c->port, reason);
}

/* Keeps the result, and asks again in time. */
static void note(struct td_check *c, struct td_inquiry *q, const struct td_probe_result *r,
		 uint64_t now)
{
	q->answered = true;
	q->verdict = r->verdict;
	q->at_ns = now;
	q->latency_ns = r->latency_ns;
	snprintf(q->reason, sizeof(q->reason), "%s", r->reason);
	q->due_ns += td_check_wait(q->interval_ns, td_checks_chance(c->d->checks));
	if (q->due_ns < now) /* it took longer: at once, and not all that was missed */
		q->due_ns = now;
	td_probe_at(q->probe, q->due_ns);
	c->d->checks->results[r->verdict]++;
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
	unsigned int row;

	note(c, &c->check, r, now);
	if (r->verdict == TD_PROBE_UNABLE || !c->d->kernel)
		return; /* which says nothing of the backend */
	row = c->state.known ? c->state.against + 1u : 1;
	if (!td_check_take(&c->state, &c->rules, outcomes[r->verdict], now))
		return;
	settle(c, now); /* first, so that a daemon that ends here has told the next one */
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
	speak(c, TD_HEALTH_AGENT, c->said.down ? TD_OPINION_DOWN : TD_OPINION_UP,
	      "its agent says %s%s%s", c->said.down ? "down" : "up", c->said.reason[0] ? ": " : "",
	      c->said.reason);
}

static void tell_agent(struct td_check *c, const struct td_agent_state *before)
{
	char object[160];

	if (before->drain == c->said.drain && before->percent == c->said.percent)
		return;
	snprintf(object, sizeof(object), "backend %.63s/%.63s", c->service_name, c->name);
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

	note(c, &c->agent, r, now);
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
	settle(c, now);
	if (tell)
		speak_of_agent(c);
	tell_agent(c, &before);
}

/* ---- beginning and end ---------------------------------------------------------------------- */

static void ask_first(struct td_check *c, struct td_inquiry *q, uint64_t now)
{
	if (!q->probe)
		return;
	q->due_ns = now + td_check_first_wait(q->interval_ns, td_checks_chance(c->d->checks));
	td_probe_at(q->probe, q->due_ns);
}

/* As the entry has it from a former daemon. */
static void resume(struct td_check *c, const struct tundish_backend *b)
{
	if (c->state.known || !b->health_since_ns)
		return;
	if (c->type != TD_CHECK_NONE)
		td_check_resume(&c->state, b->flags & TUNDISH_BACKEND_CHECK_DOWN,
				b->health_since_ns, b->adjust < 0 && c->rules.slow_start_ns);
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
	}
	if (c->type == TD_CHECK_NONE)
		td_health_hear(d, c->backend, c->service_name, TD_HEALTH_CHECK, &none);
	if (!c->agent_port)
		td_health_hear(d, c->backend, c->service_name, TD_HEALTH_AGENT, &none);
	if (c->state.known)
		settle(c, now);
	ask_first(c, &c->check, now);
	ask_first(c, &c->agent, now);
}

void td_check_free(struct td_check *c)
{
	if (!c)
		return;
	td_probe_free(c->check.probe);
	td_probe_free(c->agent.probe);
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
		put(d, c->backend, 0, 0, 0);
	} else {
		d->memory[c->backend].health = (struct td_health){0};
	}
	td_check_free(c);
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
	};
	struct td_checks *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return td_fail(error, ENOMEM, "out of memory at start");
	d->checks = k;
	k->seed = (uint32_t)td_now_ns() | 1;
	k->of = calloc(d->settings.backends_max, sizeof(struct td_check *));
	k->ids = calloc(d->settings.backends_max, sizeof(*k->ids));
	if (!k->of || !k->ids)
		return td_fail(error, ENOMEM, "out of memory at start");
	r = td_prober_open(&options, &k->prober, error);
	if (r < 0)
		return r;
	r = sd_event_add_io(d->event, &k->ready, td_prober_fd(k->prober), EPOLLIN, on_ready, d);
	r = r < 0 ? r : td_timer_add(d, &k->shares, 1000, on_shares);
	return r < 0 ? td_fail(error, -r, "cannot watch checks: %s", strerror(-r)) : 0;
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
	td_checks_way_close(d);
	free(k->of);
	free(k->ids);
	free(k);
	d->checks = NULL;
}
