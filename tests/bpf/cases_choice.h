/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Services that choose: least-connections and max_connections. Of K_POOL's row each slot is a
 * candidate alone; the backends are CHOICE(0) and those after it.
 */
#ifndef TESTS_CASES_CHOICE_H
#define TESTS_CASES_CHOICE_H

#include <tundish/choice.h>

#include "bpf/cases_nat.h"
#include "bpf/cases_udp.h"

#define CHOICE(i) (RIG_BACKENDS - 8 + (i))

/* @n backends with these weights, each with at most @most connections (0: any number). */
static inline void choice_world(enum kind service, uint32_t n, const uint16_t *weight,
				uint32_t most, uint32_t flags)
{
	uint32_t all = 0, at = 0, left = 0;

	world_reset();
	for (uint32_t i = 0; i < n; i++) {
		struct tundish_backend *b = &rig.backends[CHOICE(i)];

		*b = rig.backends[service];
		b->weight = weight[i];
		b->max_connections = most;
		all += weight[i];
	}
	rig.deliveries[service] = (struct tundish_deliver){.flags = flags};
	/* spread as Maglev does, that is like a hash */
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++) {
		left = (uint32_t)(tundish_mix64(i) >> 32) % all;
		for (at = 0; left >= weight[at]; at++)
			left -= weight[at];
		*slot_word(service, i) = CHOICE(at) | TUNDISH_SLOT_CHOOSE;
	}
	settle();
}

/* Who was found full is looked for in full again when the coarse clock has gone on. */
static inline void next_coarse(void)
{
	struct timespec t = {.tv_nsec = 12000000};

	if (rig.kernel)
		nanosleep(&t, NULL);
	else
		rig_later((uint64_t)t.tv_nsec);
}

static inline void choice_end(void)
{
	memset(&rig.backends[CHOICE(0)], 0, 8 * sizeof(*rig.backends));
	memset(rig.deliveries, 0, RIG_SERVICES * sizeof(*rig.deliveries));
	world_reset();
}

static inline struct conn choice_conn(int v6, uint32_t number)
{
	struct conn c = conn_of(v6, number % 40000);

	c.s.src.word[3] += (number / 40000) << 24;
	return c;
}

/* A segment, whatever becomes of it; returns the verdict. */
static inline int choice_send(struct conn *c, uint8_t flags, uint32_t seq)
{
	struct packet in, out;

	c->s.flags = flags;
	c->s.seq = seq;
	return rig_run(build(&in, &c->s), &out);
}

/* Which backend, from 0 on, has the flow; or -1. */
static inline int choice_of(const struct conn *c)
{
	struct seen_flow f;

	return flow_find(c, &f, NULL) ? (int)f.v.live.backend - CHOICE(0) : -1;
}

static inline void choice_open(struct conn *c, uint32_t isn)
{
	choice_send(c, F_SYN, isn);
	choice_send(c, F_ACK, isn + 1);
}

static inline uint64_t active_of(uint32_t i)
{
	return rig.backends[CHOICE(i)].connections_active;
}

static inline uint64_t refused_by(enum kind service)
{
	return rig.deliveries[service].refused;
}

/* Even to a few connections, where hashes would be off by several times that; and after one
 * has lost most of its own, it gets about all draws that it is in. */
static inline void case_least_even(void **state)
{
	static const uint16_t weights[] = {100, 100, 200, 100};
	enum { N = 400 };
	uint32_t closed = 0, before;

	for (int v6 = 0; v6 < 2; v6++) {
		choice_world(K_POOL, 4, weights, 0, TUNDISH_DELIVER_LEAST);
		for (uint32_t i = 0; i < N; i++) {
			struct conn c = choice_conn(v6, i);

			choice_open(&c, 1000 + i);
		}
		for (uint32_t i = 0; i < 4; i++)
			assert_in_range(active_of(i), N * weights[i] / 500 - 8,
					N * weights[i] / 500 + 8);
		for (uint32_t i = 0; i < N && closed < 60; i++) {
			struct conn c = choice_conn(v6, i);

			if (choice_of(&c) == 1) {
				choice_send(&c, F_FIN | F_ACK, 1001 + i);
				closed++;
			}
		}
		before = (uint32_t)active_of(1);
		for (uint32_t i = N; i < N + 100; i++) {
			struct conn c = choice_conn(v6, i);

			choice_open(&c, 1000 + i);
		}
		/* by its weight alone it would have 20 of them, with two draws it is in 36 and more */
		assert_true(active_of(1) - before >= 30);
		check_tables("least connections");
		closed = 0;
	}
	choice_end();
}

