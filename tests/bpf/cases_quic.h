/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QUIC: packets whose connection ids name backends, whatever the tuple's flow says, and
 * those that do not. Packets are put together by hand from RFC 8999 and RFC 9000.
 */
#ifndef TESTS_CASES_QUIC_H
#define TESTS_CASES_QUIC_H

#include "bpf/cases_fragment.h"

#define ROUTED	   C(quic_routed)
#define UNROUTABLE C(quic_unroutable)

enum quic_form {
	SHORT,	      /* 1-RTT */
	INITIAL,      /* version 1 */
	HANDSHAKE,    /* version 1 */
	INITIAL_2,    /* version 2 */
	HANDSHAKE_2,  /* version 2 */
	LONG_UNKNOWN, /* a version of the future */
};

struct quic {
	enum quic_form form;
	uint32_t config;  /* in the id's first three bits */
	enum kind id;	  /* whose server id; K_NONE: nobody's */
	uint32_t octets;  /* of the connection id, 0: 8 */
	uint32_t payload; /* of UDP, 0: 60 */
};

static inline struct conn quic_conn(int v6, uint32_t number)
{
	struct conn c = conn_of(v6, number);

	c.s.protocol = P_UDP;
	c.s.dport = port_of(K_QUIC);
	return c;
}

static inline struct packet *build_quic(struct packet *p, const struct conn *c,
					const struct quic *q)
{
	static const struct {
		uint8_t first;
		uint32_t version;
	} forms[] = {
		[SHORT] = {0x43, 0},
		[INITIAL] = {0xc3, 1},
		[HANDSHAKE] = {0xe3, 1},
		[INITIAL_2] = {0xd3, 0x6b3343cf},
		[HANDSHAKE_2] = {0xf3, 0x6b3343cf},
		[LONG_UNKNOWN] = {0xe3, 0xfa1afa1a},
	};
	uint8_t quic[64] = {forms[q->form].first}, *id = quic + 1;
	struct spec s = c->s;

	s.payload = q->payload ? q->payload : 60;
	fill(quic + 1, sizeof(quic) - 1, 0x91);
	if (q->form != SHORT) {
		put32(quic + 1, forms[q->form].version);
		quic[5] = (uint8_t)(q->octets ? q->octets : 8);
		id = quic + 6;
	}
	id[0] = (uint8_t)(q->config << 5 | 7);
	id[1] = 0x0a;
	id[2] = (uint8_t)(q->id ? 1 + q->id - K_QUIC : 0x99);
	build(p, &s);
	memcpy(p->data + p->len - s.payload, quic, s.payload < 64 ? s.payload : 64);
	return p;
}

/* Sends it; returns the backend that got it. */
/* A tick may have begun since the first packet, and a flow that is seen in two is alive: it
 * shall be where that is wanted alone. */
static inline void keep_new(const struct conn *c)
{
	struct seen_flow f;
	uint32_t at = 0;

	if (flow_find(c, &f, &at) && flow_word(at)->live.state == TUNDISH_FLOW_UDP_NEW)
		flow_word(at)->live.seen = rig_tick();
}

static inline uint32_t quic(const char *name, struct conn *c, struct quic q, counter_set moved)
{
	struct tundish_counters before, after;
	struct packet in, out;
	int r;

	if (q.config == 0)
		q.config = QUIC_CONFIG;
	build_quic(&in, c, &q);
	if (!(moved & (C(flow_new) | C(flow_established))))
		keep_new(c);
	rig_counters(&before);
	r = rig_run(&in, &out);
	rig_counters(&after);
	if (r != XDP_TX)
		fail_msg("%s: %s", name, action_name(r));
	check_counters(name, &before, moved);
	check_tables(name);
	return out.data[5];
}
#define Q(what, ...) ((struct quic){.form = what, ##__VA_ARGS__})
#define SENT	     (ASKED | C(sent_dsr))

