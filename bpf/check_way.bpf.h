/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A packet of a health check put onto the way of the traffic, and its answer taken back.
 *
 *   out   to the stand-in ──► to the VIP ──► in the tunnel that the backend's packets go in
 *   in    from the VIP ──► from the stand-in
 *
 * Checks are few, so packets are read and written by copy. What a check sends and what
 * cannot go the way is dropped: it must never come to the stand-in, whose answer would
 * say nothing about the VIP.
 */
#ifndef TUNDISH_CHECK_WAY_BPF_H
#define TUNDISH_CHECK_WAY_BPF_H

#include <linux/pkt_cls.h>

#include <tundish/check.h>

#include "outer.h"

#define LOOPBACK 1 /* ifindex, in each network namespace */

/* Frames have an Ethernet header here; VLAN tags stand beside the packet, not in it. */
#define NETWORK ((__u32)sizeof(struct ethhdr))

/* ICMP, of either family (RFC 792, RFC 4443). */
#define ICMP_LENGTH    8
#define ICMP_CHECKSUM  2
#define UNREACHABLE    3
#define UNREACHABLE_V6 1

/* Not pinned: as long as the programs are. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TUNDISH_CHECK_PEERS_MAX);
	__type(key, struct tundish_check_key);
	__type(value, struct tundish_check_peer);
} check_peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tundish_check_ports);
} check_ports SEC(".maps");

/* ---- reading ----------------------------------------------------------------------------- */

/* What of a packet is asked for here: `network` of the data path, and the ports. */
struct check_packet {
	struct network n;
	__be16 source_port, port;
};

/* The ports of TCP and UDP; 0 where there are none to be read. */
static __always_inline int read_ports(struct __sk_buff *skb, __u32 at, __u8 protocol,
				      struct check_packet *p)
{
	return (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) &&
	       !bpf_skb_load_bytes(skb, at, &p->source_port, 2) &&
	       !bpf_skb_load_bytes(skb, at + 2, &p->port, 2);
}

/* Reads an IP header at `at`; 0 where there is none, or one with extensions. */
static __noinline int read_packet(struct __sk_buff *skb, __u32 at, int is_v6, struct network *n)
{
	n->offset = at;
	n->is_v6 = is_v6 != 0;
	n->odd = ODD_NOTHING;
	n->length = skb->len - at; /* also of what is yet to be cut into segments */
	if (is_v6) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 6)
			return 0;
		__builtin_memcpy(&n->source, &ip.saddr, sizeof(n->source));
		__builtin_memcpy(&n->destination, &ip.daddr, sizeof(n->destination));
		n->protocol = ip.nexthdr;
		n->tos = (__u8)(ip.priority << 4 | ip.flow_lbl[0] >> 4);
		n->transport = at + sizeof(ip);
	} else {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
			return 0;
		n->source = tundish_addr_v4(ip.saddr);
		n->destination = tundish_addr_v4(ip.daddr);
		n->protocol = ip.protocol;
		n->tos = ip.tos;
		n->transport = at + ip.ihl * 4;
		if (ip.frag_off & bpf_htons(0x3fff))
			n->odd = ODD_FRAGMENT;
	}
	return 1;
}

/* ---- which ports ----------------------------------------------------------------------------- */

static __always_inline __u64 *port_word(struct tundish_check_ports *all, __u32 protocol, __u32 port)
{
	__u32 word = port / 64;

	forget(word); /* or the compiler leaves out the bound, which 6.1's verifier asks for */
	return &(protocol == IPPROTO_TCP ? all->tcp : all->udp)[word & 1023];
}

static __always_inline int is_check(__u32 protocol, __be16 port_be)
{
	__u32 zero = 0, port = bpf_ntohs(port_be);
	struct tundish_check_ports *all = bpf_map_lookup_elem(&check_ports, &zero);

	return all && READ_ONCE(*port_word(all, protocol, port)) >> (port & 63) & 1;
}

static __always_inline void check_key(struct tundish_check_key *key, const struct network *n,
				      __be16 local_port, __be16 port, __u32 protocol,
				      const struct tundish_addr *vip,
				      const struct tundish_addr *local)
{
	key->vip = *vip;
	key->local = *local;
	key->port_be = port;
	key->local_port_be = local_port;
	key->protocol = protocol;
}

