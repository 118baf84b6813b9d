/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The way out: next hop, MTU, hop limit, new headers, and which NIC.
 *
 * The tags that a frame came with end here; the next hop says which one it
 * leaves with. Tags that a NIC has stripped are therefore nobody's concern.
 */
#ifndef TUNDISH_DELIVER_H
#define TUNDISH_DELIVER_H

#include "capture.bpf.h"
#include "csum.h"
#include "gue.h"
#include "icmp.h"
#include "outer.h"
#include "parse.h"

/* Where a next hop is put together that the kernel's tables gave; one for the
 * data path, one for its tracing twin. In a map, to spare the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct tundish_nexthop);
} found_hops SEC(".maps");

#ifndef AF_INET
#define AF_INET	 2
#define AF_INET6 10
#endif

/*
 * Asks the kernel's tables for a next hop that the daemon has not filled in: the neighbour
 * was not resolved when it last looked, or it is gone since. The kernel answers only where
 * the device forwards; elsewhere packets are dropped until the daemon has resolved it.
 *
 * @hop:   asked with ifindex (0: where the packet came in) and, as the source, tunnel_source
 * @flags: BPF_FIB_LOOKUP_OUTPUT: as for the host's own packet that leaves by that device;
 *         0: as for one that came in by it
 *
 * Returns 0 with MAC addresses, ifindex and MTU in *hop, else what bpf_fib_lookup() said;
 * then *hop is as it was.
 */
static __noinline int fib_nexthop(struct xdp_md *ctx, const struct tundish_addr *to,
				  struct tundish_nexthop *hop, __u32 flags)
{
	struct bpf_fib_lookup f = {};
	long r;

	if (tundish_addr_is_v4(to)) {
		f.family = AF_INET;
		f.ipv4_dst = to->word[3];
		f.ipv4_src = hop->tunnel_source.word[3];
	} else {
		f.family = AF_INET6;
		__builtin_memcpy(f.ipv6_dst, to, sizeof(*to));
		__builtin_memcpy(f.ipv6_src, &hop->tunnel_source, sizeof(*to));
	}
	f.ifindex = hop->ifindex ? hop->ifindex : ctx->ingress_ifindex;
	f.tot_len = 1; /* not zero: tell the MTU */
	r = bpf_fib_lookup(ctx, &f, sizeof(f), flags);
	if (r != BPF_FIB_LKUP_RET_SUCCESS)
		return r < 0 ? (int)-r : (int)r;
	__builtin_memcpy(hop->destination, f.dmac, sizeof(hop->destination));
	__builtin_memcpy(hop->source, f.smac, sizeof(hop->source));
	hop->ifindex = f.ifindex;
	hop->mtu = f.mtu_result;
	hop->flags = TUNDISH_NEXTHOP_VALID;
	return 0;
}

static __always_inline void write_link(void *data, const struct tundish_nexthop *hop, __be16 type,
				       int tagged)
{
	struct ethhdr *eth = data;

	__builtin_memcpy(eth->h_dest, hop->destination, ETH_ALEN);
	__builtin_memcpy(eth->h_source, hop->source, ETH_ALEN);
	if (tagged) {
		struct vlan_tag *tag = (void *)(eth + 1);

		eth->h_proto = bpf_htons(ETH_P_8021Q);
		tag->tci = hop->vlan_tci_be;
		tag->type = type;
	} else {
		eth->h_proto = type;
	}
}

/* One hop less, in the packet itself. The caller has seen that one is left. */
static __always_inline int take_hop(void *data, void *data_end, const struct network *n)
{
	__u32 offset = n->offset;

	forget(offset);
	if (offset > OFFSET_MAX)
		return -1;
	if (n->is_v6) {
		struct ipv6hdr *ip = data + offset;

		if ((void *)(ip + 1) > data_end)
			return -1;
		ip->hop_limit--;
	} else {
		struct iphdr *ip = data + offset;
		__u32 check;

		if ((void *)(ip + 1) > data_end)
			return -1;
		check = ip->check + (__u32)bpf_htons(0x0100);
		ip->check = (__u16)(check + (check >= 0xffff));
		ip->ttl--;
	}
	return 0;
}

/*
 * Sends the packet to a backend on another host. Everything that can be refused
 * is refused before the first byte changes.
 */
