/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sums over whole packets, and checksums that are not computed yet.
 *
 * A packet of this very machine (veth, virtio, tap) may hold the folded sum of
 * its pseudo header where its checksum belongs, for a NIC to complete. An XDP
 * program is not told. On links where that may be, the field is compared:
 *
 * native:  what the kernel knew of the packet is lost on its way out, so the sum is
 *          completed here. A real checksum that only looks so (1 of 65,536) comes
 *          out as it was.
 * generic: the kernel still completes it, from where the transport header begins
 *          on, which must therefore not move: the field follows the addresses, and
 *          nothing else. A real checksum is told by being right; only what is both
 *          cannot be told (1 of 65,536 of the partial ones), and is taken for real.
 */
#ifndef TUNDISH_PARTIAL_H
#define TUNDISH_PARTIAL_H

#include <linux/udp.h>

#include "csum.h"
#include "icmp.h"
#include "parse.h"

#define CSUM_CHUNK  512u /* what bpf_csum_diff takes at once; a power of two */
#define CSUM_CHUNKS 128u /* enough for any packet */

/* Working space, too large for the stack. */
struct csum_chunk {
	__u32 at, left; /* in the frame */
	__u64 sum;
	__u8 bytes[CSUM_CHUNK + 4];
};

/* Adds `left` bytes from `at` on to the sum. All that a round knows is in *c, so to the
 * verifier one round looks like any other. */
CHECKED_ALONE int csum_range(struct xdp_md *ctx, struct csum_chunk *c)
{
	__u32 i, length;

	if (!c)
		return -1;
	for (i = 0; i < CSUM_CHUNKS; i++) {
		length = c->left;
		if (!length)
			return 0;
		if (length > CSUM_CHUNK)
			length = CSUM_CHUNK;
		/* 1 to CSUM_CHUNK, in a form that 6.1 sees */
		forget(length);
		length = ((length - 1) & (CSUM_CHUNK - 1)) + 1;
		if (bpf_xdp_load_bytes(ctx, c->at, c->bytes, length))
			return -1;
		c->bytes[length] = 0;
		c->bytes[length + 1] = 0;
		c->bytes[length + 2] = 0;
		c->sum += sum_bytes(c->bytes, (length + 3) & ~3u);
		c->at += length;
		c->left -= length;
	}
	return c->left ? -1 : 0;
}

/* Where the checksum is, and how many bytes it covers; 0 where that cannot be. */
static __noinline __u32 csum_field(struct xdp_md *ctx, const struct network *n, __u32 *covered)
{
	__u32 payload = n->offset + n->length - n->transport;
	__be16 length;

	*covered = payload;
	switch (n->protocol) {
	case IPPROTO_TCP:
		return payload < sizeof(struct tcphdr)
			       ? 0
			       : n->transport + (__u32)offsetof(struct tcphdr, check);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return payload < sizeof(struct icmp_message)
			       ? 0
			       : n->transport + (__u32)offsetof(struct icmp_message, checksum);
	case IPPROTO_UDP:
		if (bpf_xdp_load_bytes(ctx, n->transport + offsetof(struct udphdr, len), &length,
				       sizeof(length)))
			return 0;
		/* what may lie behind it is none of its */
		*covered = bpf_ntohs(length);
		if (*covered < sizeof(struct udphdr) || *covered > payload)
			return 0;
		return n->transport + (__u32)offsetof(struct udphdr, check);
	}
	return 0;
}

/* The pseudo header's sum into c->sum; of the packet as it is, which is n's but for its
 * addresses. */
static __noinline int csum_pseudo(struct xdp_md *ctx, const struct network *n, __u32 covered,
				  struct csum_chunk *c)
{
	__u32 length = n->is_v6 ? 2 * sizeof(struct in6_addr) : 2 * sizeof(__be32);
	__u32 at = n->is_v6 ? offsetof(struct ipv6hdr, saddr) : offsetof(struct iphdr, saddr);

	c->sum = 0;
	if (n->protocol == IPPROTO_ICMP)
		return 0;
	if (bpf_xdp_load_bytes(ctx, n->offset + at, c->bytes, length))
		return -1;
	c->sum = sum_bytes(c->bytes, length) + bpf_htons(n->protocol) + bpf_htons((__u16)covered);
	return 0;
}

/* 1 where the packet's checksum is right, 0 where not or where there is none. */
static __noinline int csum_right(struct xdp_md *ctx, const struct network *n, struct csum_chunk *c)
{
	__u32 covered = 0, at = csum_field(ctx, n, &covered);

	if (!at || csum_pseudo(ctx, n, covered, c))
		return 0;
	c->at = n->transport;
	c->left = covered;
	return !csum_range(ctx, c) && !csum_fold(c->sum);
}

/* 1 where the checksum waits to be completed. */
static __noinline int csum_is_partial(struct xdp_md *ctx, const struct network *n, int generic,
				      struct csum_chunk *c)
{
	__u32 covered = 0, at = csum_field(ctx, n, &covered);
	__u16 check, sum;

	if (!at || bpf_xdp_load_bytes(ctx, at, &check, sizeof(check)) ||
	    csum_pseudo(ctx, n, covered, c))
		return 0;
	sum = ~csum_fold(c->sum);
	if (check != sum)
		return 0;
	return !generic || !csum_right(ctx, n, c);
}

/* Computes the checksum from nothing. */
static __noinline int csum_complete(struct xdp_md *ctx, const struct network *n,
				    struct csum_chunk *c)
{
	__u32 covered = 0, at = csum_field(ctx, n, &covered);
	__u16 check = 0;

	if (!at || bpf_xdp_store_bytes(ctx, at, &check, sizeof(check)) ||
	    csum_pseudo(ctx, n, covered, c))
		return -1;
	c->at = n->transport;
	c->left = covered;
	if (csum_range(ctx, c))
		return -1;
	check = csum_fold(c->sum);
	/* zero is "none" to UDP, and the same number to TCP and ICMP */
	if (!check && n->protocol == IPPROTO_UDP)
		check = 0xffff;
	return bpf_xdp_store_bytes(ctx, at, &check, sizeof(check)) ? -1 : 0;
}

#endif
