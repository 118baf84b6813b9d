/* SPDX-License-Identifier: GPL-2.0-only */
/* From an address and port to the service that claims them. */
#ifndef TUNDISH_SERVICE_H
#define TUNDISH_SERVICE_H

#include <bpf/bpf_endian.h>
#include <linux/in.h>

#include "verdict.h"

/* The range that holds (protocol, port), or NULL: a binary search over disjoint
 * ascending ranges. */
static __always_inline struct tundish_port_range *find_port(struct tundish_vip *vip, __u8 protocol,
							    __u16 port)
{
	__u32 low = 0, high = vip->n_ranges, middle, i;
	struct tundish_port_range *r;

	/* 64 ranges: seven halvings */
	for (i = 0; i < 7; i++) {
		if (low >= high)
			return NULL;
		middle = (low + high) / 2;
		if (middle >= TUNDISH_RANGES_MAX)
			return NULL;
		r = &vip->ranges[middle];
		if (r->protocol < protocol || (r->protocol == protocol && r->last < port))
			low = middle + 1;
		else if (r->protocol > protocol || r->first > port)
			high = middle;
		else
			return r;
	}
	return NULL;
}

/*
 * Who claims a port of an address, packed into one number: what the data path then
 * carries on is no pointer into one of two maps, all of whose uses the verifier
 * would follow for each.
 *
 *   bits  0-7   enum tundish_vip_flag; none: no VIP
 *   bits  8-11  enum tundish_delivery
 *   bit  12     its packets make no flows
 *   bit  13     QUIC: ids in its packets name backends
 *   bit  14     such an id has decided, once that is known
 *   bit  15     UDP
 *   bits 16-31  service; 0: nobody
 *   bits 32-    number of the address, which flows and tuples name it by
 */
#define CLAIM_DELIVERY(c) ((__u32)((c) >> 8) & 0xf)
#define CLAIM_STATELESS	  (TUNDISH_RANGE_STATELESS << 8)
#define CLAIM_QUIC	  (TUNDISH_RANGE_QUIC << 8)
#define CLAIM_DECIDED	  (1u << 14)
#define CLAIM_UDP(c)	  ((__u32)((c) >> 15) & 1)
#define CLAIM_SERVICE(c)  ((__u32)((c) >> 16) & 0xffff)
#define CLAIM_VIP(c)	  ((__u32)((c) >> 32))

/* What claim_find() is asked for beside the address; the port in the host's order. */
#define CLAIM_PORT(protocol, port) ((__u32)(protocol) << 16 | (port))
#define CLAIM_NO_PORT		   0u

/* The more specific VIP's value holds the ports of the wider ones too, so the first
 * one found is all. */
CHECKED_ALONE __u64 claim_find(const struct tundish_addr *address, __u32 port)
{
	struct tundish_port_range *r;
	struct tundish_prefix key;
	struct tundish_vip *vip;
	__u64 claim;

	if (!address)
		return 0;
	key.address = *address; /* 6.1 takes a key from the stack only */
	vip = bpf_map_lookup_elem(&vips, &key.address);
	if (unlikely(!vip)) {
		struct tundish_settings *s;
		__u32 zero = 0;

		s = bpf_map_lookup_elem(&settings, &zero);
		if (!s || !s->n_prefixes)
			return 0;
		key.length = 128;
		vip = bpf_map_lookup_elem(&prefixes, &key);
		if (!vip)
			return 0;
	}
	claim = (__u64)(vip->id + (bpf_ntohl(key.address.word[3]) & vip->mask)) << 32 |
		(vip->flags & 0xff);
	if (port == CLAIM_NO_PORT)
		return claim;
	r = find_port(vip, (__u8)(port >> 16), (__u16)port);
	if (!r)
		return claim;
	return claim | (__u64)r->service << 16 | (__u64)(r->protocol == IPPROTO_UDP) << 15 |
	       (__u64)r->delivery << 8;
}

#endif
