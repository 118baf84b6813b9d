/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The way back to clients: answers leave by the way that the client's own packets came,
 * so they need no route look-up (which the kernel answers only where the NIC forwards),
 * and a router that takes over from another is followed with the client's next packet.
 * Records name a way by its number; 0 is "ask the kernel".
 */
#ifndef TUNDISH_RETURNS_BPF_H
#define TUNDISH_RETURNS_BPF_H

#include "nat_packet.bpf.h"

#define RETURN_TRIES 8u /* places that are looked at for a new way */

/* Where the way of number `hop` is not the one that the frame came by. By pointer: each of
 * a client's packets asks. */
static __always_inline int returns_differ(struct xdp_md *ctx, __u32 offset, __u32 hop)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct tundish_return *r = bpf_map_lookup_elem(&returns, &hop);
	struct ethhdr *eth = data;
	struct vlan_tag *tag = data + sizeof(*eth);
	const __u16 *to, *from, *source = (void *)eth->h_source, *destination = (void *)eth->h_dest;

	if (!r || (void *)(eth + 1) > data_end)
		return 0;
	to = (const __u16 *)r->key.to;
	from = (const __u16 *)r->key.from;
	if (unlikely((source[0] | destination[0]) & bpf_htons(0x0100)))
		return 0; /* nobody's own address: it tells no way */
	if ((to[0] ^ source[0]) | (to[1] ^ source[1]) | (to[2] ^ source[2]) |
	    (from[0] ^ destination[0]) | (from[1] ^ destination[1]) | (from[2] ^ destination[2]) |
	    (r->key.ifindex ^ ctx->ingress_ifindex))
		return 1;
	if (likely(offset == sizeof(*eth)))
		return r->key.tagged;
	if (offset != sizeof(*eth) + sizeof(*tag) || (void *)(tag + 1) > data_end)
		return !!hop; /* two tags: no way is learned */
	return !r->key.tagged || r->key.vlan_tci_be != (tag->tci & bpf_htons(0xfff));
}

/* Takes a place that is free. */
CHECKED_ALONE int returns_take(__u32 number)
{
	struct tundish_return *r = bpf_map_lookup_elem(&returns, &number);

	return r && number &&
	       __sync_val_compare_and_swap(&r->state, TUNDISH_RETURN_FREE, TUNDISH_RETURN_BUSY) ==
		       TUNDISH_RETURN_FREE;
}

/*
 * The number of the way that the frame came by, which is made where it is new; 0 where
 * there is none: two tags, tags that the NIC may have taken away, a group's MAC address, a
 * full table.
 */
CHECKED_ALONE __u32 returns_number(struct xdp_md *ctx, __u32 offset, __u32 now)
{
	__u8 front[sizeof(struct ethhdr) + sizeof(struct vlan_tag)];
	struct tundish_return_key key = {};
	__u32 *known, number, ifindex, i;
	struct tundish_return *r;
	struct tundish_link *l;
	__be16 tci;

	if (offset > sizeof(front) || bpf_xdp_load_bytes(ctx, 0, front, sizeof(front)) ||
	    ((front[0] | front[6]) & 1))
		return 0;
	__builtin_memcpy(key.from, front, sizeof(key.from));
	__builtin_memcpy(key.to, front + 6, sizeof(key.to));
	key.ifindex = ctx->ingress_ifindex;
	if (offset == sizeof(front)) {
		__builtin_memcpy(&tci, front + sizeof(struct ethhdr), sizeof(tci));
		key.vlan_tci_be = tci & bpf_htons(0xfff);
		key.tagged = 1;
	}
	known = bpf_map_lookup_elem(&return_ids, &key);
	if (known)
		return *known;
	ifindex = key.ifindex;
	l = bpf_map_lookup_elem(&links, &ifindex);
	if (l && (l->flags & TUNDISH_LINK_STRIPS))
		return 0;
	number = bpf_get_prandom_u32();
	for (i = 0; i < RETURN_TRIES; i++) {
		number = (number + 1) & (TUNDISH_NAT_HOPS - 1);
		if (returns_take(number))
			break;
	}
	r = bpf_map_lookup_elem(&returns, &number);
	if (!r || i == RETURN_TRIES)
		return 0;
	r->key = key;
	r->mtu = l ? l->mtu : 0;
	r->seen = now;
	/* another CPU may have made the same way at once: what the table says counts */
	if (bpf_map_update_elem(&return_ids, &key, &number, BPF_NOEXIST)) {
		__sync_lock_test_and_set(&r->state, TUNDISH_RETURN_FREE);
		known = bpf_map_lookup_elem(&return_ids, &key);
		return known ? *known : 0;
	}
	__sync_lock_test_and_set(&r->state, TUNDISH_RETURN_VALID);
	return number;
}

#endif
