/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A new connection: which backend, which lane, which port.
 *
 * Maglev's backend first, if one of its lanes has a port, or one that may be taken
 * back. Then the others of the service's row, from the slot on, each once: so what a
 * service can hold is the sum over its backends, although Maglev does not spread it
 * evenly. Where nothing is left, or some searches were in vain, the service is full until the
 * clock's next tick, so that a flood against a full service costs little.
 */
#ifndef TUNDISH_NAT_CHOOSE_BPF_H
#define TUNDISH_NAT_CHOOSE_BPF_H

#include "lane_reclaim.bpf.h"
#include "nat_packet.bpf.h"

#define NAT_WALK       8192u /* slots; one of a thousand backends is missed in 3 of 10,000 */
#define NAT_SHARED     8u    /* ports that are tried on an address that the host uses too */
#define NAT_SEARCHES   8u    /* in vain, in one tick of the clock, where a port might yield */
#define NAT_COLLISIONS 3u

/* ---- the host's own sockets ------------------------------------------------------------ */

/* Whether a socket of this host has the port on a shared address, or towards that server. */
CHECKED_ALONE int nat_is_ours(struct xdp_md *ctx, struct nat_query *q)
{
	struct bpf_sock_tuple tuple = {};
	struct tundish_lane *l;
	struct bpf_sock *sk;
	__u32 lane, size;
	__be16 port;

	if (!q)
		return 0;
	lane = q->lane;
	l = bpf_map_lookup_elem(&lanes, &lane);
	if (!l || !(l->flags & TUNDISH_LANE_SHARED))
		return 0;
	port = tundish_lane_port(l, q->port);
	if (tundish_addr_is_v4(&l->source)) {
		tuple.ipv4.saddr = l->host.word[3];
		tuple.ipv4.daddr = l->source.word[3];
		tuple.ipv4.sport = port;
		tuple.ipv4.dport = q->source_port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &l->host, sizeof(l->host));
		__builtin_memcpy(tuple.ipv6.daddr, &l->source, sizeof(l->source));
		tuple.ipv6.sport = port;
		tuple.ipv6.dport = q->source_port;
		size = sizeof(tuple.ipv6);
	}
	if (q->udp)
		sk = bpf_sk_lookup_udp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_skc_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/* As lane_take(), of a port that no socket of this host has. */
CHECKED_ALONE int nat_take(struct xdp_md *ctx, struct nat_query *q)
{
	__u32 i;

	if (!q)
		return 0;
	for (i = 0; i < NAT_SHARED; i++) {
		if (!lane_take(q))
			return 0;
		if (likely(!nat_is_ours(ctx, q)))
			return 1;
		lane_put(q->lane, bpf_ntohs(q->source_port));
	}
	return 0;
}

/* ---- backends --------------------------------------------------------------------------- */

/* A lane of q->backend. Returns enum nat_next: NEW where it has a port, NO_PORT where not;
 * what may give way there is noted. */
CHECKED_ALONE int nat_try(struct nat_packet *p, struct nat_query *q)
{
	struct tundish_nexthop *hop;
	struct tundish_lane *l;
	__u32 lane, next;
	int r;

	if (!p || !q)
		return NAT_NEXT_BROKEN;
	r = lane_choose(q);
	if (r == LANE_NONE && q->hairpin) { /* it has none for hairpins: as good as it gets */
		q->hairpin = 0;
		r = lane_choose(q);
		q->hairpin = 1;
	}
	if (r == LANE_NONE)
		return NAT_NEXT_NO_PORT;
	lane = q->lane;
	l = bpf_map_lookup_elem(&lanes, &lane);
	if (!l)
		return NAT_NEXT_BROKEN;
	next = l->nexthop;
	hop = bpf_map_lookup_elem(&nexthops, &next);
	if (hop && (hop->flags & TUNDISH_NEXTHOP_LOCAL))
		return NAT_NEXT_LOCAL;
	if (r == LANE_FREE)
		return NAT_NEXT_NEW;
	if (!p->yields) {
		p->yields = lane;
		p->yields_backend = q->backend;
	}
	return NAT_NEXT_NO_PORT;
}

