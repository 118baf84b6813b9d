// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rewriting of packets, by itself: reads a frame as the data path does, does what
 * `questions` asks for, puts the link header back in its place as the way out would
 * write a new one, and sends it.
 */
#include "maps.bpf.h"

#ifdef __bpf__
#pragma clang diagnostic ignored "-Wunused-function" /* what of icmp.h is not for this */
#endif

#include "nat_icmp.h"
#include "parse.h"
#include "partial.h"
#include "reset.h"
#include "rewrite.h"
#include "tcp_options.h"
#include "toa_insert.h"

#include "rewrite_question.h"

struct rewrite_work {
	struct network n;
	struct nat_error error; /* .to: of any packet */
	struct tcp_options options;
	struct toa toa;
	struct csum_chunk chunk;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct question);
} questions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rewrite_work);
} rewrite_works SEC(".maps");

static __always_inline void ends_of(struct rewrite *w, const struct ends *e)
{
	w->source = e->source;
	w->destination = e->destination;
	w->source_port = e->source_port;
	w->destination_port = e->destination_port;
	w->id = e->id;
	w->flags = e->flags;
}

static __always_inline int other_family(const struct network *n, const struct rewrite *w)
{
	return n->is_v6 == tundish_addr_is_v4(&w->source);
}

static __always_inline int rewrite_any(struct xdp_md *ctx, struct rewrite_work *k)
{
	if (other_family(&k->n, &k->error.to))
		return rewrite_family(ctx, &k->n, &k->error.to, &k->chunk);
	return rewrite_same(ctx, &k->n, &k->error.to);
}

static __always_inline int answer_icmp(struct xdp_md *ctx, struct rewrite_work *k)
{
	if (icmp_read_quote(ctx, &k->n, &k->error.quote))
		return -1;
	if (other_family(&k->n, &k->error.to))
		return rewrite_icmp_family(ctx, &k->n, &k->error, &k->chunk);
	return rewrite_icmp_same(ctx, &k->n, &k->error);
}

static __always_inline int answer_options(struct xdp_md *ctx, struct rewrite_work *k,
					  struct question *q)
{
	struct tcp_options *o = &k->options;
	int r;

	o->mss_most = q->mss;
	o->strip_toa = 1;
	r = tcp_options(ctx, &k->n, k->error.to.flags & REWRITE_PARTIAL, o);
	q->lowered = o->lowered;
	q->stripped = o->stripped;
	q->has_timestamps = o->has_timestamps;
	q->got_mss = o->has_mss ? o->mss : 0;
	q->tsval = o->tsval;
	q->tsecr = o->tsecr;
	return r;
}

static __always_inline int answer(struct xdp_md *ctx, struct question *q, struct rewrite_work *k)
{
	__u32 segment = k->n.protocol == IPPROTO_TCP || k->n.protocol == IPPROTO_UDP;
	int r;

	ends_of(&k->error.to, &q->to);
	ends_of(&k->error.quoted, &q->quoted);
	switch (q->op) {
	case OP_NOTHING: return 0;
	case OP_REWRITE: return segment ? rewrite_any(ctx, k) : -1;
	case OP_ICMP: return answer_icmp(ctx, k);
	case OP_RESET: return reset_reply(ctx, &k->n);
	case OP_OPTIONS: return k->n.protocol == IPPROTO_TCP ? answer_options(ctx, k, q) : -1;
	case OP_TOA:
		if (k->n.protocol != IPPROTO_TCP)
			return -1;
		k->toa.client = q->client;
		k->toa.port = q->client_port;
		k->toa.mtu = q->mtu;
		return toa_insert(ctx, &k->n, &k->toa);
	case OP_PARTIAL: return csum_is_partial(ctx, &k->n, 0, &k->chunk);
	case OP_GENERIC: return csum_is_partial(ctx, &k->n, 1, &k->chunk);
	case OP_COMPLETE:
		if (!segment)
			return -1;
		r = rewrite_any(ctx, k);
		return r ? r : csum_complete(ctx, &k->n, &k->chunk);
	case OP_TURNS:
		if (!other_family(&k->n, &k->error.to))
			k->error.to = k->error.quoted;
		return rewrite_family(ctx, &k->n, &k->error.to, &k->chunk);
	}
	return -1;
}

/* What stands for the way out. */
static __always_inline int put_link(struct xdp_md *ctx, __u32 length, __u8 *link,
				    const struct network *n)
{
	__be16 type = bpf_htons(n->is_v6 ? ETH_P_IPV6 : ETH_P_IP);

	forget(length);
	if (length < sizeof(struct ethhdr) || length > LINK_MAX)
		return -1;
	return bpf_xdp_store_bytes(ctx, 0, link, length) ||
	       bpf_xdp_store_bytes(ctx, length - sizeof(type), &type, sizeof(type));
}

/* What the data path has seen before it rewrites anything. */
static __always_inline int holds_header(const struct network *n)
{
	__u32 room = n->offset + n->length - n->transport;

	return room >= (n->protocol == IPPROTO_TCP   ? sizeof(struct tcphdr)
			: n->protocol == IPPROTO_UDP ? sizeof(struct udphdr)
						     : 0);
}

static __always_inline int rewrite_frame(struct xdp_md *ctx, struct question *q,
					 struct rewrite_work *k)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 offset;
	__u8 link[LINK_MAX];
	struct link l;

	if (parse_link(data, data_end, &l) || bpf_xdp_load_bytes(ctx, 0, link, sizeof(link)))
		return XDP_PASS;
	offset = l.offset;
	forget(offset);
	if (offset > LINK_MAX)
		return XDP_PASS;
	if (l.type == bpf_htons(ETH_P_IPV6) ? parse_v6(ctx, data, data_end, offset, &k->n)
	    : l.type == bpf_htons(ETH_P_IP) ? parse_v4(ctx, data, data_end, offset, &k->n)
					    : 1)
		return XDP_PASS;
	if (k->n.odd || k->n.transport > OFFSET_MAX || !holds_header(&k->n))
		return XDP_PASS;
	q->result = answer(ctx, q, k);
	if (q->result < 0)
		return XDP_DROP;
	if (q->op != OP_RESET && put_link(ctx, k->n.offset, link, &k->n))
		return XDP_ABORTED;
	return XDP_TX;
}

SEC("xdp.frags")
int rewrite(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct question *q = bpf_map_lookup_elem(&questions, &zero);
	struct rewrite_work *k = bpf_map_lookup_elem(&rewrite_works, &zero);

	return q && k ? rewrite_frame(ctx, q, k) : XDP_ABORTED;
}

/* What a program costs that does nothing. */
SEC("xdp.frags")
int bare(struct xdp_md *ctx)
{
	return XDP_TX;
}

char _license[] SEC("license") = "GPL";
