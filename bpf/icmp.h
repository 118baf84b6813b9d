/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ICMP at a VIP: pings are answered, errors about a flow are read so that they
 * can follow it to its backend, and packets too big for the path are answered
 * with the size that fits. All of it off the fast path.
 */
#ifndef TUNDISH_ICMP_H
#define TUNDISH_ICMP_H

#include "csum.h"
#include "parse.h"

/* <linux/icmp.h> draws in headers of the C library, which BPF has none of. */
struct icmp_message {
	__u8 type, code;
	__be16 checksum;
	__be32 mtu; /* RFC 1191: the low half; RFC 4443: all of it */
};

enum {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETERPROB = 12,
	ICMP_FRAG_NEEDED = 4, /* code */
	ICMPV6_DEST_UNREACH = 1,
	ICMPV6_PKT_TOOBIG = 2,
	ICMPV6_PARAMPROB = 4,
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
};

#define LINK_MAX (sizeof(struct ethhdr) + VLAN_TAGS_MAX * sizeof(struct vlan_tag))
/* Of the packet that was too big: enough for any IPv4 header and the ports, and
 * for an IPv6 header with the extensions that are common. A multiple of four. */
#define QUOTE_V4  68
#define QUOTE_V6  128
#define REPLY_TTL 64

/* The client's flow that an ICMP error speaks of. */
struct icmp_error {
	struct tundish_addr client;
	__be16 client_port;
	__be16 port;
	__u32 found; /* the flow's protocol, TCP or UDP; 0: it speaks of none */
};

/* Turns the Ethernet addresses round. */
static __always_inline void swap_link(struct ethhdr *eth)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
}

/* Answers a ping in place. Returns a verdict, VERDICT_NONE where it is no ping. */
static __noinline verdict_t icmp_ping(struct xdp_md *ctx, const struct network *n)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct icmp_message *icmp;
	__u32 offset = n->offset, transport = n->transport;
	__u8 type;

	if (offset > LINK_MAX || transport > 1024)
		return VERDICT_NONE;
	icmp = data + transport;
	if ((void *)(icmp + 1) > data_end || (void *)(eth + 1) > data_end)
		return VERDICT_NONE;
	if (transport + sizeof(*icmp) > offset + n->length)
		return VERDICT_NONE;
	type = icmp->type;
	if (n->is_v6 ? type != ICMPV6_ECHO_REQUEST : type != ICMP_ECHO)
		return VERDICT_NONE;
	if (n->is_v6) {
		struct ipv6hdr *ip = data + offset;
		struct in6_addr a;

		if ((void *)(ip + 1) > data_end)
			return VERDICT_NONE;
		a = ip->saddr;
		ip->saddr = ip->daddr;
		ip->daddr = a;
		ip->hop_limit = REPLY_TTL;
		icmp->type = ICMPV6_ECHO_REPLY;
	} else {
		struct iphdr *ip = data + offset;
		__be32 a;

		if ((void *)(ip + 1) > data_end)
			return VERDICT_NONE;
		a = ip->saddr;
		ip->saddr = ip->daddr;
		ip->daddr = a;
		ip->check =
			csum_replace(ip->check, bpf_htons(ip->ttl << 8), bpf_htons(REPLY_TTL << 8));
		ip->ttl = REPLY_TTL;
		icmp->type = ICMP_ECHOREPLY;
	}
	icmp->checksum =
		csum_replace(icmp->checksum, bpf_htons(type << 8), bpf_htons(icmp->type << 8));
	/* All zero but the type (identifier and sequence 0, no payload): 0 would be wrong
	 * then, and ~0 never is. */
	if (!icmp->checksum)
		icmp->checksum = 0xffff;
	swap_link(eth);
	return VERDICT(XDP_TX, sent_ping);
}

/*
 * Reads the packet quoted in an ICMP error (RFC 792, RFC 4443). It went from
 * the VIP to the client, so its source is the error's destination.
 */
static __noinline int icmp_read_error(struct xdp_md *ctx, const struct network *n,
				      struct icmp_error *e)
{
	__u32 offset = n->transport, ports_at;
	__u8 type, first, protocol;
	__be16 ports[2];

	e->found = 0;
	if (bpf_xdp_load_bytes(ctx, offset, &type, 1))
		return 0;
	offset += sizeof(struct icmp_message);
	if (n->is_v6) {
		struct ipv6hdr ip;
		struct tundish_addr source;

		if (type < ICMPV6_DEST_UNREACH || type > ICMPV6_PARAMPROB ||
		    bpf_xdp_load_bytes(ctx, offset, &ip, sizeof(ip)))
			return 0;
		__builtin_memcpy(&source, &ip.saddr, sizeof(source));
		protocol = ip.nexthdr;
		if (ip.version != 6 || !tundish_addr_equal(&source, &n->destination))
			return 0;
		__builtin_memcpy(&e->client, &ip.daddr, sizeof(e->client));
		ports_at = offset + sizeof(ip);
	} else {
		struct iphdr ip;

		if ((type != ICMP_DEST_UNREACH && type != ICMP_TIME_EXCEEDED &&
		     type != ICMP_PARAMETERPROB) ||
		    bpf_xdp_load_bytes(ctx, offset, &ip, sizeof(ip)))
			return 0;
		first = ip.ihl * 4;
		if (ip.version != 4 || first < sizeof(ip) || ip.saddr != n->destination.word[3] ||
		    (ip.frag_off & bpf_htons(0x1fff)))
			return 0;
		protocol = ip.protocol;
		e->client = tundish_addr_v4(ip.daddr);
		ports_at = offset + first;
	}
	if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) ||
	    ports_at + sizeof(ports) > n->offset + n->length ||
	    bpf_xdp_load_bytes(ctx, ports_at, ports, sizeof(ports)))
		return 0;
	e->port = ports[0];
	e->client_port = ports[1];
	e->found = protocol;
	return 0;
}

