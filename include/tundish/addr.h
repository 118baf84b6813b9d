/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One address type for both families: IPv6 as it is, IPv4 as an IPv4-mapped
 * IPv6 address (RFC 4291, 2.5.5.2), always in network byte order. A key made
 * of it is the same for both families, so each table exists once.
 */
#ifndef TUNDISH_ADDR_H
#define TUNDISH_ADDR_H

#include <linux/types.h>

struct tundish_addr {
	__be32 word[4];
};

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the layouts of tundish are little-endian; see include/tundish/README.md"
#endif
#define TUNDISH_BE32(x) ((__be32)__builtin_bswap32(x))
#define TUNDISH_BE16(x) ((__be16)__builtin_bswap16(x))

static inline __attribute__((always_inline)) struct tundish_addr tundish_addr_v4(__be32 ip)
{
	return (struct tundish_addr){{0, 0, TUNDISH_BE32(0xffff), ip}};
}

static inline __attribute__((always_inline)) int tundish_addr_is_v4(const struct tundish_addr *a)
{
	return a->word[0] == 0 && a->word[1] == 0 && a->word[2] == TUNDISH_BE32(0xffff);
}

static inline __attribute__((always_inline)) int tundish_addr_equal(const struct tundish_addr *a,
								    const struct tundish_addr *b)
{
	return !((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2]) |
		 (a->word[3] ^ b->word[3]));
}

#endif
