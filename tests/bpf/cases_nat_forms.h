/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Translated packets of other forms: options and extension headers, checksums that are
 * missing or wait to be completed, what is changed on request, two tags, and errors between
 * families.
 */
#ifndef TESTS_CASES_NAT_FORMS_H
#define TESTS_CASES_NAT_FORMS_H

#include "bpf/cases_nat.h"

static inline uint8_t *nat_transport(struct packet *p)
{
	uint8_t *ip = p->data + network_at(p);

	return ip + (ip[0] >> 4 == 6 ? 40u : (ip[0] & 15u) * 4);
}

/* The checksum anew, or what waits to be completed in its place. */
static inline struct packet *nat_sum(struct packet *p, bool partial)
{
	uint8_t *ip = p->data + network_at(p), *t = nat_transport(p);
	uint32_t n = (uint32_t)(p->data + p->len - t), udp = ip[ip[0] >> 4 == 6 ? 6 : 9] == P_UDP,
		 sum = pseudo_sum(ip, udp ? P_UDP : P_TCP, n);
	uint8_t *check = t + (udp ? 6 : 16);

	put16(check, 0);
	put16(check, partial ? sum : naive_error(naive_add(sum, t, n)));
	return p;
}

static inline uint16_t nat_opened(const struct spec *s)
{
	uint16_t port;

	nat_reset();
	port = nat_open("open", s);
	nat_back("open", s, port, s->protocol == P_UDP ? 0 : F_SYN | F_ACK);
	return port;
}

static inline void case_nat_partial(void **state)
{
	uint32_t ifindex = RIG_INGRESS;

	for (int generic = 0; generic < 2; generic++) {
		struct tundish_link l = {.flags = TUNDISH_LINK_PARTIAL |
						  (generic ? TUNDISH_LINK_GENERIC : 0),
					 .mtu = 1500};

		for (int i = 0; i < 12; i++) {
			int v6 = i & 1, udp = i >> 1 & 1;
			struct spec s = nat_request(v6, (uint16_t)(2000 + i / 4),
						    udp ? P_UDP : P_TCP, udp ? 0 : F_SYN),
				    to, answer;
			struct packet in, want;
			uint16_t port = nat_opened(&s);

			rig_put("links", &ifindex, &l);
			rig.nat_settings.n_partial = 1;
			rig_set_settings();
			s = nat_request(v6, s.dport, s.protocol, udp ? 0 : F_ACK);
			to = nat_forwarded(&s, port);
			nat_sum(nat_build(&in, &s), true);
			nat_build(&want, &to);
			if (generic)
				nat_sum(&want, true);
			nat_expect("partial", &in, XDP_REDIRECT, &want,
				   nat_sent(&s) | C(checksum_partial));
			answer = nat_answer(&s, port, udp ? 0 : F_ACK);
			to = nat_returned(&s, &answer);
			nat_sum(nat_build(&in, &answer), true);
			nat_build(&want, &to);
			if (generic)
				nat_sum(&want, true);
			nat_expect("partial answer", &in, XDP_TX, &want,
				   C(sent_reply) | C(checksum_partial));
			nat_out("whole", &s, port, nat_sent(&s));
			l.flags = 0;
			rig_put("links", &ifindex, &l);
			rig.nat_settings.n_partial = 0;
			rig_set_settings();
			l.flags = TUNDISH_LINK_PARTIAL | (generic ? TUNDISH_LINK_GENERIC : 0);
		}
	}
}

/* A description's packet whose TCP options are these. */
static inline struct packet *nat_with(struct packet *p, struct spec s, const uint8_t *option,
				      uint32_t n)
{
	s.doff = (uint8_t)(5 + n / 4);
	build(p, &s);
	memcpy(nat_transport(p) + 20, option, n);
	return nat_sum(p, false);
}

