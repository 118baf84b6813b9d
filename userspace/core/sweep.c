// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation.
 *
 * A pass goes over all buckets of flows, flows6 and tuples, then over the rows.
 * Each flow is aged; one that stays is counted for its backend, and where its
 * slot would lead its packets elsewhere (another owner) or has to bring word of
 * them (watched), the slot's bit is set in its service's "needs" set. At the
 * end a slot that asks and is not in the set stops asking, unless owners in
 * its row have changed since shortly before the pass began: flows that were
 * entered under the former owner while we passed would be missed.
 *
 * An entry is taken off with one compare-and-swap of its word; who wins it
 * takes back what the entry stood for in the counts, so each is taken once.
 */
#include "core/budget.h"
#include "core/sweep.h"

/* From reading a slot to the flow's entry the data path needs microseconds. */
#define OWNER_MARGIN_NS (100 * 1000 * 1000ull)
#define SET_WORDS	((TUNDISH_MAGLEV_SLOTS + 63) / 64)

enum phase {
	PHASE_FLOWS,
	PHASE_FLOWS6,
	PHASE_TUPLES,
	PHASE_ROWS,
};

struct td_sweep {
	uint32_t backends_max, services_max;
	enum phase phase;
	uint32_t position;
	bool running;
	uint64_t started_ns, passes;
	struct td_sweep_counts counts, last;
	uint32_t *flows_of;	/* by backend, in this pass */
	uint8_t *gone_at_start; /* by backend */
	uint8_t *used;		/* by service: it has backends */
	uint64_t *changed_ns;	/* by service: its owners' last change */
	uint64_t **needs;	/* by service: a set of slots; NULL: empty */
};

struct td_sweep *td_sweep_free(struct td_sweep *s)
{
	if (!s)
		return NULL;
	for (uint32_t i = 0; s->needs && i < s->services_max; i++)
		free(s->needs[i]);
	free(s->needs);
	free(s->flows_of);
	free(s->gone_at_start);
	free(s->used);
	free(s->changed_ns);
	free(s);
	return NULL;
}

struct td_sweep *td_sweep_new(uint32_t backends_max, uint32_t services_max)
{
	struct td_sweep *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->backends_max = backends_max;
	s->services_max = services_max;
	s->flows_of = calloc(backends_max, sizeof(*s->flows_of));
	s->gone_at_start = calloc(backends_max, sizeof(*s->gone_at_start));
	s->used = calloc(services_max, sizeof(*s->used));
	s->changed_ns = calloc(services_max, sizeof(*s->changed_ns));
	s->needs = calloc(services_max, sizeof(*s->needs));
	if (!s->flows_of || !s->gone_at_start || !s->used || !s->changed_ns || !s->needs)
		return td_sweep_free(s);
	return s;
}

void td_sweep_owner_changed(struct td_sweep *s, uint32_t service, uint64_t now_ns)
{
	if (service < s->services_max)
		s->changed_ns[service] = now_ns;
}

/* ---- one flow --------------------------------------------------------------- */

/* Where a flow's packets look: its backend's service's row. */
struct place {
	uint32_t service, slot;
	uint32_t *word; /* NULL: no such row */
};

static struct place find_place(const struct td_sweep_tables *t, const struct tundish_addr *client,
			       __be16 client_port, __be16 port, uint32_t service)
{
	struct place p = {.service = service};
	struct tundish_maglev *row = NULL;

	if (service && service < t->services_max)
		row = t->row(t->context, service);
	p.slot = tundish_choice_slot(tundish_choice_hash(client, client_port, port));
	if (row)
		p.word = &row->slot[p.slot];
	return p;
}

static void need(struct td_sweep *s, const struct place *p)
{
	if (!p->service || p->service >= s->services_max)
		return;
	if (!s->needs[p->service])
		s->needs[p->service] = calloc(SET_WORDS, sizeof(uint64_t));
	if (s->needs[p->service])
		s->needs[p->service][p->slot / 64] |= 1ull << (p->slot % 64);
	else /* without memory no slot of it stops asking: slower, not wrong */
		s->changed_ns[p->service] = UINT64_MAX;
}

