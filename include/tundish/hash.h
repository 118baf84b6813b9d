/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two hashes of tundish, and why they are two.
 *
 * Choosing (which Maglev slot) must give the same answer on every edge host
 * with the same configuration, so it has a fixed seed and is cheap.
 * Storing (which bucket of a table) must not be predictable from outside, or a
 * sender could fill one bucket on purpose, so it is keyed with a secret that
 * never leaves the host: SipHash-1-3 (Aumasson and Bernstein, 2012, with the
 * reduced rounds that Linux and Rust use for hash tables).
 */
#ifndef TUNDISH_HASH_H
#define TUNDISH_HASH_H

#include <tundish/addr.h>
#include <tundish/limits.h>

#define TUNDISH_INLINE static inline __attribute__((always_inline))

#define TUNDISH_CHOICE_SEED 0x9e3779b97f4a7c15ull /* 2^64 / golden ratio */

/* MurmurHash3's 64-bit finaliser (Appleby, public domain): full avalanche. */
TUNDISH_INLINE __u64 tundish_mix64(__u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	x ^= x >> 33;
	return x;
}

/*
 * Hash of a connection for the choice of a backend.
 *
 * The VIP is left out on purpose: a row belongs to one service, and a client
 * that meets several VIPs of it from one source port need not be spread anew.
 *
 * @client:      the client's address, network byte order
 * @client_port: network byte order
 * @port:        service port, network byte order
 */
TUNDISH_INLINE __u32 tundish_choice_hash(const struct tundish_addr *client, __be16 client_port,
					 __be16 port)
{
	__u64 hi = ((__u64)client->word[0] << 32 | client->word[1]);
	__u64 lo = ((__u64)client->word[2] << 32 | client->word[3]);
	__u64 x = TUNDISH_CHOICE_SEED ^ ((__u64)client_port << 16 | port);

	/* ports and address are mixed in one after the other: in one word they would lie
	 * over each other, and a client's ports meet its neighbours' */
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 32;
	x = (x ^ lo) * 0xc4ceb9fe1a85ec53ull;
	x ^= x >> 32;
	return (__u32)(tundish_mix64(x ^ hi) >> 32);
}

/* Maps 32 bits of a hash to one of n places without a division (Lemire, 2016). */
TUNDISH_INLINE __u32 tundish_bucket(__u32 hash, __u32 n)
{
	return (__u32)(((__u64)hash * n) >> 32);
}

TUNDISH_INLINE __u32 tundish_choice_slot(__u32 hash)
{
	return tundish_bucket(hash, TUNDISH_MAGLEV_SLOTS);
}

struct tundish_siphash_key {
	__u64 k0, k1;
};

#define TUNDISH_ROTL64(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define TUNDISH_SIPROUND                                                                           \
	do {                                                                                       \
		v0 += v1;                                                                          \
		v1 = TUNDISH_ROTL64(v1, 13);                                                       \
		v1 ^= v0;                                                                          \
		v0 = TUNDISH_ROTL64(v0, 32);                                                       \
		v2 += v3;                                                                          \
		v3 = TUNDISH_ROTL64(v3, 16);                                                       \
		v3 ^= v2;                                                                          \
		v0 += v3;                                                                          \
		v3 = TUNDISH_ROTL64(v3, 21);                                                       \
		v3 ^= v0;                                                                          \
		v2 += v1;                                                                          \
		v1 = TUNDISH_ROTL64(v1, 17);                                                       \
		v1 ^= v2;                                                                          \
		v2 = TUNDISH_ROTL64(v2, 32);                                                       \
	} while (0)

#define TUNDISH_SIPBLOCK(m)                                                                        \
	do {                                                                                       \
		v3 ^= (m);                                                                         \
		TUNDISH_SIPROUND;                                                                  \
		v0 ^= (m);                                                                         \
	} while (0)

/* SipHash-1-3 of n 64-bit words, three or two: `n` is a constant where it is called. */
TUNDISH_INLINE __u64 tundish_siphash_words(const struct tundish_siphash_key *key, const int n,
					   __u64 a, __u64 b, __u64 c)
{
	__u64 v0 = key->k0 ^ 0x736f6d6570736575ull;
	__u64 v1 = key->k1 ^ 0x646f72616e646f6dull;
	__u64 v2 = key->k0 ^ 0x6c7967656e657261ull;
	__u64 v3 = key->k1 ^ 0x7465646279746573ull;
	const __u64 last = (__u64)n * 8 << 56; /* the length in bytes */

	TUNDISH_SIPBLOCK(a);
	TUNDISH_SIPBLOCK(b);
	if (n == 3)
		TUNDISH_SIPBLOCK(c);
	TUNDISH_SIPBLOCK(last);
	v2 ^= 0xff;
	TUNDISH_SIPROUND;
	TUNDISH_SIPROUND;
	TUNDISH_SIPROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

TUNDISH_INLINE __u64 tundish_siphash(const struct tundish_siphash_key *key, __u64 a, __u64 b,
				     __u64 c)
{
	return tundish_siphash_words(key, 3, a, b, c);
}

TUNDISH_INLINE __u64 tundish_siphash2(const struct tundish_siphash_key *key, __u64 a, __u64 b)
{
	return tundish_siphash_words(key, 2, a, b, 0);
}

#endif
