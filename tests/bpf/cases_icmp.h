/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pings, and ICMP errors about a flow: each type, to each kind of delivery, and what
 * is not one although it looks like it.
 */
#ifndef TESTS_CASES_ICMP_H
#define TESTS_CASES_ICMP_H

#include "bpf/cases_odd.h"

#define ROUTER4 ip4(203, 0, 113, 1)
#define ROUTER6 ip6(0x5001)

static inline struct spec ping_of(int v6)
{
	struct spec s = {.src = v6 ? CLIENT6 : CLIENT4,
			 .dst = v6 ? VIP6 : VIP4,
			 .protocol = v6 ? P_ICMP6 : P_ICMP,
			 .type = v6 ? 128 : 8,
			 .sport = 0x7777,
			 .dport = 3};

	return s;
}

static inline void case_ping(void **state)
{
	static const uint32_t sizes[] = {0, 1, 2, 3, 8, 55, 56, 57, 1400, 3000};
	static const uint8_t ttls[] = {1, 2, 63, 64, 65, 255};
	struct packet in, want;

	for (int v6 = 0; v6 < 2; v6++) {
		for (int local = 0; local < 2; local++) {
			struct spec s = ping_of(v6);

			if (local)
				s.dst = v6 ? LOCAL6 : LOCAL4;
			for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
				for (s.tags = 0; s.tags < 3; s.tags++) {
					s.payload = sizes[i];
					s.ttl = ttls[i % sizeof(ttls)];
					build(&in, &s);
					pong(&want, &in);
					expect_fresh("ping", &in, XDP_TX, &want,
						     C(sent_ping) | (s.tags ? C(vlan) : 0));
				}
			}
			s = ping_of(v6);
			s.dst = v6 ? HOST6 : HOST4;
			expect_fresh("ping of an own address", build(&in, &s), XDP_PASS, NULL,
				     C(pass_other));
		}
	}
	/* each checksum the arithmetic can meet, 0 and ffff among them */
	for (uint32_t i = 0; i < 65536; i += 5) {
		struct spec s = ping_of(0);

		s.dport = (uint16_t)i;
		s.sport = (uint16_t)(i * 31);
		build(&in, &s);
		put16(in.data + 14 + 4, i * 7);
		fix_v4(in.data + 14);
		pong(&want, &in);
		expect_fresh("checksums", &in, XDP_TX, &want, C(sent_ping));
	}
	for (uint32_t options = 4; options <= 40; options += 4) {
		struct spec s = ping_of(0);

		s.options = options;
		s.payload = 56;
		build(&in, &s);
		pong(&want, &in);
		expect_fresh("ping with options", &in, XDP_TX, &want, C(sent_ping));
	}
}

/* ICMP at a VIP that is neither a ping nor an error about a flow. */
static inline void case_icmp_others(void **state)
{
	struct packet in;
	char name[64];

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint32_t type = 0; type < 256; type++) {
			struct spec s = ping_of(v6);

			if (type == s.type)
				continue;
			snprintf(name, sizeof(name), "v%d ICMP type %u", v6 ? 6 : 4, type);
			s.type = (uint8_t)type;
			s.payload = 64; /* nothing that makes sense as a packet */
			expect_fresh(name, build(&in, &s), XDP_PASS, NULL, C(pass_icmp));
			s.payload = 0;
			expect_fresh(name, build(&in, &s), XDP_PASS, NULL, C(pass_icmp));
		}
		/* the other family's ICMP is just some protocol */
		struct spec s = ping_of(v6);

		s.protocol = v6 ? P_ICMP : P_ICMP6;
		expect_fresh("the other family's ICMP", build(&in, &s), XDP_PASS, NULL,
			     C(pass_other));
		/* a header cut short */
		s = ping_of(v6);
		build(&in, &s);
		for (uint32_t n = 0; n < 8; n++) {
			put16(in.data + 14 + (v6 ? 4 : 2), n + (v6 ? 0 : 20));
			expect_fresh("ping cut short", &in, XDP_PASS, NULL, C(pass_icmp));
		}
	}
}

/* What the VIP sent to the client, and a router could not deliver. */
static inline struct spec lost_of(int v6, uint16_t port)
{
	struct spec s = {.src = v6 ? VIP6 : VIP4,
			 .dst = v6 ? CLIENT6 : CLIENT4,
			 .sport = port,
			 .dport = 40000,
			 .seq = 77,
			 .payload = 1200};

	return s;
}

static inline struct spec error_of(int v6, uint8_t type, uint8_t code)
{
	struct spec s = {.src = v6 ? ROUTER6 : ROUTER4,
			 .dst = v6 ? VIP6 : VIP4,
			 .type = type,
			 .code = code,
			 .dport = 1400};

	return s;
}

static inline void case_icmp_errors(void **state)
{
	static const uint8_t types4[] = {3, 11, 12}, types6[] = {1, 2, 3, 4};
	static const enum kind kinds[] = {K_DSR, K_IPIP4, K_IPIP6, K_VLAN, K_WORKERS, K_LOCAL};
	struct packet in, want, lost;
	char name[64];

	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < (v6 ? 4u : 3u); i++) {
			for (size_t j = 0; j < sizeof(kinds) / sizeof(kinds[0]); j++) {
				for (uint32_t quote = v6 ? 44 : 24; quote < 1300;
				     quote = quote * 2 + 1) {
					enum kind k = kinds[j];
					struct spec l = lost_of(v6, port_of(k)),
						    e = error_of(v6, v6 ? types6[i] : types4[i],
								 (uint8_t)(quote & 15));
					struct way_out w = way_of(k);

					e.tags = quote & 1;
					e.tag[0] = 5;
					snprintf(name, sizeof(name), "v%d type %u kind %d quote %u",
						 v6 ? 6 : 4, e.type, k, quote);
					build_error(&in, &e, build(&lost, &l), quote);
					sent(&want, &in, &w);
					if (k == K_WORKERS || k == K_LOCAL)
						expect_fresh(name, &in, XDP_PASS, NULL,
							     C(icmp_error) | C(flow_lookup) |
								     (e.tags ? C(vlan) : 0) |
								     (k == K_WORKERS
									      ? C(pass_workers)
									      : C(pass_local)));
					else
						expect_fresh(name, &in, action_of(k), &want,
							     C(icmp_error) | C(flow_lookup) |
								     sent_by(k) |
								     (e.tags ? C(vlan) : 0));
				}
			}
		}
	}
}

