/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A datagram to its socket. There is no connection and no queue: the flow's hash
 * chooses, each time anew, and so that a flow stays where it is.
 */
#ifndef TUNDISH_STEER_UDP_BPF_H
#define TUNDISH_STEER_UDP_BPF_H

#include "assign.bpf.h"

#define UDP_DRAINED (1u << 31) /* one at least takes none because it was told so */

/* The worker whose number and the flow's hash give the largest number together (rendezvous
 * hashing, Thaler and Ravishankar, 1998): one that comes or goes moves its own flows only,
 * and from or to all others alike. An index, or NO_INDEX less UDP_DRAINED; perhaps with it. */
CHECKED_ALONE __u32 udp_worker(__u32 group, __u32 hash, __u32 family)
{
	struct tundish_group *g = bpf_map_lookup_elem(&groups, &group);
	__u32 i, best = NO_INDEX & ~UDP_DRAINED, most = 0, drained = 0;

	for (i = 0; g && i < TUNDISH_GROUP_SIZE_MAX; i++) {
		struct tundish_worker *w;
		__u32 index = g->first + i, weight;

		if (i >= g->used)
			break;
		w = bpf_map_lookup_elem(&workers, &index);
		if (!w || !READ_ONCE(w->cookie) || !(w->flags & family))
			continue;
		if (w->flags & TUNDISH_WORKER_DRAIN) {
			drained = UDP_DRAINED;
			continue;
		}
		weight = (__u32)(tundish_mix64((__u64)(i + 1) << 32 | hash) >> 32) | 1;
		if (weight > most) {
			most = weight;
			best = index;
		}
	}
	return (best & ~UDP_DRAINED) | drained;
}

/* Whether there is something to be found at all: most packets are for nobody here. */
static __always_inline int any_udp_group(void)
{
	__u32 none = TUNDISH_NONE;
	struct tundish_group *g = bpf_map_lookup_elem(&groups, &none);

	return g && g->flags & TUNDISH_GROUP_UDP;
}

static __always_inline int refuse_udp(struct bpf_sk_lookup *ctx, struct tundish_steering *s,
				      __u32 why, int silent, const int dry)
{
	struct bpf_sock *sink;
	__u32 one = 1;

	TRACE(dry, no_worker, why);
	if (!dry)
		count_refusal(s, why);
	if (!silent)
		return SK_DROP;
	sink = bpf_map_lookup_elem(&sinks, &one);
	if (!sink)
		return SK_DROP; /* no daemon about: the client hears of it by ICMP */
	bpf_sk_assign(ctx, sink, BPF_SK_LOOKUP_F_NO_REUSEPORT);
	bpf_sk_release(sink);
	return SK_PASS;
}

/* Whether the datagram was given to somebody; else *found tells who might have been. */
static __always_inline int give_udp(struct bpf_sk_lookup *ctx, __u32 group, __u32 hash,
				    __u32 family, __u32 *found, const int dry)
{
	struct tundish_worker *w;
	__u64 cookie;
	__u32 index;

	*found = udp_worker(group, hash, family);
	index = *found & ~UDP_DRAINED;
	w = bpf_map_lookup_elem(&workers, &index);
	if (!w)
		return 0;
	cookie = READ_ONCE(w->cookie);
	if (assign(ctx, index)) {
		/* Closed, or connected to a client since. */
		if (!dry && __sync_val_compare_and_swap(&w->cookie, cookie, 0) == cookie)
			tell(TUNDISH_WORKER_LEFT, group, index, 0, cookie, w, NULL, 0);
		return 0;
	}
	TRACE(dry, worker, index);
	if (!dry)
		__sync_fetch_and_add(&w->assigned, 1);
	return 1;
}

static __always_inline int steer_udp(struct bpf_sk_lookup *ctx, struct tundish_steering *s,
				     __u32 family, const int dry)
{
	__u32 group = s->group, hash, found = 0;
	struct tundish_group *g;
	__u64 now;

	g = bpf_map_lookup_elem(&groups, &group);
	if (!g)
		return SK_PASS;
	TRACE(dry, group, group);
	hash = flow_hash(ctx);
	/* Twice in the text, as above. */
	if (give_udp(ctx, group, hash, family, &found, dry) ||
	    (!dry && give_udp(ctx, group, hash, family, &found, dry)))
		return SK_PASS;
	if (found & UDP_DRAINED)
		return refuse_udp(ctx, s, TUNDISH_REFUSAL_empty, 1, dry);
	now = bpf_ktime_get_ns();
	if (!dry && !READ_ONCE(g->empty_since))
		WRITE_ONCE(g->empty_since, now);
	return refuse_udp(ctx, s, TUNDISH_REFUSAL_empty, now - READ_ONCE(g->empty_since) < s->grace,
			  dry);
}

#endif
