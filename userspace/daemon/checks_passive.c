// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients' connections that fail: from the data path's counts to a verdict (core/passive.h), with
 * a trial in between where the file wants one.
 *
 * Counts lie in lanes, which are ways to a server from one source; the lanes of one address and
 * port of a server are summed up, so that a port that is closed is seen beside another one that is
 * not. A lane that services share counts for each: it is the same server.
 */
#include "core/address.h"
#include "daemon/checks.h"
#include "daemon/nat.h"

/* ---- counts ------------------------------------------------------------------------------ */

static uint32_t ways_of(const struct tundish_fan *f)
{
	return f->n_addresses * TD_MAX(f->n_ports, 1u);
}

static uint32_t lanes_of(const struct tundish_fan *f)
{
	uint32_t direct = f->flags & TUNDISH_FAN_DIRECT ? ways_of(f) : 0;

	return TD_MIN(direct + ways_of(f) * f->n_sources, TUNDISH_FAN_LANES);
}

/* Which way a lane of the fan is; lane.h has their order. */
static uint32_t way_of(const struct tundish_fan *f, uint32_t lane)
{
	uint32_t direct = f->flags & TUNDISH_FAN_DIRECT ? ways_of(f) : 0;

	return lane < direct ? lane : (lane - direct) / TD_MAX(f->n_sources, 1u);
}

static void add_lane(struct td_daemon *d, uint32_t lane, struct td_passive_counts *sum)
{
	const struct tundish_lane *l = &td_kernel_lanes(d->kernel)[lane];
	const struct td_nat_lane_counts *n = td_nat_sweep_lane(d->nat->sweep, lane);

	sum->answered += __atomic_load_n(&l->answered, __ATOMIC_RELAXED);
	sum->refused += __atomic_load_n(&l->rejected, __ATOMIC_RELAXED);
	sum->unanswered += n->unanswered + n->waiting;
}

/* All zero: a backend without lanes, as one on this host. */
static struct td_passive_counts counts_of(struct td_daemon *d, const struct tundish_fan *f,
					  uint32_t way)
{
	struct td_passive_counts sum = {0};

	for (uint32_t i = 0; i < lanes_of(f); i++)
		if (way_of(f, i) == way && f->lane[i] && f->lane[i] < d->settings.lanes_max)
			add_lane(d, f->lane[i], &sum);
	return sum;
}

static uint32_t first_lane(const struct td_daemon *d, const struct tundish_fan *f, uint32_t way)
{
	for (uint32_t i = 0; i < lanes_of(f); i++)
		if (way_of(f, i) == way && f->lane[i] && f->lane[i] < d->settings.lanes_max)
			return f->lane[i];
	return 0;
}

/* The lanes are others than they were: what was counted is void. */
static void follow_fan(struct td_passive *p, const struct tundish_fan *f)
{
	uint64_t now = ways_of(f);

	for (uint32_t i = 0; i < lanes_of(f); i++)
		now = (now ^ f->lane[i]) * 0x100000001b3ull;
	if (now == p->fan && p->ways)
		return;
	free(p->ways);
	p->n_ways = ways_of(f);
	p->ways = calloc(p->n_ways + 1, sizeof(*p->ways));
	p->n_ways = p->ways ? p->n_ways : 0; /* without memory nobody is ejected */
	p->fan = now;
}

static uint32_t total(const struct td_passive_row *r)
{
	return r->refused + r->unanswered;
}

/* The way with most failures in a row, where there are any. */
static struct td_passive_row worst(struct td_daemon *d, struct td_check *c, uint32_t *ret_way)
{
	const struct tundish_fan *f = &td_kernel_fans(d->kernel)[c->backend];
	struct td_passive *p = c->passive;
	struct td_passive_row most = {0};

	*ret_way = 0;
	follow_fan(p, f);
	for (uint32_t i = 0; i < p->n_ways; i++) {
		struct td_passive_counts n = counts_of(d, f, i);
		struct td_passive_row row = td_passive_count(&p->ways[i], &n);

		if (row.answered)
			p->told = false;
		if (total(&row) <= total(&most))
			continue;
		most = row;
		*ret_way = i;
	}
	return most;
}

