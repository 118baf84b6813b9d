// SPDX-License-Identifier: GPL-2.0-only
/*
 * Wrappers around the program that ships.
 *
 * BPF_PROG_TEST_RUN with repeat=N gives a program its own output again: after
 * the first packet it would meet an IP-in-IP frame to a backend. So a wrapper
 * runs first: it takes back what the last run did to the length, writes the whole
 * frame anew for the next flow, and goes on with a tail call into slot 0
 * of `target`, where userspace puts the shipped program or one that only returns
 * XDP_TX. The same wrapper over both, and the difference is the program's.
 *
 * bpf_xdp_adjust_head() is called in either case, with 0 where there is nothing
 * to take back, so that its cost cancels out.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "knobs.h"

struct bench_knobs knobs SEC(".data.knobs");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

/* Backend that a flow's SYN went to. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} syn_went_to SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_answer);
} answers SEC(".maps");

#define FLAG_FIN 0x01
#define FLAG_SYN 0x02
#define FLAG_ACK 0x10

static __always_inline __u32 draw(void)
{
	/* Knuth's MMIX generator; its high bits are the good ones */
	knobs.random = knobs.random * 6364136223846793005ull + 1442695040888963407ull;
	return (__u32)(knobs.random >> 32);
}

static __always_inline __u32 draw_flow(void)
{
	return (__u32)(((__u64)draw() * knobs.flows) >> 32);
}

static __always_inline __u32 isn_of(__u32 flow)
{
	return flow * 2654435761u;
}

/* Takes back what the last run did to the length. Where the frame begins, or NULL. */
static __always_inline void *new_frame(struct xdp_md *ctx, const int length)
{
	void *data;

	if (bpf_xdp_adjust_head(ctx, (int)(ctx->data_end - ctx->data) - length))
		return NULL;
	data = (void *)(long)ctx->data;
	return data + length > (void *)(long)ctx->data_end ? NULL : data;
}

static __always_inline void write_eth(void *data, __u16 type)
{
	struct ethhdr *eth = data;

	__builtin_memcpy(eth->h_dest, "\x02\0\0\0\0\x01", ETH_ALEN);
	__builtin_memcpy(eth->h_source, "\x02\0\0\0\0\x02", ETH_ALEN);
	eth->h_proto = bpf_htons(type);
}

static __always_inline void write_tcp(struct tcphdr *tcp, __u16 client_port, __u32 seq, __u8 flags)
{
	tcp->source = bpf_htons(client_port);
	tcp->dest = knobs.port_be;
	tcp->seq = bpf_htonl(seq); /* of UDP length and checksum, none */
	tcp->ack_seq = 0;
	((__u8 *)tcp)[12] = sizeof(*tcp) / 4 << 4;
	((__u8 *)tcp)[13] = flags;
	tcp->window = bpf_htons(1000);
	tcp->check = 0;
	tcp->urg_ptr = 0;
}

static __always_inline void write_ip(struct iphdr *ip, __be32 from, __be32 to)
{
	*(__u8 *)ip = 0x45;
	ip->tos = 0;
	ip->tot_len = bpf_htons(BENCH_LENGTH - sizeof(struct ethhdr));
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = 64;
	ip->protocol = knobs.udp ? IPPROTO_UDP : IPPROTO_TCP;
	ip->check = 0;
	ip->saddr = from;
	ip->daddr = to;
}

