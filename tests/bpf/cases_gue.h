/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Generic UDP encapsulation: out of this host in all pairs of families, and into it.
 */
#ifndef TESTS_CASES_GUE_H
#define TESTS_CASES_GUE_H

#include "bpf/cases_tunnel.h"

static const enum kind gue_kinds[] = {K_GUE4, K_GUE6, K_VLAN_GUE};

/* The UDP source port of a flow's tunnel. */
static inline uint16_t gue_source_of(const struct spec *flow)
{
	return 0xc000 | (tundish_choice_hash(&flow->src, TUNDISH_BE16(flow->sport),
					     TUNDISH_BE16(flow->dport)) &
			 0x3fff);
}

/* The inner frame's packet in GUE to `port`, of variant 0 or 1. */
static inline struct packet *wrap_gue_to(struct packet *p, const struct spec *outer,
					 const struct packet *inner, int variant, uint16_t port)
{
	uint32_t from = network_at(inner), length = inner->len - from, at;
	uint32_t header = variant ? 8 : 12;

	at = build_link(p->data, outer, spec_v6(outer) ? 0x86dd : 0x0800);
	at += build_ip(p->data + at, outer, P_UDP, header + length);
	build_gue(p->data + at, 0xc123, port, inner->data[from] >> 4 == 6 ? P_IPV6 : P_IPIP,
		  length);
	put16(p->data + at + 4, header + length);
	memcpy(p->data + at + header, inner->data + from, length);
	p->len = at + header + length;
	return p;
}

static inline struct packet *wrap_gue(struct packet *p, const struct spec *outer,
				      const struct packet *inner, int variant)
{
	return wrap_gue_to(p, outer, inner, variant, GUE_HERE);
}

/* ---- out ---------------------------------------------------------------------------- */

static inline void case_gue_out(void **state)
{
	struct packet in, want;
	char name[64];

	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < sizeof(gue_kinds) / sizeof(gue_kinds[0]); i++) {
			for (uint32_t tags = 0; tags < 3; tags++) {
				enum kind k = gue_kinds[i];
				struct spec s = data_of(v6, port_of(k));
				struct way_out w = way_of(k);

				w.gue_source = gue_source_of(&s);
				s.tags = tags;
				s.tag[0] = 0x0123;
				for (s.payload = 0; s.payload < 8900;
				     s.payload += 1 + s.payload * 7) {
					s.padding = s.payload & 2 ? 6 : 0;
					snprintf(name, sizeof(name), "v%d kind %d tags %u bytes %u",
						 v6 ? 6 : 4, k, tags, s.payload);
					build(&in, &s);
					sent(&want, &in, &w);
					expect_fresh(name, &in, action_of(k), &want,
						     C(sent_gue) | (tags ? C(vlan) : 0));
				}
			}
		}
	}
}

static inline void case_gue_udp(void **state)
{
	struct packet in, want;

	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = data_of(v6, port_of(K_GUE6));
		struct way_out w = way_of(K_GUE6);

		s.protocol = P_UDP;
		w.gue_source = gue_source_of(&s);
		build(&in, &s);
		expect_fresh("UDP", &in, action_of(K_GUE6), sent(&want, &in, &w), C(sent_gue));
	}
}

/* Each flow has a source port, the same in all its packets and in errors about it; together
 * they use the range. */
static inline void case_gue_source_ports(void **state)
{
	static uint8_t seen[0x4000];
	struct packet in, out, lost;
	uint32_t distinct = 0;

	memset(seen, 0, sizeof(seen));
	world_reset();
	for (uint32_t i = 0; i < 20000; i++) {
		struct spec s = data_of(i & 1, port_of(K_GUE6));
		uint32_t source;

		s.sport = (uint16_t)(1024 + i);
		assert_int_equal(rig_run(build(&in, &s), &out), XDP_TX);
		source = get16(out.data + 14 + 40);
		assert_int_equal(source, gue_source_of(&s));
		distinct += !seen[source & 0x3fff]++;
	}
	/* 20,000 thrown at 16,384: 70.5% are hit at least once */
	assert_in_range(distinct, 0x4000 * 68 / 100, 0x4000 * 73 / 100);

	for (int v6 = 0; v6 < 2; v6++) {
		struct spec l = lost_of(v6, port_of(K_GUE4)),
			    e = error_of(v6, v6 ? 2 : 3, v6 ? 0 : 4), flow = l;
		struct way_out w = way_of(K_GUE4);

		flow.src = l.dst; /* the lost packet went the other way */
		flow.sport = l.dport;
		flow.dport = l.sport;
		w.gue_source = gue_source_of(&flow);
		build_error(&in, &e, build(&lost, &l), 100);
		expect_fresh("ICMP error about a flow", &in, XDP_REDIRECT, sent(&out, &in, &w),
			     C(sent_gue) | C(icmp_error) | C(flow_lookup));
	}
	world_reset();
}

