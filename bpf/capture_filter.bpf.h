/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a packet's headers are those that `tundish capture` asks for: masks, in the order in which
 * most packets are told apart. Each packet comes by here while somebody captures, so IPv4 without
 * tags and options is judged in line: on processors that make a return safe a call costs some 5 ns.
 */
#ifndef TUNDISH_CAPTURE_FILTER_BPF_H
#define TUNDISH_CAPTURE_FILTER_BPF_H

#include <tundish/capture.h>

#include "parse.h"

/* Read by address, without a look-up: a variable, which libbpf makes an array of one. */
struct tundish_capture capture SEC(".data.capture");

static __always_inline int capture_same(const __be32 *a, const struct tundish_capture_address *t,
					int v6)
{
	if (!v6)
		return !((a[3] ^ t->value[3]) & t->mask[3]);
	return !(((a[0] ^ t->value[0]) & t->mask[0]) | ((a[1] ^ t->value[1]) & t->mask[1]) |
		 ((a[2] ^ t->value[2]) & t->mask[2]) | ((a[3] ^ t->value[3]) & t->mask[3]));
}

/* @source, @destination: four words, of IPv4 the last one alone. */
static __always_inline int capture_addresses(const __be32 *source, const __be32 *destination,
					     int v6)
{
	__u32 i;

	_Pragma("unroll") for (i = 0; i < TUNDISH_CAPTURE_TERMS; i++)
	{
		const struct tundish_capture_address *t = &capture.address[i];
		__u32 ends = t->ends;

		if (!ends)
			return 1;
		if ((ends & TUNDISH_CAPTURE_SOURCE) && capture_same(source, t, v6))
			continue;
		if (!(ends & TUNDISH_CAPTURE_DESTINATION) || !capture_same(destination, t, v6))
			return 0;
	}
	return 1;
}

static __always_inline int capture_ports(void *data, void *data_end, __u32 at, __u8 protocol)
{
	__be16 *ports = data + at;
	__u32 i;

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return 0;
	if ((void *)(ports + 2) > data_end)
		return 0;
	_Pragma("unroll") for (i = 0; i < TUNDISH_CAPTURE_TERMS; i++)
	{
		const struct tundish_capture_port *t = &capture.port[i];
		__u32 ends = t->ends;

		if (!ends)
			return 1;
		if ((ends & TUNDISH_CAPTURE_SOURCE) && ports[0] == t->value)
			continue;
		if (!(ends & TUNDISH_CAPTURE_DESTINATION) || ports[1] != t->value)
			return 0;
	}
	return 1;
}

/* @asked: of the packet's family; one on the wire may have the number that stands for none. */
static __always_inline int capture_protocol(__u32 asked, __u32 protocol)
{
	return !asked || (asked != TUNDISH_CAPTURE_NO_FAMILY && asked == protocol);
}

static __always_inline int capture_matches_v4(void *data, void *data_end, __u32 offset)
{
	struct iphdr *ip = data + offset;

	if ((void *)(ip + 1) > data_end)
		return 0;
	if (!capture_protocol(capture.protocol[0], ip->protocol))
		return 0;
	/* the words before the last one are not looked at */
	if (!capture_addresses(&ip->saddr - 3, &ip->daddr - 3, 0))
		return 0;
	if (!capture.port[0].ends)
		return 1;
	if (ip->frag_off & bpf_htons(0x1fff))
		return 0;
	return capture_ports(data, data_end, offset + ip->ihl * 4, ip->protocol);
}

/* Ports behind extension headers are not read. */
static __always_inline int capture_matches_v6(void *data, void *data_end, __u32 offset)
{
	struct ipv6hdr *ip = data + offset;

	if ((void *)(ip + 1) > data_end)
		return 0;
	if (!capture_protocol(capture.protocol[1], ip->nexthdr))
		return 0;
	if (!capture_addresses(ip->saddr.s6_addr32, ip->daddr.s6_addr32, 1))
		return 0;
	if (!capture.port[0].ends)
		return 1;
	return capture_ports(data, data_end, offset + sizeof(*ip), ip->nexthdr);
}

/* Whether the headers, as they are now, are those that are asked for: of any packet. */
CHECKED_ALONE int capture_matches_any(struct xdp_md *ctx)
{
	void *data, *data_end;
	struct link link;

	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (parse_link(data, data_end, &link))
		return 0;
	if (link.type == bpf_htons(ETH_P_IP))
		return capture_matches_v4(data, data_end, link.offset);
	if (link.type == bpf_htons(ETH_P_IPV6))
		return capture_matches_v6(data, data_end, link.offset);
	return 0;
}

/* The same, of most packets without a call: IPv4 without tags and options, or too short for it. */
static __always_inline int capture_matches(struct xdp_md *ctx)
{
	void *data, *data_end;
	struct ethhdr *eth;
	struct iphdr *ip;

	if (unlikely(capture.ifindex) && ctx->ingress_ifindex != capture.ifindex)
		return 0;
	if (unlikely(!capture.headers))
		return 1;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	eth = data;
	ip = (void *)(eth + 1);
	if (unlikely((void *)(ip + 1) + 4 > data_end))
		return capture_matches_any(ctx);
	if (unlikely(eth->h_proto != bpf_htons(ETH_P_IP) || *(__u8 *)ip != 0x45))
		return capture_matches_any(ctx);
	return capture_matches_v4(data, data_end, sizeof(*eth));
}

#endif
