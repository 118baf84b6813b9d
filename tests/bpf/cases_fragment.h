/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fragments: which packet they are of, where the later ones go, and what is dropped.
 */
#ifndef TESTS_CASES_FRAGMENT_H
#define TESTS_CASES_FRAGMENT_H

#include "bpf/cases_gue.h"
#include "bpf/cases_udp.h"

#define FOLLOWED C(fragment_followed)

/* `bytes` of a packet from 8 * `offset` on. */
static inline struct packet *fragment_of(struct packet *p, struct spec s, uint32_t id,
					 uint32_t offset, bool more, uint32_t bytes)
{
	uint32_t header = s.protocol == P_UDP ? 8 : 20, ip;
	uint8_t ext[8] = {s.protocol ? s.protocol : P_TCP};

	if (spec_v6(&s)) {
		put16(ext + 2, offset << 3 | more);
		put32(ext + 4, id);
		s.ext = ext;
		s.ext_first = 44;
		s.ext_len = 8;
	} else {
		s.fragment = (uint16_t)(more << 13 | offset);
	}
	s.payload = bytes > header ? bytes - header : 0;
	build(p, &s);
	ip = network_at(p);
	if (!spec_v6(&s)) {
		put16(p->data + ip + 4, id);
		fix_v4(p->data + ip);
	}
	if (s.protocol == P_UDP && !offset) /* the whole packet's */
		put16(p->data + ip + (spec_v6(&s) ? 48 : 20) + 4, 4000);
	return p;
}

/* Cuts the frame, and what its IP header says, to `bytes` of data. */
static inline struct packet *cut_to(struct packet *p, uint32_t bytes)
{
	uint32_t ip = network_at(p), v6 = p->data[ip] >> 4 == 6;

	p->len = ip + (v6 ? 48 : 20) + bytes;
	put16(p->data + ip + (v6 ? 4 : 2), (v6 ? 8 : 20) + bytes);
	if (!v6)
		fix_v4(p->data + ip);
	return p;
}

static inline struct tundish_fragment_key fragment_key_of(const struct spec *s, uint32_t id)
{
	struct tundish_fragment_key k = {.source = s->src, .destination = s->dst};

	k.id_be = spec_v6(s) ? TUNDISH_BE32(id) : (__be32)TUNDISH_BE16(id);
	k.protocol = spec_v6(s) ? 0 : s->protocol ? s->protocol : P_TCP;
	return k;
}

static const enum kind fragment_kinds[] = {K_UDP,   K_UDP_BARE, K_GUE6, K_DSR,
					   K_IPIP4, K_IPIP6,	K_GUE4, K_VLAN_GUE};

static inline struct spec fragmented(int v6, enum kind k)
{
	struct spec s = data_of(v6, port_of(k));

	if (k == K_UDP || k == K_UDP_BARE || k == K_GUE6)
		s.protocol = P_UDP;
	return s;
}

static inline uint64_t by_kind(enum kind k)
{
	switch (delivery_of(k)) {
	case TUNDISH_DELIVERY_GUE: return C(sent_gue);
	case TUNDISH_DELIVERY_IPIP: return C(sent_ipip);
	default: return C(sent_dsr);
	}
}

/* First, later, last, each by the same way; UDP and TCP. */
static inline void case_fragments_follow(void **state)
{
	struct packet in, want;
	char name[64];

	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < sizeof(fragment_kinds) / sizeof(fragment_kinds[0]); i++) {
			enum kind k = fragment_kinds[i];
			struct spec s = fragmented(v6, k);
			struct way_out w = way_of(k);
			counter_set asked = k == K_UDP ? ASKED | C(flow_new) : 0;

			world_reset();
			w.gue_source = gue_source_of(&s);
			snprintf(name, sizeof(name), "v%d kind %d", v6 ? 6 : 4, k);
			fragment_of(&in, s, 77, 100, true, 800);
			expect(name, &in, XDP_DROP, NULL, C(drop_fragment)); /* too early */
			fragment_of(&in, s, 77, 0, true, 800);
			sent(&want, &in, &w);
			expect(name, &in, action_of(k), &want, asked | by_kind(k));
			for (uint32_t offset = 100; offset <= 300; offset += 100) {
				struct spec l = s;

				/* what stands there are no ports */
				l.sport = l.dport = (uint16_t)offset;
				fragment_of(&in, l, 77, offset, offset < 300, 800);
				sent(&want, &in, &w);
				expect(name, &in, action_of(k), &want, FOLLOWED | by_kind(k));
			}
			assert_int_equal(rig_traffic(k).packets, 4);
			check_tables(name);
		}
	}
	world_reset();
}

