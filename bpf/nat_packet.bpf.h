/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A packet of a translated connection on its way through: what was read of it, and the
 * working space of all that rewrites it. In a map, since the caller's stack is short.
 */
#ifndef TUNDISH_NAT_PACKET_BPF_H
#define TUNDISH_NAT_PACKET_BPF_H

#include "deliver.h"
#include "nat_icmp.h"
#include "nat_make.bpf.h"
#include "parse.h"
#include "pick.bpf.h"
#include "reset.h"
#include "rewrite.h"
#include "service.h"
#include "tcp_options.h"
#include "toa_insert.h"

#define NAT_TRIED_WORDS 16u

struct nat_packet {
	/* As it came. */
	struct network n;
	struct transport t;
	__u64 claim; /* of the VIP and port; of an answer 0 */
	__u32 side;  /* enum tundish_nat_side: who sent it */
	__u32 dry;
	__u32 partial; /* its checksum stays partial */
	__u32 new_id;  /* of a fragment: the identification that it leaves with; 0: its own */
	__u32 attempt; /* of making its record, from 0 on */
	__u64 now;     /* of choosing, ns */
	/* Choosing a backend with a port that is free. */
	__u32 slot;		      /* of the service's row */
	__u32 picks;		      /* the service does not leave it to the slot: pick.bpf.h */
	__u32 picked;		      /* a place is kept there; 0: nowhere */
	__u32 found;		      /* by the walk */
	__u32 yields, yields_backend; /* a full lane in which one may give way, the first met */
	__u64 tried[NAT_TRIED_WORDS]; /* backends, by their low bits */
	/* As it leaves. */
	struct rewrite to;
	struct tundish_nexthop hop;
	struct nat_error error;
	struct tcp_options options;
	struct toa toa;
	struct csum_chunk chunk;
};

/* One for the data path and one for its tracing twin. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct nat_packet);
} nat_packets SEC(".maps");

/* What is to become of a packet. */
enum nat_next {
	NAT_NEXT_SEND,	    /* its record is in the query */
	NAT_NEXT_NEW,	    /* it begins a connection */
	NAT_NEXT_RECLAIM,   /* it does, if a port can be taken back */
	NAT_NEXT_ELSEWHERE, /* if another backend has a port */
	NAT_NEXT_AGAIN,	    /* it does, but the port was another's already: once more */
	NAT_NEXT_PASS,	    /* none of ours, or this host's own */
	NAT_NEXT_LOCAL,	    /* the backend is this host */
	NAT_NEXT_UNKNOWN,   /* in the middle of a connection that is not known */
	NAT_NEXT_DISABLED,  /* its backend was disabled */
	NAT_NEXT_NO_CLIENT, /* it is from an address that no client has */
	NAT_NEXT_FRAGMENT,  /* its record has ended since the first one came */
	NAT_NEXT_CROWDED,   /* all backends, or the connection's, have their max_connections */
	NAT_NEXT_NO_PORT,
	NAT_NEXT_NO_ROOM,
	NAT_NEXT_NO_BACKEND,
	NAT_NEXT_BROKEN,
};

static __always_inline struct nat_query *nat_query_of(__u32 dry)
{
	__u32 index = dry ? NAT_QUERY_DRY : NAT_QUERY_LIVE;

	return bpf_map_lookup_elem(&nat_queries, &index);
}

static __always_inline struct tundish_deliver *nat_delivery(const struct nat_packet *p)
{
	__u32 service = CLAIM_SERVICE(p->claim);

	return bpf_map_lookup_elem(&deliveries, &service);
}

/*
 * Checksums that wait to be completed, on links where that may be: with native XDP they are
 * completed here; with generic XDP they stay so.
 */
CHECKED_ALONE int nat_complete(struct xdp_md *ctx, struct nat_packet *p)
{
	__u32 ifindex = ctx->ingress_ifindex, generic;
	struct tundish_link *l;

	if (!p)
		return 0;
	l = bpf_map_lookup_elem(&links, &ifindex);
	if (!l || !(l->flags & TUNDISH_LINK_PARTIAL))
		return 0;
	generic = l->flags & TUNDISH_LINK_GENERIC;
	if (!csum_is_partial(ctx, &p->n, generic, &p->chunk))
		return 0;
	COUNT(p->dry, checksum_partial);
	if (generic)
		p->partial = 1;
	else
		csum_complete(ctx, &p->n, &p->chunk);
	return 0;
}