static void pending_sub(const struct place *p)
{
	if (p->word)
		__atomic_fetch_sub(p->word, TUNDISH_SLOT_PENDING_ONE, __ATOMIC_RELAXED);
}

static uint32_t tuple_vip(union tundish_flow_value v)
{
	return (uint32_t)v.live.vip | (v.live.udp ? TUNDISH_TUPLE_UDP : 0);
}

static bool tuple_matches(const struct tundish_tuple *e, const struct tundish_addr *client,
			  uint32_t vip, __be16 port)
{
	return tundish_addr_equal(&e->client, client) && e->vip == vip && e->port_be == port;
}

/* As tuple_apply() of the data path, with active -1. */
void td_sweep_tuple_sub(const struct td_sweep_tables *t, const struct tundish_addr *client,
			uint32_t vip, __be16 port, uint32_t tick)
{
	uint64_t hash = tundish_siphash(
		&t->secret, (uint64_t)client->word[1] << 32 | client->word[0],
		(uint64_t)client->word[3] << 32 | client->word[2], (uint32_t)port << 16 | vip);
	uint32_t index[2] = {(uint32_t)hash, (uint32_t)(hash >> 32)};

	for (int i = 0; i < 2; i++) {
		struct tundish_tuple_bucket *b =
			&t->tuples[tundish_bucket(index[i], t->tuple_buckets)];

		for (unsigned int k = 0; k < TUNDISH_BUCKET_ENTRIES; k++) {
			struct tundish_tuple *e = &b->entry[k];
			union tundish_tuple_value old, new;

			old.raw = __atomic_load_n(&e->value.raw, __ATOMIC_ACQUIRE);
			while (old.raw && ~old.raw && tuple_matches(e, client, vip, port) &&
			       old.active) {
				new = old;
				new.active = old.active - 1;
				if (__atomic_compare_exchange_n(&e->value.raw, &old.raw, new.raw,
								false, __ATOMIC_ACQ_REL,
								__ATOMIC_ACQUIRE)) {
					e->changed = tick;
					return;
				}
			}
		}
	}
}

static void take_back(const struct td_sweep_tables *t, const struct place *p,
		      union tundish_flow_value v, const struct tundish_addr *client, __be16 port,
		      uint32_t tick)
{
	if (tundish_flow_half_open(v))
		pending_sub(p);
	if (!tundish_flow_open(v))
		return;
	if (p->service) /* 0: its backend's entry is free */
		__atomic_fetch_sub(&t->backends[v.live.backend].connections_active, 1,
				   __ATOMIC_RELAXED);
	if (v.live.counted)
		td_sweep_tuple_sub(t, client, tuple_vip(v), port, tick);
}

