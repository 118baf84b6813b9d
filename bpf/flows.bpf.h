/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The flow table as the data path uses it: one question, "which backend has
 * this segment's flow", which also carries the flow's state on. Asked at the
 * edges of connections, in slots that must ask, and for one packet in 64 of the
 * others so that `seen` keeps up.
 *
 * The life of an entry is tundish_flow_next(); this file finds or makes the
 * entry, swaps the word and carries the effects out.
 */
#ifndef TUNDISH_FLOWS_BPF_H
#define TUNDISH_FLOWS_BPF_H

#include <tundish/flow.h>

#include "pick.bpf.h"
#include "table.h"
#include "tuples.bpf.h"

_Static_assert(sizeof(struct tundish_flow) == sizeof(struct narrow_entry), "flow layout");
_Static_assert(__builtin_offsetof(struct tundish_flow6, client_port_be) ==
		       __builtin_offsetof(struct wide_entry, key2),
	       "flow6 layout");
_Static_assert(__builtin_offsetof(struct tundish_flow6, value) ==
		       __builtin_offsetof(struct wide_entry, word),
	       "flow6 layout");

/* What of the word belongs to the key: the VIP's number, and the protocol. */
#define FLOW_KEY(vip, udp) ((__u64)(vip) << 17 | (__u64)(udp) << 36)
#define FLOW_KEY_MASK	   FLOW_KEY(TUNDISH_VIPS_MAX - 1, 1)
#define FLOW_COUNTED	   (1ull << 35)
/* A segment of its own kind: the tuple table had no place, take "counted" back. */
#define SEGMENT_UNCOUNT (1u << 31)

/* What is full, where anything is. */
enum flow_crowded {
	FLOW_CROWDED_NEW = 1, /* all backends: for a flow that is not known there is none */
	FLOW_CROWDED_OWN =
		2, /* the flow's backend has no place for it, now that it is established */
};

struct flow_query {
	struct tundish_addr client;
	__be16 client_port, port;
	__u32 vip;
	__u32 udp; /* 0, 1 */
	__u32 service;
	__u32 slot;	 /* index into the service's row */
	__u32 owner;	 /* the slot's owner */
	__u32 segment;	 /* enum tundish_segment; 0: look, change nothing (ICMP errors) */
	__u32 seq;	 /* host byte order */
	__u32 contested; /* the slot asks: an unknown flow is worth counting */
	__u32 decided;	 /* the packet goes to `owner` (QUIC), and the flow follows, once a tick */
	__u32 dry;
	__u32 picks;	/* the service does not leave a new flow to its slot: pick.bpf.h */
	__u32 fallback; /* who serves a flow without a place in the table: the slot's owner */
	__u32 picked;	/* a place is kept there; 0: nowhere */
	/* Answers beside the backend. */
	__u32 began;   /* the flow is new, and its backend's for `owner` was picked */
	__u32 held;    /* it is among its backend's active connections already */
	__u32 crowded; /* enum flow_crowded */
	__u32 effects; /* enum tundish_flow_effect, to be carried out by flow_effects() */
	__s32 pending; /* half-open flows of the slot more or less */
	__u64 gone; /* last word of a flow that gave way, for flow_forget(); 0: none did. `change`
			* has its client and port */
	__be16 gone_client_port;
	__u64 word; /* the entry's new word, or where it is free now its last one */
	__u32 left; /* the backend that a live flow has left, for flow_left(); 0: none */
	/* Working space: the verifier grants 512 bytes of stack to all callers. */
	union {
		struct {
			struct narrow_key key;
			struct narrow_entry former;
		} narrow;
		struct {
			struct wide_key key;
			struct wide_entry former;
		} wide;
	};
	struct claim_rule rule;
	__u64 seen; /* word that was found with the key */
	struct tuple_change change;
};

/* One for the data path and one for its tracing twin, which may be interrupted
 * by it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct flow_query);
} queries SEC(".maps");

/* In the answer beside the backend. */
#define FLOW_KNOWN (1u << 31)

/* The limits of flow_rank(): two timeouts in ticks, and whether the newcomer is UDP. */
#define FLOW_LIMITS(closing, udp_timeout, udp)                                                     \
	(((closing)&0x7fff) | ((udp_timeout)&0x7fff) << 15 | (udp) << 30)
_Static_assert(TUNDISH_TICKS_MAX <= 0x7fff, "a timeout has 15 bits");

/* Which entries give way to a new flow: expired ones, then the oldest of those
 * that never got beyond their SYN or first UDP packets. Live flows never do, and
 * nothing of TCP that has not expired does for UDP. */
