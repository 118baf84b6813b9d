/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From frame to fields. Every read is behind a comparison with the frame's end;
 * what lies beyond the linear part of a multi-buffer frame, behind IPv6
 * extension headers or behind IPv4 options is read by copy, off the fast path.
 *
 * A frame is "not ours" until its destination is found to be a VIP, so the
 * parser says what is wrong and the caller decides whether that is a drop.
 */
#ifndef TUNDISH_PARSE_H
#define TUNDISH_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>

#include <tundish/flow.h>

#include "verdict.h"

#ifndef IPPROTO_IPIP
#define IPPROTO_IPIP 4
#endif
#ifndef IPPROTO_IPV6
#define IPPROTO_IPV6 41
#endif
#define EXTENSIONS_MAX	    6
#define EXTENSION_BYTES_MAX 512
#define VLAN_TAGS_MAX	    2

struct vlan_tag {
	__be16 tci;
	__be16 type;
};

/* Where the network header begins, after at most two tags. */
struct link {
	__u32 offset; /* 14, 18 or 22 */
	__be16 type;  /* ETH_P_* of what follows, network byte order */
	__u16 tags;
};

enum oddity {
	ODD_NOTHING,
	ODD_MALFORMED, /* lengths contradict each other or the frame */
	ODD_FRAGMENT,  /* not the first one, or nobody has looked yet */
	ODD_FIRST_FRAGMENT,
	ODD_EXTENSION, /* too many extension headers, or one that is not read */
};

struct network {
	struct tundish_addr source, destination;
	__u32 offset;	 /* of the network header in the frame */
	__u32 transport; /* of what follows it */
	__u32 length;	 /* of the whole packet from the network header on */
	__u8 is_v6;
	__u8 protocol;
	__u8 tos; /* traffic class */
	__u8 ttl; /* hop limit */
	__u8 odd; /* enum oddity */
	/* in what was padding, since the callers' stack is short: */
	__u8 captured; /* what capture_enter() said of it */
	__u16 spread;  /* low bits of the choice hash, once it is known */
};

struct transport {
	__be16 source, destination; /* ports */
	__u32 seq;		    /* host byte order */
	__u16 segment;		    /* enum tundish_segment */
	__u8 malformed;
	__u8 bad_flags;
};

static __always_inline int parse_link(void *data, void *data_end, struct link *l)
{
	struct ethhdr *eth = data;
	struct vlan_tag *tag;
	__u32 i;

	if ((void *)(eth + 1) > data_end)
		return -1;
	l->offset = sizeof(*eth);
	l->type = eth->h_proto;
	l->tags = 0;
	if (likely(l->type != bpf_htons(ETH_P_8021Q) && l->type != bpf_htons(ETH_P_8021AD)))
		return 0;
	_Pragma("unroll") for (i = 0; i < VLAN_TAGS_MAX; i++)
	{
		if (l->type != bpf_htons(ETH_P_8021Q) && l->type != bpf_htons(ETH_P_8021AD))
			break;
		tag = data + l->offset;
		if ((void *)(tag + 1) > data_end)
			return -1;
		l->type = tag->type;
		l->offset += sizeof(*tag);
		l->tags++;
	}
	return 0;
}

/* The claimed length is more than the linear part holds: is it in the frame? */
static __noinline int frame_holds(struct xdp_md *ctx, __u32 length)
{
	return bpf_xdp_get_buff_len(ctx) >= length;
}

static __always_inline int parse_v4(struct xdp_md *ctx, void *data, void *data_end, __u32 offset,
				    struct network *n)
{
	struct iphdr *ip = data + offset;
	__u32 header;

