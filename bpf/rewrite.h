/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Other addresses and ports in a packet's headers, within a family or from one
 * to the other (RFC 7915). Checksums are updated by difference (RFC 1624,
 * equation 3), so a packet that was damaged stays so, for its receiver to see.
 *
 * The network header stays at the same place of the frame. Where headers change
 * their size the bytes before it are no link header any more: the way out writes
 * one anyway. What is refused is refused before the first byte changes.
 */
#ifndef TUNDISH_REWRITE_H
#define TUNDISH_REWRITE_H

#include <linux/udp.h>

#include "csum.h"
#include "parse.h"
#include "partial.h"

/* A translated IPv4 packet may be cut on its way up to this size (RFC 7915, 5.1): its
 * sender was told of no smaller MTU than IPv6 has. */
#define FAMILY_DF_ABOVE 1260u

enum rewrite_flag {
	REWRITE_HOP = 1 << 0,	  /* one hop less; the caller has seen that one is left */
	REWRITE_PARTIAL = 1 << 1, /* the checksum is partial and stays so, see partial.h */
};

/* What a packet is to become. */
struct rewrite {
	struct tundish_addr source, destination;
	__be16 source_port, destination_port;
	__be16 id;   /* where an IPv4 header is made anew and may be cut: of the datagram */
	__u16 flags; /* enum rewrite_flag */
};

/* Both ports at once; may_alias, as packets have no type. */
typedef __u32 __attribute__((may_alias)) word_alias;

/* @pseudo, @rest: what the sums of the pseudo header, and of all else, grow by. */
static __always_inline __u16 rewrite_check(__u16 check, __u64 pseudo, __u64 rest, int partial,
					   int udp)
{
	if (udp && !check)
		return 0; /* none was computed (RFC 768) */
	if (unlikely(partial))
		return (__u16)~csum_fold(check + pseudo);
	check = csum_fold((__u64)(__u16)~check + pseudo + rest);
	return udp && !check ? 0xffff : check;
}

static __always_inline void rewrite_udp(void *header, const struct rewrite *w, __u64 pseudo)
{
	struct udphdr *udp = header;
	word_alias *ports = header;
	__u32 to = w->source_port | (__u32)w->destination_port << 16;

	udp->check = rewrite_check(udp->check, pseudo, csum_change(*ports, to),
				   w->flags & REWRITE_PARTIAL, 1);
	*ports = to;
}

static __always_inline void rewrite_tcp(void *header, const struct rewrite *w, __u64 pseudo)
{
	struct tcphdr *tcp = header;
	word_alias *ports = header;
	__u32 to = w->source_port | (__u32)w->destination_port << 16;

	tcp->check = rewrite_check(tcp->check, pseudo, csum_change(*ports, to),
				   w->flags & REWRITE_PARTIAL, 0);
	*ports = to;
}

/* The transport header where it lies behind the linear part of the frame. */
static __noinline int rewrite_far(struct xdp_md *ctx, __u32 at, int udp, const struct rewrite *w,
				  __u64 pseudo)
{
	__u8 header[sizeof(struct tcphdr)] __attribute__((aligned(4)));

	if (udp) {
		if (bpf_xdp_load_bytes(ctx, at, header, sizeof(struct udphdr)))
			return -1;
		rewrite_udp(header, w, pseudo);
		return bpf_xdp_store_bytes(ctx, at, header, sizeof(struct udphdr)) ? -1 : 0;
	}
	if (bpf_xdp_load_bytes(ctx, at, header, sizeof(struct tcphdr)))
		return -1;
	rewrite_tcp(header, w, pseudo);
	return bpf_xdp_store_bytes(ctx, at, header, sizeof(struct tcphdr)) ? -1 : 0;
}

