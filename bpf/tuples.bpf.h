/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections per (client, VIP, port). Written at the edges of connections
 * only. A tuple without active connections gives way when both of its buckets
 * are full; one with active connections never does.
 *
 * Changes may come in any order: where a connection's end overtakes its
 * beginning on another CPU, `active` is less than zero (modulo 2^24) for as long
 * as that takes.
 */
#ifndef TUNDISH_TUPLES_BPF_H
#define TUNDISH_TUPLES_BPF_H

#include "table.h"

/* A VIP's number together with the protocol, as a tuple keeps them. */
#define TUPLE_VIP(vip, udp) ((vip) | ((udp) ? TUNDISH_TUPLE_UDP : 0))

/* Fits: entries are told apart by position, as both are 32 bytes. */
_Static_assert(__builtin_offsetof(struct tundish_tuple, vip) ==
		       __builtin_offsetof(struct wide_entry, key2),
	       "tuple layout");
_Static_assert(__builtin_offsetof(struct tundish_tuple, value) ==
		       __builtin_offsetof(struct wide_entry, word),
	       "tuple layout");

static __always_inline __u32 tuple_rank(__u64 word, __u32 now, __u32 limits)
{
	union tundish_tuple_value v = {.raw = word};

	return v.active == 0;
}

DEFINE_CLAIM(wide, tuple, tuple_rank)

/*
 * Working space of one change. It lies in a map: the verifier grants all callers
 * together 512 bytes of stack.
 */
struct tuple_change {
	struct tundish_addr client;
	__u32 vip; /* TUPLE_VIP() */
	__be16 port;
	__s8 active; /* +1, 0 or -1 */
	__u8 total;  /* 0 or 1 */
	struct wide_key key;
	struct wide_entry former;
	struct claim_rule rule;
	__u64 seen;
};

/* Two entries of one tuple become one: the later of them, in the order of the
 * buckets, goes into the earlier. Both CPUs that meet may try; the swap of the
 * word lets one of them. */
CHECKED_ALONE int tuple_fold(struct wide_bucket *first, struct wide_bucket *second, __u32 to,
			     __u32 from)
{
	union tundish_tuple_value moved, v, n;
	struct wide_entry *e;
	__u32 attempt;

	if (!first || !second)
		return 0;
	e = wide_at(first, second, from);
	moved.raw = READ_ONCE(e->word);
	if (moved.raw == ENTRY_FREE || moved.raw == ENTRY_BUSY ||
	    __sync_val_compare_and_swap(&e->word, moved.raw, ENTRY_FREE) != moved.raw)
		return 0;
	e = wide_at(first, second, to);
	for (attempt = 0; attempt < 8; attempt++) {
		v.raw = READ_ONCE(e->word);
		n.raw = v.raw;
		n.active = v.active + moved.active;
		n.total = v.total + moved.total;
		if (__sync_val_compare_and_swap(&e->word, v.raw, n.raw) == v.raw)
			return 1;
	}
	return 0;
}

/* Returns 1 where the tuple's entry took the change, 0 where there is none. */
CHECKED_ALONE int tuple_apply(struct tuple_change *c)
{
	struct tundish_settings *set;
	struct wide_bucket *first, *second;
	struct wide_entry *e;
	union tundish_tuple_value v, n;
	__u32 zero = 0, index, attempt, at;
	__u64 hash;

	set = bpf_map_lookup_elem(&settings, &zero);
	if (!set || !c)
		return 0;
	c->key.key[0] = (__u64)c->client.word[1] << 32 | c->client.word[0];
	c->key.key[1] = (__u64)c->client.word[3] << 32 | c->client.word[2];
	c->key.key2 = (__u32)c->port << 16 | (c->vip & 0xffff);
	c->key.mask = 0;
	c->key.want = 0;
	hash = tundish_siphash(&set->secret, c->key.key[0], c->key.key[1], c->key.key2);
	index = tundish_bucket((__u32)hash, tuple_buckets);
	first = bpf_map_lookup_elem(&tuples, &index);
	index = tundish_bucket((__u32)(hash >> 32), tuple_buckets);
	second = bpf_map_lookup_elem(&tuples, &index);
	if (!first || !second)
		return 0;
	c->rule.now = tundish_tick(bpf_ktime_get_coarse_ns());

	for (attempt = 0; attempt < 8; attempt++) {
		at = wide_find(first, second, &c->key, &c->seen, ENTRY_NONE);
		if (at == ENTRY_NONE) {
			if (!c->active)
				return 0;
			at = wide_claim_tuple(first, second, &c->rule, &c->former);
			if (at == ENTRY_NONE) {
				if (c->active > 0)
					COUNT(0, tuple_full);
				return 0;
			}
			if (c->former.word)
				COUNT(0, tuple_evicted);
			n.raw = 0;
			n.active = c->active;
			n.total = c->total;
			e = wide_give(first, second, at, &c->key);
			e->extra = c->rule.now;
			/* a swap, not a store: it must be seen before the other is looked for */
			__sync_val_compare_and_swap(&e->word, ENTRY_BUSY, n.raw);
			/* the same tuple on another CPU may have come in between */
			index = wide_find(first, second, &c->key, &c->seen, at);
			if (index != ENTRY_NONE)
				tuple_fold(first, second, at < index ? at : index,
					   at < index ? index : at);
			return 1;
		}
		e = wide_at(first, second, at);
		v.raw = c->seen;
		n.raw = v.raw;
		n.active = v.active + c->active;
		n.total = v.total + c->total;
		if (__sync_val_compare_and_swap(&e->word, v.raw, n.raw) == v.raw) {
			e->extra = c->rule.now;
			return 1;
		}
	}
	return 0;
}

#endif