	if ((void *)(ip + 1) > data_end)
		return -1;
	n->destination = tundish_addr_v4(ip->daddr);
	n->source = tundish_addr_v4(ip->saddr);
	n->offset = offset;
	n->length = bpf_ntohs(ip->tot_len);
	n->is_v6 = 0;
	n->protocol = ip->protocol;
	n->tos = ip->tos;
	n->ttl = ip->ttl;
	header = ip->ihl * 4;
	n->transport = offset + header;
	n->odd = ODD_NOTHING;
	if (unlikely(ip->version != 4 || header < sizeof(*ip) || n->length < header))
		n->odd = ODD_MALFORMED;
	else if (unlikely(offset + n->length > (__u32)(data_end - data) &&
			  !frame_holds(ctx, offset + n->length)))
		n->odd = ODD_MALFORMED;
	else if (unlikely(ip->frag_off & bpf_htons(0x3fff)))
		n->odd = ODD_FRAGMENT;
	return 0;
}

struct extensions {
	__u32 offset;
	__u8 next;
	__u8 odd;
};

/* Walks the extension headers of RFC 8200, section 4. */
static __noinline int walk_extensions(struct xdp_md *ctx, struct extensions *x, __u32 end)
{
	__u32 i, start = x->offset, length;
	__u8 h[8];

	for (i = 0; i < EXTENSIONS_MAX; i++) {
		switch (x->next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_DSTOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_FRAGMENT:
		case IPPROTO_AH: break;
		default: return 0;
		}
		if (x->offset + 8 > end || bpf_xdp_load_bytes(ctx, x->offset, h, sizeof(h))) {
			x->odd = ODD_MALFORMED;
			return 0;
		}
		length = (h[1] + 1) * 8;
		switch (x->next) {
		case IPPROTO_FRAGMENT:
			length = 8;
			/* an atomic fragment (RFC 6946) is a whole packet */
			if (h[2] | (h[3] & 0xf9))
				x->odd = ODD_FRAGMENT;
			break;
		case IPPROTO_AH: length = (h[1] + 2) * 4; break;
		case IPPROTO_ROUTING:
			if (h[3]) /* segments left: the destination is not the last one */
				x->odd = ODD_EXTENSION;
			break;
		}
		x->next = h[0];
		x->offset += length;
		if (x->odd)
			return 0;
		if (x->offset - start > EXTENSION_BYTES_MAX) {
			x->odd = ODD_EXTENSION;
			return 0;
		}
		if (x->offset > end) {
			x->odd = ODD_MALFORMED;
			return 0;
		}
	}
	switch (x->next) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_DSTOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_AH: x->odd = ODD_EXTENSION;
	}
	return 0;
}

static __always_inline int parse_v6(struct xdp_md *ctx, void *data, void *data_end, __u32 offset,
				    struct network *n)
{
	struct ipv6hdr *ip = data + offset;

	if ((void *)(ip + 1) > data_end)
		return -1;
	__builtin_memcpy(&n->destination, &ip->daddr, sizeof(n->destination));
	__builtin_memcpy(&n->source, &ip->saddr, sizeof(n->source));
	n->offset = offset;
	n->length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	n->is_v6 = 1;
	n->protocol = ip->nexthdr;
	n->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	n->ttl = ip->hop_limit;
	n->transport = offset + sizeof(*ip);
	n->odd = ODD_NOTHING;
	/* An IPv4-mapped address on the wire would be taken for IPv4; no host
	 * may send one (RFC 4942, 2.2), so it is nobody's. */
	if (unlikely(tundish_addr_is_v4(&n->destination) || tundish_addr_is_v4(&n->source)))
		return -1;
	if (unlikely(ip->version != 6)) {
		n->odd = ODD_MALFORMED;
	} else if (unlikely(offset + n->length > (__u32)(data_end - data) &&
			    !frame_holds(ctx, offset + n->length))) {
		n->odd = ODD_MALFORMED;
	} else if (unlikely(n->protocol != IPPROTO_TCP && n->protocol != IPPROTO_UDP)) {
		struct extensions x = {.offset = n->transport, .next = n->protocol};

		walk_extensions(ctx, &x, offset + n->length);
		n->transport = x.offset;
		n->protocol = x.next;
		n->odd = x.odd;
	}
	return 0;
}

