/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections per (client, VIP, port). Written at the edges of connections
 * only. A tuple without active connections gives way when both of its buckets
 * are full; one with active connections never does.
 */
#ifndef TUNDISH_TUPLES_BPF_H
#define TUNDISH_TUPLES_BPF_H

#include "table.h"

/* Fits: entries are told apart by position, as both are 32 bytes. */
_Static_assert(__builtin_offsetof(struct tundish_tuple, vip) ==
		       __builtin_offsetof(struct wide_entry, key2),
	       "tuple layout");
_Static_assert(__builtin_offsetof(struct tundish_tuple, value) ==
		       __builtin_offsetof(struct wide_entry, word),
	       "tuple layout");

static __always_inline __u32 tuple_rank(__u64 word, __u32 now, __u32 closing_timeout)
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
	__u32 vip;
	__be16 port;
	__s8 active; /* +1, 0 or -1 */
	__u8 total;  /* 0 or 1 */
	struct wide_key key;
	struct wide_entry former;
	struct claim_rule rule;
	__u64 seen;
};

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
		at = wide_find(first, second, &c->key, &c->seen);
		if (at == ENTRY_NONE) {
			if (c->active <= 0)
				return 0;
			at = wide_claim_tuple(first, second, &c->key, &c->rule, &c->former);
			if (at == ENTRY_NONE) {
				COUNT(0, tuple_full);
				return 0;
			}
			if (c->former.word)
				COUNT(0, tuple_evicted);
			n.raw = 0;
			n.active = 1;
			n.total = 1;
			e = wide_at(first, second, at);
			e->extra = c->rule.now;
			WRITE_ONCE(e->word, n.raw);
			return 1;
		}
		e = wide_at(first, second, at);
		v.raw = c->seen;
		n.raw = v.raw;
		if (c->active > 0)
			n.active = v.active + 1;
		else if (c->active < 0 && v.active)
			n.active = v.active - 1;
		if (c->total)
			n.total = v.total + 1;
		if (__sync_val_compare_and_swap(&e->word, v.raw, n.raw) == v.raw) {
			e->extra = c->rule.now;
			return 1;
		}
	}
	return 0;
}

#endif
