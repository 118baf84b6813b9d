// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data path: one XDP program, from frame to verdict.
 *
 *   frame -> link -> network -> VIP -> port range -> slot -> (flow) -> backend -> way out
 *
 * "Stateful at a connection's edges, stateless in between": SYN, FIN and RST
 * ask the flow table and carry its state on; a data packet asks only where its
 * slot says so (half-open flows, or flows that belong to a former owner), and
 * one in 64 does so that idle times are known. All others go where the Maglev
 * slot says, which is one 32-bit word in a table that fits the cache.
 *
 * UDP has no such edges, so each of its packets asks, unless its service is to have no
 * flows; then the slot alone decides.
 *
 * README.md beside this file walks a packet through it.
 */
#include "maps.bpf.h"

#include "capture.bpf.h"
#include "deliver.h"
#include "flows.bpf.h"
#include "fragment.bpf.h"
#include "icmp.h"
#include "nat.bpf.h"
#include "parse.h"
#include "quic.h"
#include "service.h"
#include "verdict.h"

#define SAMPLE_MASK 63u

/* The half-open count lives in the slot of the flow's own service, which is not
 * this packet's where the file has given the port to another one meanwhile. */
static __always_inline void count_pending(const struct flow_query *q, struct tundish_maglev *row,
					  const struct tundish_backend *b)
{
	__u32 slot = q->slot;

	forget(slot);
	if (unlikely(b && b->service != q->service))
		slot_pending(b->service, slot, q->pending);
	else if (slot < TUNDISH_MAGLEV_SLOTS)
		__sync_fetch_and_add(&row->slot[slot],
				     (__u32)q->pending * TUNDISH_SLOT_PENDING_ONE);
}

/*
 * Which backend has, or gets, the segment's flow; FLOW_KNOWN where the flow
 * table says so. Off the fast path.
 */
static __always_inline __u32 choose_by_flow(struct flow_query *q, struct tundish_maglev *row,
					    int v4)
{
	__u32 answer, index;
	struct tundish_backend *b;

	if (unlikely(q->picks))
		answer = flow_ask_picking(q, v4);
	else
		answer = v4 ? flow_ask_narrow(q) : flow_ask_wide(q);
	if (q->decided)
		answer = (answer & FLOW_KNOWN) | q->owner;
	index = answer & ~FLOW_KNOWN;
	b = bpf_map_lookup_elem(&backends, &index);
	if (q->pending)
		count_pending(q, row, b);
	if (q->gone)
		flow_forget(q);
	if (q->left)
		flow_left(q);
	if (q->effects && flow_effects(q)) {
		q->segment = SEGMENT_UNCOUNT;
		if (v4)
			flow_ask_narrow(q);
		else
			flow_ask_wide(q);
	}
	if (unlikely(q->crowded))
		return TUNDISH_NONE;
	if (!(answer & FLOW_KNOWN)) {
		TRACE(q->dry, flow_miss, 0);
		return answer;
	}
	TRACE(q->dry, flow_backend, index);
	if (b && b->state != TUNDISH_BACKEND_DISABLED && b->state != TUNDISH_BACKEND_FREE)
		return answer;
	TRACE(q->dry, flow_disabled, index);
	COUNT(q->dry, flow_moved);
	return q->owner ?: q->fallback;
}

/* While a group is empty its next instance is on the way, for a while: a client
 * that hears nothing tries again. */
CHECKED_ALONE int awaits_worker(__u32 service)
{
	struct tundish_steering *s = bpf_map_lookup_elem(&steering, &service);
	struct tundish_group *g;
	__u64 since;

	if (!s || !s->group)
		return 0;
	g = bpf_map_lookup_elem(&groups, &s->group);
	if (!g)
		return 0;
	since = READ_ONCE(g->empty_since);
	return since && (__s64)(bpf_ktime_get_coarse_ns() - since) < (__s64)s->grace;
}

/* There is no backend for it, or all have what they may have. */
static __noinline verdict_t serve_nobody(struct xdp_md *ctx, const struct network *n, __u32 dry)
{
	struct flow_query *q = bpf_map_lookup_elem(&queries, &dry);

	if (!q || !q->crowded)
		return DROP(no_backend);
	q->crowded = 0; /* it was this packet that asked: whoever is told so comes by here */
	TRACE(dry, crowded, 0);
	if (!dry)
		pick_refused(q->service);
	if (n->protocol == IPPROTO_TCP && !n->odd && !reset_reply(ctx, n))
		return VERDICT(XDP_TX, sent_rst_full);
	return DROP(full);
}

