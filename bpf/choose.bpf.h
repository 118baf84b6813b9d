/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which source of a pool a connection gets, for the hooks and for the dry twin alike.
 *
 * In turn, and of equals the first: with all of them even it goes round. The next four
 * are looked at, eight where the best of these has a quarter of its ports in use, and all
 * where it has a half: while there is plenty, it need not cost more.
 *
 * Nearly full the counts do not suffice: the end of a TIME_WAIT shows nowhere. Then
 * ports are probed, one after the other from a random one on, on each source that is
 * not full for certain, until one is free. So a program that connects one after
 * another gets the last port there is; two at once may see the same one.
 *
 * What takes loops stands in functions that are checked alone: for their verifier all
 * that is in a search is unknown, so one round of a loop looks like any other.
 */
#ifndef TUNDISH_CHOOSE_BPF_H
#define TUNDISH_CHOOSE_BPF_H

#include <linux/in.h>

#include "maps.bpf.h"
#include "verdict.h"

#ifndef AF_INET
#define AF_INET	 2
#define AF_INET6 10
#endif

#define FEW	   4	  /* are looked at, where the best of them has less than a quarter */
#define LOOK_AT	   8	  /* where it has less than a half */
#define NEARLY	   64	  /* ports left */
#define PROBES	   65536u /* 43 ns each: about what a connect(2) that finds none takes */
#define NO_PLACE   0xffffffffu
#define PLACE_MASK (TUNDISH_EGRESS_SOURCES - 1)

struct search {
	struct tundish_port_key key;
	__u64 now, scan; /* the space's last one */
	__u32 pool;
	__u32 family;  /* 0 IPv4, 1 IPv6 */
	__u32 counted; /* whether source ports are */
	__u32 steps;   /* how long ago the scan was, in TUNDISH_LEAVING_S */
	__u32 asked;   /* it is a question */
	__u32 n, start;
	__u32 usable, enough;  /* ports; so few used that after four there is no need to look on */
	__u32 turn, turn_used; /* whose turn it is */
	__u32 best, best_at, best_used; /* the least used so far, or what was found in the end */
	__u32 first, range;		/* of ports */
	__u32 probes, port, must_find, found;
};

/* What loops get: the verifier takes pointers on the stack alone there, and 6.1 keys too.
 * Five calls deep there is no room for more. */
struct round {
	void *ctx;
	struct search *s;
};

struct looking {
	struct search *s;
	struct tundish_port_key key;
	__u32 from;
};

static __always_inline __u32 place_at(const struct tundish_egress *pool, const struct search *s,
				      __u32 i)
{
	__u32 at = s->start + i; /* both below n, but for i where it began further on */

	if (at >= s->n)
		at -= s->n;
	if (at >= s->n)
		at -= s->n;
	return pool->order[s->family & 1][at & PLACE_MASK] & PLACE_MASK;
}

static __always_inline int is_ready(const struct tundish_egress_source *source, __u64 now)
{
	const __u32 ready = TUNDISH_SOURCE_LISTED | TUNDISH_SOURCE_PRESENT;

	return (READ_ONCE(source->flags) & ready) == ready &&
	       (__s64)(now - READ_ONCE(source->rests_until)) >= 0;
}

/* Ports of the key in use; without `all` only those that are so for certain. Not those that
 * their programs bound themselves, which are no usable ones. */
static __always_inline __u32 used_of(struct search *s, const struct tundish_port_key *key, int all)
{
	struct tundish_ports *p = bpf_map_lookup_elem(&ports, key);
	const struct tundish_port_count *c;
	__u32 used, counted, bound;
	__s64 held;

	if (!p)
		return 0;
	held = READ_ONCE(p->held);
	used = held > 0 ? (__u32)held : 0;
	if (READ_ONCE(p->entered)) /* else two cache lines need not be touched */
		used += tundish_tw_within(p, s->now,
					  all ? TUNDISH_TW_SPAN : tundish_tw_certain_span(s->now));
	c = &p->counted[s->scan & 1];
	if (!s->scan || c->scan != s->scan)
		return used;
	bound = c->bound;
	if (!all) { /* of what looks free so many are not free for others only */
		s->must_find = s->must_find > bound ? s->must_find - bound : 0;
		return used > bound ? used - bound : 0;
	}
	counted = s->steps < TUNDISH_LEAVING_STEPS ? tundish_port_counted(c, s->steps) : 0;
	used = counted > used ? counted : used;
	return used > bound ? used - bound : 0;
}