/* Notes whom answers are to come from. */
static __noinline int check_note(const struct check_packet *p, const struct tundish_check_way *w)
{
	__u32 zero = 0, port = bpf_ntohs(p->source_port), protocol = p->n.protocol;
	struct tundish_check_ports *all = bpf_map_lookup_elem(&check_ports, &zero);
	struct tundish_check_peer value = {w->stand_in, w->flags}, *known;
	struct tundish_check_key key;
	__u64 *word, bit;

	if (!all)
		return 0;
	check_key(&key, &p->n, p->source_port, p->port, protocol, &w->vip, &p->n.source);
	known = bpf_map_lookup_elem(&check_peers, &key);
	if ((!known || known->flags != value.flags ||
	     !tundish_addr_equal(&known->stand_in, &value.stand_in)) &&
	    bpf_map_update_elem(&check_peers, &key, &value, BPF_ANY))
		return 0;
	word = port_word(all, protocol, port);
	bit = 1ull << (port & 63);
	if (!(READ_ONCE(*word) & bit))
		__sync_fetch_and_or(word, bit);
	return 1;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* What the sum over a transport grows by where an address takes another one's place. */
static __always_inline __s64 address_change(struct tundish_addr *from, struct tundish_addr *to,
					    int is_v6)
{
	return is_v6 ? bpf_csum_diff(from->word, 16, to->word, 16, 0)
		     : bpf_csum_diff(&from->word[3], 4, &to->word[3], 4, 0);
}

/*
 * Puts another address into the IP header at NETWORK, with all checksums: also where the
 * transport's is partial, where it is UDP's that is 0 for none, and what a NIC summed up.
 * Returns 0.
 */
static __noinline int put_address(struct __sk_buff *skb, struct network *n, struct tundish_addr *to,
				  int source)
{
	struct tundish_addr *from = source ? &n->source : &n->destination;
	__s64 change = address_change(from, to, n->is_v6);
	__u64 flags = BPF_F_PSEUDO_HDR;
	__u32 at = n->transport;

	switch (n->protocol) {
	case IPPROTO_TCP: at += __builtin_offsetof(struct tcphdr, check); break;
	case IPPROTO_UDP:
		at += __builtin_offsetof(struct udphdr, check);
		flags |= BPF_F_MARK_MANGLED_0;
		break;
	case IPPROTO_ICMPV6: at += ICMP_CHECKSUM; break;
	default: at = 0; /* ICMP knows no addresses */
	}
	if (at && bpf_l4_csum_replace(skb, at, 0, (__u32)change, flags))
		return -1;
	if (!n->is_v6)
		return bpf_l3_csum_replace(skb, NETWORK + __builtin_offsetof(struct iphdr, check),
					   from->word[3], to->word[3], 4) ||
		       bpf_skb_store_bytes(
			       skb,
			       NETWORK + (source ? __builtin_offsetof(struct iphdr, saddr)
						 : __builtin_offsetof(struct iphdr, daddr)),
			       &to->word[3], 4, 0);
	/* The helper takes the change from the NIC's sum, as is right where an IPv4 header's
	 * own checksum evens the address out. IPv6 has none: the address does it itself. */
	bpf_csum_update(skb, (__wsum)change);
	return bpf_skb_store_bytes(skb,
				   NETWORK + (source ? __builtin_offsetof(struct ipv6hdr, saddr)
						     : __builtin_offsetof(struct ipv6hdr, daddr)),
				   to->word, 16, 0);
}

/* All that stands before the inner packet. */
union check_outer {
	struct {
		struct iphdr ip;
		struct gue_outer gue;
	} v4;
	struct {
		struct ipv6hdr ip;
		struct gue_outer gue;
	} v6;
};

static __always_inline __u32 outer_length(const struct tundish_backend *b)
{
	if (b->delivery == TUNDISH_DELIVERY_DSR)
		return 0;
	return (tundish_addr_is_v4(&b->address) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) +
	       (b->delivery == TUNDISH_DELIVERY_GUE ? sizeof(struct gue_outer) : 0);
}

/* Makes room for the tunnel's headers and writes them. The size of segments stays, for
 * the socket has been told to leave room. Returns 0. */
static __noinline int wrap(struct __sk_buff *skb, const struct network *n,
			   const struct tundish_nexthop *hop, struct tundish_backend *b)
{
	const int gue = b->delivery == TUNDISH_DELIVERY_GUE;
	struct tundish_addr to = b->address;
	const int v4 = tundish_addr_is_v4(&to);
	__be16 type = bpf_htons(v4 ? ETH_P_IP : ETH_P_IPV6), port = b->gue_port_be;
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO |
		      (v4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6) |
		      (gue ? BPF_F_ADJ_ROOM_ENCAP_L4_UDP : 0);
	union check_outer o = {}; /* bit fields are read before they are written */

	if (!(hop->tunnel_source.word[0] | hop->tunnel_source.word[3]))
		return -1;
	if (v4) {
		write_outer_v4(&o.v4.ip, hop, &to, n, gue);
		if (gue)
			write_gue(&o.v4.gue, port, n);
	} else {
		write_outer_v6(&o.v6.ip, hop, &to, n, gue);
		if (gue)
			write_gue(&o.v6.gue, port, n);
	}
	if (bpf_skb_adjust_room(skb, outer_length(b), BPF_ADJ_ROOM_MAC, flags) ||
	    bpf_skb_store_bytes(skb, NETWORK - sizeof(type), &type, sizeof(type), 0))
		return -1;
	/* each with a size that the verifier knows */
	if (v4)
		return gue ? bpf_skb_store_bytes(skb, NETWORK, &o, sizeof(o.v4), 0)
			   : bpf_skb_store_bytes(skb, NETWORK, &o, sizeof(o.v4.ip), 0);
	return gue ? bpf_skb_store_bytes(skb, NETWORK, &o, sizeof(o.v6), 0)
		   : bpf_skb_store_bytes(skb, NETWORK, &o, sizeof(o.v6.ip), 0);
}

/* From loopback to the backend's next hop, as the data path would send it. */
static __noinline int leave(struct __sk_buff *skb, const struct tundish_nexthop *hop)
{
	__u8 macs[2 * ETH_ALEN];

	if (!(hop->flags & TUNDISH_NEXTHOP_VALID))
		return TC_ACT_SHOT; /* tried again, and the neighbour is being asked for */
	__builtin_memcpy(macs, hop->destination, ETH_ALEN);
	__builtin_memcpy(macs + ETH_ALEN, hop->source, ETH_ALEN);
	if (bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0))
		return TC_ACT_SHOT;
	if (hop->flags & TUNDISH_NEXTHOP_VLAN &&
	    bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), bpf_ntohs(hop->vlan_tci_be)))
		return TC_ACT_SHOT;
	return bpf_redirect(hop->ifindex, 0);
}