static inline void case_gue_mtu(void **state)
{
	static const struct {
		enum kind k;
		uint32_t room;
	} rows[] = {{K_NARROW_GUE4, 1400 - 20 - 12}, {K_NARROW_GUE6, 1400 - 40 - 12}};
	struct packet in, want;
	char name[64];

	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < 2; i++) {
			struct spec s = data_of(v6, port_of(rows[i].k));
			struct way_out w = way_of(rows[i].k);

			w.gue_source = gue_source_of(&s);
			for (uint32_t tags = 0; tags < 3; tags++) {
				counter_set vlan = tags ? C(vlan) : 0;

				s.tags = tags;
				s.payload = rows[i].room - 20 - (v6 ? 40 : 20);
				snprintf(name, sizeof(name), "v%d kind %d tags %u fits", v6 ? 6 : 4,
					 rows[i].k, tags);
				build(&in, &s);
				expect_fresh(name, &in, action_of(rows[i].k), sent(&want, &in, &w),
					     C(sent_gue) | vlan);
				for (uint32_t over = 1; over < 110; over += 36) {
					s.payload = rows[i].room - 20 - (v6 ? 40 : 20) + over;
					build(&in, &s);
					expect_fresh("over", &in, XDP_TX,
						     too_big(&want, &in, rows[i].room),
						     C(sent_icmp_too_big) | vlan);
				}
			}
		}
	}
}

static inline void case_gue_hop_limit(void **state)
{
	struct packet in, want;

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint32_t ttl = 0; ttl < 256; ttl++) {
			struct spec s = data_of(v6, port_of(K_GUE4));
			struct way_out w = way_of(K_GUE4);

			w.gue_source = gue_source_of(&s);
			s.ttl = (uint8_t)ttl;
			s.no_ttl = !ttl;
			build(&in, &s);
			sent(&want, &in, &w);
			if (ttl <= 1)
				expect_fresh("hop limit 0, 1", &in, XDP_DROP, NULL, C(drop_ttl));
			else
				expect_fresh("hop limit", &in, XDP_REDIRECT, &want, C(sent_gue));
		}
	}
}

/* The next hop says that the backend is this host, or has no source for a tunnel. */
static inline void case_gue_nexthop(void **state)
{
	struct tundish_nexthop h = {
		.ifindex = RIG_INGRESS, .flags = TUNDISH_NEXTHOP_VALID, .mtu = 1500};
	struct packet in;

	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = data_of(v6, port_of(K_GUE6));

		h.flags = TUNDISH_NEXTHOP_VALID;
		rig_set_nexthop(K_GUE6, &h);
		expect_fresh("no source for the tunnel", build(&in, &s), XDP_DROP, NULL,
			     C(drop_no_nexthop));
		h.flags |= TUNDISH_NEXTHOP_LOCAL;
		rig_set_nexthop(K_GUE6, &h);
		expect_fresh("the backend is this host", &in, XDP_PASS, NULL, C(pass_local));
	}
	world_make();
}

static inline void case_gue_trace(void **state)
{
	struct spec s = data4(port_of(K_GUE4));
	struct tundish_trace t;
	struct packet in;
	bool told = false;

	assert_int_equal(rig_trace(build(&in, &s), &t), XDP_REDIRECT);
	assert_int_equal(t.counter, TUNDISH_COUNTER_sent_gue);
	for (uint32_t i = 0; i < t.n_steps; i++) {
		if (t.steps[i].step != TUNDISH_STEP_gue)
			continue;
		told = true;
		assert_int_equal(t.steps[i].argument, gue_source_of(&s));
	}
	assert_true(told);
}

/* ---- in ----------------------------------------------------------------------------- */

static inline uint32_t gue_bytes(const struct spec *outer, int variant)
{
	return outer_bytes(outer) + (variant ? 8 : 12);
}

