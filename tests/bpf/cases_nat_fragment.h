/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fragments of translated packets: each piece must be what is cut from the whole packet as it
 * would have left, whose checksum was computed from nothing.
 */
#ifndef TESTS_CASES_NAT_FRAGMENT_H
#define TESTS_CASES_NAT_FRAGMENT_H

#include "bpf/cases_fragment.h"
#include "bpf/cases_nat_forms.h"

#define PIECE 800u
#define FULL  1480u /* just fits where the header does not grow */

/* `bytes` from `at` on of the packet that `s` describes. */
static inline struct packet *nat_cut(struct packet *p, const struct spec *s, uint32_t id,
				     uint32_t at, uint32_t bytes)
{
	uint32_t ip, header = spec_v6(s) ? 40 : 20, more = 1, length;
	struct packet whole;

	nat_build(&whole, s);
	ip = network_at(&whole);
	length = whole.len - ip - header;
	if (at + bytes >= length) {
		bytes = length - at;
		more = 0;
	}
	memcpy(p->data, whole.data, ip + header);
	if (spec_v6(s)) {
		uint8_t *f = p->data + ip + 40;

		f[0] = p->data[ip + 6];
		f[1] = 0;
		put16(f + 2, at | more);
		put32(f + 4, id);
		p->data[ip + 6] = 44;
		put16(p->data + ip + 4, 8 + bytes);
		p->len = ip + 48 + bytes;
	} else {
		put16(p->data + ip + 2, 20 + bytes);
		put16(p->data + ip + 4, id);
		put16(p->data + ip + 6, more << 13 | at / 8);
		fix_v4(p->data + ip);
		p->len = ip + 20 + bytes;
	}
	memcpy(p->data + p->len - bytes, whole.data + ip + header + at, bytes);
	return p;
}

static inline struct packet *nat_piece(struct packet *p, const struct spec *s, uint32_t id,
				       uint32_t at)
{
	return nat_cut(p, s, id, at, PIECE);
}

/* The identification that a first one's packet has from here on; 0: its own. */
static inline uint32_t nat_drawn(const struct spec *s, uint32_t id)
{
	struct tundish_fragment_key key = fragment_key_of(s, id);
	const struct tundish_fragment *f = rig_fragment(&key);

	assert_non_null(f);
	if (!f->new_id)
		return 0;
	return spec_v6(s) ? TUNDISH_BE32(f->new_id) : TUNDISH_BE16((uint16_t)f->new_id);
}

/* All of a packet but its first piece, the last one first. */
static inline void nat_rest(const char *name, const struct spec *s, uint32_t id,
			    const struct spec *to, uint32_t new_id, int action, counter_set moved)
{
	struct packet in, want;

	for (uint32_t at = 2 * PIECE; at; at -= PIECE)
		expect(name, nat_piece(&in, s, id, at), action,
		       to ? nat_piece(&want, to, new_id, at) : NULL, moved);
}

static inline struct spec nat_large(int v6, uint16_t port, int udp)
{
	struct spec s = nat_request(v6, port, udp ? P_UDP : P_TCP, udp ? 0 : F_ACK);

	s.payload = 2000;
	return s;
}