/* ---- verdicts ------------------------------------------------------------------------------ */

static void describe(struct td_passive *p, const struct td_passive_row *r)
{
	size_t size = sizeof(p->why);

	if (!r->unanswered)
		snprintf(p->why, size, "refused %u connections in a row", r->refused);
	else if (!r->refused)
		snprintf(p->why, size, "did not answer %u connections in a row", r->unanswered);
	else
		snprintf(p->why, size, "refused or did not answer %u connections in a row",
			 total(r));
}

/* @trial: its result, or NULL where there was none */
static void turned(struct td_check *c, const char *trial, uint64_t now)
{
	struct td_passive *p = c->passive;
	uint64_t seconds = td_passive_hold(&p->state, &p->rules) / TD_NS_PER_S;
	char at[TD_ADDRESS_TEXT + 16], address[TD_ADDRESS_TEXT];

	snprintf(at, sizeof(at), "%s port %u", td_address_print(&p->address, address), p->port);
	if (p->state.out)
		p->ejections++;
	else if (c->rules.slow_start_ns)
		c->state.warm_ns = now;
	for (uint32_t i = 0; i < p->n_ways; i++)
		p->ways[i].begun = false; /* what was before is judged */
	p->told = false;
	td_check_settle(c, now); /* first, so that a daemon that ends here has told the next one */
	if (p->state.out && trial)
		td_check_speak(c, TD_HEALTH_PASSIVE, TD_OPINION_DOWN,
			       "%s at %s, nor took it one of this host: %.60s", p->why, at, trial);
	else if (p->state.out)
		td_check_speak(c, TD_HEALTH_PASSIVE, TD_OPINION_DOWN, "%s at %s, out for %llu s",
			       p->why, at, (unsigned long long)seconds);
	else if (trial)
		td_check_speak(c, TD_HEALTH_PASSIVE, TD_OPINION_UP,
			       "a connection of this host to %s was accepted", at);
	else
		td_check_speak(c, TD_HEALTH_PASSIVE, TD_OPINION_UP,
			       "it was out for %llu s; so clients' connections try it again",
			       (unsigned long long)seconds);
}

/* Clients' connections fail and ours does not: nothing that ejects, but somebody should know. */
static void tell_dismissed(struct td_check *c)
{
	struct td_passive *p = c->passive;
	char object[160];

	for (uint32_t i = 0; i < p->n_ways; i++)
		p->ways[i].begun = false;
	if (p->told)
		return;
	p->told = true;
	snprintf(object, sizeof(object), "backend %.63s/%.63s", c->service_name, c->name);
	td_event(c->d, "not-ejected", object, "it %s, but took one of this host", p->why);
}

static void on_tried(void *context, const struct td_probe_result *r)
{
	struct td_check *c = context;
	struct td_passive *p = c->passive;
	uint64_t now = td_now_ns();
	bool good = r->verdict == TD_PROBE_GOOD;

	p->trying = false;
	p->trial.answered = true;
	p->trial.verdict = r->verdict;
	p->trial.at_ns = now;
	p->trial.latency_ns = r->latency_ns;
	snprintf(p->trial.reason, sizeof(p->trial.reason), "%s", r->reason);
	c->d->checks->trials[r->verdict]++;
	if (r->verdict == TD_PROBE_UNABLE || !c->d->kernel)
		return; /* which says nothing of the backend: the next look tries again */
	if (td_passive_tried(&p->state, &p->rules, good, now))
		turned(c, r->reason, now);
	else if (p->state.out)
		td_check_settle(c, now);
	else
		tell_dismissed(c);
}

/* A connection of this host, to where those of clients have failed. */
static void try(struct td_check *c)
{
	struct td_passive *p = c->passive;
	struct td_error e = {0};
	const struct td_probe_spec spec = {
		.kind = TD_PROBE_TCP,
		.address = p->address,
		.port = p->port,
		.timeout_ms = p->timeout_ms,
	};

	if (p->trying)
		return;
	p->trial.probe = td_probe_free(p->trial.probe);
	if (td_probe_new(c->d->checks->prober, &spec, on_tried, c, &p->trial.probe, &e) < 0)
		return; /* no memory: the next look tries again */
	p->trying = true;
	td_probe_at(p->trial.probe, td_now_ns());
}