static bool swap(__u64 *word, __u64 old, __u64 new)
{
	return __atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/* Returns whether the entry is in use afterwards. */
static bool one_flow(struct td_sweep *s, const struct td_sweep_tables *t, __u64 *word,
		     union tundish_flow_value v, const struct tundish_addr *client,
		     __be16 client_port, __be16 port, uint32_t tick)
{
	uint32_t backend = v.live.backend, service = 0, owner = 0;
	uint8_t state = TUNDISH_BACKEND_FREE;
	union tundish_flow_value new;
	struct place p;

	if (backend < t->backends_max) {
		state = __atomic_load_n(&t->backends[backend].state, __ATOMIC_RELAXED);
		service = t->backends[backend].service;
	}
	if (state == TUNDISH_BACKEND_FREE)
		service = 0;
	p = find_place(t, client, client_port, port, service);

	if (state == TUNDISH_BACKEND_FREE || state == TUNDISH_BACKEND_DISABLED) {
		if (!swap(word, v.raw, 0))
			return true;
		take_back(t, &p, v, client, port, tick);
		*(state == TUNDISH_BACKEND_FREE ? &s->counts.wrong : &s->counts.moved) += 1;
		return false;
	}

	switch (tundish_flow_ageing(v, &t->timeouts, tick)) {
	case TUNDISH_AGEING_REMOVE:
		if (!swap(word, v.raw, 0))
			break; /* a packet was quicker: it lives */
		take_back(t, &p, v, client, port, tick);
		s->counts.aged++;
		return false;
	case TUNDISH_AGEING_RESTORE:
		new = tundish_flow_as_live(v, TUNDISH_FLOW_ESTABLISHED,
					   TUNDISH_ISN_OF_LIVE(v.syn.isn_low), tick);
		if (swap(word, v.raw, new.raw))
			pending_sub(&p);
		break;
	case TUNDISH_AGEING_WATCH:
		/* First the slot, so that no packet passes unseen after the mark. */
		if (p.word)
			__atomic_fetch_or(p.word, TUNDISH_SLOT_ASK, __ATOMIC_SEQ_CST);
		new = v;
		new.live.watched = 1;
		new.live.seen = tick;
		swap(word, v.raw, new.raw);
		need(s, &p);
		break;
	case TUNDISH_AGEING_KEEP: break;
	}
	if (p.word)
		owner = __atomic_load_n(p.word, __ATOMIC_RELAXED) & TUNDISH_SLOT_BACKEND;
	/* each UDP packet asks, whatever its slot says */
	if (!v.live.udp &&
	    (owner != backend || (v.live.state == TUNDISH_FLOW_ESTABLISHED && v.live.watched)))
		need(s, &p);
	s->flows_of[backend]++;
	return true;
}

static void flow_bucket(struct td_sweep *s, const struct td_sweep_tables *t,
			struct tundish_flow_bucket *b, uint32_t tick)
{
	for (unsigned int i = 0; i < TUNDISH_BUCKET_ENTRIES; i++) {
		struct tundish_flow *e = &b->entry[i];
		union tundish_flow_value v;
		struct tundish_addr client;
		__be16 client_port, port;

		v.raw = __atomic_load_n(&e->value.raw, __ATOMIC_ACQUIRE);
		if (!v.raw || !~v.raw)
			continue;
		client = tundish_addr_v4(__atomic_load_n(&e->client_be, __ATOMIC_RELAXED));
		client_port = e->client_port_be;
		port = e->port_be;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&e->value.raw, __ATOMIC_ACQUIRE) != v.raw) {
			s->counts.flows++; /* busy: not one to age; the next pass sees it */
			if (v.live.backend < t->backends_max)
				s->flows_of[v.live.backend]++;
			continue;
		}
		s->counts.flows +=
			one_flow(s, t, &e->value.raw, v, &client, client_port, port, tick);
	}
}

static void flow6_bucket(struct td_sweep *s, const struct td_sweep_tables *t,
			 struct tundish_flow6_bucket *b, uint32_t tick)
{
	for (unsigned int i = 0; i < TUNDISH_BUCKET_ENTRIES; i++) {
		struct tundish_flow6 *e = &b->entry[i];
		union tundish_flow_value v;
		struct tundish_addr client;
		__be16 client_port, port;

		v.raw = __atomic_load_n(&e->value.raw, __ATOMIC_ACQUIRE);
		if (!v.raw || !~v.raw)
			continue;
		client = e->client;
		client_port = e->client_port_be;
		port = e->port_be;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&e->value.raw, __ATOMIC_ACQUIRE) != v.raw) {
			s->counts.flows6++;
			if (v.live.backend < t->backends_max)
				s->flows_of[v.live.backend]++;
			continue;
		}
		s->counts.flows6 +=
			one_flow(s, t, &e->value.raw, v, &client, client_port, port, tick);
	}
}

/* ---- the pass --------------------------------------------------------------- */

static void begin(struct td_sweep *s, const struct td_sweep_tables *t, uint64_t now_ns)
{
	s->phase = PHASE_FLOWS;
	s->position = 0;
	s->started_ns = now_ns;
	s->counts = (struct td_sweep_counts){0};
	memset(s->flows_of, 0, s->backends_max * sizeof(*s->flows_of));
	memset(s->used, 0, s->services_max * sizeof(*s->used));
	for (uint32_t i = 0; i < s->backends_max; i++) {
		const struct tundish_backend *b = &t->backends[i];

		s->gone_at_start[i] = b->state == TUNDISH_BACKEND_GONE && !b->weight;
		if (b->state != TUNDISH_BACKEND_FREE && b->service < s->services_max)
			s->used[b->service] = 1;
	}
	for (uint32_t i = 0; i < s->services_max; i++)
		if (s->needs[i])
			memset(s->needs[i], 0, SET_WORDS * sizeof(uint64_t));
	s->running = true;
}

