/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the later fragments of a packet go: they have no ports, so the first one, which
 * has, leaves word. What fragments of one packet have in common is told by RFC 791
 * (addresses, protocol, identification) and RFC 8200 (addresses, identification).
 */
#ifndef TUNDISH_FRAGMENT_H
#define TUNDISH_FRAGMENT_H

#include <tundish/addr.h>

/* ---- fragments: LRU hash -------------------------------------------------------- */

struct tundish_fragment_key {
	struct tundish_addr source, destination;
	__be32 id_be;
	__u8 protocol; /* of IPv6 always 0 */
	__u8 padding[3];
};

enum tundish_fragment_side {
	TUNDISH_FRAGMENT_PLAIN = 0,  /* delivered as it is */
	TUNDISH_FRAGMENT_CLIENT = 1, /* translated, from the client's side */
	TUNDISH_FRAGMENT_SERVER = 2, /* and from the server's */
};

struct tundish_fragment {
	__u64 first_ns; /* bpf_ktime_get_coarse_ns() when the first one came */
	__u32 backend;
	__u16 service;
	__be16 source_port_be;
	__be16 port_be;
	__u8 protocol;	  /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 side;	  /* enum tundish_fragment_side; of others than PLAIN: */
	__u16 generation; /* of the record */
	__u16 reserved;
	__u32 record; /* index into nat */
	__u32 new_id; /* identification that they leave with */
};

/* As long as a receiver keeps them (RFC 8200 has 60 s, Linux 30 s). */
#define TUNDISH_FRAGMENT_NS   (30ull * 1000000000)
#define TUNDISH_FRAGMENTS_MAX (1u << 20)

_Static_assert(sizeof(struct tundish_fragment_key) == 40, "no holes in a key");
_Static_assert(sizeof(struct tundish_fragment) == 32, "fragment");

#endif