/* A client whose address and port change. */
static inline void case_quic_migration(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = quic_conn(v6, 1), moved = quic_conn(v6, 2),
			    third = quic_conn(v6, 3);

		world_reset();
		assert_int_equal(quic("Initial", &c, Q(INITIAL), SENT | C(flow_new)), K_QUIC);
		assert_int_equal(quic("Handshake", &c, Q(HANDSHAKE, .id = K_QUIC), SENT | ROUTED),
				 K_QUIC);
		assert_int_equal(quic("data", &c, Q(SHORT, .id = K_QUIC), SENT | ROUTED), K_QUIC);
		/* all slots change hands: tuples alone would lead elsewhere */
		give_slots_of(K_QUIC, K_QUIC_OTHER, true);
		assert_int_equal(quic("stays", &c, Q(SHORT, .id = K_QUIC), SENT | ROUTED), K_QUIC);
		assert_int_equal(quic("another port", &moved, Q(SHORT, .id = K_QUIC),
				      SENT | ROUTED | C(flow_new)),
				 K_QUIC);
		moved.s.src.word[3] ^= 5 << 24;
		assert_int_equal(quic("another address", &moved, Q(SHORT, .id = K_QUIC),
				      SENT | ROUTED | C(flow_new)),
				 K_QUIC);
		/* the flow remembers it for packets that name nobody */
		assert_int_equal(quic("no id of ours", &moved, Q(SHORT), SENT | UNROUTABLE),
				 K_QUIC);
		assert_int_equal(quic("unroutable config", &moved,
				      Q(SHORT, .config = 7, .id = K_QUIC_OTHER), SENT | UNROUTABLE),
				 K_QUIC);
		assert_int_equal(quic("another config", &moved,
				      Q(SHORT, .config = 1, .id = K_QUIC_OTHER), SENT | UNROUTABLE),
				 K_QUIC);
		/* a new one goes by its slot */
		assert_int_equal(quic("new", &third, Q(SHORT), SENT | UNROUTABLE | C(flow_new)),
				 K_QUIC_OTHER);
		give_slots_of(K_QUIC, K_QUIC_OTHER, false);
	}
	world_reset();
}

/* Which ids decide over a flow that is known. */
static inline void case_quic_forms(void **state)
{
	static const struct {
		enum quic_form form;
		bool decides;
	} forms[] = {{SHORT, true},	 {INITIAL, false},    {HANDSHAKE, true},
		     {INITIAL_2, false}, {HANDSHAKE_2, true}, {LONG_UNKNOWN, false}};

	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
			struct conn c = quic_conn(v6, 1), fresh = quic_conn(v6, 2);
			struct quic q = {forms[i].form, .id = K_QUIC_OTHER};
			uint64_t routed = forms[i].decides ? ROUTED : 0;

			world_reset();
			quic("flow", &c, Q(INITIAL), SENT | C(flow_new));
			assert_int_equal(quic("known", &c, q, SENT | routed),
					 forms[i].decides ? K_QUIC_OTHER : K_QUIC);
			assert_int_equal(quic("unknown", &fresh, q, SENT | routed | C(flow_new)),
					 K_QUIC_OTHER);
			/* an id that is too short for a server's: nonce and all, seven octets */
			fresh = quic_conn(v6, 3);
			q.octets = 6;
			if (q.form != SHORT)
				assert_int_equal(
					quic("short id", &fresh, q,
					     SENT | C(flow_new) | (routed ? UNROUTABLE : 0)),
					K_QUIC);
			fresh = quic_conn(v6, 4);
			q.octets = 7;
			if (q.form != SHORT)
				assert_int_equal(
					quic("least id", &fresh, q, SENT | C(flow_new) | routed),
					K_QUIC_OTHER);
		}
	}
	world_reset();
}

