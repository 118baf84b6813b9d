/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Translated connections, made: a place, which is a record; its keys; the tag of
 * the server's side; the word; the tag of the client's side. Another connection
 * that the server could not tell from it, and the same one made on another CPU
 * at once, are looked for after publishing.
 */
#ifndef TUNDISH_NAT_MAKE_BPF_H
#define TUNDISH_NAT_MAKE_BPF_H

#include "nat_step.bpf.h"

/* What nat_make() came to. */
enum {
	NAT_FULL = 0, /* no place: all of both buckets is to stay */
	NAT_MADE = 1,
	NAT_KNOWN = 2, /* another CPU was quicker; its record is in the query, ours is gone */
	NAT_TAKEN = 3, /* the server knows this address and port by another connection; the
			* lane's port is still ours */
};

/* ---- room ------------------------------------------------------------------------------ */

/* How gladly the record of a tag is given up, and its word in q->record.word; 0: not. */
CHECKED_ALONE __u32 nat_tag_rank(struct nat_query *q, __u64 tag)
{
	__u32 place = tundish_nat_tag_place(tag), zero = 0, backend, idle;
	struct tundish_nat_settings *set = bpf_map_lookup_elem(&nat_settings, &zero);
	union tundish_nat_word word;
	struct tundish_fan *fan;
	struct tundish_nat *r;

	r = bpf_map_lookup_elem(&nat, &place);
	if (!q || !set || !r)
		return 0;
	word.raw = READ_ONCE(r->word.raw);
	if (word.state == TUNDISH_NAT_FREE || word.generation != tundish_nat_tag_generation(tag))
		return 0;
	backend = word.backend;
	fan = bpf_map_lookup_elem(&fans, &backend);
	q->record.word = word;
	idle = tundish_nat_idle(word, READ_ONCE(r->seen[0]), READ_ONCE(r->seen[1]), q->now);
	return tundish_nat_rank(
		word, idle,
		tundish_nat_expired(word, idle, &set->timeouts, fan ? fan->time_wait : 0xffff),
		q->now);
}

/* The tag of a bucket whose record is given up most gladly: rank above, slot below. */
CHECKED_ALONE __u32 nat_least(struct nat_query *q, __u32 index)
{
	struct tundish_nat_bucket *b = bpf_map_lookup_elem(&nat_tags, &index);
	__u32 i, best = 0, score;

	if (!b || !q)
		return 0;
	for (i = 0; i < TUNDISH_NAT_SLOTS; i++) {
		score = nat_tag_rank(q, READ_ONCE(b->tag[i])) << 3 | i;
		if (score > best)
			best = score;
	}
	return best >= TUNDISH_NAT_SLOTS ? best : 0;
}

CHECKED_ALONE int nat_evict(struct nat_query *q, __u32 first, __u32 second)
{
	__u32 a = nat_least(q, first), b = nat_least(q, second), index;
	struct tundish_nat_bucket *bucket;
	__u64 tag;

	index = b > a ? second : first;
	bucket = bpf_map_lookup_elem(&nat_tags, &index);
	if (!(a | b) || !bucket || !q)
		return 0;
	tag = READ_ONCE(bucket->tag[(b > a ? b : a) & (TUNDISH_NAT_SLOTS - 1)]);
	if (!nat_tag_rank(q, tag)) /* not what was judged any more */
		return 0;
	return nat_free(q, tundish_nat_tag_place(tag), q->record.word.raw, 0);
}

/* ---- making ------------------------------------------------------------------------------ */

#define NAT_TAG(x) READ_ONCE(x)

/* Takes a free tag of the key's two buckets, in the one that has more of them, of equals
 * in the first: most are found there then. Returns its place + 1, or 0. */
CHECKED_ALONE __u32 nat_claim(__u32 first, __u32 second, __u64 tag)
{
	struct tundish_nat_bucket *a = bpf_map_lookup_elem(&nat_tags, &first);
	struct tundish_nat_bucket *b = bpf_map_lookup_elem(&nat_tags, &second);
	__u32 attempt, in_a, in_b, slot;

	if (!a || !b)
		return 0;
	for (attempt = 0; attempt < 8; attempt++) {
		in_a = NAT_BITS8(a, NAT_TAG);
		in_b = NAT_BITS8(b, NAT_TAG);
		if (!(in_a | in_b))
			return 0;
		if (NIBBLE_COUNT(in_b & 15) + NIBBLE_COUNT(in_b >> 4) >
		    NIBBLE_COUNT(in_a & 15) + NIBBLE_COUNT(in_a >> 4)) {
			slot = NAT_LOWEST8(in_b) & 7;
			forget(slot);
			if (!__sync_val_compare_and_swap(&b->tag[slot & 7], 0, tag))
				return second * TUNDISH_NAT_SLOTS + slot + 1;
		} else {
			slot = NAT_LOWEST8(in_a) & 7;
			forget(slot);
			if (!__sync_val_compare_and_swap(&a->tag[slot & 7], 0, tag))
				return first * TUNDISH_NAT_SLOTS + slot + 1;
		}
	}
	return 0;
}

CHECKED_ALONE __u32 nat_claim_hard(struct nat_query *q, __u32 side, __u64 hash, __u64 tag)
{
	__u32 first, second, at;

	if (!q)
		return 0;
	nat_buckets(side, hash, &first, &second);
	at = nat_claim(first, second, tag);
	if (at)
		return at;
	if (!nat_evict(q, first, second))
		return 0;
	return nat_claim(first, second, tag);
}

