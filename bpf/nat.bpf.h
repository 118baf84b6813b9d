/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets of `nat` and `fullnat`, from either side. The caller has found that a client's
 * packet is for such a service; whether a packet is a server's answer is found here, by its
 * source.
 *
 *   client -> VIP:   find -> (new: choose, make) -> step -> lane's next hop
 *   server -> edge:  source known? -> find -> step -> the client's way back
 *
 * What is called from the program itself is what goes deep; the kernel allows 512 bytes
 * of stack, and 6.1 rounds each frame up to 32.
 */
#ifndef TUNDISH_NAT_BPF_H
#define TUNDISH_NAT_BPF_H

#include "nat_choose.bpf.h"
#include "nat_way.bpf.h"
#include "returns.bpf.h"

/* ---- finding ------------------------------------------------------------------------------- */

/* What became of the backend of a known connection. Returns enum nat_next: SEND to go on. */
CHECKED_ALONE int nat_backend_left(struct nat_packet *p, struct nat_query *q)
{
	__u32 backend, state, syn;
	union tundish_nat_word word;
	struct tundish_backend *b;

	if (!p || !q)
		return NAT_NEXT_BROKEN;
	word = q->record.word;
	backend = word.backend;
	b = bpf_map_lookup_elem(&backends, &backend);
	state = b ? b->state : TUNDISH_BACKEND_FREE;
	syn = p->t.segment & (TUNDISH_SEGMENT_SYN | TUNDISH_SEGMENT_UDP);
	if (likely(state == TUNDISH_BACKEND_UP)) {
		/* one that begins anew where there is no place goes where there is one */
		if (likely(!b || !syn || !b->max_connections) || !tundish_nat_is_over(word) ||
		    b->connections_active < b->max_connections)
			return NAT_NEXT_SEND;
		if (!p->dry)
			nat_free(q, q->place, word.raw, 0);
		return NAT_NEXT_NEW;
	}
	/* one that is over begins anew, and so does what a server that is down has left undecided */
	if (state != TUNDISH_BACKEND_DISABLED && state != TUNDISH_BACKEND_FREE &&
	    !((p->t.segment & TUNDISH_SEGMENT_SYN) &&
	      (state == TUNDISH_BACKEND_DOWN ? tundish_nat_leaves_dead(word)
					     : tundish_nat_is_over(word))))
		return NAT_NEXT_SEND;
	if (p->dry)
		return syn ? NAT_NEXT_NEW : NAT_NEXT_DISABLED;
	nat_free(q, q->place, word.raw, 0);
	return syn ? NAT_NEXT_NEW : NAT_NEXT_DISABLED;
}

/* Carries the connection that was found on. Returns enum nat_next. */
CHECKED_ALONE int nat_carry_on(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	if (!p || !q)
		return NAT_NEXT_BROKEN;
	if (nat_read(ctx, p, q))
		return NAT_NEXT_BROKEN;
	if (p->dry || nat_step(q))
		return q->crowded ? NAT_NEXT_CROWDED : NAT_NEXT_SEND;
	return p->t.segment & (TUNDISH_SEGMENT_SYN | TUNDISH_SEGMENT_UDP) ? NAT_NEXT_NEW
									  : NAT_NEXT_UNKNOWN;
}

/* What all packets of a connection share once it was found. Returns enum nat_next. */
static __always_inline int nat_found(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	TRACE(p->dry, nat_known, q->record.word.state);
	if (p->dry)
		trace_known(1);
	if (tundish_nat_wants(q->record.word, p->side, p->t.segment)) {
		int next = nat_carry_on(ctx, p, q);

		if (next != NAT_NEXT_SEND)
			return next;
	}
	if (!p->dry)
		nat_seen(q);
	return NAT_NEXT_SEND;
}

/*
 * Whether no client can have the address: a VIP's (a datagram from one to itself would go
 * round between here and the server for ever), a group's, none at all, the loopback's. The
 * server sees a source of this host, so it cannot tell.
 */
CHECKED_ALONE int nat_no_client(const struct tundish_addr *a)
{
	__u32 last, first;

	if (!a)
		return 0;
	if (claim_find(a, CLAIM_NO_PORT) & TUNDISH_VIP_SERVICE)
		return 1;
	last = bpf_ntohl(a->word[3]);
	if (tundish_addr_is_v4(a)) {
		first = last >> 24;
		return !first || first == 127 || (first & 0xf0) == 224 || !~last;
	}
	return bpf_ntohl(a->word[0]) >> 24 == 0xff ||
	       (!(a->word[0] | a->word[1] | a->word[2]) && last <= 1);
}

