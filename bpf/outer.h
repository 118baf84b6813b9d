/* SPDX-License-Identifier: GPL-2.0-only */
/* The IP header of a tunnel, for traffic (deliver.h) and for health checks (checks.bpf.c). */
#ifndef TUNDISH_OUTER_H
#define TUNDISH_OUTER_H

#include "csum.h"
#include "gue.h"
#include "parse.h"

#define OUTER_TTL 64

/* Outer headers, RFC 2003 and RFC 2473. The inner hop limit was taken down by
 * the caller, as forwarding does; the traffic class is copied (RFC 6040). */
static __always_inline void write_outer_v4(struct iphdr *ip, const struct tundish_nexthop *hop,
					   const struct tundish_addr *to, const struct network *n,
					   const int gue)
{
	__be16 length =
		bpf_htons((__u16)(n->length + sizeof(*ip) + (gue ? sizeof(struct gue_outer) : 0)));
	__u8 protocol = gue ? IPPROTO_UDP : n->is_v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	__be32 from = hop->tunnel_source.word[3];
	const __be16 dont_fragment = bpf_htons(0x4000); /* its size was checked */

	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tos = n->tos;
	ip->tot_len = length;
	ip->id = 0;
	ip->frag_off = dont_fragment;
	ip->ttl = OUTER_TTL;
	ip->protocol = protocol;
	ip->saddr = from;
	ip->daddr = to->word[3];
	/* of the values, not of the bytes just written: a wider load would wait for them */
	ip->check = csum_fold((__u64)bpf_htons(0x4500 | n->tos) + length + dont_fragment +
			      bpf_htons(OUTER_TTL << 8 | protocol) + from + to->word[3]);
}

static __always_inline void write_outer_v6(struct ipv6hdr *ip, const struct tundish_nexthop *hop,
					   const struct tundish_addr *to, const struct network *n,
					   const int gue)
{
	*(__be32 *)ip = bpf_htonl(6u << 28 | (__u32)n->tos << 20);
	ip->payload_len = bpf_htons((__u16)(n->length + (gue ? sizeof(struct gue_outer) : 0)));
	ip->nexthdr = gue ? IPPROTO_UDP : n->is_v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	ip->hop_limit = OUTER_TTL;
	__builtin_memcpy(&ip->saddr, &hop->tunnel_source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, to, sizeof(ip->daddr));
}

#endif
