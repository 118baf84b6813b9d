/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fragments to a VIP whose services are on other hosts. The first one has the ports, goes
 * its way like a whole packet and leaves word in `fragments`; the later ones follow it, by
 * the same delivery, as long as their receiver would wait for them. Those that overtake
 * the first, which XDP cannot hold, are dropped, as are those of a backend that has been
 * disabled in between: the rest of their packet is elsewhere. Where addresses are translated the
 * word is of a record, nat_fragment.bpf.h goes on with it, and servers' answers leave theirs too.
 *
 * The table is an LRU, and takes floods of first fragments at the price of what it knows
 * of others.
 */
#ifndef TUNDISH_FRAGMENT_BPF_H
#define TUNDISH_FRAGMENT_BPF_H

#include <tundish/fragment.h>

#include "parse.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct tundish_fragment_key);
	__type(value, struct tundish_fragment);
} fragments SEC(".maps");

/*
 * What fragment_ask() says, in one number: a pointer into the map would be followed by the
 * verifier through all that comes after. 0: nothing is known.
 *
 *   bits  0-15  source port, network byte order
 *   bits 16-31  destination port
 *   bits 32-39  protocol
 *   bits 40-56  backend; of a first one 0
 *   bit  62     the first one was translated
 *   bit  63     always set
 */
#define FRAGMENT_KNOWN	     (1ull << 63)
#define FRAGMENT_NAT	     (1ull << 62)
#define FRAGMENT_SOURCE(f)   ((__be16)(f))
#define FRAGMENT_PORT(f)     ((__be16)((f) >> 16))
#define FRAGMENT_PORTS(f)    ((__u32)(f))
#define FRAGMENT_PROTOCOL(f) ((__u32)((f) >> 32) & 0xff)
#define FRAGMENT_BACKEND(f)  ((__u32)((f) >> 40) & TUNDISH_SLOT_BACKEND)

/* The fragment header of RFC 8200, section 4.5. */
struct fragment_header {
	__u8 next, reserved;
	__be16 where; /* offset in the upper 13 bits */
	__be32 id;
};

/* Fills in the key, and returns the offset in units of eight bytes, below, and the protocol,
 * which is that of IPv6's first fragment only, from bit 16 on; negative where the frame ends. */
static __always_inline int fragment_key(struct xdp_md *ctx, __u32 offset, __u32 transport,
					__u32 is_v6, struct tundish_fragment_key *k)
{
	union {
		struct iphdr ip;
		struct fragment_header f;
	} h;

	__builtin_memset(k, 0, sizeof(*k));
	if (is_v6) {
		if (bpf_xdp_load_bytes(ctx, offset + __builtin_offsetof(struct ipv6hdr, saddr), k,
				       2 * sizeof(struct tundish_addr)) ||
		    bpf_xdp_load_bytes(ctx, transport - sizeof(h.f), &h.f, sizeof(h.f)))
			return -1;
		k->id_be = h.f.id;
		return h.f.next << 16 | bpf_ntohs(h.f.where) >> 3;
	}
	if (bpf_xdp_load_bytes(ctx, offset, &h.ip, sizeof(h.ip)))
		return -1;
	k->source = tundish_addr_v4(h.ip.saddr);
	k->destination = tundish_addr_v4(h.ip.daddr);
	k->id_be = (__be32)h.ip.id;
	k->protocol = h.ip.protocol;
	return h.ip.protocol << 16 | (bpf_ntohs(h.ip.frag_off) & 0x1fff);
}

/* Where a packet's fragment belongs that begins at `offset`, whose data are from `transport`
 * to `end`. */
CHECKED_ALONE __u64 fragment_ask(struct xdp_md *ctx, __u32 offset, __u32 transport, __u32 end,
				 __u32 is_v6)
{
	struct tundish_fragment_key key;
	struct tundish_fragment *f;
	struct tundish_backend *b;
	__u32 where, protocol, backend;
	int r;

	if (!ctx)
		return 0;
	r = fragment_key(ctx, offset, transport, is_v6, &key);
	if (r < 0)
		return 0;
	where = (__u32)r & 0x1fff;
	protocol = (__u32)r >> 16;
	if (!where) {
		__be16 ports[2];

		/* A header that is cut in two is nobody's but an attacker's (RFC 1858). */
		if ((protocol == IPPROTO_UDP   ? sizeof(struct udphdr)
		     : protocol == IPPROTO_TCP ? sizeof(struct tcphdr)
					       : 0xffff) > end - transport ||
		    bpf_xdp_load_bytes(ctx, transport, ports, sizeof(ports)))
			return 0;
		return FRAGMENT_KNOWN | (__u64)protocol << 32 | (__u64)ports[1] << 16 | ports[0];
	}
	if (where * 8 + (end - transport) > 0xffff)
		return 0;
	f = bpf_map_lookup_elem(&fragments, &key);
	if (!f || (__s64)(bpf_ktime_get_coarse_ns() - f->first_ns) > (__s64)TUNDISH_FRAGMENT_NS)
		return 0;
	/* over the flags of TCP's header (RFC 3128) */
	if (where == 1 && f->protocol == IPPROTO_TCP)
		return 0;
	backend = f->backend & TUNDISH_SLOT_BACKEND;
	b = bpf_map_lookup_elem(&backends, &backend);
	/* what a server has begun to answer goes on */
	if (f->side != TUNDISH_FRAGMENT_SERVER &&
	    (!b || b->state == TUNDISH_BACKEND_FREE || b->state == TUNDISH_BACKEND_DISABLED ||
	     b->service != f->service))
		return 0;
	return FRAGMENT_KNOWN | (f->side != TUNDISH_FRAGMENT_PLAIN ? FRAGMENT_NAT : 0) |
	       (__u64)backend << 40 | (__u64)f->protocol << 32 | (__u64)f->port_be << 16 |
	       f->source_port_be;
}

/* Leaves word of where a first fragment goes. Packed as the verifier gives five arguments:
 * `transport` with IPv6's flag in bit 31, and the backend with the protocol from bit 24 on. */
CHECKED_ALONE int fragment_enter(struct xdp_md *ctx, __u32 offset, __u32 transport, __u32 ports,
				 __u32 backend)
{
	struct tundish_fragment f = {.protocol = backend >> 24,
				     .source_port_be = (__be16)ports,
				     .port_be = (__be16)(ports >> 16)};
	struct tundish_fragment_key key;
	struct tundish_backend *b;

	if (!ctx)
		return 0;
	backend &= TUNDISH_SLOT_BACKEND;
	b = bpf_map_lookup_elem(&backends, &backend);
	if (!b || fragment_key(ctx, offset, transport & ~(1u << 31), transport >> 31, &key) < 0)
		return 0;
	f.backend = backend;
	f.service = b->service;
	f.first_ns = bpf_ktime_get_coarse_ns();
	bpf_map_update_elem(&fragments, &key, &f, BPF_ANY);
	return 0;
}

#endif