/*
 * A packet to a service, from choice to way out.
 *
 * @client, @client_port, @port: the flow's, which for an ICMP error are not the
 *                               packet's own
 * @claim:   of that port
 * @seq:     of a segment; of a later fragment the backend that it follows to
 * @link: length of the link header, where the packet came in a tunnel; else 0
 */
static __always_inline verdict_t serve(struct xdp_md *ctx, struct network *n,
				       const struct tundish_addr *client, __be16 client_port,
				       __be16 port, __u64 claim, __u32 segment, __u32 seq,
				       __u32 link, const int dry)
{
	__u32 service = CLAIM_SERVICE(claim);
	struct tundish_traffic *t;
	struct tundish_maglev *row;
	struct tundish_backend *b;
	__u32 hash, slot, word, backend;
	int sampled = 0;
	__u8 delivery;
	verdict_t v;

	row = bpf_map_lookup_elem(&maglev, &service);
	if (unlikely(!row))
		return DROP(internal);
	hash = tundish_choice_hash(client, client_port, port);
	slot = tundish_choice_slot(hash);
	n->spread = (__u16)hash;
	if (slot >= TUNDISH_MAGLEV_SLOTS)
		return DROP(internal);
	word = READ_ONCE(row->slot[slot]);
	backend = word & TUNDISH_SLOT_BACKEND;
	TRACE(dry, slot, slot);
	TRACE(dry, owner, backend);
	if (unlikely(n->odd == ODD_FRAGMENT)) {
		backend = seq;
	} else if (unlikely(claim & CLAIM_QUIC) && segment == TUNDISH_SEGMENT_UDP) {
		__u32 named = quic_ask(ctx, n->transport + sizeof(struct udphdr),
				       n->offset + n->length, service, dry);

		if (named) {
			backend = named & ~QUIC_DECIDES;
			claim |= named & QUIC_DECIDES ? CLAIM_DECIDED : 0;
		}
	}

	t = bpf_map_lookup_elem(&traffic, &backend);
	if (likely(t != NULL))
		sampled = (t->packets & SAMPLE_MASK) == SAMPLE_MASK;

	if (unlikely((word & TUNDISH_SLOT_MUST_ASK) || sampled || segment != TUNDISH_SEGMENT_ACK ||
		     dry) &&
	    likely(!(claim & CLAIM_STATELESS))) {
		__u32 which = dry, answer;
		struct flow_query *q = bpf_map_lookup_elem(&queries, &which);

		if (!q)
			return DROP(internal);
		q->client = *client;
		q->client_port = client_port;
		q->port = port;
		q->vip = CLAIM_VIP(claim);
		q->udp = CLAIM_UDP(claim);
		q->service = service;
		q->slot = slot;
		q->owner = backend;
		q->segment = segment;
		q->seq = seq;
		q->contested = word & TUNDISH_SLOT_ASK;
		q->decided = !!(claim & CLAIM_DECIDED);
		q->dry = dry;
		q->picks = (word & TUNDISH_SLOT_CHOOSE) && !q->decided;
		q->fallback = backend;
		q->crowded = 0;
		q->effects = 0;
		q->pending = 0;
		q->left = 0;
		TRACE(dry, ask, word / TUNDISH_SLOT_PENDING_ONE);
		answer = choose_by_flow(q, row, !n->is_v6);
		if (dry)
			trace_known(answer >> 31);
		answer &= ~FLOW_KNOWN;
		if (answer != backend) {
			backend = answer;
			t = bpf_map_lookup_elem(&traffic, &backend);
		}
	}
	if (dry)
		trace_choice(service, backend);
	CAPTURE_NOTE(dry, n, service, backend);
	if (unlikely(backend == TUNDISH_NONE))
		return serve_nobody(ctx, n, dry);
	b = bpf_map_lookup_elem(&backends, &backend);
	if (unlikely(!b))
		return DROP(internal);
	if (unlikely(n->odd == ODD_FIRST_FRAGMENT) && !dry)
		fragment_enter(ctx, n->offset, n->transport | (__u32)n->is_v6 << 31,
			       (__u32)port << 16 | client_port, backend | (__u32)n->protocol << 24);
	if (likely(t != NULL) && !dry) {
		t->packets++;
		t->bytes += n->length;
	}
	delivery = READ_ONCE(b->delivery);
	if (delivery == TUNDISH_DELIVERY_WORKERS) {
		if (link)
			return unwrap(ctx, link, n->offset, n->is_v6);
		return VERDICT(XDP_PASS, pass_workers);
	}
	v = deliver(ctx, n, b, delivery, dry);
	if (unlikely(v == VERDICT(XDP_PASS, pass_local)) && segment == TUNDISH_SEGMENT_SYN &&
	    awaits_worker(service))
		return DROP(no_worker);
	return v;
}