/* Packets of a flow follow it, wherever its slot points. */
static inline void case_choice_followed(void **state)
{
	static const uint16_t weights[] = {100, 100, 100, 100};

	choice_world(K_POOL, 4, weights, 0, TUNDISH_DELIVER_LEAST);
	for (uint32_t i = 0; i < 100; i++) {
		struct conn c = choice_conn(0, i);
		struct tundish_traffic before, after;
		int at;

		choice_open(&c, 50);
		at = choice_of(&c);
		assert_in_range(at, 0, 3);
		before = rig_traffic(CHOICE((uint32_t)at));
		choice_send(&c, F_SYN, 50); /* late */
		choice_send(&c, F_ACK, 51);
		choice_send(&c, F_ACK, 60);
		choice_send(&c, F_FIN | F_ACK, 60);
		assert_int_equal(choice_of(&c), at);
		after = rig_traffic(CHOICE((uint32_t)at));
		assert_int_equal(after.packets - before.packets, 4);
	}
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(active_of(i), 0);
	/* no place is kept for what came to nothing new */
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(tundish_opening_count(rig.backends[CHOICE(i)].opening, rig_tick()),
				 0);
	choice_end();
}

/* The backend, of those of choice_world(), whose slot a connection falls into. */
static inline uint32_t slot_owner(const struct conn *c)
{
	return (*slot_word(K_POOL, slot_of(&c->s)) & TUNDISH_SLOT_BACKEND) - CHOICE(0);
}

/* Each slot's owner as long as it has a place; then another one; then nobody. */
static inline void limits_of(uint32_t flags)
{
	static const uint16_t weights[] = {100, 100, 100};
	enum { MOST = 10 };
	struct tundish_counters n;
	uint32_t overflow = 0;

	for (int v6 = 0; v6 < 2; v6++) {
		struct conn late, first = choice_conn(v6, 0);
		uint32_t next = 3 * MOST;
		int at;

		choice_world(K_POOL, 3, weights, MOST, flags);
		overflow = 0;
		for (uint32_t i = 0; i < 3 * MOST; i++) {
			struct conn c = choice_conn(v6, i);
			uint32_t owner = slot_owner(&c);
			bool full = active_of(owner) == MOST;

			choice_open(&c, 7);
			if (!flags && !full)
				assert_int_equal(choice_of(&c), owner);
			overflow += full;
		}
		for (uint32_t i = 0; i < 3; i++)
			assert_int_equal(active_of(i), MOST);
		rig_counters(&n);
		assert_int_equal(n.sent_rst_full + n.drop_full + n.sent_rst_ports, 0);
		if (!flags)
			assert_int_equal(n.overflow, overflow);
		/* by draws, one more wherever a full one was drawn and a third one taken */
		assert_in_range(n.overflow, overflow, 3 * MOST);

		/* one whose slot is of a backend that stays full */
		at = choice_of(&first);
		do
			late = choice_conn(v6, next++);
		while (slot_owner(&late) == (uint32_t)at);
		assert_int_equal(choice_send(&late, F_SYN, 9), XDP_TX);
		rig_counters(&n);
		assert_int_equal(n.sent_rst_full, 1);
		assert_int_equal(refused_by(K_POOL), 1);
		assert_int_equal(choice_of(&late), -1);

		/* nothing changes for those that are there, not even by their SYN */
		assert_int_equal(choice_send(&first, F_ACK, 8), XDP_TX);
		assert_int_equal(choice_send(&first, F_SYN, 7), XDP_TX);
		rig_counters(&n);
		assert_int_equal(n.sent_rst_full, 1);

		overflow = n.overflow;
		choice_send(&first, F_FIN | F_ACK, 8);
		assert_int_equal(active_of((uint32_t)at), MOST - 1);
		next_coarse();
		choice_open(&late, 10);
		assert_int_equal(choice_of(&late), at);
		rig_counters(&n);
		assert_int_equal(n.overflow, overflow + 1);
		assert_int_equal(active_of((uint32_t)at), MOST);
		/* the one that has closed begins anew, where there is a place: nowhere */
		choice_send(&first, F_SYN, 70000);
		rig_counters(&n);
		assert_int_equal(n.sent_rst_full, 2);
		check_tables("limits");
	}
	choice_end();
}

static inline void case_limit_maglev(void **state)
{
	limits_of(0);
}

static inline void case_limit_least(void **state)
{
	limits_of(TUNDISH_DELIVER_LEAST);
}

