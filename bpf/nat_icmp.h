/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ICMP errors about translated flows. An error quotes a packet as it was behind
 * the translation; whoever sent it must read it as it was before. So outer and
 * quoted headers are rewritten, each with all checksums that are there, and where
 * families differ both headers are made anew (RFC 7915, 4.2-4.5 and 5.2-5.5).
 *
 * Within a family all is done by difference. Between families an error that is
 * wrong is dropped, since its checksum is computed anew; the quote is cut to what
 * an error may hold, and extensions (RFC 4884), which tell of the other family's
 * network, are left out.
 *
 * All of it off the fast path, by copy.
 */
#ifndef TUNDISH_NAT_ICMP_H
#define TUNDISH_NAT_ICMP_H

#include "csum.h"
#include "icmp.h"
#include "icmp_family.h"
#include "parse.h"
#include "partial.h"
#include "rewrite.h"

#define ICMP_V4_MOST 576u  /* of an error, headers and all (RFC 1812, 4.3.2.3) */
#define ICMP_V6_MOST 1280u /* RFC 4443, 2.4 (c) */

/* The packet that an error quotes, as it stands there. */
struct quote {
	struct tundish_addr source, destination;
	__be16 source_port, destination_port;
	__u32 at;	 /* in the frame */
	__u32 transport; /* of what follows its network header */
	__u32 length;	 /* what the quoted packet says of itself */
	__u8 protocol, tos, ttl, has_check;
};

/* An error, and what it is to become. */
struct nat_error {
	struct quote quote;    /* filled by icmp_read_quote() */
	struct rewrite to;     /* addresses of the error itself; ports are not looked at */
	struct rewrite quoted; /* addresses and ports of the packet that it quotes */
};