/* The MSS of either side's SYN, where it is more than the service wants. */
static inline void case_nat_mss(void **state)
{
	const uint8_t large[] = {2, 4, 1460 >> 8, 1460 & 255},
		      most[] = {2, 4, 1000 >> 8, 1000 & 255}, small[] = {2, 4, 536 >> 8, 536 & 255};

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint16_t port = 2000; port < 2003; port++) {
			struct spec s = nat_request(v6, port, P_TCP, F_SYN), to, answer;
			struct packet in, want;
			uint16_t source;

			nat_reset();
			rig.deliveries[nat_kind_of(v6, port)].mss = 1000;
			source = nat_open("MSS", &s);
			to = nat_forwarded(&s, source);
			nat_with(&in, s, large, 4);
			nat_with(&want, to, most, 4);
			nat_expect("SYN", &in, XDP_REDIRECT, &want, nat_sent(&s) | C(mss_lowered));
			nat_with(&in, s, small, 4);
			nat_with(&want, to, small, 4);
			nat_expect("small", &in, XDP_REDIRECT, &want, nat_sent(&s));
			answer = nat_answer(&s, source, F_SYN | F_ACK);
			to = nat_returned(&s, &answer);
			nat_with(&in, answer, large, 4);
			nat_with(&want, to, most, 4);
			nat_expect("SYN-ACK", &in, XDP_TX, &want, C(sent_reply) | C(mss_lowered));
		}
	}
}

/* The client's address as an option: told once the server listens, until it has answered;
 * what a client claims of it is taken out. */
static inline void case_nat_toa(void **state)
{
	static const uint8_t claim[] = {254, 8, 1, 2, 3, 4, 5, 6},
			     none[] = {1, 1, 1, 1, 1, 1, 1, 1};

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint16_t port = 2001; port < 2003; port++) {
			struct spec s = nat_request(v6, port, P_TCP, F_SYN), to;
			uint8_t option[20] = {254, v6 ? 20 : 8, 40000 >> 8, 40000 & 255};
			struct packet in, want;
			uint16_t source;

			if (v6)
				memcpy(option + 4, &s.src, 16);
			else
				memcpy(option + 4, &s.src.word[3], 4);
			nat_reset();
			rig.deliveries[nat_kind_of(v6, port)].flags = TUNDISH_DELIVER_TOA;
			source = nat_open("TOA", &s);
			to = nat_forwarded(&s, source);
			nat_with(&in, s, claim, 8);
			nat_with(&want, to, none, 8);
			nat_expect("claimed", &in, XDP_REDIRECT, &want,
				   C(sent_fullnat) | C(toa_stripped));
			nat_back("TOA", &s, source, F_SYN | F_ACK);
			for (int again = 0; again < 2; again++) {
				s = nat_request(v6, port, P_TCP, F_ACK);
				s.payload = again ? 100 : 0;
				to = nat_forwarded(&s, source);
				nat_with(&want, to, option, v6 ? 20 : 8);
				nat_expect("told", build(&in, &s), XDP_REDIRECT, &want,
					   C(sent_fullnat) | C(toa_added));
			}
			nat_back("TOA", &s, source, F_ACK | F_PSH);
			nat_out("heard", &s, source, C(sent_fullnat));
		}
	}
}

/* IPv4 options and IPv6 extension headers: they stay, but for between families. */
static inline void case_nat_options(void **state)
{
	static const uint8_t ext[] = {P_TCP, 0, 1, 4, 0, 0, 0, 0};

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint16_t port = 2000; port < 2003; port++) {
			struct spec s = nat_request(v6, port, P_TCP, F_SYN), to;
			uint16_t source = nat_opened(&s);
			struct packet in, want;

			s = nat_request(v6, port, P_TCP, F_ACK);
			s.options = v6 ? 0 : 12;
			s.ext = ext;
			s.ext_first = 60;
			s.ext_len = v6 ? 8 : 0;
			to = nat_forwarded(&s, source);
			if (port == 2002)
				to.options = to.ext_len = 0;
			nat_expect("options", build(&in, &s), XDP_REDIRECT, build(&want, &to),
				   nat_sent(&s));
			if (!v6)
				continue;
			s.ext_first = 51; /* authenticated: not what became IPv4 */
			to.ext_first = 51;
			if (port == 2002)
				expect("AH", build(&in, &s), XDP_DROP, NULL, C(drop_nat_family));
		}
	}
}