static __always_inline __u64 sum_bytes(const void *from, __u32 length)
{
	return (__u64)bpf_csum_diff(NULL, 0, (__be32 *)from, length, 0);
}

/*
 * Turns the packet into the ICMP message that tells its sender the largest
 * size that fits: type 3 code 4 with the next hop's MTU (RFC 1191), ICMPv6 type
 * 2 (RFC 4443). The source is the VIP: it is what the sender talks to. The reply
 * is never larger than what caused it, so nobody is made to amplify.
 */
static __noinline verdict_t icmp_too_big(struct xdp_md *ctx, const struct network *n, __u32 mtu)
{
	__u32 quote = n->is_v6 ? QUOTE_V6 : QUOTE_V4;
	__u32 added = n->is_v6 ? sizeof(struct ipv6hdr) + sizeof(struct icmp_message)
			       : sizeof(struct iphdr) + sizeof(struct icmp_message);
	__u32 offset = n->offset;
	__u8 link[LINK_MAX];
	void *data, *data_end;
	__u64 sum;

	if (offset > LINK_MAX || offset < sizeof(struct ethhdr) || n->length < quote)
		return DROP(malformed);
	/* No ICMP error about one (RFC 1122, 3.2.2; RFC 4443, 2.4), which has no business
	 * to be that large. */
	if (n->protocol == (n->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return DROP(malformed);
	if (bpf_xdp_load_bytes(ctx, 0, link, sizeof(link)))
		return DROP(malformed);
	if (bpf_xdp_adjust_tail(ctx, (int)(offset + quote) - (int)bpf_xdp_get_buff_len(ctx)) ||
	    bpf_xdp_adjust_head(ctx, -(int)added))
		return DROP(headroom);

	if (n->is_v6) {
		struct {
			struct ipv6hdr ip;
			struct icmp_message icmp;
		} __attribute__((packed)) * reply;

		data = (void *)(long)ctx->data;
		data_end = (void *)(long)ctx->data_end;
		reply = data + offset;
		if ((void *)(reply + 1) + QUOTE_V6 > data_end)
			return DROP(headroom);
		__builtin_memset(reply, 0, sizeof(*reply));
		reply->ip.version = 6;
		reply->ip.payload_len = bpf_htons(sizeof(reply->icmp) + QUOTE_V6);
		reply->ip.nexthdr = IPPROTO_ICMPV6;
		reply->ip.hop_limit = REPLY_TTL;
		__builtin_memcpy(&reply->ip.saddr, &n->destination, sizeof(n->destination));
		__builtin_memcpy(&reply->ip.daddr, &n->source, sizeof(n->source));
		reply->icmp.type = ICMPV6_PKT_TOOBIG;
		reply->icmp.mtu = bpf_htonl(mtu);
		sum = sum_bytes(&reply->icmp, sizeof(reply->icmp) + QUOTE_V6);
		sum += sum_bytes(&reply->ip.saddr, 2 * sizeof(struct in6_addr));
		sum += reply->ip.payload_len + bpf_htons(IPPROTO_ICMPV6);
		reply->icmp.checksum = csum_fold(sum);
	} else {
		struct {
			struct iphdr ip;
			struct icmp_message icmp;
		} __attribute__((packed)) * reply;

		data = (void *)(long)ctx->data;
		data_end = (void *)(long)ctx->data_end;
		reply = data + offset;
		if ((void *)(reply + 1) + QUOTE_V4 > data_end)
			return DROP(headroom);
		__builtin_memset(reply, 0, sizeof(*reply));
		reply->ip.version = 4;
		reply->ip.ihl = sizeof(reply->ip) / 4;
		reply->ip.tot_len = bpf_htons(sizeof(*reply) + QUOTE_V4);
		reply->ip.ttl = REPLY_TTL;
		reply->ip.protocol = IPPROTO_ICMP;
		reply->ip.saddr = n->destination.word[3];
		reply->ip.daddr = n->source.word[3];
		reply->ip.check = csum_fold(sum_bytes(&reply->ip, sizeof(reply->ip)));
		reply->icmp.type = ICMP_DEST_UNREACH;
		reply->icmp.code = ICMP_FRAG_NEEDED;
		reply->icmp.mtu = bpf_htonl(mtu & 0xffff);
		reply->icmp.checksum =
			csum_fold(sum_bytes(&reply->icmp, sizeof(reply->icmp) + QUOTE_V4));
	}
	/* the link header moves to the new front, tags and all */
	offset = n->offset;
	if (offset > LINK_MAX || offset < sizeof(struct ethhdr) ||
	    bpf_xdp_store_bytes(ctx, 0, link, offset))
		return DROP(internal);
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + sizeof(struct ethhdr) > data_end)
		return DROP(internal);
	swap_link(data);
	return VERDICT(XDP_TX, sent_icmp_too_big);
}

#endif