static __always_inline int send4(struct xdp_md *ctx, __u32 client, __u16 client_port, __u32 seq,
				 __u8 flags)
{
	void *data = new_frame(ctx, BENCH_LENGTH);
	struct iphdr *ip;

	if (!data)
		return XDP_ABORTED;
	write_eth(data, ETH_P_IP);
	ip = data + sizeof(struct ethhdr);
	write_ip(ip, bpf_htonl(client), knobs.vip_be);
	if (knobs.udp)
		seq = (BENCH_LENGTH - sizeof(struct ethhdr) - sizeof(*ip)) << 16;
	write_tcp((void *)(ip + 1), client_port, seq, flags);
	bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

static __always_inline int send6(struct xdp_md *ctx, __u32 client, __u16 client_port, __u32 seq,
				 __u8 flags)
{
	void *data = new_frame(ctx, BENCH_LENGTH6);
	struct ipv6hdr *ip;

	if (!data)
		return XDP_ABORTED;
	write_eth(data, ETH_P_IPV6);
	ip = data + sizeof(struct ethhdr);
	*(__be32 *)ip = bpf_htonl(6u << 28);
	ip->payload_len = bpf_htons(BENCH_LENGTH6 - sizeof(struct ethhdr) - sizeof(*ip));
	ip->nexthdr = knobs.udp ? IPPROTO_UDP : IPPROTO_TCP;
	ip->hop_limit = 64;
	ip->saddr.s6_addr32[0] = bpf_htonl(0x20010db8);
	ip->saddr.s6_addr32[1] = bpf_htonl(0x00010000);
	ip->saddr.s6_addr32[2] = 0;
	ip->saddr.s6_addr32[3] = bpf_htonl(client);
	ip->daddr.s6_addr32[0] = bpf_htonl(0x20010db8);
	ip->daddr.s6_addr32[1] = 0;
	ip->daddr.s6_addr32[2] = 0;
	ip->daddr.s6_addr32[3] = knobs.vip_be;
	if (knobs.udp)
		seq = (BENCH_LENGTH6 - sizeof(struct ethhdr) - sizeof(*ip)) << 16;
	write_tcp((void *)(ip + 1), client_port, seq, flags);
	bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

static __always_inline int send(struct xdp_md *ctx, const int v6, __u32 flow, __u32 seq, __u8 flags)
{
	__u32 client = BENCH_CLIENTS + (flow >> BENCH_PORTS_SHIFT);
	__u16 port = 1024 + (flow & ((1 << BENCH_PORTS_SHIFT) - 1));

	return v6 ? send6(ctx, client, port, seq, flags) : send4(ctx, client, port, seq, flags);
}

/* Data packets of flows drawn at random. */
static __always_inline int data(struct xdp_md *ctx, const int v6)
{
	__u32 flow = draw_flow();

	return send(ctx, v6, flow, isn_of(flow) + 1, FLAG_ACK);
}

/* SYNs of ever new flows. */
static __always_inline int syn(struct xdp_md *ctx, const int v6)
{
	__u32 flow = knobs.next++;

	return send(ctx, v6, flow, isn_of(flow), FLAG_SYN);
}

/* Two packets for each flow in turn: its SYN and the ACK that fits it. */
static __always_inline int open(struct xdp_md *ctx, const int v6)
{
	__u32 flow = knobs.next;

	knobs.phase ^= 1;
	if (knobs.phase)
		return send(ctx, v6, flow, isn_of(flow), FLAG_SYN);
	knobs.next++;
	return send(ctx, v6, flow, isn_of(flow) + 1, FLAG_ACK);
}

/* A whole connection: SYN, ACK, FIN. */
static __always_inline int whole(struct xdp_md *ctx, const int v6)
{
	__u32 flow = knobs.next, phase = knobs.phase;

	if (phase == 0) {
		knobs.phase = 1;
		return send(ctx, v6, flow, isn_of(flow), FLAG_SYN);
	}
	if (phase == 1) {
		knobs.phase = 2;
		return send(ctx, v6, flow, isn_of(flow) + 1, FLAG_ACK);
	}
	knobs.phase = 0;
	knobs.next++;
	return send(ctx, v6, flow, isn_of(flow) + 1, FLAG_ACK | FLAG_FIN);
}

/* ACKs of flows in turn. */
static __always_inline int ack(struct xdp_md *ctx)
{
	__u32 flow = knobs.next++;

	return send(ctx, 0, flow, isn_of(flow) + 1, FLAG_ACK);
}

/* Answers of servers, in the order of the table. Their SYN-ACKs have the sequence number to
 * which the acknowledgment in the clients' packets, 0, fits. */
static __always_inline int answer(struct xdp_md *ctx)
{
	__u32 at = knobs.answer++;
	struct bench_answer *a;
	struct tcphdr *tcp;
	struct iphdr *ip;
	void *data;

	if (knobs.answer >= knobs.flows)
		knobs.answer = 0;
	a = bpf_map_lookup_elem(&answers, &at);
	if (!a)
		return XDP_ABORTED;
	data = new_frame(ctx, BENCH_LENGTH);
	if (!data)
		return XDP_ABORTED;
	write_eth(data, ETH_P_IP);
	ip = data + sizeof(struct ethhdr);
	write_ip(ip, a->from, a->to);
	tcp = (void *)(ip + 1);
	write_tcp(tcp, 0, knobs.answer_flags & FLAG_SYN ? ~0u : 0, (__u8)knobs.answer_flags);
	tcp->source = a->from_port;
	tcp->dest = a->to_port;
	tcp->ack_seq = a->ack_be;
	bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

/*
 * Where did the packet under way go? It comes back with its outer header, IPv4,
 * whose destination ends with the backend's number. 0: it has none.
 */
static __always_inline __u32 went_to(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > end || ip->protocol != IPPROTO_IPIP)
		return 0;
	return bpf_ntohl(ip->daddr) & 0xffff;
}

/* Notes (at its SYN) or compares (later) the backend of the packet under way. */
static __always_inline void examine(struct xdp_md *ctx, const int note)
{
	__u32 flow = knobs.checked_flow - 1, backend;
	__u64 *noted;

	if (!knobs.checked_flow)
		return;
	knobs.checked_flow = 0;
	noted = bpf_map_lookup_elem(&syn_went_to, &flow);
	if (!noted)
		return;
	backend = went_to(ctx);
	if (!backend)
		knobs.unsent++;
	if (note) {
		*noted = backend;
		return;
	}
	knobs.checked++;
	if (backend != (__u32)*noted) {
		knobs.wrong++;
		if (*noted & BENCH_UNPLACED)
			knobs.wrong_unplaced++;
	}
}

#define WRAP(name, body)                                                                           \
	SEC("xdp.frags")                                                                           \
	int name(struct xdp_md *ctx)                                                               \
	{                                                                                          \
		return body;                                                                       \
	}

WRAP(bench_data4, data(ctx, 0))
WRAP(bench_data6, data(ctx, 1))
WRAP(bench_syn4, syn(ctx, 0))
WRAP(bench_syn6, syn(ctx, 1))
WRAP(bench_open4, open(ctx, 0))
WRAP(bench_open6, open(ctx, 1))
WRAP(bench_whole4, whole(ctx, 0))
WRAP(bench_whole6, whole(ctx, 1))
WRAP(bench_ack4, ack(ctx))
WRAP(bench_answer4, answer(ctx))

/* Opens flows in turn and notes where their SYNs went. */
SEC("xdp.frags")
int bench_note4(struct xdp_md *ctx)
{
	examine(ctx, 1);
	if (!knobs.phase)
		knobs.checked_flow = knobs.next + 1;
	return open(ctx, 0);
}

/* One live packet, drawn at random, then a hundred spoofed SYNs. */
SEC("xdp.frags")
int bench_flood4(struct xdp_md *ctx)
{
	__u32 flow;

	examine(ctx, 0);
	if (knobs.phase++ % (BENCH_SYNS_PER_LIVE + 1))
		return send4(ctx, draw() | BENCH_SPOOFED, (__u16)(1024 + (draw() & 0x7fff)), draw(),
			     FLAG_SYN);
	flow = draw_flow();
	knobs.checked_flow = flow + 1;
	return send(ctx, 0, flow, isn_of(flow) + 1, FLAG_ACK);
}

/* A live packet of each flow in turn. */
SEC("xdp.frags")
int bench_check4(struct xdp_md *ctx)
{
	__u32 flow = knobs.next++;

	examine(ctx, 0);
	knobs.checked_flow = flow + 1;
	return send(ctx, 0, flow, isn_of(flow) + 1, FLAG_ACK);
}

/* The baseline. */
SEC("xdp.frags")
int bench_tx(struct xdp_md *ctx)
{
	return XDP_TX;
}

char LICENSE[] SEC("license") = "GPL";
