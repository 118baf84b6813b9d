/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Translated connections, carried on and ended. What a segment means is
 * nat_state.h's; here the word is swapped, and who wins the swap carries the
 * effects out.
 */
#ifndef TUNDISH_NAT_STEP_BPF_H
#define TUNDISH_NAT_STEP_BPF_H

#include "lane.bpf.h"
#include "pick.bpf.h"

/* ---- counts --------------------------------------------------------------------------- */

/* What a connection means for the count of its tuple. */
static __always_inline void nat_change(struct tuple_change *c, const struct tundish_nat *r,
				       __u32 udp, int active, int total)
{
	c->client = r->client;
	c->vip = TUPLE_VIP(r->vip_id, udp);
	c->port = r->port_be;
	c->active = active;
	c->total = total;
}

/* Carries out what a step means, but for the tuples, whose change nat_settle() makes. The
 * record is of the generation of `word`, or its keys still stand since it is not given
 * away yet. */
CHECKED_ALONE int nat_effects(struct nat_query *q, __u32 place, __u64 raw, __u32 effects)
{
	union tundish_nat_word word = {.raw = raw}, v;
	struct tundish_backend *b;
	struct tundish_lane *l;
	struct tundish_nat *r;
	__u32 index, attempt, port;
	int yields, by = effects & TUNDISH_NAT_CLOSED ? -1 : 1,
		    total = !!(effects & TUNDISH_NAT_OPENED);

	if (!q)
		return 0;
	r = bpf_map_lookup_elem(&nat, &place);
	if (!r)
		return 0;
	index = TUNDISH_NAT_LANE(READ_ONCE(r->lane_hop));
	port = bpf_ntohs(r->source_port_be);
	if (effects & (TUNDISH_NAT_YIELDS | TUNDISH_NAT_HOLDS)) {
		yields = !!(effects & TUNDISH_NAT_YIELDS);
		/* The other side's step may have been carried out meanwhile: who marks last
		 * has seen the last word. */
		for (attempt = 0; attempt < 4; attempt++) {
			lane_mark(index, port, yields);
			v.raw = READ_ONCE(r->word.raw);
			if (v.generation != word.generation ||
			    tundish_nat_is_marked(v.state) == yields)
				break;
			yields = !yields;
		}
	}
	if (effects & (TUNDISH_NAT_ANSWERED | TUNDISH_NAT_ENTERED | TUNDISH_NAT_AGAIN |
		       TUNDISH_NAT_REFUSED)) {
		l = bpf_map_lookup_elem(&lanes, &index);
		if (!l)
			return 0;
		if (effects & TUNDISH_NAT_ANSWERED)
			__sync_fetch_and_add(&l->answered, 1);
		if (effects & TUNDISH_NAT_AGAIN)
			__sync_fetch_and_add(&l->opened, 1);
		if (effects & TUNDISH_NAT_REFUSED)
			__sync_fetch_and_add(&l->rejected, 1);
		if (effects & TUNDISH_NAT_ENTERED) {
			__sync_fetch_and_add(&l->entered, 1);
			tundish_tw_slots_enter(l->tw, bpf_ktime_get_coarse_ns());
		}
	}
	if (!(effects & (TUNDISH_NAT_OPENED | TUNDISH_NAT_REVIVED | TUNDISH_NAT_CLOSED)))
		return 0;
	index = word.backend;
	b = bpf_map_lookup_elem(&backends, &index);
	if (!b)
		return 0;
	if (!q->held)
		__sync_fetch_and_add(&b->connections_active, (__u64)(__s64)by);
	if (total)
		__sync_fetch_and_add(&b->connections_total, 1);
	if (!word.counted)
		return 0;
	q->owed = 1;
	nat_change(&q->change, r, word.udp, by, total);
	return 0;
}

/*
 * Carries a found connection's state on by q->segment. Returns 1 with the new state in
 * q->record, or 0 where it has ended meanwhile.
 */
CHECKED_ALONE int nat_step(struct nat_query *q)
{
	struct tundish_nat_step step;
	union tundish_nat_word old;
	struct tundish_nat *r;
	__u32 place, attempt;

	if (!q)
		return 0;
	q->effects = 0;
	q->crowded = 0;
	place = q->place;
	r = bpf_map_lookup_elem(&nat, &place);
	if (!r)
		return 0;
	for (attempt = 0; attempt < 4; attempt++) {
		old.raw = READ_ONCE(r->word.raw);
		if (old.generation != q->record.word.generation || old.state == TUNDISH_NAT_FREE)
			return 0;
		step = tundish_nat_next(old, READ_ONCE(r->client_seq), READ_ONCE(r->server_seq),
					&q->segment, q->now);
		q->held = 0;
		if (step.effects & TUNDISH_NAT_OPENED) {
			q->held = backend_enter(old.backend);
			if (unlikely(!q->held)) {
				q->crowded = 1;
				return 1;
			}
		}
		q->record.word = step.word;
		if (step.word.raw == old.raw && !step.effects)
			return 1;
		if (__sync_val_compare_and_swap(&r->word.raw, old.raw, step.word.raw) != old.raw) {
			if (q->held)
				backend_leave(old.backend);
			continue; /* a segment of the other side was quicker */
		}
		/* Behind the swap, so only one stores. Who reads the former number with the new
		 * state holds a segment that crossed this one, so cannot answer it. */
		if (step.effects & TUNDISH_NAT_STORE_CLIENT)
			WRITE_ONCE(r->client_seq, step.client_seq);
		if (step.effects & TUNDISH_NAT_STORE_SERVER)
			WRITE_ONCE(r->server_seq, step.server_seq);
		q->record.client_seq = step.client_seq;
		q->record.server_seq = step.server_seq;
		q->effects = step.effects;
		nat_effects(q, place, step.word.raw, step.effects);
		return 1;
	}
	q->record.word = old; /* as if the segment had come a moment earlier */
	return 1;
}

