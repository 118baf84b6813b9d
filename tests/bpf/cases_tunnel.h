/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tunnels that end on this host: its own workers' packets are unwrapped, everything
 * else goes to the stack as it came.
 */
#ifndef TESTS_CASES_TUNNEL_H
#define TESTS_CASES_TUNNEL_H

#include "bpf/cases_icmp.h"

/* The outer header as another edge host would write it. */
static inline struct spec outer_of(int v6)
{
	return (struct spec){.src = v6 ? TUNNEL6 : TUNNEL4,
			     .dst = v6 ? HOST6 : HOST4,
			     .fragment = v6 ? 0 : 0x4000};
}

static inline struct spec inner_of(int v6)
{
	struct spec s = data_of(v6, 80);

	s.dst = v6 ? LOCAL6 : LOCAL4;
	return s;
}

static inline uint32_t outer_bytes(const struct spec *outer)
{
	return spec_v6(outer) ? 40 + outer->ext_len : 20 + outer->options;
}

static inline void case_unwrapped(void **state)
{
	struct packet in, inner, want;
	uint8_t ext[8] = {0, 0, 4, 1, 4, 1, 0, 0}; /* the encapsulation limit that Linux writes */

	for (int v6 = 0; v6 < 4; v6++) {
		for (uint32_t tags = 0; tags < 3; tags++) {
			for (int more = 0; more < 2; more++) {
				struct spec o = outer_of(v6 & 1), s = inner_of(v6 >> 1);

				o.tags = tags;
				o.tag[0] = 0x0111;
				o.tag[1] = 0x0222;
				if (more && !(v6 & 1)) {
					o.options = 8;
				} else if (more) {
					o.ext = ext;
					o.ext_first = DST;
					o.ext_len = 8;
					ext[0] = v6 >> 1 ? P_IPV6 : P_IPIP;
				}
				wrap(&in, &o, build(&inner, &s));
				unwrapped(&want, &in, outer_bytes(&o));
				expect_fresh("workers", &in, XDP_PASS, &want,
					     C(pass_decapsulated) | (tags ? C(vlan) : 0));
				s.flags = F_SYN;
				wrap(&in, &o, build(&inner, &s));
				unwrapped(&want, &in, outer_bytes(&o));
				expect_fresh("SYN", &in, XDP_PASS, &want,
					     C(pass_decapsulated) | C(flow_new) | C(flow_lookup) |
						     (tags ? C(vlan) : 0));
				s = data_of(v6 >> 1, port_of(K_WORKERS));
				s.ttl = 1;
				wrap(&in, &o, build(&inner, &s));
				unwrapped(&want, &in, outer_bytes(&o));
				expect_fresh("workers beside others", &in, XDP_PASS, &want,
					     C(pass_decapsulated) | (tags ? C(vlan) : 0));
			}
		}
	}
	/* an address may be both, the tunnel's end and the VIP in it */
	struct spec o = outer_of(0), s = inner_of(0);

	o.dst = s.dst = BOTH4;
	wrap(&in, &o, build(&inner, &s));
	unwrapped(&want, &in, 20);
	expect_fresh("own address and VIP in one", &in, XDP_PASS, &want, C(pass_decapsulated));
}

/* An ICMP error about a worker's flow comes in the tunnel too, or path MTU discovery fails. */
static inline void case_unwrapped_icmp(void **state)
{
	struct packet in, inner, lost, want;

	for (int v6 = 0; v6 < 4; v6++) {
		struct spec o = outer_of(v6 & 1), l = lost_of(v6 >> 1, 80),
			    e = error_of(v6 >> 1, v6 >> 1 ? 2 : 3, v6 >> 1 ? 0 : 4);

		l.src = e.dst = v6 >> 1 ? LOCAL6 : LOCAL4;
		wrap(&in, &o, build_error(&inner, &e, build(&lost, &l), 128));
		unwrapped(&want, &in, outer_bytes(&o));
		expect_fresh("ICMP error", &in, XDP_PASS, &want,
			     C(pass_decapsulated) | C(icmp_error) | C(flow_lookup));
		/* the edge answers pings itself; one in a tunnel is nobody's */
		struct spec p = ping_of(v6 >> 1);

		p.dst = e.dst;
		wrap(&in, &o, build(&inner, &p));
		expect_fresh("ping", &in, XDP_PASS, NULL, C(pass_other));
	}
}