static __always_inline __u32 flow_rank(__u64 word, __u32 now, __u32 limits)
{
	union tundish_flow_value v = {.raw = word};
	__u32 age;

	if (v.live.state == TUNDISH_FLOW_SYN)
		return limits >> 30 ? 0 : 1 + tundish_age(now, v.syn.seen, 7);
	age = tundish_age(now, v.live.seen, 16);
	if (v.live.state == TUNDISH_FLOW_UDP_NEW)
		return 1 + (age < 127 ? age : 127);
	if (v.live.state == TUNDISH_FLOW_CLOSING)
		return age >= (limits & 0x7fff) ? 0x8000 : 0;
	if (v.live.state == TUNDISH_FLOW_UDP)
		return age >= (limits >> 15 & 0x7fff) ? 0x8000 : 0;
	return 0;
}

DEFINE_CLAIM(narrow, flow, flow_rank)
DEFINE_CLAIM(wide, flow, flow_rank)

/* Adds to or takes from the half-open count of a slot. */
CHECKED_ALONE int slot_pending(__u32 service, __u32 slot, __s32 by)
{
	struct tundish_maglev *row = bpf_map_lookup_elem(&maglev, &service);

	if (row && slot < TUNDISH_MAGLEV_SLOTS)
		__sync_fetch_and_add(&row->slot[slot], (__u32)by * TUNDISH_SLOT_PENDING_ONE);
	return 0;
}

/* A flow gave way: take back what it stands for. A half-open one is taken off its own
 * slot, which need not be the slot of the flow that took its place. Called by the one who
 * asked, and not within: 6.1 rounds the stack of each call up to 32 bytes, and the counts
 * go as deep as it allows. */
CHECKED_ALONE int flow_forget(struct flow_query *q)
{
	struct tuple_change *change;
	union tundish_flow_value v;
	struct tundish_backend *b;
	__u32 index;

	if (!q)
		return 0;
	change = &q->change;
	v.raw = q->gone;
	q->gone = 0;
	index = v.live.backend;
	COUNT(0, flow_evicted);
	b = bpf_map_lookup_elem(&backends, &index);
	if (!b)
		return 0;
	if (v.live.state == TUNDISH_FLOW_SYN)
		slot_pending(b->service,
			     tundish_choice_slot(tundish_choice_hash(
				     &change->client, q->gone_client_port, change->port)),
			     -1);
	if (v.live.state != TUNDISH_FLOW_UDP)
		return 0;
	__sync_fetch_and_add(&b->connections_active, (__u64)-1);
	if (!v.live.counted)
		return 0;
	change->vip = TUPLE_VIP(v.live.vip, 1);
	change->active = -1;
	change->total = 0;
	return tuple_apply(change);
}

/* Carries out what the step of a flow means for the counts. Returns 1 where the
 * tuple table had no place for a connection that the entry calls counted. */
CHECKED_ALONE int flow_effects(struct flow_query *q)
{
	struct tuple_change *change;
	union tundish_flow_value v;
	struct tundish_backend *b;
	__u32 index, effects;
	int uncounted = 0;

	if (!q)
		return 0;
	effects = q->effects;
	v.raw = q->word;
	index = v.live.backend;
	b = bpf_map_lookup_elem(&backends, &index);
	if (!b)
		return 0;
	change = &q->change;
	change->active = 0;
	change->total = 0;
	change->client = q->client;
	change->vip = TUPLE_VIP(q->vip, q->udp);
	change->port = q->port;
	if (effects & (TUNDISH_EFFECT_OPENED | TUNDISH_EFFECT_REOPENED)) {
		COUNT(0, flow_established);
		__sync_fetch_and_add(&b->connections_total, 1);
		change->total = 1;
		if (effects & TUNDISH_EFFECT_OPENED) {
			if (!q->held)
				__sync_fetch_and_add(&b->connections_active, 1);
			change->active = 1;
			uncounted = !tuple_apply(change);
		} else if (v.live.counted) {
			tuple_apply(change);
		}
	}
	if (effects & TUNDISH_EFFECT_CLOSED) {
		COUNT(0, flow_closed);
		__sync_fetch_and_add(&b->connections_active, (__u64)-1);
		if (v.live.counted && !uncounted) {
			change->total = 0;
			change->active = -1;
			tuple_apply(change);
		}
	}
	return uncounted;
}