static inline void case_nat_forms(void **state)
{
	struct packet in, want;
	struct spec s, to;
	uint16_t port;

	/* a checksum that is missing stays so, but for IPv6 */
	for (uint16_t service = 2000; service < 2003; service++) {
		s = nat_request(0, service, P_UDP, 0);
		port = nat_opened(&s);
		to = nat_forwarded(&s, port);
		build(&in, &s);
		if (service == 2002)
			nat_build(&want, &to);
		else
			build(&want, &to);
		nat_expect("no checksum", &in, XDP_REDIRECT, &want, nat_sent(&s));
	}
	/* two tags tell no way back, so the kernel is asked; this one does not forward */
	s = nat_request(1, 2001, P_TCP, F_SYN);
	s.tags = 2;
	nat_reset();
	assert_int_equal(rig_run(build(&in, &s), &want), XDP_REDIRECT);
	port = nat_port(&s);
	to = nat_answer(&s, port, F_SYN | F_ACK);
	to.tags = 0;
	expect("no way", build(&in, &to), XDP_DROP, NULL, C(drop_no_nexthop) | C(fib_lookup));
	s.tags = 1;
	to = nat_forwarded(&s, port);
	to.tags = 0;
	nat_expect("a way", build(&in, &s), XDP_REDIRECT, build(&want, &to),
		   C(sent_fullnat) | C(vlan) | C(return_moved));
}

/* Errors between families: the size that fits, each sum right, and each address its own. */
static inline void case_nat_icmp_families(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = nat_request(v6, 2002, P_TCP, F_SYN), answer, back, e;
		struct packet in, out, quoted;
		struct tundish_counters before;
		uint16_t source = nat_opened(&s);
		uint8_t *ip, *icmp;
		uint32_t n;

		answer = nat_answer(&s, source, F_ACK);
		answer.payload = 1300;
		back = nat_returned(&s, &answer);
		e = (struct spec){.src = v6 ? ROUTER6 : ROUTER4,
				  .dst = nat_vip(v6),
				  .type = v6 ? 2 : 3,
				  .code = v6 ? 0 : 4,
				  .dport = 1400};
		build_error(&in, &e, build(&quoted, &back), 100);
		rig_counters(&before);
		assert_int_equal(rig_run(&in, &out), XDP_REDIRECT);
		check_counters("error", &before, C(sent_fullnat) | C(icmp_error));
		ip = out.data + 14;
		icmp = ip + (v6 ? 20 : 40);
		n = out.len - (uint32_t)(icmp - out.data);
		assert_int_equal(ip[0] >> 4, v6 ? 4 : 6);
		assert_int_equal(icmp[0], v6 ? 3 : 2);
		assert_int_equal(icmp[1], v6 ? 4 : 0);
		assert_int_equal(get16(icmp + 6), v6 ? 1380 : 1420);
		assert_int_equal(
			naive_error(naive_add(v6 ? 0 : pseudo_sum(ip, P_ICMP6, n), icmp, n)), 0);
		if (v6) {
			assert_int_equal(naive_error(naive_add(0, ip, 20)), 0);
			assert_int_equal(naive_error(naive_add(0, icmp + 8, 20)), 0);
			assert_memory_equal(ip + 16, &answer.src.word[3], 4);
			assert_memory_equal(icmp + 8 + 12, &answer.src.word[3], 4);
			assert_memory_equal(icmp + 8 + 16, &answer.dst.word[3], 4);
		} else {
			assert_memory_equal(ip + 24, &answer.src, 16);
			assert_memory_equal(icmp + 8 + 8, &answer.src, 16);
			assert_memory_equal(icmp + 8 + 24, &answer.dst, 16);
		}
		assert_int_equal(get16(icmp + 8 + (v6 ? 20 : 40)), answer.sport);
		assert_int_equal(get16(icmp + 8 + (v6 ? 22 : 42)), answer.dport);
	}
}

#define CASES_NAT_FORMS                                                                            \
	cmocka_unit_test(case_nat_partial), cmocka_unit_test(case_nat_mss),                        \
		cmocka_unit_test(case_nat_toa), cmocka_unit_test(case_nat_options),                \
		cmocka_unit_test(case_nat_forms), cmocka_unit_test(case_nat_icmp_families)

#endif