static inline void case_gue_in(void **state)
{
	struct packet in, inner, lost, want;
	uint8_t ext[8] = {P_UDP, 0, 4, 1, 4, 1, 0, 0};

	for (int v6 = 0; v6 < 8; v6++) {
		for (uint32_t tags = 0; tags < 3; tags++) {
			for (int more = 0; more < 2; more++) {
				struct spec o = outer_of(v6 & 1), s = inner_of(v6 >> 1 & 1);
				int variant = v6 >> 2;
				counter_set vlan = tags ? C(vlan) : 0;

				o.tags = tags;
				o.tag[0] = 0x0111;
				o.tag[1] = 0x0222;
				if (more && !(v6 & 1)) {
					o.options = 8;
				} else if (more) {
					o.ext = ext;
					o.ext_first = DST;
					o.ext_len = 8;
				}
				wrap_gue(&in, &o, build(&inner, &s), variant);
				unwrapped(&want, &in, gue_bytes(&o, variant));
				expect_fresh("workers", &in, XDP_PASS, &want,
					     C(pass_decapsulated) | vlan);
				s.flags = F_SYN;
				wrap_gue(&in, &o, build(&inner, &s), variant);
				unwrapped(&want, &in, gue_bytes(&o, variant));
				expect_fresh("SYN", &in, XDP_PASS, &want,
					     C(pass_decapsulated) | C(flow_new) | C(flow_lookup) |
						     vlan);
			}
		}
	}
	for (int v6 = 0; v6 < 4; v6++) {
		struct spec o = outer_of(v6 & 1), l = lost_of(v6 >> 1, 80),
			    e = error_of(v6 >> 1, v6 >> 1 ? 2 : 3, v6 >> 1 ? 0 : 4);

		l.src = e.dst = v6 >> 1 ? LOCAL6 : LOCAL4;
		wrap_gue(&in, &o, build_error(&inner, &e, build(&lost, &l), 128), 0);
		unwrapped(&want, &in, gue_bytes(&o, 0));
		expect_fresh("ICMP error", &in, XDP_PASS, &want,
			     C(pass_decapsulated) | C(icmp_error) | C(flow_lookup));
	}
	/* an address may be both, the tunnel's end and the VIP in it */
	struct spec o = outer_of(0), s = inner_of(0);

	o.dst = s.dst = BOTH4;
	wrap_gue(&in, &o, build(&inner, &s), 0);
	expect_fresh("own address and VIP in one", &in, XDP_PASS, unwrapped(&want, &in, 32),
		     C(pass_decapsulated));
}

/* Whatever is not a plain data packet is left to the stack, under a reason of its own. */
static inline void case_gue_odd(void **state)
{
	struct packet in, inner;

	for (int v6 = 0; v6 < 4; v6++) {
		struct spec o = outer_of(v6 & 1), s = inner_of(v6 >> 1);
		uint32_t udp, length;

		build(&inner, &s);
		wrap_gue(&in, &o, &inner, 0);
		udp = 14 + outer_bytes(&o);
		length = in.len - udp;
		for (uint32_t x = 0; x < 256; x++) {
			wrap_gue(&in, &o, &inner, 0);
			in.data[udp + 8] = (uint8_t)x;
			if (!x)
				continue;
			if (x >> 4 != 4 &&
			    x >> 4 != 6) /* those are another packet, and no good one */
				expect_fresh("variant, control, length", &in, XDP_PASS, NULL,
					     C(pass_gue));
			wrap_gue(&in, &o, &inner, 0);
			in.data[udp + 10 + (x & 1)] = (uint8_t)x;
			expect_fresh("flags", &in, XDP_PASS, NULL, C(pass_gue));
			wrap_gue(&in, &o, &inner, 0);
			in.data[udp + 9] = (uint8_t)x;
			if (x != P_IPIP && x != P_IPV6)
				expect_fresh("protocol", &in, XDP_PASS, NULL, C(pass_gue));
		}
		for (uint32_t claim = 0; claim < length + 40; claim++) {
			wrap_gue(&in, &o, &inner, 0);
			put16(in.data + udp + 4, claim);
			if (claim < 12 || claim > length)
				expect_fresh("UDP length", &in, XDP_PASS, NULL, C(pass_gue));
			else if (claim < 12 + (uint32_t)(v6 >> 1 ? 60 : 40))
				expect_fresh("UDP too short for the inner packet", &in, XDP_DROP,
					     NULL, C(drop_malformed));
			else if (claim < length)
				expect_fresh("inner packet longer than UDP", &in, XDP_DROP, NULL,
					     C(drop_malformed));
		}
		/* cut by the outer length: the inner packet and UDP are longer than it */
		for (uint32_t n = 0; n < length; n++) {
			wrap_gue(&in, &o, &inner, 0);
			put16(in.data + 14 + (v6 & 1 ? 4 : 2), n + (v6 & 1 ? 0 : outer_bytes(&o)));
			if (!(v6 & 1))
				fix_v4(in.data + 14);
			expect_fresh("outer length", &in, XDP_PASS, NULL,
				     n < 8 ? C(pass_other) : C(pass_gue));
		}
		wrap_gue_to(&in, &o, &inner, 0, GUE_HERE + 1);
		expect_fresh("another port", &in, XDP_PASS, NULL, C(pass_other));
		o.dst = v6 & 1 ? LOCAL6 : LOCAL4;
		wrap_gue(&in, &o, &inner, 0);
		expect_fresh("to a VIP", &in, XDP_PASS, NULL, C(pass_other));
	}
}