/* Handshakes keep places, so that of many at once each gets one; what comes beyond is let
 * through to its ACK, and there refused. */
static inline void case_limit_handshakes(void **state)
{
	static const uint16_t weights[] = {100, 100, 100};
	enum { MOST = 20 };
	struct tundish_counters n;

	for (int v6 = 0; v6 < 2; v6++) {
		struct conn late = choice_conn(v6, 3 * MOST);

		choice_world(K_POOL, 3, weights, MOST, TUNDISH_DELIVER_LEAST);
		for (uint32_t i = 0; i < 3 * MOST; i++) {
			struct conn c = choice_conn(v6, i);

			assert_int_equal(choice_send(&c, F_SYN, 7), XDP_TX);
		}
		for (uint32_t i = 0; i < 3; i++)
			assert_int_equal(
				tundish_opening_count(rig.backends[CHOICE(i)].opening, rig_tick()),
				MOST);
		choice_send(&late, F_SYN, 7);
		assert_in_range(choice_of(&late), 0, 2);
		for (uint32_t i = 0; i < 3 * MOST; i++) {
			struct conn c = choice_conn(v6, i);

			choice_send(&c, F_ACK, 8);
		}
		for (uint32_t i = 0; i < 3; i++) {
			assert_int_equal(active_of(i), MOST);
			assert_int_equal(
				tundish_opening_count(rig.backends[CHOICE(i)].opening, rig_tick()),
				0);
		}
		rig_counters(&n);
		assert_int_equal(n.sent_rst_full, 0);
		assert_int_equal(choice_send(&late, F_ACK, 8), XDP_TX);
		rig_counters(&n);
		assert_int_equal(n.sent_rst_full, 1);
		assert_int_equal(n.flow_established, 3 * MOST);
		assert_int_equal(choice_of(&late), -1);
		assert_int_equal(pending_of(K_POOL, slot_of(&late.s)), 0);
		for (uint32_t i = 0; i < 3; i++)
			assert_int_equal(active_of(i), MOST);
		check_tables("handshakes");
	}
	choice_end();
}

/* The reset is what a closed port would send. */
static inline void case_limit_reset(void **state)
{
	static const uint16_t weights[] = {100};

	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = choice_conn(v6, 1), other = choice_conn(v6, 2);
		struct packet in, out;
		uint32_t at;

		choice_world(K_POOL, 1, weights, 1, 0);
		choice_open(&c, 1);
		other.s.flags = F_SYN;
		other.s.seq = 1000;
		assert_int_equal(rig_run(build(&in, &other.s), &out), XDP_TX);
		at = network_at(&out) + (v6 ? 40 : 20);
		assert_int_equal(get16(out.data + at), other.s.dport);
		assert_int_equal(get16(out.data + at + 2), other.s.sport);
		assert_int_equal(out.data[at + 13], F_RST | F_ACK);
		assert_int_equal(get16(out.data + at + 10), 1001);
	}
	choice_end();
}

/* A flow of UDP holds a place once it is seen in two ticks; one that is one too many is not
 * let through then. */
static inline void case_limit_udp(void **state)
{
	static const uint16_t weights[] = {100, 100};
	struct tundish_counters n;

	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c[5];

		choice_world(K_UDP, 2, weights, 2, TUNDISH_DELIVER_LEAST);
		for (uint32_t i = 0; i < 4; i++) {
			c[i] = query_of(v6, i);
			assert_int_equal(choice_send(&c[i], 0, 0), XDP_TX);
			seen_before(&c[i], 1);
			assert_int_equal(choice_send(&c[i], 0, 0), XDP_TX);
		}
		assert_int_equal(active_of(0), 2);
		assert_int_equal(active_of(1), 2);
		c[4] = query_of(v6, 4);
		assert_int_equal(choice_send(&c[4], 0, 0), XDP_DROP);
		rig_counters(&n);
		assert_int_equal(n.drop_full, 1);
		assert_int_equal(refused_by(K_UDP), 1);
		assert_int_equal(choice_of(&c[4]), -1);
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(choice_send(&c[i], 0, 0), XDP_TX);
		assert_int_equal(active_of(0) + active_of(1), 4);
		check_tables("UDP");
	}
	choice_end();
}

/* A backend that takes none is passed over though the row names it still. */
static inline void case_choice_down(void **state)
{
	static const uint16_t weights[] = {100, 100};

	choice_world(K_POOL, 2, weights, 0, TUNDISH_DELIVER_LEAST);
	rig.backends[CHOICE(1)].state = TUNDISH_BACKEND_DRAIN;
	for (uint32_t i = 0; i < 50; i++) {
		struct conn c = choice_conn(0, i);

		choice_open(&c, 3);
		assert_int_equal(choice_of(&c), 0);
	}
	choice_end();
}