/* A live flow was led to another backend, which counts it from now on. */
CHECKED_ALONE int flow_left(struct flow_query *q)
{
	struct tundish_backend *from, *to;
	__u32 index;

	if (!q)
		return 0;
	index = q->left;
	q->left = 0;
	from = bpf_map_lookup_elem(&backends, &index);
	index = q->owner;
	to = bpf_map_lookup_elem(&backends, &index);
	if (!from || !to)
		return 0;
	__sync_fetch_and_add(&from->connections_active, (__u64)-1);
	__sync_fetch_and_add(&to->connections_active, 1);
	__sync_fetch_and_add(&to->connections_total, 1);
	return 0;
}

/* Whether a half-open or new flow leaves its backend: health says that it is down, so a SYN
 * or query that comes again got no answer from it, and gets none. Of another service it stays,
 * in whose row it is counted. */
CHECKED_ALONE int flow_leaves(__u32 backend, __u32 service)
{
	struct tundish_backend *b = bpf_map_lookup_elem(&backends, &backend);

	return b && b->state == TUNDISH_BACKEND_DOWN && b->service == service;
}

/*
 * Finds or makes the flow's entry, once for each size of entry. Returns the
 * backend, with FLOW_KNOWN where the flow decided it; q->effects and q->word
 * are what flow_effects() has to do.
 */
