/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Source ports: which lane, which port of it, and which of those that rest where
 * there is no other (include/tundish/lane.h).
 *
 * `used` is raised before a bit is taken and lowered after it is given back, so
 * who gets a number below `usable` finds a free bit. Each CPU takes ports from a
 * word of its own, each of them once while it is there; then the word whose turn
 * it is. So CPUs do not meet, and a port rests until all others of the lane were
 * given, however fast or slow connections come.
 */
#ifndef TUNDISH_LANE_BPF_H
#define TUNDISH_LANE_BPF_H

#include <bpf/bpf_endian.h>

#include "nat_table.bpf.h"

#define LANE_FEW     4u	 /* lanes looked at, where one of them has 3/4 of its ports left */
#define LANE_SOME    8u	 /* where one has half; else all */
#define LANE_TURNS   8u	 /* words that are taken up by ticket, before the whole range */
#define LANE_TRIES   64u /* ports that are looked at for taking back */
#define LANE_WORD(p) ((p) >> 6 & (TUNDISH_LANE_WORDS - 1))
#define LANE_BIT(p)  (1ull << ((p)&63))

static __always_inline __u32 lane_count_bits(__u64 x)
{
	x -= x >> 1 & 0x5555555555555555ull;
	x = (x & 0x3333333333333333ull) + (x >> 2 & 0x3333333333333333ull);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (__u32)(x * 0x0101010101010101ull >> 56);
}

/* The lowest bit that is set; BPF has no instruction for it. */
static __always_inline __u32 lane_lowest(__u64 x)
{
	return lane_count_bits((x & -x) - 1) & 63;
}

/* ---- choosing ------------------------------------------------------------------------ */

/*
 * What a loop's rounds share lies in the query: kernels before 6.7 check a callback once,
 * with what the caller's stack held before the first round, and take what cannot happen
 * then for dead.
 */
struct lane_round {
	struct nat_query *q;
};

static long lane_look(__u32 i, struct lane_round *r)
{
	struct nat_query *q = r->q;
	struct lane_search *s;
	struct tundish_fan *fan;
	struct tundish_lane *l;
	__u32 backend, at, lane, used, usable;

	if (!q)
		return 1;
	s = &q->search;
	backend = q->backend;
	fan = bpf_map_lookup_elem(&fans, &backend);
	at = s->start + i;
	if (at >= s->n)
		at -= s->n;
	at += s->base;
	if (!fan || at >= TUNDISH_FAN_LANES)
		return 1;
	lane = fan->lane[at];
	l = bpf_map_lookup_elem(&lanes, &lane);
	if (!l || !lane)
		return 0;
	used = READ_ONCE(l->used);
	usable = READ_ONCE(l->usable);
	if (used >= usable) {
		if (READ_ONCE(l->yielding) > s->yielding) {
			s->yielding = READ_ONCE(l->yielding);
			s->fallback = lane;
		}
	} else if (!s->best || (__u64)used * s->usable < (__u64)s->used * usable) {
		s->best = lane;
		s->used = used;
		s->usable = usable;
	}
	if (i + 1 < LANE_FEW || !s->best)
		return 0;
	return s->used < s->usable / 4 || (i + 1 >= LANE_SOME && s->used < s->usable / 2);
}

/* What lane_choose() found. */
enum {
	LANE_NONE = 0,
	LANE_FREE = 1,
	LANE_YIELDS = 2, /* all are full; in this one lane_reclaim() may find a port */
};

/* The lane for a new connection of q->port to q->backend, into q->lane; q->hairpin where it
 * has to have a source of this host. */
CHECKED_ALONE int lane_choose(struct nat_query *q)
{
	struct lane_round r = {.q = q};
	struct tundish_fan *fan;
	struct lane_search *s;
	__u32 i, backend, port = 0, ports;

	if (!q)
		return LANE_NONE;
	s = &q->search;
	backend = q->backend;
	fan = bpf_map_lookup_elem(&fans, &backend);
	if (!fan)
		return LANE_NONE;
	if (fan->n_ports) {
		port = TUNDISH_FAN_PORTS;
		for (i = 0; i < TUNDISH_FAN_PORTS; i++)
			if (i < fan->n_ports && fan->port_be[i] == q->port)
				port = i;
	}
	s->n = fan->n_addresses;
	s->base = 0;
	if ((fan->flags & TUNDISH_FAN_DIRECT) && q->hairpin) {
		ports = fan->n_ports ? fan->n_ports : 1;
		s->base = ports * s->n;
	}
	if (!(fan->flags & TUNDISH_FAN_DIRECT) || q->hairpin)
		s->n *= fan->n_sources;
	if (port >= TUNDISH_FAN_PORTS || !s->n || s->n > TUNDISH_FAN_LANES)
		return LANE_NONE;
	s->base += port * s->n;
	s->start = s->n > 1 ? bpf_get_prandom_u32() % s->n : 0;
	s->best = s->fallback = s->yielding = 0;
	bpf_loop(s->n, lane_look, &r, 0);
	q->lane = s->best ? s->best : s->fallback;
	if (s->best)
		return LANE_FREE;
	return s->fallback ? LANE_YIELDS : LANE_NONE;
}

/* ---- marking and giving back --------------------------------------------------------- */

static __always_inline void lane_mark_in(struct tundish_lane *l, struct tundish_lane_ports *p,
					 __u32 port, __u32 yields)
{
	__u64 *word = &p->yielding[LANE_WORD(port)];

	if (!!(READ_ONCE(*word) & LANE_BIT(port)) == !!yields)
		return;
	if (yields) {
		if (!(__sync_fetch_and_or(word, LANE_BIT(port)) & LANE_BIT(port)))
			__sync_fetch_and_add(&l->yielding, 1);
	} else if (__sync_fetch_and_and(word, ~LANE_BIT(port)) & LANE_BIT(port)) {
		__sync_fetch_and_add(&l->yielding, -1);
	}
}