static inline void case_nat_fragments(void **state)
{
	char name[64];

	for (int i = 0; i < 8; i++) {
		int v6 = i & 1, udp = i >> 1 & 1;
		uint16_t service = (uint16_t)(2000 + (i >> 2)), port = 0;
		struct spec s = nat_request(v6, service, P_TCP, F_SYN), to, answer;
		struct tundish_fragment_key key;
		struct tundish_trace t;
		struct packet in, out, want;
		uint32_t id;

		snprintf(name, sizeof(name), "v%d %s %u", v6 ? 6 : 4, udp ? "UDP" : "TCP", service);
		if (udp)
			nat_reset();
		else
			nat_opened(&s);
		rig_forget_fragments();
		s = nat_large(v6, service, udp);
		nat_rest(name, &s, 77, NULL, 0, XDP_DROP, C(drop_fragment));
		key = fragment_key_of(&s, 77);
		rig_trace(nat_piece(&in, &s, 77, 0), &t);
		assert_null(rig_fragment(&key));
		assert_int_equal(rig_run(&in, &out), XDP_REDIRECT);
		port = nat_port(&s);
		to = nat_forwarded(&s, port);
		id = nat_drawn(&s, 77);
		assert_int_equal(!!id, service == 2001); /* the client stays who it is */
		id = id ? id : 77;
		nat_piece(&want, &to, id, 0);
		assert_int_equal(out.len, want.len);
		assert_memory_equal(out.data, want.data, out.len);
		nat_rest(name, &s, 77, &to, id, XDP_REDIRECT, nat_sent(&s) | FOLLOWED);
		assert_int_equal(rig_traffic(nat_kind_of(v6, service)).packets, udp ? 3 : 4);

		answer = nat_answer(&s, port, udp ? 0 : F_ACK);
		answer.payload = 2000;
		to = nat_returned(&s, &answer);
		nat_rest(name, &answer, 78, NULL, 0, XDP_PASS, C(pass_other)); /* whose? */
		assert_int_equal(rig_run(nat_piece(&in, &answer, 78, 0), &out), XDP_TX);
		id = nat_drawn(&answer, 78); /* several servers are behind one VIP */
		assert_int_not_equal(id, 0);
		nat_piece(&want, &to, id, 0);
		assert_int_equal(out.len, want.len);
		assert_memory_equal(out.data, want.data, out.len);
		nat_rest(name, &answer, 78, &to, id, XDP_TX, C(sent_reply) | FOLLOWED);

		/* the file has given the port to another service since */
		rig.backends[nat_kind_of(v6, service)].service = N_FROM4;
		to = nat_forwarded(&s, port);
		assert_int_equal(rig_run(nat_piece(&in, &s, 80, 0), &out), XDP_REDIRECT);
		id = nat_drawn(&s, 80);
		nat_rest(name, &s, 80, &to, id ? id : 80, XDP_REDIRECT, nat_sent(&s) | FOLLOWED);
		rig.backends[nat_kind_of(v6, service)].service = nat_kind_of(v6, service);

		/* hop limit, another id, a connection that is over, a backend that is */
		answer.ttl = 1;
		nat_rest(name, &answer, 78, NULL, 0, XDP_DROP, C(drop_ttl) | FOLLOWED);
		answer.ttl = 0;
		nat_rest(name, &s, 79, NULL, 0, XDP_DROP, C(drop_fragment));
		rig.backends[nat_kind_of(v6, service)].state = TUNDISH_BACKEND_DISABLED;
		nat_rest(name, &s, 77, NULL, 0, XDP_DROP, C(drop_fragment));
		rig.backends[nat_kind_of(v6, service)].state = TUNDISH_BACKEND_UP;
		rig.nat[nat_record() - rig.nat].word.generation++;
		nat_rest(name, &s, 77, NULL, 0, XDP_DROP, C(drop_fragment));
		nat_rest(name, &answer, 78, NULL, 0, XDP_DROP, C(drop_fragment));
	}
	nat_reset();
	rig_forget_fragments();
}

/* Not between families, in either direction; and no ports of an unknown client are forgotten. */
static inline void case_nat_fragments_families(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = nat_request(v6, 2002, P_UDP, 0), answer;
		struct packet in;
		uint16_t port = nat_opened(&s);

		s.payload = 2000;
		expect("request", nat_piece(&in, &s, 77, 0), XDP_DROP, NULL, C(drop_fragment));
		nat_rest("request", &s, 77, NULL, 0, XDP_DROP, C(drop_fragment));
		expect("full frame", nat_cut(&in, &s, 77, 0, v6 ? PIECE : FULL), XDP_DROP, NULL,
		       C(drop_fragment));
		answer = nat_answer(&s, port, 0);
		answer.payload = 2000;
		expect("answer", nat_piece(&in, &answer, 78, 0), XDP_DROP, NULL, C(drop_fragment));
		nat_rest("answer", &answer, 78, NULL, 0, XDP_PASS, C(pass_other));
		/* of nobody's connection, and of nobody */
		answer.sport++;
		expect("unknown", nat_piece(&in, &answer, 79, 0), XDP_PASS, NULL,
		       C(pass_other) | C(nat_reply_unknown));
		answer.src = answer.dst;
		expect("stranger", nat_piece(&in, &answer, 79, 0), XDP_PASS, NULL, C(pass_other));
	}
	nat_reset();
}

/* A client in the server's network, whose address becomes one of this host. */
static inline void case_nat_fragments_hairpin(void **state)
{
	struct spec s = nat_large(0, 2000, 1), to;
	struct packet in, out, want;
	uint32_t id;

	nat_reset();
	rig_forget_fragments();
	s.src = SERVER4;
	assert_int_equal(rig_run(nat_piece(&in, &s, 77, 0), &out), XDP_REDIRECT);
	to = nat_forwarded(&s, (uint16_t)get16(out.data + 34));
	to.src = SOURCE4;
	id = nat_drawn(&s, 77);
	assert_int_not_equal(id, 0);
	nat_piece(&want, &to, id, 0);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.data, want.data, out.len);
	nat_rest("hairpin", &s, 77, &to, id, XDP_REDIRECT, C(sent_nat) | FOLLOWED);
	nat_reset();
	rig_forget_fragments();
}

#define CASES_NAT_FRAGMENT                                                                         \
	cmocka_unit_test(case_nat_fragments), cmocka_unit_test(case_nat_fragments_families),       \
		cmocka_unit_test(case_nat_fragments_hairpin)

#endif