/* ---- the least used ------------------------------------------------------------------ */

static long look(__u32 i, struct looking *r)
{
	struct search *s = r->s;
	struct tundish_egress_source *source;
	struct tundish_egress_question *q;
	struct tundish_egress *pool;
	__u32 place, used = 0, zero = 0, id = s->pool;

	i += r->from;
	pool = bpf_map_lookup_elem(&egress, &id);
	if (!pool)
		return 1;
	place = place_at(pool, s, i);
	source = &pool->source[place];
	if (!is_ready(source, s->now))
		return 0;
	r->key.local = source->address;
	if (s->counted)
		used = used_of(s, &r->key, 1);
	if (s->turn == NO_PLACE) {
		s->turn = place;
		s->turn_used = used;
	}
	if (used < s->best_used) {
		s->best = place;
		s->best_at = i;
		s->best_used = used;
	}
	if (!s->asked)
		return s->best_used < (i + 1 < FEW ? 1 : s->enough);
	q = bpf_map_lookup_elem(&egress_asked, &zero);
	if (!q)
		return 1;
	q->looked++;
	q->used[place] = used;
	q->seen[place] = 1;
	return 0;
}

CHECKED_ALONE int look_at(struct search *s, __u32 from, __u32 n)
{
	struct looking r = {.s = s, .from = from};

	if (!s || n > TUNDISH_EGRESS_SOURCES)
		return 0;
	r.key = s->key;
	bpf_loop(n, look, &r, 0);
	return 0;
}

/* ---- nearly full ------------------------------------------------------------------- */

static long probe(__u32 i, struct round *r)
{
	struct search *s = r->s;
	struct bpf_sock_tuple t = {};
	__be16 port_be = TUNDISH_BE16((__u16)(s->first + s->port));
	__u32 bytes = sizeof(t.ipv4);
	struct bpf_sock *sk;

	s->port = s->port + 1 < s->range ? s->port + 1 : 0;
	s->probes--;
	if (s->family) {
		__builtin_memcpy(t.ipv6.saddr, &s->key.remote, 16);
		__builtin_memcpy(t.ipv6.daddr, &s->key.local, 16);
		t.ipv6.sport = s->key.remote_port_be;
		t.ipv6.dport = port_be;
		bytes = sizeof(t.ipv6);
	} else {
		t.ipv4.saddr = s->key.remote.word[3];
		t.ipv4.daddr = s->key.local.word[3];
		t.ipv4.sport = s->key.remote_port_be;
		t.ipv4.dport = port_be;
	}
	sk = bpf_skc_lookup_tcp(r->ctx, &t, bytes, BPF_F_CURRENT_NETNS, 0);
	if (sk) {
		bpf_sk_release(sk);
		return 0;
	}
	if (s->must_find) {
		s->must_find--;
		return 0;
	}
	s->found = 1;
	return 1;
}

