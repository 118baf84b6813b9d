/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Out again: other addresses and ports, and the link header of where it goes. A client's
 * packet takes its lane's next hop, an answer the way that its client's packets came.
 */
#ifndef TUNDISH_NAT_WAY_BPF_H
#define TUNDISH_NAT_WAY_BPF_H

#include "capture.bpf.h"
#include "nat_fragment.bpf.h"

/* The next hop of a lane, and its own addresses: q->record's. Returns 0, or -1. */
CHECKED_ALONE int nat_way_to_server(struct nat_packet *p, struct nat_query *q)
{
	__u32 lane, index, backend;
	struct tundish_nexthop *hop;
	struct tundish_traffic *t;
	struct tundish_lane *l;
	struct rewrite *w;

	if (!p || !q)
		return -1;
	lane = TUNDISH_NAT_LANE(q->record.lane_hop);
	l = bpf_map_lookup_elem(&lanes, &lane);
	if (!l)
		return -1;
	w = &p->to;
	w->source = *tundish_lane_source(l, &q->record.client);
	w->destination = l->host;
	w->source_port = q->record.source_port_be;
	w->destination_port = tundish_lane_port(l, q->record.port_be);
	index = l->nexthop;
	hop = bpf_map_lookup_elem(&nexthops, &index);
	if (!hop)
		return -1;
	p->hop = *hop;
	TRACE(p->dry, lane, lane);
	TRACE(p->dry, nexthop, index);
	backend = q->record.word.backend;
	if (p->dry)
		trace_choice(CLAIM_SERVICE(p->claim), backend);
	CAPTURE_NOTE(p->dry, &p->n, CLAIM_SERVICE(p->claim), backend);
	t = bpf_map_lookup_elem(&traffic, &backend);
	if (t && !p->dry) {
		t->packets++;
		t->bytes += p->n.length;
	}
	return 0;
}

CHECKED_ALONE int nat_way_to_client(struct nat_packet *p, struct nat_query *q)
{
	struct tundish_return *r;
	struct rewrite *w;
	__u32 index;

	if (!p || !q)
		return -1;
	w = &p->to;
	w->source = q->record.vip;
	w->destination = q->record.client;
	w->source_port = q->record.port_be;
	w->destination_port = q->record.client_port_be;
	index = TUNDISH_NAT_HOP(q->record.lane_hop);
	r = bpf_map_lookup_elem(&returns, &index);
	p->hop.flags = 0;
	p->hop.ifindex = 0;
	if (unlikely(p->n.captured) && !p->dry)
		capture_note_answer(q->record.word.backend);
	TRACE(p->dry, return_hop, index);
	if (!r || !index || READ_ONCE(r->state) != TUNDISH_RETURN_VALID)
		return 0;
	__builtin_memcpy(p->hop.destination, r->key.to, sizeof(p->hop.destination));
	__builtin_memcpy(p->hop.source, r->key.from, sizeof(p->hop.source));
	p->hop.ifindex = r->key.ifindex;
	p->hop.flags = TUNDISH_NEXTHOP_VALID | (r->key.tagged ? TUNDISH_NEXTHOP_VLAN : 0);
	p->hop.vlan_tci_be = r->key.vlan_tci_be;
	p->hop.mtu = r->mtu;
	return 0;
}

/* Asks the kernel where p->to.destination is, which it tells only where NICs forward. */
CHECKED_ALONE int nat_way_asked(struct xdp_md *ctx, struct nat_packet *p)
{
	if (!p)
		return -1;
	p->hop.tunnel_source = p->to.source;
	COUNT(p->dry, fib_lookup);
	return fib_nexthop(ctx, &p->to.destination, &p->hop,
			   p->side == TUNDISH_NAT_CLIENT ? BPF_FIB_LOOKUP_OUTPUT : 0);
}

/* What is counted where a packet leaves, or an error about one. */
static __always_inline __u32 nat_way_counter(const struct nat_packet *p)
{
	if (p->side != TUNDISH_NAT_CLIENT)
		return TUNDISH_COUNTER_sent_reply;
	return CLAIM_DELIVERY(p->claim) == TUNDISH_DELIVERY_NAT ? TUNDISH_COUNTER_sent_nat
								: TUNDISH_COUNTER_sent_fullnat;
}

/* The link header, and away. The network header is at p->n.offset. */
static __always_inline verdict_t nat_leave(struct xdp_md *ctx, struct nat_packet *p)
{
	__u32 tagged = p->hop.flags & TUNDISH_NEXTHOP_VLAN, ifindex = p->hop.ifindex;
	int delta = (int)p->n.offset -
		    (int)(sizeof(struct ethhdr) + (tagged ? sizeof(struct vlan_tag) : 0));
	void *data, *data_end;

	if (delta && bpf_xdp_adjust_head(ctx, delta))
		return DROP(headroom);
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + sizeof(struct ethhdr) + sizeof(struct vlan_tag) > data_end)
		return DROP(headroom);
	write_link(data, &p->hop, bpf_htons(p->n.is_v6 ? ETH_P_IPV6 : ETH_P_IP), tagged);
	if (ifindex == ctx->ingress_ifindex)
		return nat_way_counter(p) << 3 | XDP_TX;
	if (bpf_redirect(ifindex, 0) != XDP_REDIRECT)
		return DROP(internal);
	CAPTURE_NOTE_OUT(&p->n, ifindex);
	return nat_way_counter(p) << 3 | XDP_REDIRECT;
}