static __always_inline int rewrite_transport(struct xdp_md *ctx, void *data, void *data_end,
					     __u32 at, int udp, const struct rewrite *w,
					     __u64 pseudo)
{
	void *header;

	forget(at);
	if (at > OFFSET_MAX)
		return -1;
	header = data + at;
	if (udp) {
		if (unlikely(header + sizeof(struct udphdr) > data_end))
			return rewrite_far(ctx, at, udp, w, pseudo);
		rewrite_udp(header, w, pseudo);
	} else {
		if (unlikely(header + sizeof(struct tcphdr) > data_end))
			return rewrite_far(ctx, at, udp, w, pseudo);
		rewrite_tcp(header, w, pseudo);
	}
	return 0;
}

/* Addresses and hop limit alone. */
static __always_inline void rewrite_v4(struct iphdr *ip, const struct rewrite *w)
{
	__be32 from = w->source.word[3], to = w->destination.word[3];
	__u64 sum = (__u16)~ip->check + csum_change(ip->saddr, from) + csum_change(ip->daddr, to);

	if (w->flags & REWRITE_HOP) {
		ip->ttl--;
		sum += (__u16)~bpf_htons(0x0100);
	}
	ip->check = csum_fold(sum);
	ip->saddr = from;
	ip->daddr = to;
}

static __always_inline void rewrite_v6(struct ipv6hdr *ip, const struct rewrite *w)
{
	if (w->flags & REWRITE_HOP)
		ip->hop_limit--;
	__builtin_memcpy(&ip->saddr, &w->source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &w->destination, sizeof(ip->daddr));
}

/*
 * A whole TCP or UDP packet, to addresses of its own family. Nothing moves.
 * Returns 0; -1 where the packet is not what the parser saw.
 */
static __noinline int rewrite_same(struct xdp_md *ctx, const struct network *n,
				   const struct rewrite *w)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	int udp = n->protocol == IPPROTO_UDP;
	__u32 offset = n->offset;
	__u64 pseudo;

	forget(offset);
	if (offset > OFFSET_MAX)
		return -1;
	if (n->is_v6) {
		struct ipv6hdr *ip = data + offset;

		if ((void *)(ip + 1) > data_end)
			return -1;
		pseudo = csum_change_addr(&n->source, &w->source) +
			 csum_change_addr(&n->destination, &w->destination);
		if (rewrite_transport(ctx, data, data_end, n->transport, udp, w, pseudo))
			return -1;
		rewrite_v6(ip, w);
	} else {
		struct iphdr *ip = data + offset;

		if ((void *)(ip + 1) > data_end)
			return -1;
		pseudo = csum_change(n->source.word[3], w->source.word[3]) +
			 csum_change(n->destination.word[3], w->destination.word[3]);
		if (rewrite_transport(ctx, data, data_end, n->transport, udp, w, pseudo))
			return -1;
		rewrite_v4(ip, w);
	}
	return 0;
}

/* ---- new network headers ------------------------------------------------------------ */

/* @length: of the whole packet. @fragment: flags and offset, network byte order. */
static __always_inline void make_v4(struct iphdr *ip, const struct rewrite *w, __u32 length,
				    __be16 fragment, __u8 tos, __u8 ttl, __u8 protocol)
{
	__be16 id = fragment ? 0 : w->id; /* nobody asks for it where it is not cut (RFC 6864) */

	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tos = tos;
	ip->tot_len = bpf_htons((__u16)length);
	ip->id = id;
	ip->frag_off = fragment;
	ip->ttl = ttl;
	ip->protocol = protocol;
	ip->saddr = w->source.word[3];
	ip->daddr = w->destination.word[3];
	ip->check = csum_fold((__u64)bpf_htons(0x4500 | tos) + bpf_htons((__u16)length) + id +
			      fragment + bpf_htons((__u16)(ttl << 8 | protocol)) +
			      w->source.word[3] + w->destination.word[3]);
}