/* Notes whether a port that is taken may be worth a look. */
CHECKED_ALONE int lane_mark(__u32 lane, __u32 port, __u32 yields)
{
	struct tundish_lane *l = bpf_map_lookup_elem(&lanes, &lane);
	struct tundish_lane_ports *p;
	__u32 ports;

	if (!l)
		return 0;
	ports = l->ports;
	p = bpf_map_lookup_elem(&lane_ports, &ports);
	if (p && ports)
		lane_mark_in(l, p, port, yields);
	return 0;
}

/* Gives a port back. What is not taken changes nothing. */
CHECKED_ALONE int lane_put(__u32 lane, __u32 port)
{
	struct tundish_lane *l = bpf_map_lookup_elem(&lanes, &lane);
	struct tundish_lane_ports *p;
	__u32 ports;

	if (!l)
		return 0;
	ports = l->ports;
	p = bpf_map_lookup_elem(&lane_ports, &ports);
	if (p && ports) {
		lane_mark_in(l, p, port, 0);
		if (!(__sync_fetch_and_and(&p->taken[LANE_WORD(port)], ~LANE_BIT(port)) &
		      LANE_BIT(port)))
			return 0;
	}
	__sync_fetch_and_add(&l->used, -1);
	return 1;
}

/* ---- taking --------------------------------------------------------------------------- */

/* A free port of the word that was not offered yet, or 0. */
CHECKED_ALONE __u32 lane_take_from(__u32 lane, __u32 ports, __u32 word)
{
	struct tundish_lane_cursor *c = bpf_map_lookup_elem(&lane_cursor, &lane);
	struct tundish_lane_ports *p = bpf_map_lookup_elem(&lane_ports, &ports);
	__u32 attempt, turn, bit, at = word;
	__u64 free, *taken;

	if (!c || !p || word >= TUNDISH_LANE_WORDS)
		return 0;
	forget(at); /* so that its bound is in the code, for 6.1 */
	taken = &p->taken[at & (TUNDISH_LANE_WORDS - 1)];
	if (c->word != word + 1) {
		c->word = word + 1;
		c->offered = 0;
	}
	turn = bpf_get_prandom_u32() & 63;
	for (attempt = 0; attempt < 8; attempt++) {
		free = ~(READ_ONCE(*taken) | c->offered);
		if (!free)
			break;
		bit = (lane_lowest(free >> turn | free << (-turn & 63)) + turn) & 63;
		c->offered |= 1ull << bit;
		if (!(__sync_fetch_and_or(taken, 1ull << bit) & 1ull << bit))
			return word << 6 | bit;
		/* another CPU came to this word */
	}
	return 0;
}

static long lane_next(__u32 i, struct lane_round *r)
{
	struct nat_query *q = r->q;
	struct tundish_lane_cursor *c;
	struct tundish_lane *l;
	__u32 lane, word;

	if (!q)
		return 1;
	lane = q->lane;
	l = bpf_map_lookup_elem(&lanes, &lane);
	c = bpf_map_lookup_elem(&lane_cursor, &lane);
	if (!l || !c)
		return 1;
	if (i < LANE_TURNS) {
		word = tundish_lane_word(__sync_fetch_and_add(&l->next, 1), l->stride, l->first,
					 l->last);
	} else {
		word = q->walk.word;
		q->walk.word = word < (__u32)l->last >> 6 ? word + 1 : (__u32)l->first >> 6;
	}
	c->word = 0; /* another visit, even of the same */
	q->walk.found = lane_take_from(lane, q->walk.ports, word);
	return q->walk.found != 0;
}

/*
 * Takes a port of q->lane, into q->source_port. Returns 0 where all are in use or
 * resting. The rest of a lane without ports is to keep the client's own.
 */
CHECKED_ALONE int lane_take(struct nat_query *q)
{
	struct lane_round r = {.q = q};
	struct tundish_lane_cursor *c;
	struct tundish_lane *l;
	__u32 lane, word;

	if (!q)
		return 0;
	lane = q->lane;
	l = bpf_map_lookup_elem(&lanes, &lane);
	c = bpf_map_lookup_elem(&lane_cursor, &lane);
	if (!l || !c)
		return 0;
	q->walk.ports = l->ports;
	if (!l->ports) {
		__sync_fetch_and_add(&l->used, 1);
		__sync_fetch_and_add(&l->opened, 1);
		q->source_port = q->far_port;
		return 1;
	}
	/* A look first: in a flood against a full lane no line is written. */
	if (READ_ONCE(l->used) >= READ_ONCE(l->usable))
		return 0;
	if (__sync_fetch_and_add(&l->used, 1) >= READ_ONCE(l->usable)) {
		__sync_fetch_and_add(&l->used, -1);
		return 0;
	}
	word = c->word;
	q->walk.found = word ? lane_take_from(lane, q->walk.ports, word - 1) : 0;
	if (!q->walk.found) {
		q->walk.word = tundish_lane_word(bpf_get_prandom_u32(), 1, l->first, l->last);
		/* Twice over all of it: a port may become free behind one that is looking
		 * while another takes the one before it. */
		bpf_loop(LANE_TURNS + 2 * TUNDISH_LANE_WORDS, lane_next, &r, 0);
	}
	if (!q->walk.found) {
		__sync_fetch_and_add(&l->used, -1);
		return 0;
	}
	__sync_fetch_and_add(&l->opened, 1);
	q->source_port = bpf_htons((__u16)q->walk.found);
	return 1;
}

#endif