/* A live flow that follows: the counts go with it. */
static inline void case_quic_flow_follows(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = quic_conn(v6, 1);

		world_reset();
		settle();
		quic("new", &c, Q(INITIAL), SENT | C(flow_new));
		seen_before(&c, 1);
		quic("live", &c, Q(INITIAL), SENT | C(flow_established));
		facts_are("live", &c, K_QUIC, UDP, 1, 1);
		/* not with each packet: two connections over one tuple may name two servers */
		assert_int_equal(quic("too soon", &c, Q(SHORT, .id = K_QUIC_OTHER), SENT | ROUTED),
				 K_QUIC_OTHER);
		facts_are("too soon", &c, K_QUIC, UDP, 1, 1);
		seen_before(&c, 1);
		assert_int_equal(quic("follows", &c, Q(SHORT, .id = K_QUIC_OTHER), SENT | ROUTED),
				 K_QUIC_OTHER);
		facts_are("follows", &c, K_QUIC_OTHER, UDP, 1, 1);
		assert_int_equal(rig.backends[K_QUIC].connections_active, 0);
		assert_int_equal(quic("by the flow", &c, Q(INITIAL), SENT), K_QUIC_OTHER);
		/* in the tick in which it comes to life */
		c = quic_conn(v6, 2);
		quic("new", &c, Q(INITIAL), SENT | C(flow_new));
		seen_before(&c, 1);
		assert_int_equal(quic("comes to life", &c, Q(SHORT, .id = K_QUIC_OTHER),
				      SENT | ROUTED | C(flow_established)),
				 K_QUIC_OTHER);
		assert_int_equal(rig.backends[K_QUIC_OTHER].connections_active, 2);
		assert_int_equal(rig.backends[K_QUIC].connections_active, 0);
	}
	world_reset();
}

static inline void case_quic_states(void **state)
{
	static const struct {
		uint8_t state;
		bool named;
	} states[] = {{TUNDISH_BACKEND_UP, true},   {TUNDISH_BACKEND_DRAIN, true},
		      {TUNDISH_BACKEND_DOWN, true}, {TUNDISH_BACKEND_DISABLED, false},
		      {TUNDISH_BACKEND_GONE, true}, {TUNDISH_BACKEND_FREE, false}};

	for (int v6 = 0; v6 < 2; v6++) {
		struct tundish_quic_key key = server_id_of(K_QUIC_OTHER);
		struct conn c;

		for (uint32_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
			world_reset();
			c = quic_conn(v6, i);
			rig.backends[K_QUIC_OTHER].state = states[i].state;
			assert_int_equal(
				quic("state", &c, Q(SHORT, .id = K_QUIC_OTHER),
				     SENT | C(flow_new) | (states[i].named ? ROUTED : UNROUTABLE)),
				states[i].named ? K_QUIC_OTHER : K_QUIC);
		}
		/* the entry is older than what the number stands for */
		world_reset();
		c = quic_conn(v6, 9);
		rig.backends[K_QUIC_OTHER].server_id.bytes[1] ^= 1;
		assert_int_equal(quic("another id", &c, Q(SHORT, .id = K_QUIC_OTHER),
				      SENT | C(flow_new) | UNROUTABLE),
				 K_QUIC);
		world_reset();
		rig.backends[K_QUIC_OTHER].service = K_DSR;
		assert_int_equal(quic("another service", &c, Q(SHORT, .id = K_QUIC_OTHER),
				      SENT | C(flow_new) | UNROUTABLE),
				 K_QUIC);
		world_reset();
		rig_set_server_id(&key, 0);
		assert_int_equal(quic("no entry", &c, Q(SHORT, .id = K_QUIC_OTHER),
				      SENT | C(flow_new) | UNROUTABLE),
				 K_QUIC);
	}
	world_reset();
}