static __always_inline verdict_t oddity(int forwards, __u32 odd)
{
	switch (odd) {
	case ODD_FRAGMENT: return forwards ? DROP(fragment) : VERDICT(XDP_PASS, pass_fragment);
	case ODD_EXTENSION: return DROP(extension);
	default: return DROP(malformed);
	}
}

static __noinline verdict_t icmp(struct xdp_md *ctx, const struct network *n, struct icmp_error *e,
				 __u32 link)
{
	verdict_t v = link ? VERDICT_NONE : icmp_ping(ctx, n);

	if (v != VERDICT_NONE)
		return v;
	icmp_read_error(ctx, n, e);
	if (e->found)
		return VERDICT_NONE;
	return link ? VERDICT(XDP_PASS, pass_other) : VERDICT(XDP_PASS, pass_icmp);
}

/* In a map, to spare the stack; one for the data path, one for its tracing twin. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct icmp_error);
} icmp_errors SEC(".maps");

/* Where to go on reading: at the frame's own network header, or at the one that
 * a tunnel holds, which this host serves or nobody. */
struct layer {
	__u32 offset;
	__u32 is_v6;
	__u32 link;	/* of the inner one: length of the link header; else 0 */
	__u32 end;	/* of the inner one: where the tunnel's packet ends in the frame */
	__u32 captured; /* enum of capture.bpf.h, a number that the verifier does not know */
	__u32 again; /* the verdict is VERDICT_INNER. Apart from it: the verifier loses which verdicts
		      * that is not, and would follow each packet through here twice */
};

/* Not a verdict: the tunnel ends here, read the layer that it holds (layer.again). */
#define VERDICT_INNER ((verdict_t)~1u)

/* VERDICT_NONE: to an address of this host, but no tunnel that is read here. */
static __always_inline verdict_t tunnel(struct xdp_md *ctx, struct layer *l,
					const struct network *n, const int dry)
{
	struct gue_inner g = {.offset = n->transport, .end = n->offset + n->length};

	g.protocol = n->protocol;
	if (n->protocol == IPPROTO_UDP) {
		if (!gue_read(ctx, n, &g))
			return VERDICT_NONE;
		if (!g.offset)
			return VERDICT(XDP_PASS, pass_gue);
	} else if (n->protocol != IPPROTO_IPIP && n->protocol != IPPROTO_IPV6) {
		return VERDICT_NONE;
	}
	TRACE(dry, decapsulated, g.protocol);
	l->link = l->offset;
	l->end = g.end;
	l->offset = g.offset;
	l->is_v6 = g.protocol == IPPROTO_IPV6;
	l->again = 1;
	return VERDICT_INNER;
}