static __always_inline void read_tcp(const struct tcphdr *tcp, __u32 room, struct transport *t)
{
	__u32 flags = ((const __u8 *)tcp)[13];
	__u32 header = (((const __u8 *)tcp)[12] >> 4) * 4;

	t->source = tcp->source;
	t->destination = tcp->dest;
	t->seq = bpf_ntohl(tcp->seq);
	t->malformed = header < sizeof(*tcp) || header > room;
	/* FIN 1, SYN 2, RST 4, ACK 16: what is left of them must make sense */
	t->bad_flags = ((flags & 2) && (flags & 5)) || !(flags & 0x16);
	t->segment = (flags & 16 ? TUNDISH_SEGMENT_ACK : 0) |
		     (flags & 1 ? TUNDISH_SEGMENT_FIN : 0) | (flags & 4 ? TUNDISH_SEGMENT_RST : 0) |
		     ((flags & 0x12) == 2 ? TUNDISH_SEGMENT_SYN : 0);
}

/* TCP behind the linear part of the frame. */
static __noinline int load_tcp(struct xdp_md *ctx, __u32 offset, __u32 room, struct transport *t)
{
	struct tcphdr tcp = {};

	if (bpf_xdp_load_bytes(ctx, offset, &tcp, sizeof(tcp))) {
		t->malformed = 1;
		return 0;
	}
	read_tcp(&tcp, room, t);
	return 0;
}

static __always_inline void parse_tcp(struct xdp_md *ctx, void *data, void *data_end,
				      const struct network *n, struct transport *t)
{
	__u32 room = n->offset + n->length - n->transport; /* the parser saw it is not negative */
	__u32 offset = n->transport;
	struct tcphdr *tcp;

	t->malformed = 0;
	t->bad_flags = 0;
	if (unlikely(room < sizeof(*tcp))) {
		t->malformed = 1;
		return;
	}
	/* Ethernet, tags, and the largest headers that are read. */
	if (unlikely(offset > 1024)) {
		t->malformed = 1;
		return;
	}
	tcp = data + offset;
	if (likely((void *)(tcp + 1) <= data_end)) {
		read_tcp(tcp, room, t);
		return;
	}
	load_tcp(ctx, offset, room, t);
}

/* A datagram may be shorter than its packet (RFC 768 leaves the rest to nobody), and its
 * checksum may be missing: neither is looked at further. */
static __always_inline void read_udp(const struct udphdr *udp, __u32 room, struct transport *t)
{
	__u32 length = bpf_ntohs(udp->len);

	t->source = udp->source;
	t->destination = udp->dest;
	t->malformed = length < sizeof(*udp) || length > room;
	t->segment = TUNDISH_SEGMENT_UDP;
}

/* UDP behind the linear part of the frame. */
static __noinline int load_udp(struct xdp_md *ctx, __u32 offset, __u32 room, struct transport *t)
{
	struct udphdr udp = {};

	if (bpf_xdp_load_bytes(ctx, offset, &udp, sizeof(udp))) {
		t->malformed = 1;
		return 0;
	}
	read_udp(&udp, room, t);
	return 0;
}

static __always_inline void parse_udp(struct xdp_md *ctx, void *data, void *data_end,
				      const struct network *n, struct transport *t)
{
	__u32 room = n->offset + n->length - n->transport;
	__u32 offset = n->transport;
	struct udphdr *udp;

	if (unlikely(room < sizeof(*udp) || offset > OFFSET_MAX)) {
		t->malformed = 1;
		return;
	}
	udp = data + offset;
	if (likely((void *)(udp + 1) <= data_end)) {
		read_udp(udp, room, t);
		return;
	}
	load_udp(ctx, offset, room, t);
}

#endif