static inline void case_not_unwrapped(void **state)
{
	struct packet in, inner, twice, want;
	struct spec o, s;

	for (int v6 = 0; v6 < 4; v6++) {
		int out6 = v6 & 1, in6 = v6 >> 1;

		o = outer_of(out6);
		s = data_of(in6, port_of(K_DSR));
		expect_fresh("not a workers' service", wrap(&in, &o, build(&inner, &s)), XDP_PASS,
			     NULL, C(pass_other));
		s = data_of(in6, 999);
		expect_fresh("no service", wrap(&in, &o, build(&inner, &s)), XDP_PASS, NULL,
			     C(pass_other));
		s = inner_of(in6);
		s.dst = in6 ? ip6(0x9999) : ip4(192, 0, 2, 99);
		expect_fresh("no VIP", wrap(&in, &o, build(&inner, &s)), XDP_PASS, NULL,
			     C(pass_other));
		s.dst = in6 ? HOST6 : HOST4;
		expect_fresh("own address", wrap(&in, &o, build(&inner, &s)), XDP_PASS, NULL,
			     C(pass_other));
		s = inner_of(in6);
		s.protocol = P_UDP;
		expect_fresh("UDP", wrap(&in, &o, build(&inner, &s)), XDP_PASS, NULL,
			     C(pass_other));
		s = inner_of(in6);
		s.flags = F_SYN | F_FIN;
		expect_fresh("odd flags", wrap(&in, &o, build(&inner, &s)), XDP_DROP, NULL,
			     C(drop_tcp_flags));
		s = inner_of(in6);
		s.doff = 4;
		expect_fresh("malformed", wrap(&in, &o, build(&inner, &s)), XDP_DROP, NULL,
			     C(drop_malformed));

		/* to an address that is not an end of tunnels */
		s = inner_of(in6);
		o.dst = out6 ? LOCAL6 : LOCAL4;
		expect_fresh("tunnel to a VIP", wrap(&in, &o, build(&inner, &s)), XDP_PASS, NULL,
			     C(pass_other));
		o.dst = out6 ? ip6(0x9999) : ip4(192, 0, 2, 99);
		expect_fresh("tunnel to nobody", wrap(&in, &o, build(&inner, &s)), XDP_PASS, NULL,
			     C(pass_other));

		/* tunnels in tunnels are not for us */
		o = outer_of(out6);
		struct spec middle = outer_of(in6);

		wrap(&twice, &middle, build(&inner, &s));
		expect_fresh("tunnel in a tunnel", wrap(&in, &o, &twice), XDP_PASS, NULL,
			     C(pass_other));
		if (!in6) {
			middle.dst = BOTH4;
			wrap(&twice, &middle, build(&inner, &s));
			expect_fresh("tunnel in a tunnel, to a VIP", wrap(&in, &o, &twice),
				     XDP_PASS, NULL, C(pass_other));
		}
	}
	/* fragments, of the inner packet and of the outer one */
	o = outer_of(0);
	s = inner_of(0);
	for (s.fragment = 0x2000; s.fragment <= 0x2001; s.fragment++) {
		wrap(&in, &o, build(&inner, &s));
		unwrapped(&want, &in, outer_bytes(&o));
		expect_fresh("inner fragment", &in, XDP_PASS, &want, C(pass_decapsulated));
	}
	s.fragment = 0x2000;
	s.dst = VIP4;
	expect_fresh("inner fragment, forwarded VIP", wrap(&in, &o, build(&inner, &s)), XDP_DROP,
		     NULL, C(drop_fragment));
	s = inner_of(0);
	o.fragment = 0x2000;
	expect_fresh("outer fragment", wrap(&in, &o, build(&inner, &s)), XDP_PASS, NULL,
		     C(pass_other));
}

/* The inner packet ends where the outer one does, not where the frame does. */
static inline void case_inner_length(void **state)
{
	struct packet in, inner;
	struct spec o = outer_of(0), s = inner_of(0);
	uint32_t length;

	wrap(&in, &o, build(&inner, &s));
	length = inner.len - 14;
	for (uint32_t claim = 0; claim < length + 50; claim++) {
		wrap(&in, &o, build(&inner, &s));
		memset(in.data + in.len, 0, 40); /* padding behind both */
		in.len += 40;
		put16(in.data + 34 + 2, claim);
		fix_v4(in.data + 34);
		if (claim < 40 || claim > length)
			expect_fresh("inner length", &in, XDP_DROP, NULL, C(drop_malformed));
	}
}

#define CASES_TUNNEL                                                                               \
	cmocka_unit_test(case_unwrapped), cmocka_unit_test(case_unwrapped_icmp),                   \
		cmocka_unit_test(case_not_unwrapped), cmocka_unit_test(case_inner_length)

#endif