static void settle_row(struct td_sweep *s, const struct td_sweep_tables *t, uint32_t service)
{
	struct tundish_maglev *row = s->used[service] ? t->row(t->context, service) : NULL;
	const uint64_t *needs = s->needs[service];

	if (!row || s->changed_ns[service] > s->started_ns ||
	    s->started_ns - s->changed_ns[service] < OWNER_MARGIN_NS)
		return;
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++) {
		if (!(__atomic_load_n(&row->slot[i], __ATOMIC_RELAXED) & TUNDISH_SLOT_ASK))
			continue;
		if (needs && needs[i / 64] & 1ull << (i % 64))
			continue;
		__atomic_fetch_and(&row->slot[i], ~TUNDISH_SLOT_ASK, __ATOMIC_RELAXED);
	}
}

/* Ends a phase where its last element is done. */
static bool advance(struct td_sweep *s, uint32_t size)
{
	if (s->position < size)
		return false;
	s->position = 0;
	s->phase++;
	return true;
}

static void tuple_bucket(struct td_sweep *s, const struct tundish_tuple_bucket *b)
{
	for (unsigned int i = 0; i < TUNDISH_BUCKET_ENTRIES; i++) {
		union tundish_tuple_value v = {
			.raw = __atomic_load_n(&b->entry[i].value.raw, __ATOMIC_RELAXED)};

		s->counts.tuples += !!v.raw;
		if (!~v.raw || v.active < TD_INBOUND_LOW || s->counts.n_crowded == TD_CROWDED_MAX)
			continue;
		s->counts.crowded[s->counts.n_crowded] = b->entry[i];
		s->counts.crowded[s->counts.n_crowded++].value = v;
	}
}

bool td_sweep_slice(struct td_sweep *s, const struct td_sweep_tables *t, uint64_t now_ns,
		    uint32_t buckets)
{
	uint32_t tick = tundish_tick(now_ns);

	if (!s->running)
		begin(s, t, now_ns);
	for (; buckets; buckets--) {
		switch (s->phase) {
		case PHASE_FLOWS:
			if (!advance(s, t->flow_buckets))
				flow_bucket(s, t, &t->flows[s->position++], tick);
			break;
		case PHASE_FLOWS6:
			if (!advance(s, t->flow6_buckets))
				flow6_bucket(s, t, &t->flows6[s->position++], tick);
			break;
		case PHASE_TUPLES:
			if (advance(s, t->tuple_buckets))
				break;
			tuple_bucket(s, &t->tuples[s->position++]);
			break;
		case PHASE_ROWS:
			if (s->position < s->services_max) {
				settle_row(s, t, s->position++);
				return false; /* one row is a slice's work */
			}
			s->running = false;
			s->last = s->counts;
			s->passes++;
			return true;
		}
	}
	return false;
}

bool td_sweep_gone(const struct td_sweep *s, const struct td_sweep_tables *t, uint32_t backend)
{
	return backend && backend < s->backends_max && s->gone_at_start[backend] &&
	       !s->flows_of[backend] && t->backends[backend].state == TUNDISH_BACKEND_GONE &&
	       !t->backends[backend].weight &&
	       (int64_t)__atomic_load_n(&t->backends[backend].connections_active,
					__ATOMIC_RELAXED) <= 0;
}

const struct td_sweep_counts *td_sweep_counts(const struct td_sweep *s, uint64_t *ret_passes)
{
	if (ret_passes)
		*ret_passes = s->passes;
	return &s->last;
}

uint32_t td_sweep_slices(const struct td_sweep_tables *t, uint32_t buckets)
{
	uint64_t all = (uint64_t)t->flow_buckets + t->flow6_buckets + t->tuple_buckets;

	return all / buckets + t->services_max + 4;
}