static __always_inline verdict_t send_on(struct xdp_md *ctx, const struct network *n,
					 const struct tundish_nexthop *hop,
					 const struct tundish_backend *b, int tunnel, const int gue)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 outer = 0, link, tagged, ifindex;
	struct tundish_addr to = b->address;
	__be16 type;
	int delta, outer_v4;

	outer_v4 = tundish_addr_is_v4(&to);
	if (tunnel) {
		outer = (outer_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) +
			(gue ? sizeof(struct gue_outer) : 0);
		if (unlikely(!(hop->tunnel_source.word[0] | hop->tunnel_source.word[3])))
			return DROP(no_nexthop);
	}
	if (unlikely(n->length + outer > hop->mtu))
		return icmp_too_big(ctx, n, hop->mtu - outer);
	if (unlikely(n->ttl <= 1))
		return DROP(ttl);
	if (unlikely(take_hop(data, data_end, n)))
		return DROP(internal);

	tagged = hop->flags & TUNDISH_NEXTHOP_VLAN;
	link = sizeof(struct ethhdr) + (tagged ? sizeof(struct vlan_tag) : 0);
	delta = (int)n->offset - (int)(link + outer);
	if (delta) {
		if (unlikely(bpf_xdp_adjust_head(ctx, delta)))
			return DROP(headroom);
		data = (void *)(long)ctx->data;
		data_end = (void *)(long)ctx->data_end;
	}
	if (!tunnel)
		type = bpf_htons(n->is_v6 ? ETH_P_IPV6 : ETH_P_IP);
	else
		type = bpf_htons(outer_v4 ? ETH_P_IP : ETH_P_IPV6);
	if (unlikely(data + sizeof(struct ethhdr) + sizeof(struct vlan_tag) > data_end))
		return DROP(headroom);
	write_link(data, hop, type, tagged);
	if (tunnel && outer_v4) {
		struct iphdr *ip = data + link;

		if (unlikely((void *)(ip + 1) + (gue ? sizeof(struct gue_outer) : 0) > data_end))
			return DROP(headroom);
		write_outer_v4(ip, hop, &to, n, gue);
		if (gue)
			write_gue((void *)(ip + 1), b->gue_port_be, n);
	} else if (tunnel) {
		struct ipv6hdr *ip = data + link;

		if (unlikely((void *)(ip + 1) + (gue ? sizeof(struct gue_outer) : 0) > data_end))
			return DROP(headroom);
		write_outer_v6(ip, hop, &to, n, gue);
		if (gue)
			write_gue((void *)(ip + 1), b->gue_port_be, n);
	}

	ifindex = hop->ifindex;
	if (ifindex != ctx->ingress_ifindex) {
		if (bpf_redirect(ifindex, 0) != XDP_REDIRECT)
			return DROP(internal);
		CAPTURE_NOTE_OUT(n, ifindex);
	}
	if (gue)
		return VERDICT(ifindex == ctx->ingress_ifindex ? XDP_TX : XDP_REDIRECT, sent_gue);
	if (tunnel)
		return VERDICT(ifindex == ctx->ingress_ifindex ? XDP_TX : XDP_REDIRECT, sent_ipip);
	return VERDICT(ifindex == ctx->ingress_ifindex ? XDP_TX : XDP_REDIRECT, sent_dsr);
}

/* Apart from the others, which so cost what they did without it. */
static __noinline verdict_t send_gue(struct xdp_md *ctx, const struct network *n,
				     const struct tundish_nexthop *hop,
				     const struct tundish_backend *b)
{
	return send_on(ctx, n, hop, b, 1, 1);
}

/* To the next hop of the backend, which may be this host. */
static __always_inline verdict_t deliver(struct xdp_md *ctx, const struct network *n,
					 struct tundish_backend *b, __u8 delivery, const int dry)
{
	struct tundish_nexthop *found, *hop;
	__u32 index;

	index = READ_ONCE(b->nexthop);
	hop = bpf_map_lookup_elem(&nexthops, &index);
	if (unlikely(!hop))
		return DROP(internal);
	TRACE(dry, nexthop, index);
	if (unlikely(!(hop->flags & TUNDISH_NEXTHOP_VALID))) {
		struct tundish_addr to = b->address;
		int r;

		index = dry;
		found = bpf_map_lookup_elem(&found_hops, &index);
		if (!found)
			return DROP(internal);
		*found = *hop;
		r = fib_nexthop(ctx, &to, found, BPF_FIB_LOOKUP_OUTPUT);
		COUNT(dry, fib_lookup);
		TRACE(dry, fib, r);
		if (r)
			return DROP(no_nexthop);
		hop = found;
	}
	if (unlikely(hop->flags & TUNDISH_NEXTHOP_LOCAL))
		return VERDICT(XDP_PASS, pass_local);
	TRACE(dry, mtu, hop->mtu);
	if (unlikely(delivery == TUNDISH_DELIVERY_GUE)) {
		TRACE(dry, gue, gue_source_port(n));
		return send_gue(ctx, n, hop, b);
	}
	return send_on(ctx, n, hop, b, delivery == TUNDISH_DELIVERY_IPIP, 0);
}

/* Takes the outer header away: all between the link header, which ends at
 * `link_length`, and the inner packet. */
static __noinline verdict_t unwrap(struct xdp_md *ctx, __u32 link_length, __u32 inner, int is_v6)
{
	__u32 distance = inner - link_length;
	__u8 link[LINK_MAX];
	__be16 type = bpf_htons(is_v6 ? ETH_P_IPV6 : ETH_P_IP);

	if (distance > OFFSET_MAX)
		return DROP(internal);
	if (bpf_xdp_load_bytes(ctx, 0, link, sizeof(link)))
		return DROP(malformed);
	if (bpf_xdp_adjust_head(ctx, distance))
		return DROP(headroom);
	forget(link_length);
	if (link_length < sizeof(struct ethhdr) || link_length > LINK_MAX ||
	    bpf_xdp_store_bytes(ctx, 0, link, link_length) ||
	    bpf_xdp_store_bytes(ctx, link_length - sizeof(type), &type, sizeof(type)))
		return DROP(internal);
	return VERDICT(XDP_PASS, pass_decapsulated);
}

#endif