/* @length: of what follows the header. */
static __always_inline void make_v6(struct ipv6hdr *ip, const struct rewrite *w, __u32 length,
				    __u8 tos, __u8 ttl, __u8 protocol)
{
	*(word_alias *)ip = bpf_htonl(6u << 28 | (__u32)tos << 20);
	ip->payload_len = bpf_htons((__u16)length);
	ip->nexthdr = protocol;
	ip->hop_limit = ttl;
	__builtin_memcpy(&ip->saddr, &w->source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &w->destination, sizeof(ip->daddr));
}

/* RFC 7915, 5.1: what a translated IPv4 packet of this length has for flags. */
static __always_inline __be16 family_fragment(__u32 length)
{
	return length > FAMILY_DF_ABOVE ? bpf_htons(0x4000) : 0;
}

/* An authentication header does not survive; left out, it would be missed by nobody. */
static __always_inline int authenticated(void *data, void *data_end, const struct network *n)
{
	__u32 offset = n->offset;
	struct ipv6hdr *ip;

	forget(offset);
	if (offset > OFFSET_MAX)
		return 1;
	ip = data + offset;
	return (void *)(ip + 1) > data_end || ip->nexthdr == IPPROTO_AH;
}

/* 1 where it is UDP over IPv4 that has no checksum. */
static __noinline int family_no_check(struct xdp_md *ctx, const struct network *n)
{
	__be16 check;

	if (n->protocol != IPPROTO_UDP || n->is_v6)
		return 0;
	if (bpf_xdp_load_bytes(ctx, n->transport + offsetof(struct udphdr, check), &check,
			       sizeof(check)))
		return -1;
	return !check;
}

/*
 * A whole TCP or UDP packet, to addresses of the other family: *n is brought up
 * to date. IPv4 options and IPv6 extension headers are left out, as RFC 7915 has
 * it (4.1, 5.1). A UDP packet without checksum gets one, as IPv6 wants it: over
 * all of it, by way of @c.
 * Returns 0; -1 where it cannot be done; then the packet is to be dropped.
 */
static __noinline int rewrite_family(struct xdp_md *ctx, struct network *n, const struct rewrite *w,
				     struct csum_chunk *c)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 to_v6 = !n->is_v6, header = to_v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__u32 offset = n->offset, before = n->transport - offset, payload = n->length - before;
	__u8 ttl = n->ttl - !!(w->flags & REWRITE_HOP);
	int bare;

	/* the new header ends where the old one does, and is written by pointer */
	if (n->transport > (__u32)(data_end - data))
		return -1;
	if (!to_v6 && (payload > 0xffff - sizeof(struct iphdr) || authenticated(data, data_end, n)))
		return -1;
	bare = family_no_check(ctx, n);
	if (bare < 0)
		return -1;
	if (before != header && bpf_xdp_adjust_head(ctx, (int)before - (int)header))
		return -1;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	forget(offset);
	if (offset > OFFSET_MAX)
		return -1;
	if (rewrite_transport(ctx, data, data_end, offset + header, n->protocol == IPPROTO_UDP, w,
			      csum_change_addr(&n->source, &w->source) +
				      csum_change_addr(&n->destination, &w->destination)))
		return -1;
	if (to_v6) {
		struct ipv6hdr *ip = data + offset;

		if ((void *)(ip + 1) > data_end)
			return -1;
		make_v6(ip, w, payload, n->tos, ttl, n->protocol);
	} else {
		struct iphdr *ip = data + offset;

		if ((void *)(ip + 1) > data_end)
			return -1;
		make_v4(ip, w, payload + sizeof(*ip), family_fragment(payload + sizeof(*ip)),
			n->tos, ttl, n->protocol);
	}
	n->is_v6 = (__u8)to_v6;
	n->ttl = ttl;
	n->source = w->source;
	n->destination = w->destination;
	n->transport = offset + header;
	n->length = payload + header;
	return unlikely(bare) ? csum_complete(ctx, n, c) : 0;
}

#endif