/* Another packet's, or too old a one's. */
static inline void case_fragments_apart(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = fragmented(v6, K_UDP), o;
		struct tundish_fragment_key key = fragment_key_of(&s, 77);
		struct way_out w = way_of(K_UDP);
		struct tundish_fragment f;
		struct packet in, want;

		world_reset();
		fragment_of(&in, s, 77, 0, true, 800);
		expect("first", &in, XDP_TX, sent(&want, &in, &w),
		       ASKED | C(flow_new) | C(sent_dsr));
		assert_non_null(rig_fragment(&key));
		f = *rig_fragment(&key);
		assert_int_equal(f.backend, K_UDP);
		assert_int_equal(f.service, K_UDP);
		assert_int_equal(f.side, TUNDISH_FRAGMENT_PLAIN);

		expect("id", fragment_of(&in, s, 78, 100, false, 80), XDP_DROP, NULL,
		       C(drop_fragment));
		if (v6)
			expect("high bits of the id",
			       fragment_of(&in, s, 77 | 1 << 16, 100, false, 80), XDP_DROP, NULL,
			       C(drop_fragment));
		o = s;
		o.src.word[3] ^= 1 << 24;
		expect("client", fragment_of(&in, o, 77, 100, false, 80), XDP_DROP, NULL,
		       C(drop_fragment));
		o = s;
		o.protocol = v6 ? P_UDP : 0;
		o.dst = RANGES4;
		if (!v6)
			expect("VIP", fragment_of(&in, o, 77, 100, false, 80), XDP_DROP, NULL,
			       C(drop_fragment));
		o = s;
		o.protocol = 0;
		fragment_of(&in, o, 77, 100, false, 80);
		if (v6) /* only the first one's next header counts */
			expect("next header", &in, XDP_TX, sent(&want, &in, &w),
			       FOLLOWED | C(sent_dsr));
		else
			expect("protocol", &in, XDP_DROP, NULL, C(drop_fragment));

		f.first_ns -= TUNDISH_FRAGMENT_NS - 2000000000;
		rig_set_fragment(&key, &f);
		fragment_of(&in, s, 77, 100, false, 80);
		expect("28 seconds", &in, XDP_TX, sent(&want, &in, &w), FOLLOWED | C(sent_dsr));
		f.first_ns -= 2100000000;
		rig_set_fragment(&key, &f);
		expect("over 30", &in, XDP_DROP, NULL, C(drop_fragment));

		/* the id is used again */
		o = s;
		o.dport = port_of(K_UDP_BARE);
		fragment_of(&in, o, 77, 0, true, 800);
		w = way_of(K_UDP_BARE);
		expect("next packet", &in, XDP_TX, sent(&want, &in, &w), C(sent_ipip));
		fragment_of(&in, s, 77, 100, false, 80);
		expect("its later one", &in, XDP_TX, sent(&want, &in, &w), FOLLOWED | C(sent_ipip));
	}
	world_reset();
}

/* The pool changes between the first one and the others. */
static inline void case_fragments_pool(void **state)
{
	static const struct {
		uint8_t state;
		bool follows;
	} states[] = {{TUNDISH_BACKEND_UP, true},   {TUNDISH_BACKEND_DRAIN, true},
		      {TUNDISH_BACKEND_DOWN, true}, {TUNDISH_BACKEND_DISABLED, false},
		      {TUNDISH_BACKEND_GONE, true}, {TUNDISH_BACKEND_FREE, false}};

	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = fragmented(v6, K_UDP);
		struct way_out w = way_of(K_UDP);
		struct packet in, want;

		world_reset();
		fragment_of(&in, s, 5, 0, true, 800);
		expect("first", &in, XDP_TX, sent(&want, &in, &w),
		       ASKED | C(flow_new) | C(sent_dsr));
		give_slots_of(K_UDP, K_UDP_OTHER, true);
		fragment_of(&in, s, 5, 100, false, 80);
		for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
			rig.backends[K_UDP].state = states[i].state;
			if (states[i].follows)
				expect("follows", &in, XDP_TX, sent(&want, &in, &w),
				       FOLLOWED | C(sent_dsr));
			else
				expect("stays out", &in, XDP_DROP, NULL, C(drop_fragment));
		}
		rig.backends[K_UDP].state = TUNDISH_BACKEND_UP;
		rig.backends[K_UDP].service = K_DSR; /* the number is another's now */
		expect("another's", &in, XDP_DROP, NULL, C(drop_fragment));
		rig.backends[K_UDP].service = K_UDP;
		give_slots_of(K_UDP, K_UDP_OTHER, false);
	}
	world_reset();
}