/* ---- ending ---------------------------------------------------------------------------- */

#define NAT_IS_NOT(x) (READ_ONCE(x) ^ want)

/* Clears exactly this tag in one bucket of the server's side. */
static __always_inline int nat_untag(__u32 index, __u64 want)
{
	struct tundish_nat_bucket *b = bpf_map_lookup_elem(&nat_tags, &index);
	__u32 bits, slot;

	if (!b)
		return 0;
	bits = NAT_BITS8(b, NAT_IS_NOT);
	if (!bits)
		return 0;
	slot = NAT_LOWEST8(bits);
	forget(slot);
	return __sync_val_compare_and_swap(&b->tag[slot & (TUNDISH_NAT_SLOTS - 1)], want, 0) ==
	       want;
}

/* The tag of a place's client side, which is the caller's. A swap, not a store: it must be
 * seen before what is looked at next. */
static __always_inline void nat_set_tag(__u32 place, __u64 tag)
{
	__u32 index = place / TUNDISH_NAT_SLOTS;
	struct tundish_nat_bucket *b = bpf_map_lookup_elem(&nat_tags, &index);

	if (b)
		__sync_lock_test_and_set(&b->tag[place % TUNDISH_NAT_SLOTS], tag);
}

/* The tag of a record's server side: keys as they stand, generation as it was. */
static __always_inline __u64 nat_back_hash(const struct tundish_nat *r,
					   const struct tundish_lane *l, __u32 udp)
{
	__u32 zero = 0;
	struct tundish_nat_settings *set = bpf_map_lookup_elem(&nat_settings, &zero);

	if (!set)
		return 0;
	return tundish_nat_hash(&set->secret, tundish_lane_source(l, &r->client), r->source_port_be,
				tundish_lane_port(l, r->port_be), l->number, udp);
}

/*
 * Ends a record, if its word is still this one, and gives back what it stood for, in the
 * order of nat.h. @keep: the lane's port goes to another connection at once. What the
 * tuples are owed is left to nat_settle(): the kernel allows eight frames of functions. A
 * query can owe that of one connection; until it is settled no other such one is ended.
 */
CHECKED_ALONE int nat_free(struct nat_query *q, __u32 place, __u64 raw, __u32 keep)
{
	union tundish_nat_word word = {.raw = raw};
	__u32 index, first, second;
	struct tundish_backend *b;
	struct tundish_lane *l;
	struct tundish_nat *r;
	__u64 hash, tag;

	if (!q || word.state == TUNDISH_NAT_FREE ||
	    (q->owed && word.counted && tundish_nat_is_active(word.state)))
		return 0;
	r = bpf_map_lookup_elem(&nat, &place);
	if (!r ||
	    __sync_val_compare_and_swap(&r->word.raw, raw, tundish_nat_freed(word).raw) != raw)
		return 0;
	index = TUNDISH_NAT_LANE(READ_ONCE(r->lane_hop));
	l = bpf_map_lookup_elem(&lanes, &index);
	if (l) {
		hash = nat_back_hash(r, l, word.udp);
		nat_buckets(TUNDISH_NAT_SERVER, hash, &first, &second);
		tag = tundish_nat_tag(hash, word.generation, place);
		if (!nat_untag(first, tag))
			nat_untag(second, tag);
		if (word.state != TUNDISH_NAT_TIME_WAIT)
			__sync_fetch_and_add(&l->freed, 1);
		if (word.state == TUNDISH_NAT_SYN_SENT)
			__sync_fetch_and_add(&l->unanswered, 1);
		if (!keep)
			lane_put(index, bpf_ntohs(r->source_port_be));
	}
	if (tundish_nat_is_active(word.state)) {
		index = word.backend;
		b = bpf_map_lookup_elem(&backends, &index);
		if (b)
			__sync_fetch_and_add(&b->connections_active, -1);
	}
	if (word.counted && tundish_nat_is_active(word.state)) {
		q->owed = 1;
		nat_change(&q->change, r, word.udp, -1, 0);
	}
	nat_set_tag(place, 0);
	return 1;
}

/* The tuples are full: the end of a connection that they do not count must not be counted
 * either. */
CHECKED_ALONE int nat_uncount(__u32 place, __u32 generation)
{
	union tundish_nat_word v, n;
	struct tundish_nat *r;
	__u32 attempt;

	r = bpf_map_lookup_elem(&nat, &place);
	if (!r)
		return 0;
	for (attempt = 0; attempt < 8; attempt++) {
		v.raw = READ_ONCE(r->word.raw);
		if (v.generation != generation || !v.counted)
			break;
		n = v;
		n.counted = 0;
		if (__sync_val_compare_and_swap(&r->word.raw, v.raw, n.raw) == v.raw)
			break;
	}
	return 0;
}

/* What the tuples are owed by a step, or by the end of a record that gave way. Whoever
 * did one of these calls it next, for both of the CPU's queries after an end: a query owes
 * one change at most, and the counts go too deep to be called from where they arise. */
CHECKED_ALONE int nat_settle(struct nat_query *q)
{
	if (!q || !q->owed)
		return 0;
	q->owed = 0;
	if (!tuple_apply(&q->change) && q->change.active > 0)
		nat_uncount(q->place, q->record.word.generation);
	return 0;
}

#endif