/* Whether a client's packet that came by another way says that the next ones will: what
 * is easily forged, and a handshake's that does not fit, says nothing. */
static __always_inline int nat_moves(const struct nat_packet *p, const struct nat_query *q)
{
	if (q->udp)
		return 1;
	if (p->t.segment & TUNDISH_SEGMENT_RST)
		return 0;
	if (p->t.segment & TUNDISH_SEGMENT_SYN)
		return q->record.word.state <= TUNDISH_NAT_SYN_RECEIVED &&
		       p->t.seq == q->record.client_seq;
	return q->record.word.state > TUNDISH_NAT_SYN_RECEIVED;
}

/* A client's packet to a service. Returns enum nat_next. */
CHECKED_ALONE int nat_from_client(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	__u32 offset, hop;
	int next;

	if (!p || !q)
		return NAT_NEXT_BROKEN;
	q->far = p->n.source;
	q->vip = p->n.destination;
	q->far_port = p->t.source;
	q->port = p->t.destination;
	q->id = CLAIM_VIP(p->claim);
	q->udp = CLAIM_UDP(p->claim);
	q->side = TUNDISH_NAT_CLIENT;
	q->now = tundish_tick(bpf_ktime_get_coarse_ns());
	nat_partial(ctx, p);
	if (!nat_find(q)) {
		if (nat_no_client(&p->n.source))
			return NAT_NEXT_NO_CLIENT;
		return p->t.segment & (TUNDISH_SEGMENT_SYN | TUNDISH_SEGMENT_UDP)
			       ? NAT_NEXT_NEW
			       : NAT_NEXT_UNKNOWN;
	}
	next = nat_backend_left(p, q);
	if (unlikely(next != NAT_NEXT_SEND))
		return next;
	next = nat_found(ctx, p, q);
	if (unlikely(next != NAT_NEXT_SEND))
		return next;
	offset = p->n.offset;
	if (unlikely(returns_differ(ctx, offset, TUNDISH_NAT_HOP(q->record.lane_hop))) && !p->dry &&
	    nat_moves(p, q)) {
		hop = returns_number(ctx, offset, q->now);
		if (hop != TUNDISH_NAT_HOP(q->record.lane_hop) && nat_hop(q, hop))
			COUNT(0, return_moved);
	}
	return NAT_NEXT_SEND;
}

/* The number of a server by its address; 0: none. */
CHECKED_ALONE __u32 nat_server(const struct tundish_addr *address)
{
	struct tundish_addr key;
	struct tundish_nat_host *h;

	if (!address)
		return 0;
	key = *address; /* 6.1 takes a key from the stack only */
	h = bpf_map_lookup_elem(&nat_hosts, &key);
	return h && (h->flags & TUNDISH_NAT_HOST_BACKEND) ? h->number : 0;
}

/*
 * A fragment of which nobody has told that it is the first one. Returns enum nat_next: SEND for a
 * later one, whose record is in the query; NEW for a server's first one, which goes on like
 * a whole packet; PASS where a server has sent it, but for all that is known to somebody else.
 */
CHECKED_ALONE int nat_follow(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	__u32 end, place, generation;
	__u64 known;

	if (!p || !q)
		return NAT_NEXT_BROKEN;
	q->side = p->side;
	if (p->side == TUNDISH_NAT_SERVER) {
		q->id = nat_server(&p->n.source);
		if (!q->id)
			return NAT_NEXT_PASS;
		end = p->n.offset + p->n.length;
		known = fragment_ask(ctx, p->n.offset, p->n.transport, end, p->n.is_v6);
		if (!known)
			return NAT_NEXT_PASS;
		p->n.protocol = FRAGMENT_PROTOCOL(known);
		p->t.source = FRAGMENT_SOURCE(known);
		p->t.destination = FRAGMENT_PORT(known);
		if (!FRAGMENT_BACKEND(known)) {
			p->n.odd = ODD_FIRST_FRAGMENT;
			p->t.segment = TUNDISH_SEGMENT_UDP;
			if (p->n.protocol == IPPROTO_TCP)
				load_tcp(ctx, p->n.transport, end - p->n.transport, &p->t);
			return p->t.malformed ? NAT_NEXT_PASS : NAT_NEXT_NEW;
		}
		q->far = p->n.destination;
		q->far_port = p->t.destination;
		q->port = p->t.source;
	} else {
		q->far = p->n.source;
		q->vip = p->n.destination;
		q->far_port = p->t.source;
		q->port = p->t.destination;
		q->id = CLAIM_VIP(p->claim);
	}
	q->udp = p->n.protocol == IPPROTO_UDP;
	q->now = tundish_tick(bpf_ktime_get_coarse_ns());
	q->except = 0;
	q->making = 0;
	if (nat_fragment_known(ctx, p, q))
		return NAT_NEXT_FRAGMENT;
	place = q->place;
	generation = q->record.word.generation;
	if (!nat_look(q, tundish_nat_tag(0, generation, place)))
		return NAT_NEXT_FRAGMENT;
	if (!p->dry)
		nat_seen(q);
	COUNT(p->dry, fragment_followed);
	TRACE(p->dry, fragment, q->record.word.backend);
	return NAT_NEXT_SEND;
}