/* The tracing twin keeps no place, and tells who. */
static inline void case_choice_traced(void **state)
{
	static const uint16_t weights[] = {100};
	struct conn c = choice_conn(0, 1), other = choice_conn(0, 2);
	struct tundish_trace t;
	struct packet in;

	choice_world(K_POOL, 1, weights, 1, 0);
	c.s.flags = other.s.flags = F_SYN;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rig_trace(build(&in, &c.s), &t), XDP_TX);
		assert_int_equal(t.backend, CHOICE(0));
		assert_int_equal(rig.backends[CHOICE(0)].opening, 0);
	}
	choice_open(&c, 5);
	rig_trace(build(&in, &other.s), &t);
	assert_int_equal(t.counter, TUNDISH_COUNTER_sent_rst_full);
	assert_int_equal(refused_by(K_POOL), 0);
	choice_end();
}

/* Translated: refused at the SYN; and at the ACK where the handshake was let through. */
static inline void case_limit_nat(void **state)
{
	struct tundish_counters n;

	nat_world();
	for (int v6 = 0; v6 < 2; v6++) {
		enum nat_kind k = N_FULL + v6;
		struct spec one = nat_request(v6, 2001, P_TCP, F_SYN), two = one, ack;
		uint16_t port;
		struct packet in, out;

		nat_reset();
		for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
			rig.maglev[k].slot[i] = (uint32_t)k | TUNDISH_SLOT_CHOOSE;
		rig.backends[k].max_connections = 1;
		settle();
		two.sport++;
		port = nat_open("the only one", &one);
		nat_back("answered", &one, port, F_SYN | F_ACK);
		/* its place is kept; the second is let through to its ACK */
		assert_int_equal(rig_run(nat_build(&in, &two), &out), XDP_REDIRECT);
		ack = one;
		ack.flags = F_ACK;
		ack.seq++;
		ack.ack = 5001;
		assert_int_equal(rig_run(nat_build(&in, &ack), &out), XDP_REDIRECT);
		assert_int_equal(rig.backends[k].connections_active, 1);
		rig_counters(&n);
		assert_int_equal(n.sent_rst_full, 0);
		two.sport++;
		assert_int_equal(rig_run(nat_build(&in, &two), &out), XDP_TX);
		rig_counters(&n);
		assert_int_equal(n.sent_rst_full, 1);
		assert_int_equal(rig.deliveries[k].refused, 1);
		ack.flags = F_RST;
		assert_int_equal(rig_run(nat_build(&in, &ack), &out), XDP_REDIRECT);
		assert_int_equal(rig.backends[k].connections_active, 0);
		rig.backends[k].max_connections = 0;
		rig.backends[k].opening = 0;
		for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
			rig.maglev[k].slot[i] = (uint32_t)k;
	}
	nat_reset();
}

/* What comes without a place in the table is its slot's. */
static inline void case_choice_full(void **state)
{
	static const uint16_t weights[] = {100, 100};
	struct tundish_counters n;
	uint32_t lost = 0;

	choice_world(K_POOL, 2, weights, 0, TUNDISH_DELIVER_LEAST);
	for (uint32_t i = 0; i < 400; i++) {
		struct conn c = choice_conn(0, i);

		choice_open(&c, 3);
		lost += choice_of(&c) < 0;
	}
	rig_counters(&n);
	assert_true(lost > 0);
	assert_int_equal(n.flow_full, lost);
	assert_int_equal(active_of(0) + active_of(1) + lost, 400);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(tundish_opening_count(rig.backends[CHOICE(i)].opening, rig_tick()),
				 0);
	choice_end();
}

#define CASES_CHOICE                                                                               \
	cmocka_unit_test(case_least_even), cmocka_unit_test(case_choice_followed),                 \
		cmocka_unit_test(case_limit_maglev), cmocka_unit_test(case_limit_least),           \
		cmocka_unit_test(case_limit_handshakes), cmocka_unit_test(case_limit_reset),       \
		cmocka_unit_test(case_limit_udp), cmocka_unit_test(case_choice_down),              \
		cmocka_unit_test(case_choice_traced), cmocka_unit_test(case_limit_nat)

#define CASES_CHOICE_FULL cmocka_unit_test(case_choice_full)

#endif
