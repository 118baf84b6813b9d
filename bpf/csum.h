/* SPDX-License-Identifier: GPL-2.0-only */
/* Internet checksums (RFC 1071) and their update by difference (RFC 1624). */
#ifndef TUNDISH_CSUM_H
#define TUNDISH_CSUM_H

#include <tundish/addr.h>

static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). Words in network byte order. */
static __always_inline __u16 csum_replace(__u16 check, __u16 from, __u16 to)
{
	return csum_fold((__u64)(__u16)~check + (__u16)~from + to);
}

/* What a sum grows by where `to` takes the place of `from`. A complement of 32 bits is as
 * good as one of 16, since 2^32 - 1 is a multiple of 2^16 - 1. */
static __always_inline __u64 csum_change(__u32 from, __u32 to)
{
	return (__u64)(__u32)~from + to;
}

/* The same of an address, also where the families differ: what marks an IPv4 address,
 * 0xffff, is zero to a sum. */
static __always_inline __u64 csum_change_addr(const struct tundish_addr *from,
					      const struct tundish_addr *to)
{
	return csum_change(from->word[0], to->word[0]) + csum_change(from->word[1], to->word[1]) +
	       csum_change(from->word[2], to->word[2]) + csum_change(from->word[3], to->word[3]);
}

#endif
