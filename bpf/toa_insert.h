/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The client's address and port as a TCP option, for a backend behind full NAT
 * that asks for it: {254, 8, port, IPv4} or {254, 20, port, IPv6}, the form that LVS
 * made known. It goes before all other options, so what is moved is no more than
 * the headers, towards the front of the frame; the bytes before them are no link
 * header any more (see rewrite.h).
 *
 * A segment whose checksum waits to be completed is not for this: the kernel
 * knows where its transport header was.
 */
#ifndef TUNDISH_TOA_INSERT_H
#define TUNDISH_TOA_INSERT_H

#include "csum.h"
#include "icmp.h"
#include "parse.h"
#include "tcp_options.h"

#define TOA_V4	      8u
#define TOA_V6	      20u
#define TOA_FRONT_MIN (sizeof(struct iphdr) + sizeof(struct tcphdr))
#define TOA_FRONT_MAX 80u /* either family's header, IPv4 options too, and the fixed TCP header */

struct toa {
	/* asked */
	struct tundish_addr client; /* what is told */
	__be16 port;
	__u16 mtu; /* of the way to the backend */
	/* working space: the headers, and the option behind them */
	__u8 byte[TOA_FRONT_MAX];
	__u8 option[TOA_V6];
};

/* Options and how large they may be: 1 where the segment has room for so much more. */
static __always_inline int toa_fits(__u32 doff, __u32 added, __u32 length, __u32 mtu)
{
	return doff >= sizeof(struct tcphdr) &&
	       doff + added <= sizeof(struct tcphdr) + TCP_OPTIONS_MAX && length + added <= mtu &&
	       length + added <= 0xffff;
}

/*
 * Returns 1 where it was done; *n is brought up to date. 0 where there is no room,
 * and nothing has changed. -1 where the packet is in pieces and has to be dropped.
 */
static __noinline int toa_insert(struct xdp_md *ctx, struct network *n, struct toa *f)
{
	const struct tundish_addr *client = &f->client;
	__u32 v4 = tundish_addr_is_v4(client), added = v4 ? TOA_V4 : TOA_V6;
	__u32 offset = n->offset, at = n->transport - offset, front, doff;
	struct tcphdr *tcp;
	__u16 check;
	__u64 sum;

	front = at + sizeof(struct tcphdr);
	if (OUTSIDE(front, TOA_FRONT_MIN, TOA_FRONT_MAX))
		return 0;
	if (bpf_xdp_load_bytes(ctx, offset, f->byte, front))
		return 0;
	forget(at);
	if (at > TOA_FRONT_MAX - sizeof(struct tcphdr))
		return 0;
	tcp = (void *)&f->byte[at];
	doff = (f->byte[at + 12] >> 4) * 4;
	if (!toa_fits(doff, added, n->length, f->mtu))
		return 0;

	f->option[0] = TCP_OPTION_TOA;
	f->option[1] = (__u8)added;
	__builtin_memcpy(&f->option[2], &f->port, sizeof(f->port));
	if (v4)
		__builtin_memcpy(&f->option[4], &client->word[3], sizeof(client->word[3]));
	else
		__builtin_memcpy(&f->option[4], client, sizeof(*client));

	/* the pseudo header's length, the data offset, the option */
	sum = bpf_htons((__u16)added) + bpf_htons((__u16)(added / 4 << 12));
	sum += v4 ? sum_bytes(f->option, TOA_V4) : sum_bytes(f->option, TOA_V6);
	tcp->check = csum_fold((__u64)(__u16)~tcp->check + sum);
	f->byte[at + 12] += (__u8)(added / 4 << 4);
	if (n->is_v6) {
		struct ipv6hdr *ip = (void *)f->byte;

		ip->payload_len = bpf_htons((__u16)(bpf_ntohs(ip->payload_len) + added));
	} else {
		struct iphdr *ip = (void *)f->byte;
		__be16 length = bpf_htons((__u16)(n->length + added));

		check = ip->check;
		ip->check = csum_replace(check, ip->tot_len, length);
		ip->tot_len = length;
	}

	if (bpf_xdp_adjust_head(ctx, -(int)added))
		return 0;
	if (OUTSIDE(front, TOA_FRONT_MIN, TOA_FRONT_MAX))
		return -1;
	if (bpf_xdp_store_bytes(ctx, offset, f->byte, front) ||
	    (v4 ? bpf_xdp_store_bytes(ctx, offset + front, f->option, TOA_V4)
		: bpf_xdp_store_bytes(ctx, offset + front, f->option, TOA_V6)))
		return -1;
	n->length += added;
	return 1;
}

#endif
