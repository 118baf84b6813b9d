// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the measurements over veth need beside tundish: a source of SYNs, a sink
 * that counts them, the least that an XDP program can do to forward a frame (the
 * limit for all of them), the least to translate it both ways, and a program that passes
 * everything, which a veth end needs so that its peer may redirect to it.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "net.h"

struct bench_source source SEC(".data.source");
struct bench_limit limit SEC(".data.limit");
struct bench_both both SEC(".data.both");

/* Frames by the interface that they came in on. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BENCH_IFINDEX_MAX);
	__type(key, __u32);
	__type(value, __u64);
} received SEC(".maps");

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(__u16)((sum & 0xffff) + (sum >> 16));
}

/* The frame's page comes back as its last user left it: all of it is written anew. */
SEC("xdp")
int bench_source(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 flow = source.next++ & source.mask, sum = 0, i;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u16 *w = (void *)ip;

	if (data + BENCH_LENGTH > end)
		return XDP_ABORTED;
	if (!source.first_ns)
		source.first_ns = bpf_ktime_get_ns();
	if (!--source.frames)
		source.last_ns = bpf_ktime_get_ns();
	__builtin_memcpy(eth->h_dest, source.to, ETH_ALEN);
	__builtin_memcpy(eth->h_source, source.from, ETH_ALEN);
	eth->h_proto = bpf_htons(ETH_P_IP);
	*(__u8 *)ip = 0x45;
	ip->tos = 0;
	ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(*tcp));
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = 64;
	ip->protocol = IPPROTO_TCP;
	ip->check = 0;
	ip->saddr = bpf_htonl(BENCH_CLIENTS + 0x10000 + (flow >> BENCH_PORTS_SHIFT));
	ip->daddr = source.vip_be;
	_Pragma("unroll") for (i = 0; i < sizeof(*ip) / 2; i++) sum += w[i];
	ip->check = fold(sum);
	tcp->source = bpf_htons(1024 + (flow & ((1 << BENCH_PORTS_SHIFT) - 1)));
	tcp->dest = bpf_htons(80);
	tcp->seq = bpf_htonl(flow * 2654435761u);
	tcp->ack_seq = 0;
	((__u8 *)tcp)[12] = sizeof(*tcp) / 4 << 4;
	((__u8 *)tcp)[13] = 2;
	tcp->window = bpf_htons(1000);
	tcp->check = 0;
	tcp->urg_ptr = 0;
	/* conntrack takes no segment whose checksum is wrong */
	sum = (ip->saddr & 0xffff) + (ip->saddr >> 16) + (ip->daddr & 0xffff) + (ip->daddr >> 16) +
	      bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(*tcp));
	w = (void *)tcp;
	_Pragma("unroll") for (i = 0; i < sizeof(*tcp) / 2; i++) sum += w[i];
	tcp->check = fold(sum);
	return bpf_redirect(source.ifindex, 0);
}

SEC("xdp")
int bench_sink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 index = ctx->ingress_ifindex;
	struct ethhdr *eth = data;
	__u64 *count;

	if ((void *)(eth + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	count = bpf_map_lookup_elem(&received, &index);
	if (count)
		(*count)++;
	if (!--source.expected)
		source.arrived_ns = bpf_ktime_get_ns();
	return XDP_DROP;
}

/* New MAC addresses, and out of the other NIC; all else is for the stack. */
SEC("xdp")
int bench_limit(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->daddr != limit.vip_be)
		return XDP_PASS;
	__builtin_memcpy(eth->h_dest, limit.to, ETH_ALEN);
	__builtin_memcpy(eth->h_source, limit.from, ETH_ALEN);
	return bpf_redirect(limit.ifindex, 0);
}

static __always_inline __u16 grown(__u16 check, __u32 sum)
{
	return fold((__u16)~check + (sum & 0xffff) + (sum >> 16));
}

/* Other addresses, the same ports, out of the other NIC: nothing is looked up or kept. */
SEC("xdp")
int bench_both(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u32 back;

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->protocol != IPPROTO_TCP || ip->ihl != 5)
		return XDP_PASS;
	back = ip->daddr == both.way[1].to && ip->saddr == both.way[1].from;
	if (!back && (ip->daddr != both.way[0].to || ip->saddr != both.way[0].from))
		return XDP_PASS;
	ip->saddr = both.way[back].new_from;
	ip->daddr = both.way[back].new_to;
	ip->check = grown(ip->check, both.way[back].sum);
	tcp->check = grown(tcp->check, both.way[back].sum);
	__builtin_memcpy(eth->h_dest, both.way[back].to_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, both.way[back].from_mac, ETH_ALEN);
	return bpf_redirect(both.way[back].ifindex, 0);
}

SEC("xdp")
int bench_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