/* What a packet grows by where the family changes. */
static __always_inline int nat_growth(const struct nat_packet *p)
{
	int to_v4 = tundish_addr_is_v4(&p->to.destination);

	if (to_v4 == !p->n.is_v6)
		return 0;
	return to_v4 ? (int)sizeof(struct iphdr) - (int)sizeof(struct ipv6hdr)
		     : (int)sizeof(struct ipv6hdr) - (int)sizeof(struct iphdr);
}

/* The client's address as an option, where it is due and there is room. Returns -1 where the
 * packet is in pieces. */
static __always_inline int nat_tell(struct xdp_md *ctx, struct nat_packet *p,
				    const struct nat_query *q, int growth)
{
	int r;

	if (p->side != TUNDISH_NAT_CLIENT || !q->record.word.toa_due || q->udp || p->n.odd ||
	    p->t.seq != q->record.client_seq + 1 || (p->t.segment & TUNDISH_SEGMENT_RST))
		return 0;
	r = p->partial ? 0 : 1;
	if (r) {
		p->toa.client = q->record.client;
		p->toa.port = q->record.client_port_be;
		/* before the other family's header takes its part; 0: not known */
		p->toa.mtu = p->hop.mtu ? (__u16)(p->hop.mtu - growth) : 0xffff;
		r = toa_insert(ctx, &p->n, &p->toa);
	}
	if (r < 0)
		return -1;
	if (r)
		COUNT(p->dry, toa_added);
	else
		COUNT(p->dry, toa_no_room);
	return 0;
}

/*
 * A TCP or UDP packet of the connection in q->record leaves. Everything that can be refused
 * is refused before the first byte of a header changes.
 */
CHECKED_ALONE verdict_t nat_send(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	int growth, failed;

	if (!p || !q)
		return DROP(internal);
	if (p->side == TUNDISH_NAT_CLIENT ? nat_way_to_server(p, q) : nat_way_to_client(p, q))
		return DROP(internal);
	if (unlikely(p->hop.flags & TUNDISH_NEXTHOP_LOCAL))
		return VERDICT(XDP_PASS, pass_local);
	if (unlikely(!(p->hop.flags & TUNDISH_NEXTHOP_VALID)) && nat_way_asked(ctx, p))
		return DROP(no_nexthop);
	growth = nat_growth(p);
	TRACE(p->dry, mtu, p->hop.mtu);
	if (unlikely(p->hop.mtu && (int)p->n.length + growth > p->hop.mtu))
		return p->n.odd && growth ? DROP(fragment)
					  : icmp_too_big(ctx, &p->n, (__u32)(p->hop.mtu - growth));
	if (unlikely(p->n.ttl <= 1))
		return DROP(ttl);
	if (unlikely(nat_tell(ctx, p, q, growth)))
		return DROP(internal);
	p->to.flags = REWRITE_HOP | (p->partial ? REWRITE_PARTIAL : 0);
	if (unlikely(p->n.odd)) {
		if (growth || nat_fragment_leave(ctx, p, q))
			return DROP(fragment);
		failed = 0;
	} else if (unlikely(growth)) {
		p->to.id = (__be16)bpf_get_prandom_u32();
		failed = rewrite_family(ctx, &p->n, &p->to, &p->chunk);
	} else {
		failed = rewrite_same(ctx, &p->n, &p->to);
	}
	if (unlikely(failed))
		return DROP(nat_family);
	return nat_leave(ctx, p);
}

/* ---- ICMP errors --------------------------------------------------------------------------- */

/*
 * An ICMP error about the connection in q->record: itself and what it quotes are
 * translated. p->side says who it goes away from: the client's side where it quotes an
 * answer, the server's where it quotes what was sent to the server.
 */
CHECKED_ALONE verdict_t nat_send_error(struct xdp_md *ctx, struct nat_packet *p,
				       struct nat_query *q)
{
	int from_client, translated, failed;
	struct nat_error *e;
	struct rewrite *w;
	struct tundish_lane *l;
	__u32 lane;

	if (!p || !q)
		return DROP(internal);
	e = &p->error;
	w = &p->to;
	lane = TUNDISH_NAT_LANE(q->record.lane_hop);
	l = bpf_map_lookup_elem(&lanes, &lane);
	if (!l)
		return DROP(internal);
	from_client = p->side == TUNDISH_NAT_CLIENT;
	if (from_client ? nat_way_to_server(p, q) : nat_way_to_client(p, q))
		return DROP(internal);
	/* the packet that it quotes went the other way */
	e->quoted.source = w->destination;
	e->quoted.destination = w->source;
	e->quoted.source_port = w->destination_port;
	e->quoted.destination_port = w->source_port;
	e->quoted.id = 0;
	e->quoted.flags = 0;
	translated = (l->flags & TUNDISH_LANE_SOURCE) || nat_growth(p);
	/* who it comes from: to a server's network its own addresses where they are kept, to a
	 * client the VIP, unless a router on the way has something to say of itself */
	if (from_client ? !translated : !translated && !tundish_addr_equal(&p->n.source, &l->host))
		w->source = p->n.source;
	e->to = *w;
	e->to.flags = REWRITE_HOP;
	e->to.id = 0;
	if (p->hop.flags & TUNDISH_NEXTHOP_LOCAL)
		return VERDICT(XDP_PASS, pass_icmp);
	if (!(p->hop.flags & TUNDISH_NEXTHOP_VALID) && nat_way_asked(ctx, p))
		return DROP(no_nexthop);
	if (p->n.ttl <= 1)
		return DROP(ttl);
	if (nat_growth(p))
		failed = rewrite_icmp_family(ctx, &p->n, e, &p->chunk);
	else
		failed = rewrite_icmp_same(ctx, &p->n, e);
	if (failed)
		return DROP(nat_family);
	COUNT(p->dry, icmp_error);
	return nat_leave(ctx, p);
}

#endif