/*
 * Whether the checksum is the pseudo header's sum alone, or cannot be read here. What marks an
 * IPv4 address is zero to a sum. By pointer: on such links every packet asks.
 */
CHECKED_ALONE int nat_looks_partial(struct xdp_md *ctx, const struct nat_packet *p)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	const struct tundish_addr *from, *to;
	__u32 at, covered;
	__u64 sum;
	__u16 check, partial;

	if (!p)
		return 0;
	from = &p->n.source;
	to = &p->n.destination;
	at = p->n.transport;
	covered = p->n.offset + p->n.length - at;
	forget(at);
	if (at > OFFSET_MAX || data + at + sizeof(struct tcphdr) > data_end)
		return 1;
	if (p->n.protocol == IPPROTO_UDP) {
		struct udphdr *udp = data + at;

		check = udp->check;
		covered = bpf_ntohs(udp->len);
	} else {
		struct tcphdr *tcp = data + at;

		check = tcp->check;
	}
	sum = (__u64)from->word[0] + from->word[1] + from->word[2] + from->word[3] + to->word[0] +
	      to->word[1] + to->word[2] + to->word[3] + bpf_htons(p->n.protocol) +
	      bpf_htons((__u16)covered);
	partial = (__u16)~csum_fold(sum);
	return check == partial;
}

static __always_inline void nat_partial(struct xdp_md *ctx, struct nat_packet *p)
{
	__u32 zero = 0;
	struct tundish_nat_settings *set = bpf_map_lookup_elem(&nat_settings, &zero);

	/* no stack leaves the sum of a datagram that it cuts to the NIC */
	if (set && set->n_partial && !p->n.odd && nat_looks_partial(ctx, p))
		nat_complete(ctx, p);
}

/* The numbers of a segment, and its options where they matter: MSS and what a client claims
 * of its address are changed where the service wants it. */
CHECKED_ALONE int nat_read(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	struct reset_tcp tcp = {};
	struct tundish_deliver *d;
	struct tcp_options *o;
	__u32 flags, doff, toa = 0;

	if (!p || !q)
		return -1;
	q->segment.side = p->side;
	q->segment.has_ts = 0;
	q->segment.toa = 0;
	if (q->udp) {
		q->segment.flags = TUNDISH_SEGMENT_UDP;
		return 0;
	}
	if (bpf_xdp_load_bytes(ctx, p->n.transport, &tcp, sizeof(tcp)))
		return -1;
	flags = tcp.flags;
	doff = (tcp.doff >> 4) * 4;
	q->segment.flags = p->t.segment | (flags & TCP_SYN ? TUNDISH_SEGMENT_SYN : 0);
	q->segment.seq = bpf_ntohl(tcp.seq);
	q->segment.ack = bpf_ntohl(tcp.ack_seq);
	q->segment.end = q->segment.seq + (p->n.offset + p->n.length - p->n.transport - doff) +
			 !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
	d = nat_delivery(p);
	if (d && p->side == TUNDISH_NAT_CLIENT)
		toa = d->flags & TUNDISH_DELIVER_TOA;
	q->segment.toa = !!toa;
	/* timestamps matter at the beginning and at the end */
	if (!(flags & (TCP_SYN | TCP_FIN)) && !toa &&
	    q->record.word.state <= TUNDISH_NAT_ESTABLISHED)
		return 0;
	o = &p->options;
	o->mss_most = 0;
	if (flags & TCP_SYN) {
		if (p->side == TUNDISH_NAT_SERVER) {
			__u32 backend = q->record.word.backend, service;
			struct tundish_backend *b = bpf_map_lookup_elem(&backends, &backend);

			service = b ? b->service : 0;
			d = bpf_map_lookup_elem(&deliveries, &service);
		}
		o->mss_most = d ? d->mss : 0;
	}
	o->strip_toa = !!toa;
	if (tcp_options(ctx, &p->n, p->partial, o))
		return -1;
	if (o->lowered)
		COUNT(p->dry, mss_lowered);
	if (o->stripped)
		COUNT(p->dry, toa_stripped);
	q->segment.has_ts = o->has_timestamps;
	q->segment.tsval = o->tsval;
	q->segment.tsecr = o->tsecr;
	return 0;
}

#endif