/* ---- out ----------------------------------------------------------------------------- */

/*
 * A packet of a check's socket. Returns TC_ACT_UNSPEC where it goes on (to other filters,
 * then out), TC_ACT_SHOT, or what redirects it.
 *
 * It comes by again on the device below a VLAN's or bond's, and where loopback has sent it:
 * what is not of the socket's own tuple any more has been done already.
 */
static __noinline int check_out(struct __sk_buff *skb, const struct tundish_check_way *way)
{
	struct tundish_check_way w = *way; /* the daemon may write to it */
	struct check_packet p = {};
	struct tundish_nexthop *hop;
	struct tundish_backend *b;
	__u32 index, outer;

	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_UNSPEC;
	if (!read_packet(skb, NETWORK, skb->protocol == bpf_htons(ETH_P_IPV6), &p.n))
		return TC_ACT_SHOT;
	if (!tundish_addr_equal(&p.n.destination, &w.stand_in) || p.n.protocol != w.protocol)
		return TC_ACT_UNSPEC;
	if (p.n.odd || !read_ports(skb, p.n.transport, p.n.protocol, &p))
		return TC_ACT_SHOT;
	if (p.source_port != w.local_port_be || p.port != w.port_be)
		return TC_ACT_UNSPEC;
	index = w.backend;
	b = bpf_map_lookup_elem(&backends, &index);
	if (!b || b->state == TUNDISH_BACKEND_FREE || b->delivery < TUNDISH_DELIVERY_DSR ||
	    b->delivery > TUNDISH_DELIVERY_GUE || !tundish_addr_equal(&b->address, &w.address))
		return TC_ACT_SHOT;
	index = READ_ONCE(b->nexthop);
	hop = bpf_map_lookup_elem(&nexthops, &index);
	if (!hop)
		return TC_ACT_SHOT;
	outer = outer_length(b);
	if (outer && !skb->gso_size && hop->mtu && p.n.length + outer > hop->mtu)
		return TC_ACT_SHOT;
	p.n.spread = (__u16)tundish_choice_hash(&p.n.source, p.source_port, p.port);
	if (!check_note(&p, &w) || put_address(skb, &p.n, &w.vip, 0))
		return TC_ACT_SHOT;
	if (outer && wrap(skb, &p.n, hop, b))
		return TC_ACT_SHOT;
	return w.flags & TUNDISH_CHECK_FAR ? leave(skb, hop) : TC_ACT_UNSPEC;
}