#define DEFINE_FLOW_ASK(size, table, n_buckets, hash_of, make_key, note_gone)                      \
	CHECKED_ALONE __u32 flow_ask_##size(struct flow_query *q)                                  \
	{                                                                                          \
		struct size##_bucket *first, *second;                                              \
		struct tundish_settings *set;                                                      \
		struct tundish_flow_step step;                                                     \
		union tundish_flow_value v;                                                        \
		struct size##_entry *e;                                                            \
		__u32 zero = 0, index, attempt, at, other, fresh;                                  \
		__u64 hash;                                                                        \
                                                                                                   \
		set = bpf_map_lookup_elem(&settings, &zero);                                       \
		if (!q)                                                                            \
			return 0;                                                                  \
		if (!set)                                                                          \
			return q->owner;                                                           \
		COUNT(q->dry || q->segment == SEGMENT_UNCOUNT, flow_lookup);                       \
		q->rule.now = tundish_tick(bpf_ktime_get_coarse_ns());                             \
		q->rule.limits = FLOW_LIMITS(set->closing_timeout, set->udp_timeout, q->udp & 1);  \
		fresh = q->udp ? TUNDISH_FLOW_UDP_NEW : TUNDISH_FLOW_SYN;                          \
		q->effects = 0;                                                                    \
		q->pending = 0;                                                                    \
		q->gone = 0;                                                                       \
		q->began = 0;                                                                      \
		q->held = 0;                                                                       \
		make_key(&q->size.key, q);                                                         \
		hash = hash_of(&set->secret, &q->size.key, q);                                     \
		index = tundish_bucket((__u32)hash, n_buckets);                                    \
		first = bpf_map_lookup_elem(&table, &index);                                       \
		index = tundish_bucket((__u32)(hash >> 32), n_buckets);                            \
		second = bpf_map_lookup_elem(&table, &index);                                      \
		if (!first || !second)                                                             \
			return q->owner;                                                           \
                                                                                                   \
		for (attempt = 0; attempt < 4; attempt++) {                                        \
			at = size##_find(first, second, &q->size.key, &q->seen, ENTRY_NONE);       \
			if (at == ENTRY_NONE)                                                      \
				break;                                                             \
			v.raw = q->seen;                                                           \
			if (!q->segment)                                                           \
				return FLOW_KNOWN | (__u32)v.live.backend;                         \
			e = size##_at(first, second, at);                                          \
			if (q->segment == SEGMENT_UNCOUNT) {                                       \
				__sync_fetch_and_and(&e->word, ~FLOW_COUNTED);                     \
				return 0;                                                          \
			}                                                                          \
			step = tundish_flow_next(v, q->segment, q->seq, q->owner, q->rule.now);    \
			if ((q->segment & (TUNDISH_SEGMENT_SYN | TUNDISH_SEGMENT_UDP)) &&          \
			    (q->owner || q->picks) && v.live.state == fresh &&                     \
			    flow_leaves((__u32)v.live.backend, q->service))                        \
				step.value.live.backend = q->owner;                                \
			/* nobody is there for a flow that begins anew, or nobody is picked yet */ \
			if (!step.value.live.backend && step.value.raw)                            \
				return q->owner;                                                   \
			if (q->decided && step.value.raw != v.raw)                                 \
				step.value.live.backend = q->owner;                                \
			if (q->dry) { /* where it would go, and no more */                         \
				TRACE(1, flow_hit, v.live.state);                                  \
				if (!step.value.raw)                                               \
					return FLOW_KNOWN | (__u32)v.live.backend;                 \
				return (step.value.live.state == TUNDISH_FLOW_SYN &&               \
							v.live.state != TUNDISH_FLOW_SYN           \
						? 0                                                \
						: FLOW_KNOWN) |                                    \
				       (__u32)step.value.live.backend;                             \
			}                                                                          \
			if (q->picks && (step.effects & TUNDISH_EFFECT_OPENED)) {                  \
				q->held = backend_enter((__u32)v.live.backend);                    \
				if (!q->held) {                                                    \
					q->crowded = FLOW_CROWDED_OWN;                             \
					if (q->udp) /* it may try again */                         \
						return FLOW_KNOWN | (__u32)v.live.backend;         \
					step.value.raw = 0;                                        \
					step.effects =                                             \
						TUNDISH_EFFECT_PENDING_SUB | TUNDISH_EFFECT_FREED; \
				}                                                                  \
			}                                                                          \
			if (step.value.raw != v.raw &&                                             \
			    __sync_val_compare_and_swap(&e->word, v.raw, step.value.raw) !=        \
				    v.raw) { /* another packet of the flow was quicker */          \
				if (q->held)                                                       \
					backend_leave((__u32)v.live.backend);                      \
				q->held = 0;                                                       \
				q->crowded = 0;                                                    \
				continue;                                                          \
			}                                                                          \
			q->began = q->picks && (q->segment & TUNDISH_SEGMENT_SYN) &&               \
				   v.live.state == TUNDISH_FLOW_CLOSING;                           \
			q->effects = step.effects;                                                 \
			if (q->decided && tundish_flow_open(v) &&                                  \
			    step.value.live.backend != v.live.backend)                             \
				q->left = (__u32)v.live.backend;                                   \
			q->pending = !!(step.effects & TUNDISH_EFFECT_PENDING_ADD) -               \
				     !!(step.effects & TUNDISH_EFFECT_PENDING_SUB);                \
			q->word = step.value.raw ? step.value.raw : v.raw;                         \
			v.raw = q->word;                                                           \
			return FLOW_KNOWN | (__u32)v.live.backend;                                 \
		}                                                                                  \
		if (q->dry || !q->owner ||                                                         \
		    !(q->segment & (TUNDISH_SEGMENT_SYN | TUNDISH_SEGMENT_UDP))) {                 \
			if (q->contested &&                                                        \
			    !(q->segment &                                                         \
			      (TUNDISH_SEGMENT_SYN | TUNDISH_SEGMENT_UDP | SEGMENT_UNCOUNT)))      \
				COUNT(q->dry, flow_unknown);                                       \
			return q->owner;                                                           \
		}                                                                                  \
		at = size##_claim_flow(first, second, &q->rule, &q->size.former);                  \
		if (at == ENTRY_NONE) {                                                            \
			COUNT(0, flow_full);                                                       \
			return q->fallback;                                                        \
		}                                                                                  \
		if (q->size.former.word)                                                           \
			note_gone(q);                                                              \
		v = q->udp ? tundish_flow_udp(q->vip, q->owner, q->rule.now)                       \
			   : tundish_flow_syn(q->vip, q->owner, q->seq, q->rule.now);              \
		e = size##_give(first, second, at, &q->size.key);                                  \
		/* a swap, not a store: it must be seen before the other one is looked for */      \
		__sync_val_compare_and_swap(&e->word, ENTRY_BUSY, v.raw);                          \
		/* \
		 * The same SYN, or UDP flow, on other CPUs may have come in between. Of two entries the \
		 * earlier one stays, in the order of the buckets, unless the other has got \
		 * further. Each CPU counts its own entry, and takes back one for each that its \
		 * swap took away: together they count those that stay. \
		 */                                                                               \
		q->effects = 0;                                                                    \
		q->pending = !q->udp;                                                              \
		q->word = v.raw;                                                                   \
		for (attempt = 0; attempt < 8; attempt++) {                                        \
			other = size##_find(first, second, &q->size.key, &q->seen, at);            \
			if (other == ENTRY_NONE)                                                   \
				break;                                                             \
			v.raw = q->seen;                                                           \
			if (other > at && v.live.state == fresh) {                                 \
				e = size##_at(first, second, other);                               \
				if (__sync_val_compare_and_swap(&e->word, v.raw, ENTRY_FREE) ==    \
				    v.raw)                                                         \
					q->pending -= !q->udp;                                     \
				continue;                                                          \
			}                                                                          \
			e = size##_at(first, second, at);                                          \
			if (__sync_val_compare_and_swap(&e->word, q->word, ENTRY_FREE) == q->word) \
				q->pending -= !q->udp;                                             \
			return FLOW_KNOWN | (__u32)v.live.backend;                                 \
		}                                                                                  \
		COUNT(0, flow_new);                                                                \
		q->began = 1;                                                                      \
		return q->owner;                                                                   \
	}