/* Probes ports of one source, the i-th from the least used on. Returns whether one is free. */
#define DEFINE_PROBE_SOURCE(suffix, ctx_type)                                                      \
	CHECKED_ALONE int probe_source_##suffix(ctx_type *ctx, struct search *s, __u32 i)          \
	{                                                                                          \
		struct round r = {.ctx = ctx, .s = s};                                             \
		struct tundish_egress *pool;                                                       \
		struct tundish_port_key key;                                                       \
		__u32 place, id, n;                                                                \
                                                                                                   \
		if (!s)                                                                            \
			return 0;                                                                  \
		id = s->pool;                                                                      \
		pool = bpf_map_lookup_elem(&egress, &id);                                          \
		if (!pool)                                                                         \
			return 0;                                                                  \
		place = place_at(pool, s, s->best_at + i);                                         \
		if (!is_ready(&pool->source[place], s->now))                                       \
			return 0;                                                                  \
		s->key.local = pool->source[place].address;                                        \
		s->must_find = s->range - s->usable;                                               \
		key = s->key;                                                                      \
		if (used_of(s, &key, 0) >= s->usable)                                              \
			return 0;                                                                  \
		n = s->range < s->probes ? s->range : s->probes;                                   \
		s->port = bpf_get_prandom_u32() % (s->range ?: 1);                                 \
		bpf_loop(n, probe, &r, 0);                                                         \
		if (s->found)                                                                      \
			s->best = place;                                                           \
		return 0;                                                                          \
	}                                                                                          \
                                                                                                   \
	static long probe_next_##suffix(__u32 i, struct round *r)                                  \
	{                                                                                          \
		probe_source_##suffix(r->ctx, r->s, i);                                            \
		return r->s->found ? 1 : 0;                                                        \
	}                                                                                          \
                                                                                                   \
	CHECKED_ALONE int probe_all_##suffix(ctx_type *ctx, struct search *s)                      \
	{                                                                                          \
		struct round r = {.ctx = ctx, .s = s};                                             \
                                                                                                   \
		if (!s || s->n > TUNDISH_EGRESS_SOURCES)                                           \
			return 0;                                                                  \
		s->probes = PROBES;                                                                \
		s->found = 0;                                                                      \
		bpf_loop(s->n, probe_next_##suffix, &r, 0);                                        \
		return 0;                                                                          \
	}

DEFINE_PROBE_SOURCE(connect, struct bpf_sock_addr)
DEFINE_PROBE_SOURCE(asked, struct __sk_buff)

/* ---- the whole ----------------------------------------------------------------------- */

/* `s` comes with what is asked for. Returns enum tundish_egress_why, and the place in
 * s->best; 0: probing has to tell. */
static __always_inline __u32 choose(struct search *s, struct tundish_egress *pool,
				    const struct tundish_space *space)
{
	__u32 n = READ_ONCE(pool->n[s->family & 1]);
	__u64 ticket;

	if (!n || n > TUNDISH_EGRESS_SOURCES)
		return TUNDISH_EGRESS_NONE;
	ticket = s->asked ? READ_ONCE(pool->next[s->family & 1])
			  : __sync_fetch_and_add(&pool->next[s->family & 1], 1);
	s->n = n;
	s->start = (__u32)ticket % n;
	s->turn = NO_PLACE;
	s->best = NO_PLACE;
	s->best_used = NO_PLACE;
	if (space) {
		s->counted = 1;
		s->key.space = (__u16)space->index;
		s->scan = space->scan;
		s->steps = tundish_leaving_steps(s->now - space->scanned);
		s->first = space->first;
		s->range = (__u32)space->last + 1 - space->first;
		s->usable = space->scan ? space->usable : s->range;
		if (s->usable > s->range)
			s->usable = s->range;
	}
	s->enough = s->usable / 4 ?: 1;
	look_at(s, 0, n < LOOK_AT ? n : LOOK_AT);
	if (n > LOOK_AT && s->best_used >= s->usable / 2)
		look_at(s, LOOK_AT, n - LOOK_AT);
	if (s->best == NO_PLACE)
		return TUNDISH_EGRESS_NONE;
	if (!s->counted)
		return TUNDISH_EGRESS_IN_TURN;
	if (s->best_used + NEARLY < s->usable)
		return TUNDISH_EGRESS_LEAST;
	if (s->key.protocol != IPPROTO_TCP)
		return s->best_used < s->usable ? TUNDISH_EGRESS_LEAST : TUNDISH_EGRESS_EXHAUSTED;
	return 0;
}

#endif