/* What a server may have answered. Returns enum nat_next: PASS where it is none of ours. */
CHECKED_ALONE int nat_from_server(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	int next;

	if (!p || !q)
		return NAT_NEXT_BROKEN;
	q->id = nat_server(&p->n.source);
	if (!q->id)
		return NAT_NEXT_PASS;
	q->far = p->n.destination;
	q->far_port = p->t.destination;
	q->port = p->t.source;
	q->udp = p->n.protocol == IPPROTO_UDP;
	q->side = TUNDISH_NAT_SERVER;
	q->now = tundish_tick(bpf_ktime_get_coarse_ns());
	if (!nat_find(q)) {
		COUNT(p->dry, nat_reply_unknown);
		return NAT_NEXT_PASS;
	}
	nat_partial(ctx, p);
	next = nat_found(ctx, p, q);
	return next == NAT_NEXT_SEND || next == NAT_NEXT_CROWDED ? next : NAT_NEXT_PASS;
}

/* An ICMP error, by what it quotes. Returns enum nat_next. */
CHECKED_ALONE int nat_error_about(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	struct quote *e;

	if (!p || !q)
		return NAT_NEXT_BROKEN;
	e = &p->error.quote;
	if (icmp_read_quote(ctx, &p->n, e))
		return NAT_NEXT_PASS;
	q->now = tundish_tick(bpf_ktime_get_coarse_ns());
	q->udp = e->protocol == IPPROTO_UDP;
	if (p->side == TUNDISH_NAT_CLIENT) { /* it quotes what went from the VIP to a client */
		if (!tundish_addr_equal(&e->source, &p->n.destination))
			return NAT_NEXT_PASS;
		q->far = e->destination;
		q->vip = e->source;
		q->far_port = e->destination_port;
		q->port = e->source_port;
		q->id = CLAIM_VIP(p->claim);
		q->side = TUNDISH_NAT_CLIENT;
	} else { /* it tells who sent what it quotes, nobody else */
		q->id = nat_server(&e->destination);
		if (!q->id || !tundish_addr_equal(&e->source, &p->n.destination))
			return NAT_NEXT_PASS;
		q->far = e->source;
		q->far_port = e->source_port;
		q->port = e->destination_port;
		q->side = TUNDISH_NAT_SERVER;
	}
	return nat_find(q) ? NAT_NEXT_SEND : NAT_NEXT_PASS;
}

/* ---- new ----------------------------------------------------------------------------------- */

/* What is needed to choose. Returns enum nat_next: NEW to go on. */
CHECKED_ALONE int nat_new(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	struct tundish_lane *l;
	__u32 lane;
	int next;

	if (!p || !q)
		return NAT_NEXT_BROKEN;
	q->record.word.raw = 0;
	p->attempt = 0;
	if (nat_read(ctx, p, q))
		return NAT_NEXT_BROKEN;
	q->syn.isn = q->segment.seq;
	q->syn.has_ts = q->segment.has_ts;
	q->syn.tsval = q->segment.tsval;
	if (!p->dry) {
		q->hop = returns_number(ctx, p->n.offset, q->now);
		return NAT_NEXT_NEW;
	}
	/* Only told: as it would be, but for the port. */
	next = nat_pick(p, q);
	TRACE(1, slot, p->slot);
	TRACE(1, owner, q->backend);
	if (next != NAT_NEXT_NEW)
		return next;
	q->hairpin = nat_is_near(&p->n.source);
	p->yields = 0;
	q->lane = 0; /* which is left as it was where there is none */
	if (nat_try(p, q) == NAT_NEXT_LOCAL)
		return NAT_NEXT_LOCAL;
	lane = q->lane;
	l = bpf_map_lookup_elem(&lanes, &lane);
	if (!l || !lane)
		return NAT_NEXT_NO_PORT;
	TRACE(1, lane_used, READ_ONCE(l->used));
	q->record.word.backend = q->backend;
	q->record.client = p->n.source;
	q->record.vip = p->n.destination;
	q->record.client_port_be = p->t.source;
	q->record.port_be = p->t.destination;
	q->record.source_port_be = p->t.source;
	q->record.lane_hop = lane;
	return NAT_NEXT_SEND;
}

