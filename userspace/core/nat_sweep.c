// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation.
 *
 * A pass goes over the tags of the clients' side, whose places are the records', then
 * over those of the servers', then over the lanes. A record is ended as the data path
 * ends it: who swaps its word gives back the rest, in the order of nat.h. A daemon that
 * dies in between leaves tags of a record that is free, a port that nobody has, or a
 * lane's count above its ports. The data path itself stops nowhere in between, but it
 * passes through such states within microseconds; so what looks wrong is put right only
 * if it looked the same a whole pass before.
 *
 * A port that no record names may just have changed hands, behind the pass. So before
 * it is suspected its owner is looked for by its key, as a reply would.
 */
#include "core/nat_sweep.h"

#define SUSPECTS_MAX 4096u /* of a pass; what is beyond waits for the next */
#define SETTLED	     2u	   /* ticks: a step's effects have been carried out long since */

enum phase {
	PHASE_OUT,
	PHASE_BACK,
	PHASE_LANES,
};

struct suspect {
	uint64_t what; /* phase and index: ascending in a pass */
	uint64_t tag;
};

struct suspects {
	struct suspect *list;
	uint32_t n;
};

/* Of one pass. */
struct picture {
	struct td_nat_counts counts;
	struct td_nat_lane_counts *lanes;
	uint32_t *backends;
	uint8_t *gone;	    /* by backend: when the pass began */
	uint32_t *services; /* [service][state] */
	uint64_t hops[TUNDISH_NAT_HOPS / 64];
	struct suspects suspects;
};

struct td_nat_sweep {
	uint32_t lanes_max, backends_max, services_max, ports_max;
	enum phase phase;
	uint32_t position;
	bool running;
	uint64_t passes;
	struct picture now, last;
	uint64_t *named; /* by index of lane_ports: which ports records name */
};

static void picture_done(struct picture *p)
{
	free(p->lanes);
	free(p->backends);
	free(p->gone);
	free(p->services);
	free(p->suspects.list);
}

static bool picture_new(struct picture *p, const struct td_nat_tables *t)
{
	p->lanes = calloc(t->lanes_max, sizeof(*p->lanes));
	p->backends = calloc(t->backends_max, sizeof(*p->backends));
	p->gone = calloc(t->backends_max, sizeof(*p->gone));
	p->services = calloc(t->services_max, TUNDISH_NAT_STATE_MAX * sizeof(*p->services));
	p->suspects.list = calloc(SUSPECTS_MAX, sizeof(*p->suspects.list));
	return p->lanes && p->backends && p->gone && p->services && p->suspects.list;
}

struct td_nat_sweep *td_nat_sweep_free(struct td_nat_sweep *s)
{
	if (!s)
		return NULL;
	picture_done(&s->now);
	picture_done(&s->last);
	free(s->named);
	free(s);
	return NULL;
}

struct td_nat_sweep *td_nat_sweep_new(const struct td_nat_tables *t)
{
	struct td_nat_sweep *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->lanes_max = t->lanes_max;
	s->backends_max = t->backends_max;
	s->services_max = t->services_max;
	s->ports_max = t->lane_ports_max;
	s->named = calloc(t->lane_ports_max, TUNDISH_LANE_WORDS * sizeof(uint64_t));
	if (!picture_new(&s->now, t) || !picture_new(&s->last, t) || !s->named)
		return td_nat_sweep_free(s);
	return s;
}

/* ---- suspicion ------------------------------------------------------------------------- */

/* Notes what looks wrong. Returns whether it looked the same in the pass before. */
static bool suspected(struct td_nat_sweep *s, enum phase phase, uint64_t index, uint64_t tag)
{
	struct suspect x = {.what = (uint64_t)phase << 60 | index, .tag = tag};
	uint32_t low = 0, high = s->last.suspects.n;

	if (s->now.suspects.n < SUSPECTS_MAX)
		s->now.suspects.list[s->now.suspects.n++] = x;
	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (s->last.suspects.list[middle].what < x.what)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->last.suspects.n && s->last.suspects.list[low].what == x.what &&
	       s->last.suspects.list[low].tag == tag;
}

/* ---- one record ------------------------------------------------------------------------- */

