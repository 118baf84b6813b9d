/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Generic UDP Encapsulation (draft-ietf-intarea-gue), as the kernel's fou module speaks it:
 * what stands between the outer IP header and the inner packet.
 *
 * Variant 0 is written: UDP, and a header of four bytes without optional fields. The
 * UDP source port is the flow's, so that routers and NICs spread flows although all of
 * them go from one address to another; the checksum is 0, for IPv6 as RFC 6935 allows
 * it: the inner packet has its own. Variant 1, an IP header right behind UDP's, is read too.
 */
#ifndef TUNDISH_GUE_H
#define TUNDISH_GUE_H

#include <linux/udp.h>

#include "parse.h"

struct gue_header {
	__u8 kind; /* bits 6-7 variant, 5 control message, 0-4 words of optional fields */
	__u8 protocol;
	__be16 flags;
};

/* All of it. */
struct gue_outer {
	struct udphdr udp;
	struct gue_header gue;
};

_Static_assert(sizeof(struct gue_outer) == 12, "UDP and GUE");

/* The range that source ports of tunnels are drawn from (RFC 7510, section 3). */
#define GUE_SOURCE_PORTS      0xc000u
#define GUE_SOURCE_PORTS_MASK 0x3fffu

/* The low bits: a flow's Maglev slot, and so its backend, follows from the high ones. */
static __always_inline __u32 gue_source_port(const struct network *n)
{
	return GUE_SOURCE_PORTS | (n->spread & GUE_SOURCE_PORTS_MASK);
}

static __always_inline void write_gue(struct gue_outer *o, __be16 port, const struct network *n)
{
	o->udp.source = bpf_htons((__u16)gue_source_port(n));
	o->udp.dest = port;
	o->udp.len = bpf_htons((__u16)(n->length + sizeof(*o)));
	o->udp.check = 0;
	o->gue.kind = 0;
	o->gue.protocol = n->is_v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	o->gue.flags = 0;
}

/* What a GUE packet holds. */
struct gue_inner {
	__u32 offset; /* of the inner packet; 0: what it holds is not for us */
	__u32 end;    /* where UDP ends */
	__u8 protocol;
};

/*
 * Reads UDP to an address of this host. Returns 0 where it is no GUE by its port.
 * Anything but a plain data packet with an IP packet in it is left to the stack: optional
 * fields and private data, which nobody here could validate, control messages, unknown
 * variants, lengths that contradict each other.
 */
static __noinline __attribute__((unused)) int gue_read(struct xdp_md *ctx, const struct network *n,
						       struct gue_inner *g)
{
	__u32 room = n->offset + n->length - n->transport, length, zero = 0;
	struct tundish_settings *s = bpf_map_lookup_elem(&settings, &zero);
	struct gue_outer o = {};

	g->offset = 0;
	if (!s || !s->gue_port_be || room < sizeof(o.udp) ||
	    bpf_xdp_load_bytes(ctx, n->transport, &o.udp, sizeof(o.udp)) ||
	    o.udp.dest != s->gue_port_be)
		return 0;
	length = bpf_ntohs(o.udp.len);
	if (length < sizeof(o) || length > room ||
	    bpf_xdp_load_bytes(ctx, n->transport, &o, sizeof(o)))
		return 1;
	g->end = n->transport + length;
	switch (o.gue.kind >> 4) {
	case 0: /* variant 0, data */
		if (o.gue.kind || o.gue.flags ||
		    (o.gue.protocol != IPPROTO_IPIP && o.gue.protocol != IPPROTO_IPV6))
			return 1;
		g->protocol = o.gue.protocol;
		g->offset = n->transport + sizeof(o);
		return 1;
	case 4: /* variant 1: the version of an IP header */
	case 6:
		g->protocol = o.gue.kind >> 4 == 6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
		g->offset = n->transport + sizeof(o.udp);
		return 1;
	}
	return 1;
}

#endif