/* ---- in ------------------------------------------------------------------------------- */

/* To loopback, which the socket is bound to. */
static __noinline int come_home(struct __sk_buff *skb)
{
	const __u8 loopback[ETH_ALEN] = {};

	if (bpf_skb_store_bytes(skb, 0, loopback, sizeof(loopback), 0))
		return TC_ACT_SHOT;
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	return bpf_redirect(LOOPBACK, BPF_F_INGRESS);
}

/* Whose packets these are: 0: no check's. */
static __always_inline int find_check(const struct tundish_check_key *key, struct tundish_addr *to,
				      __u32 *flags)
{
	const struct tundish_check_peer *peer = bpf_map_lookup_elem(&check_peers, key);

	if (!peer)
		return 0;
	*to = peer->stand_in;
	*flags = peer->flags;
	return 1;
}

/* An answer, if it is one. */
static __noinline int check_in(struct __sk_buff *skb)
{
	struct tundish_check_key key;
	struct check_packet p = {};
	struct tundish_addr to;
	__u32 flags;

	if (!read_packet(skb, NETWORK, skb->protocol == bpf_htons(ETH_P_IPV6), &p.n) || p.n.odd ||
	    !read_ports(skb, p.n.transport, p.n.protocol, &p))
		return TC_ACT_UNSPEC;
	check_key(&key, &p.n, p.port, p.source_port, p.n.protocol, &p.n.source, &p.n.destination);
	if (!find_check(&key, &to, &flags))
		return TC_ACT_UNSPEC;
	if (put_address(skb, &p.n, &to, 1))
		return TC_ACT_SHOT;
	return flags & TUNDISH_CHECK_FAR ? come_home(skb) : TC_ACT_UNSPEC;
}

/*
 * "Unreachable" about a check's packet, which tells at once that nobody listens. It comes from
 * the VIP, from the backend or from a router, and quotes the packet as it was in the tunnel.
 * The kernel looks for the socket by what is quoted, so the stand-in is put there too.
 */
static __noinline int check_refused(struct __sk_buff *skb, __u32 quote, int is_v6)
{
	struct tundish_check_key key;
	struct check_packet p = {}, q = {};
	struct tundish_addr to;
	__u32 flags;

	if (!read_packet(skb, NETWORK, is_v6, &p.n) || p.n.odd ||
	    p.n.transport + ICMP_LENGTH != quote || !read_packet(skb, quote, is_v6, &q.n) ||
	    q.n.odd || !read_ports(skb, q.n.transport, q.n.protocol, &q) ||
	    !is_check(q.n.protocol, q.source_port))
		return TC_ACT_UNSPEC;
	check_key(&key, &q.n, q.source_port, q.port, q.n.protocol, &q.n.destination, &q.n.source);
	if (!find_check(&key, &to, &flags))
		return TC_ACT_UNSPEC;
	if (is_v6) {
		if (bpf_l4_csum_replace(skb, quote - ICMP_LENGTH + ICMP_CHECKSUM, 0,
					(__u32)address_change(&q.n.destination, &to, 1), 0) ||
		    bpf_skb_store_bytes(skb, quote + __builtin_offsetof(struct ipv6hdr, daddr),
					to.word, 16, 0))
			return TC_ACT_SHOT;
	} else if (bpf_l3_csum_replace(skb, quote + __builtin_offsetof(struct iphdr, check),
				       q.n.destination.word[3], to.word[3], 4) ||
		   bpf_skb_store_bytes(skb, quote + __builtin_offsetof(struct iphdr, daddr),
				       &to.word[3], 4, 0)) {
		return TC_ACT_SHOT; /* the quoted header's own checksum evens it out */
	}
	if (tundish_addr_equal(&p.n.source, &key.vip) && put_address(skb, &p.n, &to, 1))
		return TC_ACT_SHOT;
	return flags & TUNDISH_CHECK_FAR ? come_home(skb) : TC_ACT_UNSPEC;
}

#endif