/* A record that never became live goes back. @tag: of the server's side, or 0. */
CHECKED_ALONE int nat_undo(__u32 place, __u64 hash, __u64 tag)
{
	union tundish_nat_word word;
	__u32 first, second;
	struct tundish_nat *r;

	r = bpf_map_lookup_elem(&nat, &place);
	if (!r)
		return 0;
	/* before the tag: who compares keys of one that is being made must notice */
	word.raw = READ_ONCE(r->word.raw);
	__sync_val_compare_and_swap(&r->word.raw, word.raw, tundish_nat_freed(word).raw);
	if (tag) {
		nat_buckets(TUNDISH_NAT_SERVER, hash, &first, &second);
		if (!nat_untag(first, tag))
			nat_untag(second, tag);
	}
	nat_set_tag(place, 0);
	return 0;
}

/* The key of a new record's replies, in `met`. */
CHECKED_ALONE int nat_fill_met(struct nat_query *q, struct nat_query *met)
{
	struct tundish_lane *l;
	__u32 lane;

	if (!q || !met)
		return 0;
	lane = q->lane;
	l = bpf_map_lookup_elem(&lanes, &lane);
	if (!l)
		return 0;
	met->far = *tundish_lane_source(l, &q->far);
	met->far_port = q->source_port;
	met->port = tundish_lane_port(l, q->port);
	met->id = l->number;
	met->side = TUNDISH_NAT_SERVER;
	met->udp = q->udp;
	met->now = q->now;
	met->making = 1;
	met->hash = nat_query_hash(met);
	return 1;
}

/* The keys of a new record. */
static __always_inline void nat_fill(struct tundish_nat *r, const struct nat_query *q)
{
	WRITE_ONCE(r->client, q->far);
	WRITE_ONCE(r->vip, q->vip);
	WRITE_ONCE(r->client_port_be, q->far_port);
	WRITE_ONCE(r->port_be, q->port);
	WRITE_ONCE(r->source_port_be, q->source_port);
	WRITE_ONCE(r->vip_id, q->id);
	WRITE_ONCE(r->lane_hop, TUNDISH_NAT_LANE(q->lane) | q->hop * TUNDISH_NAT_HOP_ONE);
	WRITE_ONCE(r->seen[0], q->now);
	WRITE_ONCE(r->seen[1], q->now);
	WRITE_ONCE(r->client_seq, q->syn.isn);
	WRITE_ONCE(r->server_seq, 0);
}

/* Of two records of one key the one at the earlier place stays, unless the other has got
 * further. Returns 1 where it is ours. */
CHECKED_ALONE int nat_agree(struct nat_query *q, __u32 place, __u64 raw)
{
	__u32 attempt;

	if (!q)
		return 0;
	q->making = 0;
	for (attempt = 0; attempt < 4; attempt++) {
		q->except = place + 1;
		if (!nat_search(q))
			return 1;
		if (place > q->place || (q->record.word.state != TUNDISH_NAT_SYN_SENT &&
					 q->record.word.state != TUNDISH_NAT_UDP_NEW)) {
			nat_free(q, place, raw, 0);
			return 0;
		}
		nat_free(q, q->place, q->record.word.raw, 0);
	}
	return 1;
}

/*
 * Makes the record of a connection that nat_find(q) did not find: backend, lane, hop,
 * source_port and syn are there, the lane's port is taken. Returns what it came to; where
 * that is NAT_FULL or NAT_TAKEN the port is still the caller's to give back.
 */
CHECKED_ALONE int nat_make(struct nat_query *q, __u32 toa)
{
	__u32 index = NAT_QUERY_MET, place;
	union tundish_nat_word old, word;
	struct nat_query *met;
	struct tundish_nat *r;
	__u64 tag;

	met = bpf_map_lookup_elem(&nat_queries, &index);
	if (!q || !met || !nat_fill_met(q, met))
		return NAT_FULL;
	place = nat_claim_hard(q, TUNDISH_NAT_CLIENT, q->hash, TUNDISH_NAT_TAG_BUSY);
	if (!place)
		return NAT_FULL;
	place--;
	r = bpf_map_lookup_elem(&nat, &place);
	if (!r)
		return NAT_FULL;
	/* On their way from memory together with the record. */
	nat_touch(TUNDISH_NAT_SERVER, met->hash);
	old.raw = READ_ONCE(r->word.raw);
	if (old.state != TUNDISH_NAT_FREE) {
		nat_set_tag(place, 0);
		return NAT_FULL;
	}
	nat_fill(r, q);
	met->except = place + 1;
	tag = tundish_nat_tag(met->hash, old.generation, place);
	if (!nat_claim_hard(met, TUNDISH_NAT_SERVER, met->hash, tag)) {
		nat_undo(place, 0, 0);
		return NAT_FULL;
	}
	/* Both publish, then look: of two that make the same one at once at least one sees
	 * the other. */
	if (nat_search(met)) {
		nat_undo(place, met->hash, tag);
		return NAT_TAKEN;
	}
	lane_mark(q->lane, bpf_ntohs(q->source_port), 1);
	word = tundish_nat_fresh(q->backend, old.generation, q->udp, toa, q->now);
	__sync_val_compare_and_swap(&r->word.raw, old.raw, word.raw);
	nat_set_tag(place, tundish_nat_tag(q->hash, old.generation, place));
	if (!nat_agree(q, place, word.raw))
		return NAT_KNOWN;
	q->record = *r;
	q->record.word = word;
	q->place = place;
	return NAT_MADE;
}

#endif