static inline void case_fragments_hostile(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		for (int udp = 0; udp < 2; udp++) {
			enum kind k = udp ? K_UDP_BARE : K_DSR;
			struct spec s = fragmented(v6, k);
			struct tundish_fragment_key key = fragment_key_of(&s, 9);
			struct way_out w = way_of(k);
			struct packet in, want;
			counter_set out = udp ? C(sent_ipip) : C(sent_dsr);

			world_reset();
			for (uint32_t bytes = 0; bytes < (udp ? 8u : 20u); bytes++) {
				cut_to(fragment_of(&in, s, 9, 0, true, 800), bytes);
				expect("tiny", &in, XDP_DROP, NULL, C(drop_fragment));
				assert_null(rig_fragment(&key));
			}
			cut_to(fragment_of(&in, s, 9, 1, true, 800), 8);
			expect("before its first one", &in, XDP_DROP, NULL, C(drop_fragment));
			cut_to(fragment_of(&in, s, 9, 0, true, 800), 24);
			expect("small", &in, XDP_TX, sent(&want, &in, &w), out);
			/* over TCP's flags; of UDP nothing is left to be judged there */
			fragment_of(&in, s, 9, 1, true, 80);
			if (udp)
				expect("overlap", &in, XDP_TX, sent(&want, &in, &w),
				       FOLLOWED | out);
			else
				expect("overlap", &in, XDP_DROP, NULL, C(drop_fragment));
			fragment_of(&in, s, 9, 2, true, 80);
			expect("overlap further on", &in, XDP_TX, sent(&want, &in, &w),
			       FOLLOWED | out);
			/* up to the largest packet that there is, and not beyond */
			cut_to(fragment_of(&in, s, 9, 8191, false, 80), 7);
			expect("the end", &in, XDP_TX, sent(&want, &in, &w), FOLLOWED | out);
			cut_to(fragment_of(&in, s, 9, 8191, false, 80), 8);
			expect("beyond", &in, XDP_DROP, NULL, C(drop_fragment));

			/* a port of nobody's, and of this host's own workers */
			s.dport = 7;
			expect("no port", fragment_of(&in, s, 10, 0, true, 80), XDP_DROP, NULL,
			       C(drop_fragment));
			expect("no port", fragment_of(&in, s, 10, 10, true, 80), XDP_DROP, NULL,
			       C(drop_fragment));
			if (udp)
				continue;
			s.dport = port_of(K_WORKERS);
			expect("workers", fragment_of(&in, s, 11, 0, true, 80), XDP_PASS, NULL,
			       C(pass_workers));
			expect("workers", fragment_of(&in, s, 11, 10, true, 80), XDP_PASS, NULL,
			       FOLLOWED | C(pass_workers));
			s.dport = port_of(K_DSR);
			s.flags = F_SYN | F_FIN;
			expect("flags", fragment_of(&in, s, 12, 0, true, 80), XDP_DROP, NULL,
			       C(drop_tcp_flags));
			s.flags = F_SYN;
			s.doff = 15;
			cut_to(fragment_of(&in, s, 13, 0, true, 80), 40);
			expect("TCP's header is cut", &in, XDP_DROP, NULL, C(drop_malformed));
		}
	}
	world_reset();
}

/* A first fragment takes its part in the life of its flow. */
static inline void case_fragments_flow(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = data_of(v6, port_of(K_POOL));
		struct conn c = {.s = s, .v6 = v6};
		struct way_out w = way_of(K_POOL);
		struct packet in, want;

		world_reset();
		opened(&c);
		c.s.flags = F_FIN | F_ACK;
		c.s.seq = ISN + 1;
		fragment_of(&in, c.s, 1, 0, true, 80);
		expect("FIN", &in, XDP_TX, sent(&want, &in, &w),
		       ASKED | C(flow_closed) | C(sent_dsr));
		assert_int_equal(rig.backends[K_POOL].connections_active, 0);
		check_tables("FIN");
	}
	world_reset();
}

#define CASES_FRAGMENT                                                                             \
	cmocka_unit_test(case_fragments_follow), cmocka_unit_test(case_fragments_apart),           \
		cmocka_unit_test(case_fragments_pool), cmocka_unit_test(case_fragments_hostile),   \
		cmocka_unit_test(case_fragments_flow)

#endif
