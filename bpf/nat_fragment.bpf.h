/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fragments of translated connections, from either side, where the family stays. The first one
 * is translated like a whole packet, since checksums change by difference, and leaves word of its
 * record; the later ones have nothing but addresses to translate.
 *
 * Who receives them tells packets apart by source and identification (RFC 791). Where the source
 * becomes another, two senders behind it could have drawn the same one, and their packets would be
 * put together from pieces of both (RFC 4963): so it is drawn anew, once for all pieces.
 */
#ifndef TUNDISH_NAT_FRAGMENT_BPF_H
#define TUNDISH_NAT_FRAGMENT_BPF_H

#include "fragment.bpf.h"
#include "nat_packet.bpf.h"

static __always_inline __u32 nat_fragment_side(const struct nat_packet *p)
{
	return p->side == TUNDISH_NAT_SERVER ? TUNDISH_FRAGMENT_SERVER : TUNDISH_FRAGMENT_CLIENT;
}

/* What the first one has left for a later one: q->place and generation, p->new_id. Returns 0,
 * or -1. */
CHECKED_ALONE int nat_fragment_known(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	struct tundish_fragment_key key;
	struct tundish_fragment *f;

	if (!p || !q || fragment_key(ctx, p->n.offset, p->n.transport, p->n.is_v6, &key) < 0)
		return -1;
	f = bpf_map_lookup_elem(&fragments, &key);
	if (!f || f->side != nat_fragment_side(p))
		return -1;
	q->place = f->record;
	q->record.word.raw = 0;
	q->record.word.generation = f->generation;
	p->new_id = f->new_id;
	return 0;
}

/* Leaves word of a first one, whose connection is in the query, and draws its identification. */
CHECKED_ALONE int nat_fragment_enter(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	struct tundish_fragment f = {};
	struct tundish_fragment_key key;
	struct tundish_backend *b;
	__u32 backend;

	if (!p || !q || fragment_key(ctx, p->n.offset, p->n.transport, p->n.is_v6, &key) < 0)
		return -1;
	backend = q->record.word.backend;
	b = bpf_map_lookup_elem(&backends, &backend);
	p->new_id = 0;
	if (!tundish_addr_equal(&p->n.source, &p->to.source)) {
		p->new_id = bpf_get_prandom_u32();
		if (!(p->new_id & 0xffff)) /* 0: its own */
			p->new_id |= 1;
	}
	f.first_ns = bpf_ktime_get_coarse_ns();
	f.backend = backend;
	f.service = b ? b->service : 0; /* the port may be another's since the connection began */
	f.source_port_be = p->t.source;
	f.port_be = p->t.destination;
	f.protocol = p->n.protocol;
	f.side = nat_fragment_side(p);
	f.generation = q->record.word.generation;
	f.record = q->place;
	f.new_id = p->new_id;
	if (!p->dry)
		bpf_map_update_elem(&fragments, &key, &f, BPF_ANY);
	return 0;
}

/* As rewrite_same(), with the identification; a later one has no transport header. Returns 0;
 * -1 where the packet is not what the parser saw. */
CHECKED_ALONE int nat_fragment_leave(struct xdp_md *ctx, struct nat_packet *p, struct nat_query *q)
{
	__u32 offset, id;
	void *data, *data_end;

	if (!p || !q)
		return -1;
	if (p->n.odd == ODD_FIRST_FRAGMENT && nat_fragment_enter(ctx, p, q))
		return -1;
	id = p->new_id;
	if (p->n.is_v6 && id &&
	    bpf_xdp_store_bytes(ctx, p->n.transport - sizeof(id), &id, sizeof(id)))
		return -1;
	offset = p->n.offset;
	forget(offset);
	if (offset > OFFSET_MAX)
		return -1;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (p->n.is_v6) {
		struct ipv6hdr *ip = data + offset;

		if ((void *)(ip + 1) > data_end)
			return -1;
		if (p->n.odd == ODD_FRAGMENT) {
			rewrite_v6(ip, &p->to);
			return 0;
		}
	} else {
		struct iphdr *ip = data + offset;

		if ((void *)(ip + 1) > data_end)
			return -1;
		if (id) {
			ip->check = csum_fold((__u16)~ip->check + csum_change(ip->id, id & 0xffff));
			ip->id = (__be16)id;
		}
		if (p->n.odd == ODD_FRAGMENT) {
			rewrite_v4(ip, &p->to);
			return 0;
		}
	}
	return rewrite_same(ctx, &p->n, &p->to);
}

#endif