/* Errors that quote what is no packet of a flow here. */
static inline void case_icmp_wrong_quotes(void **state)
{
	struct packet in, lost;

	for (int v6 = 0; v6 < 2; v6++) {
		struct spec l = lost_of(v6, port_of(K_DSR)),
			    e = error_of(v6, v6 ? 2 : 3, v6 ? 0 : 4);
		uint32_t header = v6 ? 40 : 20, at = 14 + header + 8;

		for (uint32_t quote = 0; quote < header + 4; quote++)
			expect_fresh("quote too short",
				     build_error(&in, &e, build(&lost, &l), quote), XDP_PASS, NULL,
				     C(pass_icmp));
		/* the ports lie in the frame, but behind the packet */
		build_error(&in, &e, build(&lost, &l), header + 8);
		put16(in.data + 14 + (v6 ? 4 : 2), (v6 ? 0 : 20) + 8 + header + 3);
		if (!v6)
			fix_v4(in.data + 14);
		expect_fresh("quote ends before the ports", &in, XDP_PASS, NULL, C(pass_icmp));
		l.src = v6 ? ip6(0x4321) : ip4(192, 0, 2, 77);
		expect_fresh("not from this VIP", build_error(&in, &e, build(&lost, &l), 128),
			     XDP_PASS, NULL, C(pass_icmp));
		l.src = v6 ? LOCAL6 : LOCAL4;
		expect_fresh("from another VIP", build_error(&in, &e, build(&lost, &l), 128),
			     XDP_PASS, NULL, C(pass_icmp));
		l = lost_of(v6, 999);
		expect_fresh("no service on the port", build_error(&in, &e, build(&lost, &l), 128),
			     XDP_PASS, NULL, C(pass_icmp));
		l = lost_of(v6, port_of(K_DSR));
		l.protocol = P_UDP;
		expect_fresh("UDP", build_error(&in, &e, build(&lost, &l), 128), XDP_PASS, NULL,
			     C(pass_icmp));
		l.protocol = v6 ? P_ICMP6 : P_ICMP;
		expect_fresh("ICMP", build_error(&in, &e, build(&lost, &l), 128), XDP_PASS, NULL,
			     C(pass_icmp));
		l = lost_of(v6, port_of(K_DSR));
		for (uint32_t version = 0; version < 16; version++) {
			if (version == (v6 ? 6u : 4u))
				continue;
			build_error(&in, &e, build(&lost, &l), 128);
			in.data[at] = (uint8_t)(version << 4 | (in.data[at] & 15));
			expect_fresh("wrong version", &in, XDP_PASS, NULL, C(pass_icmp));
		}
		if (v6)
			continue;
		for (uint32_t words = 0; words < 5; words++) {
			build_error(&in, &e, build(&lost, &l), 128);
			in.data[at] = (uint8_t)(0x40 | words);
			expect_fresh("wrong header length", &in, XDP_PASS, NULL, C(pass_icmp));
		}
		l.fragment = 0x0001;
		expect_fresh("later fragment", build_error(&in, &e, build(&lost, &l), 128),
			     XDP_PASS, NULL, C(pass_icmp));
		l.fragment = 0;
		for (l.options = 4; l.options <= 40;
		     l.options += 4) { /* ports behind options are found */
			struct way_out w = way_of(K_DSR);
			struct packet want;

			build_error(&in, &e, build(&lost, &l), 128);
			sent(&want, &in, &w);
			expect_fresh("quoted options", &in, XDP_TX, &want,
				     C(icmp_error) | C(flow_lookup) | C(sent_dsr));
			build_error(&in, &e, &lost, 20 + l.options + 3);
			expect_fresh("ends in quoted options", &in, XDP_PASS, NULL, C(pass_icmp));
		}
	}
}

/* No ICMP error is sent about an ICMP error (RFC 1122, 3.2.2; RFC 4443, 2.4). */
static inline void case_icmp_about_icmp(void **state)
{
	struct packet in, lost;

	for (int v6 = 0; v6 < 2; v6++) {
		struct spec l = lost_of(v6, port_of(K_NARROW)),
			    e = error_of(v6, v6 ? 2 : 3, v6 ? 0 : 4);
		struct tundish_counters before, after;
		struct packet out;
		int r;

		l.payload = 2000;
		build_error(&in, &e, build(&lost, &l), 1500);
		rig_counters(&before);
		r = rig_run(&in, &out);
		rig_counters(&after);
		assert_int_equal(r, XDP_DROP);
		assert_int_equal(after.sent_icmp_too_big, before.sent_icmp_too_big);
	}
}

#define CASES_ICMP                                                                                 \
	cmocka_unit_test(case_ping), cmocka_unit_test(case_icmp_others),                           \
		cmocka_unit_test(case_icmp_errors), cmocka_unit_test(case_icmp_wrong_quotes),      \
		cmocka_unit_test(case_icmp_about_icmp)

#endif