struct nat_round {
	struct xdp_md *ctx;
	struct nat_packet *p;
	struct nat_query *q;
};

static long nat_walk(__u32 i, struct nat_round *r)
{
	struct nat_packet *p = r->p;
	struct nat_query *q = r->q;
	struct tundish_maglev *row;
	__u32 service, at, backend;
	__u64 bit;

	if (!p || !q)
		return 1;
	service = CLAIM_SERVICE(p->claim);
	row = bpf_map_lookup_elem(&maglev, &service);
	at = p->slot + i;
	if (at >= TUNDISH_MAGLEV_SLOTS)
		at -= TUNDISH_MAGLEV_SLOTS;
	forget(at);
	if (!row || at >= TUNDISH_MAGLEV_SLOTS)
		return 1;
	backend = READ_ONCE(row->slot[at]) & TUNDISH_SLOT_BACKEND;
	at = backend >> 6 & (NAT_TRIED_WORDS - 1);
	bit = 1ull << (backend & 63);
	if (!backend || (p->tried[at] & bit))
		return 0;
	p->tried[at] |= bit;
	if (p->picks && backend != p->picked && !pick_keep(backend, 1))
		return 0;
	q->backend = backend;
	if (nat_try(p, q) == NAT_NEXT_NEW && nat_take(r->ctx, q)) {
		p->found = 1;
		return 1;
	}
	if (p->picks && backend != p->picked)
		pick_keep(backend, 0);
	return 0;
}

/* Nothing is left: said so until the clock goes on. Under `nat` only lanes for hairpins can
 * be full, which is nobody else's concern. */
static __always_inline int nat_is_full(struct nat_packet *p)
{
	struct tundish_deliver *d = nat_delivery(p);

	if (!d || CLAIM_DELIVERY(p->claim) == TUNDISH_DELIVERY_NAT)
		return NAT_NEXT_NO_PORT;
	if (READ_ONCE(d->full_ns) != p->now)
		WRITE_ONCE(d->searches, 0);
	WRITE_ONCE(d->searches, p->yields ? READ_ONCE(d->searches) + 1u : NAT_SEARCHES);
	WRITE_ONCE(d->full_ns, p->now);
	return NAT_NEXT_NO_PORT;
}

/* One of the others with a free port, or with one that may be taken back. Returns enum
 * nat_next, as nat_choose(). */
CHECKED_ALONE int nat_overflow(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	struct nat_round r = {.ctx = ctx, .p = p, .q = q};

	if (!p || !q)
		return NAT_NEXT_BROKEN;
	p->yields = 0;
	__builtin_memset(p->tried, 0, sizeof(p->tried));
	p->found = 0;
	bpf_loop(NAT_WALK, nat_walk, &r, 0);
	if (p->found) {
		COUNT(0, nat_overflow);
		return NAT_NEXT_NEW;
	}
	if (!p->yields)
		return nat_is_full(p);
	q->lane = p->yields;
	q->backend = p->yields_backend;
	return NAT_NEXT_RECLAIM;
}

/* Whether a backend would answer the client directly, past this host. */
CHECKED_ALONE int nat_is_near(const struct tundish_addr *client)
{
	struct tundish_nat_host *h;
	struct tundish_prefix key;

	if (!client)
		return 0;
	key.address = *client;
	key.length = 128;
	h = bpf_map_lookup_elem(&nat_hosts, &key.address);
	if (h && (h->flags & TUNDISH_NAT_HOST_BACKEND))
		return 1;
	return bpf_map_lookup_elem(&nat_near, &key) != NULL;
}