static bool swap(__u64 *word, __u64 old, __u64 new)
{
	return __atomic_compare_exchange_n(word, &old, new, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static uint64_t load(const __u64 *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void count(__u64 *n, int64_t by)
{
	__atomic_fetch_add(n, (uint64_t)by, __ATOMIC_RELAXED);
}

static void count32(__u32 *n, int32_t by)
{
	__atomic_fetch_add(n, (uint32_t)by, __ATOMIC_RELAXED);
}

static struct tundish_lane *lane_of(const struct td_nat_tables *t, const struct tundish_nat *r)
{
	uint32_t lane = TUNDISH_NAT_LANE(__atomic_load_n(&r->lane_hop, __ATOMIC_RELAXED));

	return lane && lane < t->lanes_max ? &t->lanes[lane] : NULL;
}

static struct tundish_lane_ports *ports_of(const struct td_nat_tables *t,
					   const struct tundish_lane *l)
{
	return l->ports && l->ports < t->lane_ports_max ? &t->lane_ports[l->ports] : NULL;
}

static uint64_t back_hash(const struct td_nat_tables *t, const struct tundish_lane *l,
			  const struct tundish_addr *client, __be16 source_port, __be16 port,
			  uint32_t udp)
{
	return tundish_nat_hash(&t->settings.secret, tundish_lane_source(l, client), source_port,
				tundish_lane_port(l, port), l->number, udp);
}

/* As lane_mark() of the data path. */
static void mark(struct tundish_lane *l, struct tundish_lane_ports *p, uint32_t port, bool yields)
{
	uint64_t bit = 1ull << (port % 64), *word = (uint64_t *)&p->yielding[port / 64];
	bool was;

	if (yields)
		was = __atomic_fetch_or(word, bit, __ATOMIC_ACQ_REL) & bit;
	else
		was = __atomic_fetch_and(word, ~bit, __ATOMIC_ACQ_REL) & bit;
	if (was != yields)
		count32(&l->yielding, yields ? 1 : -1);
}

/* As lane_put(). */
static bool put_port(const struct td_nat_tables *t, struct tundish_lane *l, uint32_t port)
{
	struct tundish_lane_ports *p = ports_of(t, l);
	uint64_t bit = 1ull << (port % 64);

	if (p) {
		mark(l, p, port, false);
		if (!(__atomic_fetch_and(&p->taken[port / 64], ~bit, __ATOMIC_ACQ_REL) & bit))
			return false;
	}
	count32(&l->used, -1);
	return true;
}

/* As nat_free(). Returns whether it was we who ended it. */
static bool end(const struct td_nat_tables *t, uint32_t place, union tundish_nat_word word,
		uint32_t tick)
{
	struct tundish_nat *r = &t->nat[place];
	struct tundish_lane *l = lane_of(t, r);

	if (!swap(&r->word.raw, word.raw, tundish_nat_freed(word).raw))
		return false; /* a packet was quicker: it lives */
	if (l) {
		uint64_t hash =
			back_hash(t, l, &r->client, r->source_port_be, r->port_be, word.udp);
		uint64_t tag = tundish_nat_tag(hash, word.generation, place);
		uint32_t half[2] = {(uint32_t)hash, (uint32_t)(hash >> 32)};

		for (int i = 0; i < 2; i++) {
			struct tundish_nat_bucket *b =
				&t->back[tundish_bucket(half[i], t->settings.buckets)];

			for (uint32_t k = 0; k < TUNDISH_NAT_SLOTS; k++)
				if (load(&b->tag[k]) == tag)
					swap(&b->tag[k], tag, 0);
		}
		if (word.state != TUNDISH_NAT_TIME_WAIT)
			count32(&l->freed, 1);
		if (word.state == TUNDISH_NAT_SYN_SENT)
			count32(&l->unanswered, 1);
		put_port(t, l, __builtin_bswap16(r->source_port_be));
	}
	if (tundish_nat_is_active(word.state)) {
		if (word.backend < t->backends_max)
			count(&t->backends[word.backend].connections_active, -1);
		if (word.counted)
			t->tuple_sub(t->context, &r->client,
				     r->vip_id | (word.udp ? TUNDISH_TUPLE_UDP : 0), r->port_be,
				     tick);
	}
	__atomic_store_n(&t->out[place / TUNDISH_NAT_SLOTS].tag[place % TUNDISH_NAT_SLOTS], 0,
			 __ATOMIC_RELEASE);
	return true;
}

static void note(struct td_nat_sweep *s, const struct td_nat_tables *t, uint32_t place,
		 union tundish_nat_word word, uint32_t idle, uint32_t time_wait, uint32_t tick)
{
	const struct tundish_nat *r = &t->nat[place];
	uint32_t lane_hop = __atomic_load_n(&r->lane_hop, __ATOMIC_RELAXED);
	uint32_t port = __builtin_bswap16(r->source_port_be), hop = TUNDISH_NAT_HOP(lane_hop);
	uint32_t left = time_wait > idle ? time_wait - idle : 0;
	uint32_t service = t->backends[word.backend].service;
	struct tundish_lane *l = lane_of(t, r);
	struct td_nat_lane_counts *c;
	struct tundish_lane_ports *p;
	bool yields, marked;

	/* not what it was any more: its keys are another's, or about to be */
	if (!l || (load(&r->word.raw) ^ word.raw) >> 48)
		return;
	s->now.counts.records++;
	s->now.hops[hop / 64] |= 1ull << (hop % 64);
	s->now.backends[word.backend]++;
	if (service < s->services_max)
		s->now.services[service * TUNDISH_NAT_STATE_MAX + word.state]++;
	c = &s->now.lanes[TUNDISH_NAT_LANE(lane_hop)];
	c->state[word.state]++;
	c->waiting += word.state == TUNDISH_NAT_SYN_SENT &&
		      tundish_nat_age(tick, word.since) >= TUNDISH_NAT_YIELD_SENT;
	if (word.state == TUNDISH_NAT_TIME_WAIT) {
		left = (uint32_t)(((uint64_t)left << TUNDISH_TICK_SHIFT) / 1000000000u) /
		       TUNDISH_LEAVING_S;
		c->leaving[TD_MIN(left, TUNDISH_LEAVING_STEPS - 1)]++;
	}
	p = ports_of(t, l);
	if (!p)
		return;
	s->named[l->ports * TUNDISH_LANE_WORDS + port / 64] |= 1ull << (port % 64);
	yields = tundish_nat_is_marked(word.state);
	marked = load(&p->yielding[port / 64]) >> (port % 64) & 1;
	if (yields != marked && tundish_nat_age(tick, word.since) >= SETTLED &&
	    suspected(s, PHASE_OUT, place, word.raw)) {
		mark(l, p, port, yields);
		s->now.counts.marks++;
	}
}

static void out_bucket(struct td_nat_sweep *s, const struct td_nat_tables *t, uint32_t bucket,
		       uint32_t tick)
{
	for (uint32_t k = 0; k < TUNDISH_NAT_SLOTS; k++) {
		uint32_t place = bucket * TUNDISH_NAT_SLOTS + k, idle, time_wait = 0;
		__u64 *slot = &t->out[bucket].tag[k];
		const struct tundish_nat *r = &t->nat[place];
		uint64_t tag = load(slot);
		union tundish_nat_word word;

		if (!tag)
			continue;
		word.raw = load(&r->word.raw);
		if (tag == TUNDISH_NAT_TAG_BUSY || word.state == TUNDISH_NAT_FREE ||
		    word.generation != tundish_nat_tag_generation(tag)) {
			/* being made or ended; or left so */
			if (suspected(s, PHASE_OUT, place, tag ^ word.raw) && swap(slot, tag, 0))
				s->now.counts.tags++;
			continue;
		}
		if (word.backend >= t->backends_max ||
		    __atomic_load_n(&t->backends[word.backend].state, __ATOMIC_RELAXED) ==
			    TUNDISH_BACKEND_FREE) {
			s->now.counts.wrong += end(t, place, word, tick);
			continue;
		}
		time_wait = t->fans[word.backend].time_wait;
		idle = tundish_nat_idle(word, __atomic_load_n(&r->seen[0], __ATOMIC_RELAXED),
					__atomic_load_n(&r->seen[1], __ATOMIC_RELAXED), tick);
		if (tundish_nat_expired(word, idle, &t->settings.timeouts, time_wait) &&
		    end(t, place, word, tick)) {
			s->now.counts.aged++;
			continue;
		}
		note(s, t, place, word, idle, time_wait, tick);
	}
}

static void back_bucket(struct td_nat_sweep *s, const struct td_nat_tables *t, uint32_t bucket)
{
	for (uint32_t k = 0; k < TUNDISH_NAT_SLOTS; k++) {
		__u64 *slot = &t->back[bucket].tag[k];
		uint64_t tag = load(slot);
		uint32_t place = tundish_nat_tag_place(tag);
		union tundish_nat_word word = {.raw = 0};

		if (!tag)
			continue;
		if (place < t->settings.buckets * TUNDISH_NAT_SLOTS)
			word.raw = load(&t->nat[place].word.raw);
		if (word.state != TUNDISH_NAT_FREE &&
		    word.generation == tundish_nat_tag_generation(tag))
			continue;
		if (suspected(s, PHASE_BACK, (uint64_t)bucket * TUNDISH_NAT_SLOTS + k, tag) &&
		    swap(slot, tag, 0))
			s->now.counts.tags++;
	}
}

/* ---- lanes -------------------------------------------------------------------------------- */

/* Whether anybody has the port, or is about to: by the key of a reply. A lane that serves
 * all ports of its server knows no key; there what the pass has met must do. */
static bool has_owner(const struct td_nat_tables *t, const struct tundish_lane *l, uint32_t port)
{
	uint64_t hash = back_hash(t, l, &l->source, __builtin_bswap16((uint16_t)port), l->port_be,
				  l->protocol == 17);
	uint64_t tag = tundish_nat_tag(hash, 0, 0);
	uint32_t half[2] = {(uint32_t)hash, (uint32_t)(hash >> 32)};

	for (int i = 0; i < 2; i++) {
		const struct tundish_nat_bucket *b =
			&t->back[tundish_bucket(half[i], t->settings.buckets)];

		for (uint32_t k = 0; k < TUNDISH_NAT_SLOTS; k++) {
			uint64_t found = load(&b->tag[k]);
			uint32_t place = tundish_nat_tag_place(found);
			const struct tundish_nat *r = &t->nat[place];

			if (!found || ((found ^ tag) & TUNDISH_NAT_TAG_MASK) ||
			    place >= t->settings.buckets * TUNDISH_NAT_SLOTS)
				continue;
			if (lane_of(t, r) == l &&
			    r->source_port_be == __builtin_bswap16((uint16_t)port))
				return true;
		}
	}
	return false;
}

static void one_lane(struct td_nat_sweep *s, const struct td_nat_tables *t, uint32_t index)
{
	struct tundish_lane *l = &t->lanes[index];
	struct tundish_lane_ports *p = ports_of(t, l);
	uint32_t usable = l->usable, range = l->last + 1u - l->first, bits = 0, used;
	uint32_t freed = __atomic_load_n(&l->freed, __ATOMIC_ACQUIRE);
	uint64_t opened = load(&l->opened);
	const uint64_t *reserved = t->reserved ? t->reserved(t->context, index) : NULL;

	/* At the same end of a pass as `waiting`: none is in both. */
	s->now.lanes[index].unanswered = __atomic_load_n(&l->unanswered, __ATOMIC_RELAXED);
	/* Whose the ports are that it does not have must be known. */
	if (!p || l->last < l->first || usable > range || (usable < range && !reserved))
		return;
	for (uint32_t w = l->first / 64; w <= l->last / 64u; w++) {
		uint64_t in_range = ~0ull, taken, odd;

		if (w == l->first / 64u)
			in_range &= ~0ull << (l->first % 64);
		if (w == l->last / 64u)
			in_range &= ~0ull >> (63 - l->last % 64);
		taken = load(&p->taken[w]) & in_range;
		bits += (uint32_t)__builtin_popcountll(taken);
		odd = taken & ~s->named[l->ports * TUNDISH_LANE_WORDS + w] &
		      ~(reserved ? reserved[w] : 0);
		for (; odd; odd &= odd - 1) {
			uint32_t port = w * 64 + (uint32_t)__builtin_ctzll(odd);

			if (has_owner(t, l, port) ||
			    !suspected(s, PHASE_LANES, (uint64_t)index << 17 | port, 1))
				continue;
			if (put_port(t, l, port)) {
				s->now.counts.ports++;
				bits--;
			}
		}
	}
	/* Only where nothing came or went meanwhile is a difference one. */
	used = __atomic_load_n(&l->used, __ATOMIC_RELAXED);
	bits -= range - usable;
	if (used == bits || load(&l->opened) != opened ||
	    __atomic_load_n(&l->freed, __ATOMIC_ACQUIRE) != freed)
		return;
	if (suspected(s, PHASE_LANES, (uint64_t)index << 17 | 1 << 16, used - bits)) {
		count32(&l->used, (int32_t)(bits - used));
		s->now.counts.counts++;
	}
}

/* ---- the pass ------------------------------------------------------------------------------ */

static void begin(struct td_nat_sweep *s, const struct td_nat_tables *t)
{
	struct picture *p = &s->now;

	s->phase = PHASE_OUT;
	s->position = 0;
	s->running = true;
	p->counts = (struct td_nat_counts){0};
	p->suspects.n = 0;
	memset(p->hops, 0, sizeof(p->hops));
	memset(p->lanes, 0, s->lanes_max * sizeof(*p->lanes));
	memset(p->backends, 0, s->backends_max * sizeof(*p->backends));
	memset(p->services, 0, s->services_max * TUNDISH_NAT_STATE_MAX * sizeof(*p->services));
	for (uint32_t i = 0; i < s->backends_max; i++)
		p->gone[i] = t->backends[i].state == TUNDISH_BACKEND_GONE && !t->backends[i].weight;
	memset(s->named, 0, (size_t)s->ports_max * TUNDISH_LANE_WORDS * sizeof(uint64_t));
}

static bool advance(struct td_nat_sweep *s, uint32_t size)
{
	if (s->position < size)
		return false;
	s->position = 0;
	s->phase++;
	return true;
}

bool td_nat_sweep_slice(struct td_nat_sweep *s, const struct td_nat_tables *t, uint64_t now_ns,
			uint32_t buckets)
{
	uint32_t tick = tundish_tick(now_ns);
	struct picture former;

	if (!s->running)
		begin(s, t);
	for (; buckets; buckets--) {
		switch (s->phase) {
		case PHASE_OUT:
			if (!advance(s, t->settings.buckets))
				out_bucket(s, t, s->position++, tick);
			break;
		case PHASE_BACK:
			if (!advance(s, t->settings.buckets))
				back_bucket(s, t, s->position++);
			break;
		case PHASE_LANES:
			if (s->position < s->lanes_max) {
				one_lane(s, t, s->position++);
				break;
			}
			former = s->last;
			s->last = s->now;
			s->now = former;
			s->running = false;
			s->passes++;
			return true;
		}
	}
	return false;
}

uint32_t td_nat_sweep_slices(const struct td_nat_tables *t, uint32_t buckets)
{
	uint64_t n = 2ull * t->settings.buckets + t->lanes_max + 3;

	return (uint32_t)((n + buckets - 1) / buckets);
}

const struct td_nat_counts *td_nat_sweep_counts(const struct td_nat_sweep *s, uint64_t *ret_passes)
{
	if (ret_passes)
		*ret_passes = s->passes;
	return &s->last.counts;
}

const struct td_nat_lane_counts *td_nat_sweep_lane(const struct td_nat_sweep *s, uint32_t lane)
{
	return &s->last.lanes[lane < s->lanes_max ? lane : 0];
}

uint32_t td_nat_sweep_backend(const struct td_nat_sweep *s, uint32_t backend)
{
	return backend < s->backends_max ? s->last.backends[backend] : 0;
}

const uint32_t *td_nat_sweep_service(const struct td_nat_sweep *s, uint32_t service)
{
	return service < s->services_max ? &s->last.services[service * TUNDISH_NAT_STATE_MAX]
					 : NULL;
}

bool td_nat_sweep_hop(const struct td_nat_sweep *s, uint32_t hop)
{
	return hop < TUNDISH_NAT_HOPS && s->last.hops[hop / 64] >> (hop % 64) & 1;
}

bool td_nat_sweep_gone(const struct td_nat_sweep *s, const struct td_nat_tables *t,
		       uint32_t backend)
{
	return backend && backend < s->backends_max && s->last.gone[backend] &&
	       !s->last.backends[backend] && t->backends[backend].state == TUNDISH_BACKEND_GONE &&
	       !t->backends[backend].weight;
}
