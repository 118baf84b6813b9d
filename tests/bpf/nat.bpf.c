// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of translated connections by itself: each program asks the questions of one
 * kind that stand in `asked`, and writes the answers there. For the verifier, for what
 * they cost, and for many CPUs at once.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lane_reclaim.bpf.h"
#include "nat_make.bpf.h"

#include "nat_asked.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nat_asked);
} asked SEC(".maps");

static __always_inline struct nat_query *query(void)
{
	__u32 zero = NAT_QUERY_LIVE;

	return bpf_map_lookup_elem(&nat_queries, &zero);
}

static __always_inline void settle(void)
{
	__u32 i = NAT_QUERY_LIVE;

	nat_settle(bpf_map_lookup_elem(&nat_queries, &i));
	i = NAT_QUERY_MET;
	nat_settle(bpf_map_lookup_elem(&nat_queries, &i));
}

static __always_inline struct nat_asked *ask(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&asked, &zero);
}

/* The next client of those that are gone through, or the server's side of it. */
static __always_inline void next_client(struct nat_asked *a, struct nat_query *q, __u32 side)
{
	__u32 i = a->n++;

	if (a->shuffle) /* any of them; the product's high bits */
		i = tundish_bucket(i * 2654435761u, a->clients);
	i += a->first;
	q->udp = 0;
	q->now = tundish_tick(bpf_ktime_get_coarse_ns());
	q->side = side;
	if (side == TUNDISH_NAT_CLIENT) {
		q->far = tundish_addr_v4(bpf_htonl(0x0a000000 + (i >> 15)));
		q->vip = tundish_addr_v4(bpf_htonl(0xc0000201));
		q->far_port = bpf_htons(1024 + (i & 0x7fff));
		q->port = bpf_htons(443);
		q->id = 1;
	} else { /* of lanes without ports: the client's own */
		q->far = tundish_addr_v4(bpf_htonl(0x0a000000 + (i >> 15)));
		q->far_port = bpf_htons(1024 + (i & 0x7fff));
		q->port = bpf_htons(8443);
		q->id = 7;
	}
	q->backend = a->backend;
	q->hop = 0;
	q->syn.isn = i;
	q->syn.has_ts = 0;
}

/* What is asked about the next client; whether it is found. */
static __always_inline int nothing_of(struct nat_asked *a, struct nat_query *q)
{
	return 0;
}

static __always_inline int find_of(struct nat_asked *a, struct nat_query *q)
{
	if (!nat_find(q))
		return 0;
	nat_seen(q);
	return 1;
}

/* A segment of it, as a->segment has it. */
static __always_inline int step_of(struct nat_asked *a, struct nat_query *q)
{
	q->segment = a->segment;
	if (q->segment.side == TUNDISH_NAT_SERVER)
		q->segment.ack = q->syn.isn + 1;
	if (!nat_find(q) || !nat_step(q))
		return 0;
	nat_settle(q);
	return 1;
}

#define DEFINE_ASK(name, side_of, what)                                                            \
	SEC("xdp") int name(struct xdp_md *ctx)                                                    \
	{                                                                                          \
		struct nat_query *q = query();                                                     \
		struct nat_asked *a = ask();                                                       \
                                                                                                   \
		if (!q || !a)                                                                      \
			return XDP_ABORTED;                                                        \
		next_client(a, q, side_of);                                                        \
		if (what(a, q))                                                                    \
			a->found++;                                                                \
		return XDP_PASS;                                                                   \
	}

DEFINE_ASK(nothing, TUNDISH_NAT_CLIENT, nothing_of)
DEFINE_ASK(find_client, TUNDISH_NAT_CLIENT, find_of)
DEFINE_ASK(find_server, TUNDISH_NAT_SERVER, find_of)
DEFINE_ASK(step_client, TUNDISH_NAT_CLIENT, step_of)
DEFINE_ASK(step_server, TUNDISH_NAT_SERVER, step_of)

/* A SYN of a new client. */
SEC("xdp")
int make(struct xdp_md *ctx)
{
	struct nat_query *q = query();
	struct nat_asked *a = ask();
	int r;

	if (!q || !a)
		return XDP_ABORTED;
	next_client(a, q, TUNDISH_NAT_CLIENT);
	if (nat_find(q)) {
		a->found++;
		return XDP_PASS;
	}
	r = lane_choose(q);
	if (r == LANE_NONE || (r == LANE_FREE ? !lane_take(q) : !lane_reclaim(q))) {
		a->refused++;
		return XDP_DROP;
	}
	a->taken++;
	r = nat_make(q, 0);
	settle();
	if (r == NAT_MADE) {
		a->made++;
		return XDP_TX;
	}
	if (r != NAT_KNOWN)
		lane_put(q->lane, bpf_ntohs(q->source_port));
	return XDP_DROP;
}

/* A port of lane a->lane, and no more. */
SEC("xdp")
int take(struct xdp_md *ctx)
{
	struct nat_query *q = query();
	struct nat_asked *a = ask();

	if (!q || !a)
		return XDP_ABORTED;
	q->lane = a->lane;
	q->now = tundish_tick(bpf_ktime_get_coarse_ns());
	if (lane_take(q)) {
		a->taken++;
		if (a->put)
			lane_put(q->lane, bpf_ntohs(q->source_port));
		return XDP_TX;
	}
	a->refused++;
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