/* Payloads of all lengths, ids of all lengths and configurations, and frames in pieces. */
static inline void case_quic_lengths(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = quic_conn(v6, 1);
		struct tundish_service s = {.state = TUNDISH_SERVICE_ACTIVE,
					    .delivery = TUNDISH_DELIVERY_DSR,
					    .protocol = P_UDP};
		struct packet in, out;

		for (uint32_t bytes = 0; bytes < 40; bytes++) {
			for (int form = SHORT; form <= HANDSHAKE; form += HANDSHAKE) {
				/* header, first octet, server id, four more */
				uint32_t least = form == SHORT ? 1 + 7 : 6 + 7;
				struct quic q = {form, QUIC_CONFIG, K_QUIC_OTHER, 7, bytes};

				if (!bytes)
					continue;
				world_reset();
				assert_int_equal(
					quic("length", &c, q,
					     SENT | C(flow_new) |
						     (bytes < least ? UNROUTABLE : ROUTED)),
					bytes < least ? K_QUIC : K_QUIC_OTHER);
			}
		}
		for (uint32_t length = 1; length <= TUNDISH_SERVER_ID_MAX; length++) {
			for (uint32_t config = 0; config <= TUNDISH_QUIC_CONFIG_MAX; config++) {
				struct tundish_quic_key key = {K_QUIC, {(uint8_t)length, {0}}};
				struct quic q = {SHORT, config, K_QUIC_OTHER, 0, 0};
				uint32_t at;

				world_reset();
				s.server_id_length = (uint8_t)length;
				s.quic_config = (uint8_t)config;
				rig_set_service(K_QUIC, &s);
				build_quic(&in, &c, &q);
				at = in.len - 60 + 2;
				memcpy(key.id.bytes, in.data + at, length);
				rig.backends[K_QUIC_OTHER].server_id = key.id;
				rig_set_server_id(&key, K_QUIC_OTHER);
				assert_int_equal(rig_run_split(&in, &out, config & 1 ? at + 1 : 0),
						 XDP_TX);
				assert_int_equal(out.data[5], K_QUIC_OTHER);
				/* the last octet of it counts */
				in.data[at + length - 1] ^= 1;
				assert_int_equal(rig_run(&in, &out), XDP_TX);
				assert_int_equal(out.data[5], K_QUIC_OTHER); /* by its flow */
				put16(in.data + in.len - 68, 31000);
				assert_int_equal(rig_run(&in, &out), XDP_TX);
				assert_int_equal(out.data[5], K_QUIC);
				rig_set_server_id(&key, 0);
			}
		}
		s.server_id_length = QUIC_LENGTH;
		s.quic_config = QUIC_CONFIG;
		rig_set_service(K_QUIC, &s);
	}
	world_reset();
}

/* Without flows, beside fragments, and as the tracing twin tells it. */
static inline void case_quic_beside(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = quic_conn(v6, 1);
		struct quic q = {SHORT, QUIC_CONFIG, K_QUIC_OTHER, 0, 0};
		struct tundish_trace t;
		struct packet in, want;
		struct way_out w;
		bool told = false;
		uint32_t n;

		/* traced: nothing is entered */
		world_reset();
		build_quic(&in, &c, &q);
		assert_int_equal(rig_trace(&in, &t), XDP_TX);
		assert_int_equal(t.backend, K_QUIC_OTHER);
		for (uint32_t i = 0; i < t.n_steps; i++)
			told |= t.steps[i].step == TUNDISH_STEP_quic &&
				t.steps[i].argument == K_QUIC_OTHER;
		assert_true(told);

		/* the id is in the first fragment, and the later ones follow */
		n = c.s.payload;
		c.s.payload = 72;
		fragment_of(&want, c.s, 3, 0, true, 80);
		memcpy(want.data + want.len - 72, in.data + in.len - 60, 60);
		in = want;
		w = way_of(K_QUIC_OTHER);
		expect("first fragment", &in, XDP_TX, sent(&want, &in, &w),
		       SENT | ROUTED | C(flow_new));
		fragment_of(&in, c.s, 3, 10, false, 80);
		expect("later fragment", &in, XDP_TX, sent(&want, &in, &w), FOLLOWED | C(sent_dsr));
		c.s.payload = n;

		/* without flows: all the same, but that nothing is remembered */
		world_reset();
		c.s.dport = port_of(K_QUIC_BARE);
		q.id = K_QUIC_BARE;
		w = way_of(K_QUIC_BARE);
		*slot_word(K_QUIC_BARE, slot_of(&c.s)) = K_NONE;
		build_quic(&in, &c, &q);
		expect("bare", &in, XDP_TX, sent(&want, &in, &w), ROUTED | C(sent_ipip));
		q.form = INITIAL;
		build_quic(&in, &c, &q);
		expect("bare, Initial", &in, XDP_TX, sent(&want, &in, &w), C(sent_ipip));
		q.id = K_NONE;
		build_quic(&in, &c, &q);
		expect("bare, nobody's", &in, XDP_DROP, NULL, C(drop_no_backend));
	}
	world_reset();
}

#define CASES_QUIC                                                                                 \
	cmocka_unit_test(case_quic_migration), cmocka_unit_test(case_quic_forms),                  \
		cmocka_unit_test(case_quic_flow_follows), cmocka_unit_test(case_quic_states),      \
		cmocka_unit_test(case_quic_lengths), cmocka_unit_test(case_quic_beside)

#endif
