/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Types, codes, pointers and MTUs of ICMP errors, from one family's to the other's:
 * the tables of RFC 7915, 4.2 and 5.2.
 */
#ifndef TUNDISH_ICMP_FAMILY_H
#define TUNDISH_ICMP_FAMILY_H

#include "icmp.h"
#include "parse.h"

#define ICMPV6_TIME_EXCEEDED 3
#define V6_MTU_LEAST	     1280u /* RFC 8200, 5 */

/* RFC 1191, 7.1: what the path may carry, where a router does not say. */
static __always_inline __u32 mtu_plateau(__u32 length)
{
	return length > 32000	? 32000
	       : length > 17914 ? 17914
	       : length > 8166	? 8166
	       : length > 4352	? 4352
	       : length > 2002	? 2002
	       : length > 1492	? 1492
	       : length > 1006	? 1006
	       : length > 508	? 508
	       : length > 296	? 296
				: 68;
}

/* RFC 7915, 4.2, figure 3. 0xff: the field has no counterpart. */
static __always_inline __u32 pointer_to_v6(__u32 p)
{
	if (p < 2)
		return p; /* version, traffic class */
	if (p < 4)
		return 4; /* length */
	if (p == 8)
		return 7; /* hop limit */
	if (p == 9)
		return 6; /* next header */
	if (p >= 12 && p < 16)
		return 8;
	if (p >= 16 && p < 20)
		return 24;
	return 0xff;
}

/* The same, 5.2, figure 6. */
static __always_inline __u32 pointer_to_v4(__u32 p)
{
	if (p < 2)
		return p;
	if (p == 4 || p == 5)
		return 2;
	if (p == 6)
		return 9;
	if (p == 7)
		return 8;
	if (p >= 8 && p < 24)
		return 12;
	if (p >= 24 && p < 40)
		return 16;
	return 0xff;
}

/* Type, code and what follows the checksum, of an ICMPv4 error as ICMPv6. -1: there is
 * none for it. @length: what the quoted packet says of itself. */
static __always_inline int icmp_to_v6(struct icmp_message *m, __u32 length)
{
	__u32 rest = bpf_ntohl(m->mtu), mtu;
	__u8 type = m->type, code = m->code;

	m->mtu = 0;
	if (type == ICMP_TIME_EXCEEDED) {
		m->type = ICMPV6_TIME_EXCEEDED;
		return 0;
	}
	if (type == ICMP_PARAMETERPROB) {
		rest = pointer_to_v6(rest >> 24);
		if ((code != 0 && code != 2) || rest == 0xff)
			return -1;
		m->type = ICMPV6_PARAMPROB;
		m->code = 0;
		m->mtu = bpf_htonl(rest);
		return 0;
	}
	m->type = ICMPV6_DEST_UNREACH;
	switch (code) {
	case 0:
	case 1:
	case 5:
	case 6:
	case 7:
	case 8:
	case 11:
	case 12: m->code = 0; return 0;
	case 9:
	case 10:
	case 13:
	case 15: m->code = 1; return 0;
	case 2: /* protocol unreachable: an unknown next header */
		m->type = ICMPV6_PARAMPROB;
		m->code = 1;
		m->mtu = bpf_htonl(6);
		return 0;
	case 3: m->code = 4; return 0;
	case ICMP_FRAG_NEEDED:
		mtu = rest & 0xffff;
		if (!mtu)
			mtu = mtu_plateau(length);
		mtu += sizeof(struct ipv6hdr) - sizeof(struct iphdr);
		m->type = ICMPV6_PKT_TOOBIG;
		m->code = 0;
		m->mtu = bpf_htonl(mtu < V6_MTU_LEAST ? V6_MTU_LEAST : mtu);
		return 0;
	}
	return -1;
}

/* The other way round. */
static __always_inline int icmp_to_v4(struct icmp_message *m)
{
	__u32 rest = bpf_ntohl(m->mtu);
	__u8 type = m->type, code = m->code;

	m->mtu = 0;
	if (type == ICMPV6_TIME_EXCEEDED) {
		m->type = ICMP_TIME_EXCEEDED;
		return 0;
	}
	if (type == ICMPV6_PKT_TOOBIG) {
		rest = rest < V6_MTU_LEAST ? V6_MTU_LEAST : rest > 0xffff ? 0xffff : rest;
		m->type = ICMP_DEST_UNREACH;
		m->code = ICMP_FRAG_NEEDED;
		m->mtu = bpf_htonl(rest - (sizeof(struct ipv6hdr) - sizeof(struct iphdr)));
		return 0;
	}
	if (type == ICMPV6_PARAMPROB) {
		if (code == 1) {
			m->type = ICMP_DEST_UNREACH;
			m->code = 2;
			return 0;
		}
		rest = rest < 0xff ? pointer_to_v4(rest) : 0xff;
		if (code || rest == 0xff)
			return -1;
		m->type = ICMP_PARAMETERPROB;
		m->mtu = bpf_htonl(rest << 24);
		return 0;
	}
	m->type = ICMP_DEST_UNREACH;
	switch (code) {
	case 0:
	case 2:
	case 3: m->code = 1; return 0;
	case 1: m->code = 10; return 0;
	case 4: m->code = 3; return 0;
	}
	return -1;
}

#endif