/* Maglev's backend for the packet; 0: there is none. */
CHECKED_ALONE __u32 nat_owner(struct nat_packet *p)
{
	struct tundish_maglev *row;
	__u32 service, slot;

	if (!p)
		return 0;
	service = CLAIM_SERVICE(p->claim);
	row = bpf_map_lookup_elem(&maglev, &service);
	slot = tundish_choice_slot(
		tundish_choice_hash(&p->n.source, p->t.source, p->t.destination));
	if (!row || slot >= TUNDISH_MAGLEV_SLOTS)
		return 0;
	p->slot = slot;
	slot = READ_ONCE(row->slot[slot]);
	p->picks = slot & TUNDISH_SLOT_CHOOSE;
	return slot & TUNDISH_SLOT_BACKEND;
}

/* The backend of a new connection: Maglev's, or where the service chooses, the one with a
 * place. Returns enum nat_next: NEW to go on. */
CHECKED_ALONE int nat_pick(struct nat_packet *p, struct nat_query *q)
{
	__u32 picked;

	if (!p || !q)
		return NAT_NEXT_BROKEN;
	q->backend = nat_owner(p);
	p->picked = 0;
	if (likely(!p->picks))
		return q->backend ? NAT_NEXT_NEW : NAT_NEXT_NO_BACKEND;
	picked = pick_backend(CLAIM_SERVICE(p->claim), p->slot, p->dry);
	if (picked == PICK_CROWDED)
		return NAT_NEXT_CROWDED;
	q->backend = picked;
	p->picked = picked;
	TRACE(p->dry, chosen, picked);
	return picked ? NAT_NEXT_NEW : NAT_NEXT_NO_BACKEND;
}

/* After making: a place that was kept where the connection did not come to is given back. */
CHECKED_ALONE int nat_picked(struct nat_packet *p, struct nat_query *q, __u32 next)
{
	if (!p || !q)
		return 0;
	if (p->picked && (next != NAT_NEXT_SEND || q->backend != p->picked))
		pick_keep(p->picked, 0);
	if (q->backend != p->picked && next != NAT_NEXT_SEND && p->found)
		pick_keep(q->backend, 0);
	return 0;
}

/* ---- all of it ---------------------------------------------------------------------------- */

/*
 * Backend, lane and port of a new connection, q being as nat_find(q) left it. Returns enum
 * nat_next: NEW with all of it in *q; RECLAIM where a port of q->lane may be taken back;
 * ELSEWHERE where nat_overflow() is to be asked.
 */
CHECKED_ALONE int nat_choose(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	struct tundish_deliver *d;
	int r;

	if (!p || !q)
		return NAT_NEXT_BROKEN;
	d = nat_delivery(p);
	if (!d)
		return NAT_NEXT_BROKEN;
	p->now = bpf_ktime_get_coarse_ns();
	if (READ_ONCE(d->full_ns) == p->now && READ_ONCE(d->searches) >= NAT_SEARCHES)
		return NAT_NEXT_NO_PORT;
	p->found = 0;
	r = nat_pick(p, q);
	if (unlikely(r != NAT_NEXT_NEW))
		return r;
	/* towards a server that knows the client's own port by another VIP, a source helps */
	q->hairpin = p->attempt >= 2 || nat_is_near(&p->n.source);
	if (q->hairpin)
		COUNT(0, hairpin);
	p->yields = 0;
	r = nat_try(p, q);
	if (r == NAT_NEXT_NEW && nat_take(ctx, q))
		return NAT_NEXT_NEW;
	if (r == NAT_NEXT_LOCAL)
		return r;
	return p->yields ? NAT_NEXT_RECLAIM : NAT_NEXT_ELSEWHERE;
}

/* What nat_make() came to, as enum nat_next. */
static __always_inline int nat_begun(struct nat_packet *p, struct nat_query *q, int r)
{
	if (r == NAT_MADE || r == NAT_KNOWN)
		return NAT_NEXT_SEND;
	lane_put(q->lane, bpf_ntohs(q->source_port));
	if (r == NAT_FULL)
		return NAT_NEXT_NO_ROOM;
	COUNT(0, nat_collision);
	return ++p->attempt < NAT_COLLISIONS ? NAT_NEXT_AGAIN : NAT_NEXT_NO_PORT;
}

#endif