/* ---- refusing ------------------------------------------------------------------------------- */

/* On the first lane of the backend that would have had the connection. */
CHECKED_ALONE int nat_count_refused(struct nat_packet *p)
{
	__u32 backend, i, first, lane = 0;
	struct tundish_fan *fan;
	struct tundish_lane *l;

	if (!p)
		return 0;
	backend = nat_owner(p);
	fan = bpf_map_lookup_elem(&fans, &backend);
	if (!fan)
		return 0;
	/* not of sources of the other family, nor of the clients' own ports, which are never full */
	first = fan->flags & TUNDISH_FAN_DIRECT ? fan->n_addresses * (fan->n_ports ?: 1) : 0;
	for (i = 0; i < TUNDISH_FAN_LANES && !lane; i++)
		lane = fan->lane[(first + i) & (TUNDISH_FAN_LANES - 1)];
	l = bpf_map_lookup_elem(&lanes, &lane);
	if (l && lane)
		__sync_fetch_and_add(&l->refused, 1);
	return 0;
}

/* What is refused is answered, where that can be, or dropped with its reason. */
CHECKED_ALONE verdict_t nat_refuse(struct xdp_md *ctx, struct nat_packet *p, __u32 next)
{
	struct tundish_nexthop *hop;
	struct tundish_backend *b;
	__u32 backend, index;
	int tcp;

	if (!p)
		return DROP(internal);
	tcp = p->n.protocol == IPPROTO_TCP && !p->n.odd;
	switch (next) {
	case NAT_NEXT_PASS: return VERDICT(XDP_PASS, pass_other);
	case NAT_NEXT_LOCAL: return VERDICT(XDP_PASS, pass_local);
	case NAT_NEXT_NO_CLIENT: return DROP(nat_unknown);
	case NAT_NEXT_FRAGMENT: return DROP(fragment);
	case NAT_NEXT_NO_BACKEND: return DROP(no_backend);
	case NAT_NEXT_NO_ROOM: return DROP(nat_full);
	case NAT_NEXT_CROWDED:
		TRACE(p->dry, crowded, 0);
		if (!p->dry)
			pick_refused(CLAIM_SERVICE(p->claim));
		if (tcp && p->side == TUNDISH_NAT_CLIENT && !reset_reply(ctx, &p->n))
			return VERDICT(XDP_TX, sent_rst_full);
		return DROP(full);
	case NAT_NEXT_NO_PORT:
	case NAT_NEXT_AGAIN:
		if (!p->dry)
			nat_count_refused(p);
		if (tcp && !reset_reply(ctx, &p->n))
			return VERDICT(XDP_TX, sent_rst_ports);
		return DROP(nat_ports);
	case NAT_NEXT_DISABLED:
		if (tcp && !reset_reply(ctx, &p->n))
			return VERDICT(XDP_TX, sent_rst_disabled);
		return DROP(nat_unknown);
	case NAT_NEXT_UNKNOWN:
		/* this host itself has the connection where the backend is on it */
		backend = nat_owner(p);
		b = bpf_map_lookup_elem(&backends, &backend);
		index = b ? b->nexthop : 0;
		hop = bpf_map_lookup_elem(&nexthops, &index);
		if (hop && (hop->flags & TUNDISH_NEXTHOP_LOCAL))
			return VERDICT(XDP_PASS, pass_local);
		if (tcp && !reset_reply(ctx, &p->n))
			return VERDICT(XDP_TX, sent_rst_unknown);
		return DROP(nat_unknown);
	default: return DROP(internal);
	}
}