static __always_inline int icmp_is_error(int is_v6, __u8 type)
{
	if (is_v6)
		return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

/* Where the checksum of a transport header is. */
static __always_inline __u32 check_offset(__u8 protocol)
{
	return protocol == IPPROTO_UDP ? offsetof(struct udphdr, check)
				       : offsetof(struct tcphdr, check);
}

/* Reads the quote of an ICMP error about TCP or UDP. Returns 0, or -1 where *n is
 * no such error or its quote too short to tell the ports. */
static __noinline int icmp_read_quote(struct xdp_md *ctx, const struct network *n, struct quote *q)
{
	__u32 at = n->transport, end = n->offset + n->length;
	__be16 ports[2];
	__u8 type;

	if (n->protocol != (n->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ||
	    bpf_xdp_load_bytes(ctx, at, &type, 1) || !icmp_is_error(n->is_v6, type))
		return -1;
	at += sizeof(struct icmp_message);
	q->at = at;
	if (n->is_v6) {
		struct ipv6hdr ip;

		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.version != 6)
			return -1;
		__builtin_memcpy(&q->source, &ip.saddr, sizeof(q->source));
		__builtin_memcpy(&q->destination, &ip.daddr, sizeof(q->destination));
		q->protocol = ip.nexthdr;
		q->tos = ip.priority << 4 | ip.flow_lbl[0] >> 4;
		q->ttl = ip.hop_limit;
		q->length = sizeof(ip) + bpf_ntohs(ip.payload_len);
		q->transport = at + sizeof(ip);
	} else {
		struct iphdr ip;

		if (bpf_xdp_load_bytes(ctx, at, &ip, sizeof(ip)) || ip.version != 4 ||
		    ip.ihl * 4 < sizeof(ip) || (ip.frag_off & bpf_htons(0x1fff)))
			return -1;
		q->source = tundish_addr_v4(ip.saddr);
		q->destination = tundish_addr_v4(ip.daddr);
		q->protocol = ip.protocol;
		q->tos = ip.tos;
		q->ttl = ip.ttl;
		q->length = bpf_ntohs(ip.tot_len);
		q->transport = at + ip.ihl * 4;
	}
	if ((q->protocol != IPPROTO_TCP && q->protocol != IPPROTO_UDP) ||
	    q->transport + sizeof(ports) > end ||
	    bpf_xdp_load_bytes(ctx, q->transport, ports, sizeof(ports)))
		return -1;
	/* one that says to be shorter than its own header was never sent */
	if (q->length <
	    q->transport - q->at +
		    (q->protocol == IPPROTO_UDP ? sizeof(struct udphdr) : sizeof(struct tcphdr)))
		return -1;
	q->has_check = q->transport + check_offset(q->protocol) + sizeof(__u16) <= end;
	q->source_port = ports[0];
	q->destination_port = ports[1];
	return 0;
}

/* What the quoted addresses add to a sum; by itself, to spare the stack. */
static __noinline __u64 quote_addresses(const struct quote *q, const struct rewrite *w)
{
	return csum_change_addr(&q->source, &w->source) +
	       csum_change_addr(&q->destination, &w->destination);
}

/* New ports and checksum for the quoted transport header, which is at `at` now. *sum
 * grows by what they add to the error's. */
static __noinline int quote_transport(struct xdp_md *ctx, const struct quote *q, __u32 at,
				      const struct rewrite *w, __u64 *sum)
{
	__u64 pseudo = quote_addresses(q, w);
	__u64 ports = csum_change(q->source_port, w->source_port) +
		      csum_change(q->destination_port, w->destination_port);
	__be16 both[2] = {w->source_port, w->destination_port};
	__u16 from, to;

	if (bpf_xdp_store_bytes(ctx, at, both, sizeof(both)))
		return -1;
	*sum += ports;
	if (!q->has_check)
		return 0;
	at += check_offset(q->protocol);
	if (bpf_xdp_load_bytes(ctx, at, &from, sizeof(from)))
		return -1;
	to = rewrite_check(from, pseudo, ports, 0, q->protocol == IPPROTO_UDP);
	*sum += csum_change(from, to);
	return bpf_xdp_store_bytes(ctx, at, &to, sizeof(to)) ? -1 : 0;
}

/* An error within a family. Returns 0; -1 where it could not be done: drop it. */
static __noinline int rewrite_icmp_same(struct xdp_md *ctx, const struct network *n,
					const struct nat_error *e)
{
	const struct rewrite *w = &e->to, *quoted = &e->quoted;
	const struct quote *q = &e->quote;
	__u32 at = n->transport + offsetof(struct icmp_message, checksum);
	__u64 sum = quote_addresses(q, quoted);
	__u16 check;

	if (quote_transport(ctx, q, q->transport, quoted, &sum))
		return -1;
	if (n->is_v6) {
		struct ipv6hdr ip;

		if (bpf_xdp_load_bytes(ctx, q->at, &ip, sizeof(ip)))
			return -1;
		__builtin_memcpy(&ip.saddr, &quoted->source, sizeof(ip.saddr));
		__builtin_memcpy(&ip.daddr, &quoted->destination, sizeof(ip.daddr));
		if (bpf_xdp_store_bytes(ctx, q->at, &ip, sizeof(ip)) ||
		    bpf_xdp_load_bytes(ctx, n->offset, &ip, sizeof(ip)))
			return -1;
		rewrite_v6(&ip, w);
		if (bpf_xdp_store_bytes(ctx, n->offset, &ip, sizeof(ip)))
			return -1;
		sum += csum_change_addr(&n->source, &w->source) +
		       csum_change_addr(&n->destination, &w->destination);
	} else {
		struct rewrite inner = {.source = quoted->source,
					.destination = quoted->destination};
		struct iphdr ip;

		if (bpf_xdp_load_bytes(ctx, q->at, &ip, sizeof(ip)))
			return -1;
		check = ip.check;
		rewrite_v4(&ip, &inner);
		sum += csum_change(check, ip.check);
		if (bpf_xdp_store_bytes(ctx, q->at, &ip, sizeof(ip)) ||
		    bpf_xdp_load_bytes(ctx, n->offset, &ip, sizeof(ip)))
			return -1;
		rewrite_v4(&ip, w);
		if (bpf_xdp_store_bytes(ctx, n->offset, &ip, sizeof(ip)))
			return -1;
	}
	if (bpf_xdp_load_bytes(ctx, at, &check, sizeof(check)))
		return -1;
	check = csum_fold((__u64)(__u16)~check + sum);
	return bpf_xdp_store_bytes(ctx, at, &check, sizeof(check)) ? -1 : 0;
}

/* ---- between families ----------------------------------------------------------------- */

/* Where the quote ends: before extensions, whose place RFC 4884 (4.1 to 4.4) tells by
 * the length of what stands before them. */
static __always_inline __u32 quote_end(const struct network *n, const struct quote *q,
				       const struct icmp_message *m)
{
	__u32 end = n->offset + n->length, rest = bpf_ntohl(m->mtu), length = 0;

	if (!n->is_v6)
		length = (rest >> 16 & 0xff) * 4;
	else if (m->type == ICMPV6_DEST_UNREACH || m->type == ICMPV6_TIME_EXCEEDED)
		length = (rest >> 24) * 8;
	if (length && q->at + length < end)
		end = q->at + length;
	return end;
}

/* Headers of a translated error, up to where the quoted transport header begins. */
struct front_v4 {
	struct iphdr ip;
	struct icmp_message icmp;
	struct iphdr quoted;
};

struct front_v6 {
	struct ipv6hdr ip;
	struct icmp_message icmp;
	struct ipv6hdr quoted;
};

/* @rest: bytes of the quote behind its network header. All but the checksum. */
static __always_inline void front_to_v6(struct front_v6 *f, const struct network *n,
					const struct nat_error *e, const struct icmp_message *m,
					__u32 rest)
{
	const struct rewrite *w = &e->to;
	const struct quote *q = &e->quote;
	make_v6(&f->ip, w, sizeof(*f) - sizeof(f->ip) + rest, n->tos,
		n->ttl - !!(w->flags & REWRITE_HOP), IPPROTO_ICMPV6);
	f->icmp = *m;
	make_v6(&f->quoted, &e->quoted, q->length - (q->transport - q->at), q->tos, q->ttl,
		q->protocol);
}

static __always_inline void front_to_v4(struct front_v4 *f, const struct network *n,
					const struct nat_error *e, const struct icmp_message *m,
					__u32 rest)
{
	const struct rewrite *w = &e->to;
	const struct quote *q = &e->quote;
	__u32 length = q->length - (q->transport - q->at) + sizeof(f->quoted);

	make_v4(&f->ip, w, sizeof(*f) + rest, family_fragment(sizeof(*f) + rest), n->tos,
		n->ttl - !!(w->flags & REWRITE_HOP), IPPROTO_ICMP);
	f->icmp = *m;
	make_v4(&f->quoted, &e->quoted, length, family_fragment(length), q->tos, q->ttl,
		q->protocol);
}

/*
 * An error to the other family; *n is brought up to date.
 * Returns 0; -1 where it could not be done: drop it.
 */
static __noinline int rewrite_icmp_family(struct xdp_md *ctx, struct network *n,
					  struct nat_error *e, struct csum_chunk *c)
{
	const struct rewrite *quoted = &e->quoted;
	struct quote *q = &e->quote;
	union {
		struct front_v4 v4;
		struct front_v6 v6;
	} *f = (void *)c->bytes;
	__u32 to_v6 = !n->is_v6, front = to_v6 ? sizeof(f->v6) : sizeof(f->v4);
	__u32 most = (to_v6 ? ICMP_V6_MOST : ICMP_V4_MOST) - front, end, rest;
	struct icmp_message m;
	__u64 unused = 0;
	int moved;

	if (!csum_right(ctx, n, c) || bpf_xdp_load_bytes(ctx, n->transport, &m, sizeof(m)))
		return -1;
	end = quote_end(n, q, &m);
	if (end < q->transport + sizeof(__be32) ||
	    (!to_v6 && q->length > 0xffff + sizeof(struct ipv6hdr) - sizeof(struct iphdr)))
		return -1;
	if (to_v6 ? icmp_to_v6(&m, q->length) : icmp_to_v4(&m))
		return -1;
	m.checksum = 0;
	rest = end - q->transport;
	if (rest > most)
		rest = most;
	q->has_check = check_offset(q->protocol) + sizeof(__u16) <= rest;

	/* what lies behind goes, then the front changes its size */
	moved = (int)(q->transport - n->offset) - (int)front;
	if (bpf_xdp_adjust_tail(ctx, (int)(q->transport + rest) - (int)bpf_xdp_get_buff_len(ctx)) ||
	    (moved && bpf_xdp_adjust_head(ctx, moved)))
		return -1;
	if (quote_transport(ctx, q, n->offset + front, quoted, &unused))
		return -1;
	if (to_v6) {
		front_to_v6(&f->v6, n, e, &m, rest);
		if (bpf_xdp_store_bytes(ctx, n->offset, &f->v6, sizeof(f->v6)))
			return -1;
		n->transport = n->offset + sizeof(struct ipv6hdr);
	} else {
		front_to_v4(&f->v4, n, e, &m, rest);
		if (bpf_xdp_store_bytes(ctx, n->offset, &f->v4, sizeof(f->v4)))
			return -1;
		n->transport = n->offset + sizeof(struct iphdr);
	}
	n->is_v6 = (__u8)to_v6;
	n->protocol = to_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	n->ttl -= !!(e->to.flags & REWRITE_HOP);
	n->source = e->to.source;
	n->destination = e->to.destination;
	n->length = front + rest;
	return csum_complete(ctx, n, c);
}

#endif