static __always_inline verdict_t network(struct xdp_md *ctx, struct layer *l, const int dry)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 offset = l->offset;
	struct transport t = {};
	struct network n;
	__u64 claim;
	int tcp, udp = 0;

	forget(offset);
	if (offset > OFFSET_MAX)
		return VERDICT(XDP_PASS, pass_other);
	if (l->is_v6 ? parse_v6(ctx, data, data_end, offset, &n)
		     : parse_v4(ctx, data, data_end, offset, &n))
		return VERDICT(XDP_PASS, pass_other);
	n.captured = (__u8)l->captured;

	if (unlikely(l->link && n.offset + n.length > l->end))
		n.odd = ODD_MALFORMED;

	tcp = n.protocol == IPPROTO_TCP && !n.odd;
	if (likely(tcp)) {
		parse_tcp(ctx, data, data_end, &n, &t);
	} else if (n.protocol == IPPROTO_UDP && !n.odd) {
		udp = 1;
		parse_udp(ctx, data, data_end, &n, &t);
	}
	claim = claim_find(&n.destination,
			   tcp || udp ? CLAIM_PORT(n.protocol, bpf_ntohs(t.destination))
				      : CLAIM_NO_PORT);
	if (!claim) {
		TRACE(dry, no_vip, 0);
		goto others;
	}
	if (unlikely(!tcp && (claim & TUNDISH_VIP_ENDPOINT) && !l->link && !n.odd &&
		     !CLAIM_SERVICE(claim))) {
		verdict_t v = tunnel(ctx, l, &n, dry);

		if (v != VERDICT_NONE)
			return v;
	}
	if (unlikely(!(claim & TUNDISH_VIP_SERVICE)))
		goto others;
	TRACE(dry, vip, CLAIM_VIP(claim));
	CAPTURE_NOTE(dry, &n, CLAIM_SERVICE(claim), TUNDISH_NONE);
	if (unlikely(n.odd)) {
		__u64 f = 0;

		if (n.odd == ODD_FRAGMENT && (claim & TUNDISH_VIP_FORWARDS) && !l->link)
			f = fragment_ask(ctx, n.offset, n.transport, n.offset + n.length, n.is_v6);
		if (n.odd == ODD_FRAGMENT && !(claim & TUNDISH_VIP_FORWARDS) && l->link)
			return unwrap(ctx, l->link, n.offset, n.is_v6);
		if (!f)
			return oddity(claim & TUNDISH_VIP_FORWARDS, n.odd);
		claim = claim_find(&n.destination,
				   CLAIM_PORT(FRAGMENT_PROTOCOL(f), bpf_ntohs(FRAGMENT_PORT(f))));
		if (!CLAIM_SERVICE(claim) ||
		    (FRAGMENT_BACKEND(f) &&
		     (CLAIM_DELIVERY(claim) >= TUNDISH_DELIVERY_NAT) != !!(f & FRAGMENT_NAT)))
			return DROP(fragment);
		udp = 1;
		t.source = FRAGMENT_SOURCE(f);
		t.destination = FRAGMENT_PORT(f);
		if (f & FRAGMENT_NAT) {
			n.protocol = FRAGMENT_PROTOCOL(f); /* nat_follow() counts it */
		} else if (FRAGMENT_BACKEND(f)) {
			COUNT(dry, fragment_followed);
			TRACE(dry, fragment, FRAGMENT_BACKEND(f));
			t.seq = FRAGMENT_BACKEND(f);
			claim = (claim & ~(__u64)CLAIM_QUIC) | CLAIM_STATELESS;
		} else {
			n.odd = ODD_FIRST_FRAGMENT;
			t.segment = TUNDISH_SEGMENT_UDP;
			if (FRAGMENT_PROTOCOL(f) == IPPROTO_TCP)
				load_tcp(ctx, n.transport, n.offset + n.length - n.transport, &t);
		}
	}

	if (unlikely(!tcp && !udp)) {
		__u32 which = dry;
		struct icmp_error *e = bpf_map_lookup_elem(&icmp_errors, &which);
		verdict_t v;

		if (!e)
			return DROP(internal);
		if (n.protocol != (n.is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
			return VERDICT(XDP_PASS, pass_other);
		v = icmp(ctx, &n, e, l->link);
		if (v == VERDICT(XDP_PASS, pass_icmp))
			goto others;
		if (v != VERDICT_NONE)
			return v;
		claim = claim_find(&n.destination, CLAIM_PORT(e->found, bpf_ntohs(e->port)));
		if (l->link && CLAIM_DELIVERY(claim) != TUNDISH_DELIVERY_WORKERS)
			return VERDICT(XDP_PASS, pass_other);
		if (!CLAIM_SERVICE(claim))
			goto others;
		if (CLAIM_DELIVERY(claim) >= TUNDISH_DELIVERY_NAT)
			return nat_enter(ctx, &n, &t, claim, TUNDISH_NAT_CLIENT, dry);
		COUNT(dry, icmp_error);
		TRACE(dry, icmp_error, bpf_ntohs(e->port));
		return serve(ctx, &n, &e->client, e->client_port, e->port, claim, 0, 0, l->link,
			     dry);
	}

	/* without a UDP service nobody has said that UDP to the VIP is ours to judge */
	if (unlikely(t.malformed) && (tcp || CLAIM_SERVICE(claim)))
		return DROP(malformed);
	if (!CLAIM_SERVICE(claim)) {
		TRACE(dry, no_port, bpf_ntohs(t.destination));
		goto others;
	}
	TRACE(dry, service, CLAIM_SERVICE(claim));
	if (unlikely(l->link && CLAIM_DELIVERY(claim) != TUNDISH_DELIVERY_WORKERS))
		return VERDICT(XDP_PASS, pass_other);
	if (unlikely(t.bad_flags))
		return DROP(tcp_flags);
	if (CLAIM_DELIVERY(claim) >= TUNDISH_DELIVERY_NAT)
		return nat_enter(ctx, &n, &t, claim, TUNDISH_NAT_CLIENT, dry);
	if (t.segment == TUNDISH_SEGMENT_SYN && CLAIM_DELIVERY(claim) == TUNDISH_DELIVERY_WORKERS &&
	    awaits_worker(CLAIM_SERVICE(claim)))
		return DROP(no_worker);
	return serve(ctx, &n, &n.source, t.source, t.destination, claim, t.segment, t.seq, l->link,
		     dry);

others: /* to no service: an answer to what was translated, perhaps; none comes in a tunnel */
	if (unlikely(nat_may_answer(&n, &t)) && !l->link)
		return nat_enter(ctx, &n, &t, claim, TUNDISH_NAT_SERVER, dry);
	if ((claim & TUNDISH_VIP_SERVICE) && !tcp && !udp)
		return VERDICT(XDP_PASS, pass_icmp);
	return VERDICT(XDP_PASS, pass_other);
}

/* The one exit: every packet is counted here, once, under its reason. */
static __always_inline int leave(verdict_t v, const int dry)
{
	if (dry) {
		__u32 zero = 0;
		struct tundish_trace *t = bpf_map_lookup_elem(&trace, &zero);

		if (t) {
			t->action = VERDICT_ACTION(v);
			t->counter = VERDICT_COUNTER(v);
		}
	} else {
		count_index(VERDICT_COUNTER(v));
	}
	return VERDICT_ACTION(v);
}

static __always_inline verdict_t enter(struct xdp_md *ctx, __u64 captured, const int dry)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct link link;
	struct layer l;
	verdict_t v;
	int depth;

	if (parse_link(data, data_end, &link))
		return VERDICT(XDP_PASS, pass_other);
	if (unlikely(link.tags)) {
		COUNT(dry, vlan);
		TRACE(dry, vlan, link.tags);
	}
	if (link.type != bpf_htons(ETH_P_IP) && link.type != bpf_htons(ETH_P_IPV6))
		return VERDICT(XDP_PASS, pass_other);
	l.offset = link.offset;
	l.is_v6 = link.type == bpf_htons(ETH_P_IPV6);
	l.link = 0;
	l.end = 0;
	l.captured = (__u32)captured;
	_Pragma("nounroll") for (depth = 0; depth < 2; depth++)
	{
		l.again = 0;
		v = network(ctx, &l, dry);
		if (likely(!l.again))
			return v;
	}
	return DROP(internal);
}

SEC("xdp.frags")
int tundish_xdp(struct xdp_md *ctx)
{
	__u64 captured = READ_ONCE(capture.nothing);
	verdict_t v;

	if (unlikely(READ_ONCE(capture.until)))
		captured = capture_enter(ctx);
	v = enter(ctx, captured, 0);
	if (unlikely(captured))
		capture_leave(ctx, v, captured);
	return leave(v, 0);
}

/* The same text over the same maps with all writes left out but those to
 * `trace`; run by hand, never attached. */
SEC("xdp.frags")
int tundish_trace(struct xdp_md *ctx)
{
	return leave(enter(ctx, CAPTURE_NO, 1), 1);
}

char LICENSE[] SEC("license") = "GPL";