/* Whether a packet to no service may be an answer, or an error about what was sent to a
 * server. */
static __always_inline int nat_may_answer(const struct network *n, const struct transport *t)
{
	struct tundish_nat_settings *set;
	__u32 zero = 0;

	set = bpf_map_lookup_elem(&nat_settings, &zero);
	if (!set || likely(!set->n_hosts))
		return 0;
	if (unlikely(n->odd))
		return n->odd == ODD_FRAGMENT;
	if (n->protocol == IPPROTO_TCP || n->protocol == IPPROTO_UDP)
		return !t->malformed;
	return n->protocol == (n->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* What is owed to the tuples after a step or after others gave way. */
static __always_inline void nat_settle_all(struct nat_query *q)
{
	__u32 index = NAT_QUERY_MET;
	struct nat_query *met = bpf_map_lookup_elem(&nat_queries, &index);

	if (q->owed)
		nat_settle(q);
	if (met && met->owed)
		nat_settle(met);
}

/* A new connection, as nat_from_client() found it to be. Returns enum nat_next. */
static __always_inline int nat_begin(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	int next = nat_choose(ctx, p, q);

	if (next == NAT_NEXT_RECLAIM)
		next = lane_reclaim(q) ? NAT_NEXT_NEW : NAT_NEXT_ELSEWHERE;
	if (next == NAT_NEXT_ELSEWHERE) {
		next = nat_overflow(ctx, p, q);
		if (next == NAT_NEXT_RECLAIM)
			next = lane_reclaim(q) ? NAT_NEXT_NEW : nat_is_full(p);
	}
	if (next == NAT_NEXT_NEW)
		next = nat_begun(p, q, nat_make(q, q->segment.toa));
	if (unlikely(p->picks))
		nat_picked(p, q, (__u32)next);
	nat_settle_all(q);
	return next;
}

/* As nat_enter(), with all that is known of the packet in *p. */
CHECKED_ALONE verdict_t nat_serve(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	int next;

	if (!p || !q)
		return DROP(internal);
	if (unlikely(p->n.odd == ODD_FRAGMENT)) {
		next = nat_follow(ctx, p, q);
		if (next == NAT_NEXT_SEND)
			return nat_send(ctx, p, q);
		if (next != NAT_NEXT_NEW)
			return nat_refuse(ctx, p, (__u32)next);
	}
	if (unlikely(p->n.protocol != IPPROTO_TCP && p->n.protocol != IPPROTO_UDP)) {
		if (nat_error_about(ctx, p, q) == NAT_NEXT_SEND)
			return nat_send_error(ctx, p, q);
		return p->claim & TUNDISH_VIP_SERVICE ? VERDICT(XDP_PASS, pass_icmp)
						      : VERDICT(XDP_PASS, pass_other);
	}
	next = p->side == TUNDISH_NAT_SERVER ? nat_from_server(ctx, p, q)
					     : nat_from_client(ctx, p, q);
	if (unlikely(next == NAT_NEXT_NEW)) {
		if (q->owed)
			nat_settle(q);
		next = nat_new(ctx, p, q);
		if (next == NAT_NEXT_NEW)
			next = nat_begin(ctx, p, q);
		if (unlikely(next == NAT_NEXT_AGAIN))
			next = nat_begin(ctx, p, q);
		if (unlikely(next == NAT_NEXT_AGAIN))
			next = nat_begin(ctx, p, q);
	}
	if (unlikely(q->owed))
		nat_settle(q);
	if (likely(next == NAT_NEXT_SEND))
		return nat_send(ctx, p, q);
	return nat_refuse(ctx, p, (__u32)next);
}

/*
 * A packet to a service that translates (side CLIENT), or one that may be an answer (side
 * SERVER; pass_other where it is none).
 */
static __always_inline verdict_t nat_enter(struct xdp_md *ctx, const struct network *n,
					   const struct transport *t, __u64 claim, __u32 side,
					   const int dry)
{
	__u32 which = dry;
	struct nat_packet *p = bpf_map_lookup_elem(&nat_packets, &which);
	struct nat_query *q = nat_query_of(dry);

	if (!p || !q)
		return DROP(internal);
	p->n = *n;
	p->t = *t;
	p->claim = claim;
	p->side = side;
	p->dry = dry;
	p->partial = 0;
	q->owed = 0;
	return nat_serve(ctx, p, q);
}

#endif