static inline void case_gue_not_in(void **state)
{
	struct packet in, inner, twice;

	for (int v6 = 0; v6 < 4; v6++) {
		for (int variant = 0; variant < 2; variant++) {
			int out6 = v6 & 1, in6 = v6 >> 1;
			struct spec o = outer_of(out6), middle = outer_of(in6),
				    s = data_of(in6, port_of(K_DSR));

			wrap_gue(&in, &o, build(&inner, &s), variant);
			expect_fresh("not a workers' service", &in, XDP_PASS, NULL, C(pass_other));
			s.dst = in6 ? ip6(0x9999) : ip4(192, 0, 2, 99);
			wrap_gue(&in, &o, build(&inner, &s), variant);
			expect_fresh("no VIP", &in, XDP_PASS, NULL, C(pass_other));
			s = inner_of(in6);
			s.doff = 4;
			wrap_gue(&in, &o, build(&inner, &s), variant);
			expect_fresh("malformed", &in, XDP_DROP, NULL, C(drop_malformed));

			/* one tunnel, not two */
			s = inner_of(in6);
			build(&inner, &s);
			wrap_gue(&twice, &middle, &inner, 0);
			wrap_gue(&in, &o, &twice, variant);
			expect_fresh("GUE in GUE", &in, XDP_PASS, NULL, C(pass_other));
			wrap(&in, &o, &twice);
			expect_fresh("GUE in IP in IP", &in, XDP_PASS, NULL, C(pass_other));
			wrap(&twice, &middle, &inner);
			wrap_gue(&in, &o, &twice, variant);
			expect_fresh("IP in IP in GUE", &in, XDP_PASS, NULL, C(pass_other));
		}
	}
	struct spec o = outer_of(0), s = inner_of(0);

	o.fragment = 0x2000;
	wrap_gue(&in, &o, build(&inner, &s), 0);
	expect_fresh("outer fragment", &in, XDP_PASS, NULL, C(pass_other));
	/* a service on the port has it */
	o.fragment = 0;
	o.dst = BOTH4;
	rig.settings.gue_port_be = TUNDISH_BE16(port_of(K_UDP_LOCAL));
	rig_set_settings();
	wrap_gue_to(&in, &o, &inner, 0, port_of(K_UDP_LOCAL));
	expect_fresh("a service of that port", &in, XDP_PASS, NULL,
		     C(pass_workers) | C(flow_lookup) | C(flow_new));
	/* no port is set: nothing is read */
	o.dst = HOST4;
	rig.settings.gue_port_be = 0;
	rig_set_settings();
	wrap_gue_to(&in, &o, &inner, 0, 0);
	expect_fresh("port 0", &in, XDP_PASS, NULL, C(pass_other));
	rig.settings.gue_port_be = TUNDISH_BE16(GUE_HERE);
	rig_set_settings();
}

#define CASES_GUE                                                                                  \
	cmocka_unit_test(case_gue_out), cmocka_unit_test(case_gue_udp),                            \
		cmocka_unit_test(case_gue_source_ports), cmocka_unit_test(case_gue_mtu),           \
		cmocka_unit_test(case_gue_hop_limit), cmocka_unit_test(case_gue_nexthop),          \
		cmocka_unit_test(case_gue_trace), cmocka_unit_test(case_gue_in),                   \
		cmocka_unit_test(case_gue_odd), cmocka_unit_test(case_gue_not_in)

#endif