/* ---- looks ------------------------------------------------------------------------------------ */

/* Where the server is asked: the address and port of that way. */
static void aim(struct td_daemon *d, struct td_check *c, uint32_t way)
{
	const struct tundish_fan *f = &td_kernel_fans(d->kernel)[c->backend];
	uint32_t lane = first_lane(d, f, way);
	const struct tundish_lane *l = &td_kernel_lanes(d->kernel)[lane];

	c->passive->address = lane ? l->host : c->own;
	c->passive->port =
		lane && l->port_be ? __builtin_bswap16(l->port_be) : c->passive->first_port;
}

static void look(struct td_daemon *d, struct td_check *c, uint64_t now)
{
	struct td_passive *p = c->passive;
	uint32_t way;

	p->row = worst(d, c, &way);
	if (!p->looked) {
		p->looked = true;
		if (!p->state.out)
			td_check_speak(c, TD_HEALTH_PASSIVE, TD_OPINION_UP,
				       "connections of clients are watched");
	}
	if (p->trying)
		return;
	if (!p->state.out || !p->port)
		aim(d, c, way);
	switch (td_passive_judge(&p->state, &p->rules, total(&p->row), now)) {
	case TD_PASSIVE_STAY: break;
	case TD_PASSIVE_TRY:
		if (!p->state.out)
			describe(p, &p->row);
		try(c);
		break;
	case TD_PASSIVE_TURN:
		if (!p->state.out)
			describe(p, &p->row);
		td_passive_turn(&p->state, &p->rules, now);
		turned(c, NULL, now);
		break;
	}
}

void td_passives_look(struct td_daemon *d)
{
	const struct td_checks *k = d->checks;
	uint64_t now = td_now_ns();

	for (uint32_t i = 0; k && i < k->n_ids; i++) {
		struct td_check *c = k->of[k->ids[i]];

		if (!c->passive || now < c->passive->due_ns)
			continue;
		look(d, c, now);
		/* a little less, since looks come when the second's timer does */
		c->passive->due_ns = now + c->passive->interval_ns - 500 * TD_NS_PER_MS;
	}
}

/* ---- beginning and end ---------------------------------------------------------------------- */

int td_passive_want(struct td_check *c, const struct td_health_conf *h, uint16_t first_port)
{
	const struct td_passive_conf *conf = &h->passive;
	struct td_passive *p = c->passive;

	if (!conf->failures)
		return 0;
	if (!p)
		p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->rules = (struct td_passive_rules){
		.failures = conf->failures,
		.trials = conf->trials,
		.rise = c->type == TD_CHECK_NONE ? 0 : h->rise,
		.hold_ns = conf->hold_down_ms * TD_NS_PER_MS,
		.hold_max_ns = conf->hold_down_max_ms * TD_NS_PER_MS,
	};
	p->interval_ns = conf->interval_ms * TD_NS_PER_MS;
	p->timeout_ms = h->timeout_ms;
	p->first_port = first_port;
	c->passive = p;
	return 0;
}

void td_passive_resumed(struct td_check *c, const struct tundish_backend *b)
{
	struct td_passive *p = c->passive;

	if (!p || p->looked || !b->ejected_s)
		return;
	td_passive_resume(&p->state, &p->rules, b->flags & TUNDISH_BACKEND_EJECTED, b->ejections,
			  b->ejected_s * TD_NS_PER_S);
	snprintf(p->why, sizeof(p->why), "connections failed");
}

void td_passive_stop(struct td_passive *p)
{
	if (!p)
		return;
	p->trial.probe = td_probe_free(p->trial.probe);
	p->trying = false;
}

struct td_passive *td_passive_free(struct td_passive *p)
{
	if (!p)
		return NULL;
	td_passive_stop(p);
	free(p->ways);
	free(p);
	return NULL;
}
