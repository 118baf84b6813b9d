/* SPDX-License-Identifier: GPL-2.0-only */
/* Internet checksums (RFC 1071) and their update by difference (RFC 1624). */
#ifndef TUNDISH_CSUM_H
#define TUNDISH_CSUM_H

#include <linux/types.h>

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

#endif