static __always_inline void narrow_flow_key(struct narrow_key *k, const struct flow_query *q)
{
	k->key = (__u64)q->port << 48 | (__u64)q->client_port << 32 | q->client.word[3];
	k->mask = FLOW_KEY_MASK;
	k->want = FLOW_KEY(q->vip, q->udp);
}

static __always_inline __u64 narrow_flow_hash(const struct tundish_siphash_key *secret,
					      const struct narrow_key *k,
					      const struct flow_query *q)
{
	return tundish_siphash2(secret, k->key, q->vip);
}

static __always_inline void narrow_flow_gone(struct flow_query *q)
{
	const struct narrow_entry *e = &q->narrow.former;

	q->change.client = tundish_addr_v4((__be32)e->key);
	q->change.port = (__be16)(e->key >> 48);
	q->gone_client_port = (__be16)(e->key >> 32);
	q->gone = e->word;
}

static __always_inline void wide_flow_key(struct wide_key *k, const struct flow_query *q)
{
	k->key[0] = (__u64)q->client.word[1] << 32 | q->client.word[0];
	k->key[1] = (__u64)q->client.word[3] << 32 | q->client.word[2];
	k->key2 = (__u32)q->port << 16 | q->client_port;
	k->mask = FLOW_KEY_MASK;
	k->want = FLOW_KEY(q->vip, q->udp);
}

static __always_inline __u64 wide_flow_hash(const struct tundish_siphash_key *secret,
					    const struct wide_key *k, const struct flow_query *q)
{
	return tundish_siphash(secret, k->key[0], k->key[1], (__u64)q->vip << 32 | k->key2);
}

static __always_inline void wide_flow_gone(struct flow_query *q)
{
	const struct wide_entry *e = &q->wide.former;
	struct tundish_addr *client = &q->change.client;

	client->word[0] = (__be32)e->key[0];
	client->word[1] = (__be32)(e->key[0] >> 32);
	client->word[2] = (__be32)e->key[1];
	client->word[3] = (__be32)(e->key[1] >> 32);
	q->change.port = (__be16)(e->key2 >> 16);
	q->gone_client_port = (__be16)e->key2;
	q->gone = e->word;
}

DEFINE_FLOW_ASK(narrow, flows, flow_buckets, narrow_flow_hash, narrow_flow_key, narrow_flow_gone)
DEFINE_FLOW_ASK(wide, flows6, flow6_buckets, wide_flow_hash, wide_flow_key, wide_flow_gone)

/* Who a flow goes to that begins with this packet, if one does: q->owner. */
CHECKED_ALONE int flow_pick(struct flow_query *q)
{
	__u32 picked;

	if (!q)
		return 0;
	picked = pick_backend(q->service, q->slot, q->dry);
	if (picked == PICK_CROWDED) {
		q->crowded = FLOW_CROWDED_NEW;
		picked = 0;
	}
	TRACE(q->dry, chosen, picked);
	q->owner = picked;
	q->picked = picked;
	return 0;
}

/* As flow_ask_*(), for a service that does not leave new flows to their slots. Every packet of
 * UDP may begin one, so there the table is asked first. */
CHECKED_ALONE __u32 flow_ask_picking(struct flow_query *q, __u32 v4)
{
	__u32 answer;

	if (!q)
		return 0;
	q->picked = 0;
	if (q->segment & TUNDISH_SEGMENT_UDP)
		q->owner = 0;
	else if (q->segment & TUNDISH_SEGMENT_SYN)
		flow_pick(q);
	answer = v4 ? flow_ask_narrow(q) : flow_ask_wide(q);
	if ((q->segment & TUNDISH_SEGMENT_UDP) && !(answer & FLOW_KNOWN)) {
		flow_pick(q);
		answer = v4 ? flow_ask_narrow(q) : flow_ask_wide(q);
	}
	if (q->picked && !q->began && !q->dry)
		pick_keep(q->picked, 0);
	if ((answer & FLOW_KNOWN) && q->crowded == FLOW_CROWDED_NEW)
		q->crowded = 0;
	return answer;
}

#endif
