/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Full tables: who gives way to whom, and that a flood takes nothing from those who
 * live. Each case opens a rig with tables of its own size.
 */
#ifndef TESTS_CASES_FULL_H
#define TESTS_CASES_FULL_H

#include "bpf/cases_flow.h"

/* One bucket of four entries: what gives way is known exactly. */
static inline void case_who_gives_way(void **state)
{
	assert_int_equal(world_open(1, 64), 0);
	for (int v6 = 0; v6 < 2; v6++) {
		static const uint32_t ages[4] = {10, 30, 20, 5}, order[4] = {1, 2, 0, 3};
		struct conn c[16];
		struct seen_flow f;
		uint32_t at[16];

		world_reset();
		for (uint32_t i = 0; i < 16; i++)
			c[i] = conn_of(v6, i);
		for (uint32_t i = 0; i < 4; i++) {
			segment_of(&c[i], F_SYN, ISN, ASKED | C(flow_new), "fill");
			assert_true(flow_find(&c[i], &f, &at[i]));
			flow_word(at[i])->syn.seen = rig_tick() - ages[i];
		}
		for (uint32_t i = 0; i < 3; i++) { /* the oldest SYN first */
			segment_of(&c[4 + i], F_SYN, ISN, ASKED | C(flow_new) | C(flow_evicted),
				   "oldest");
			assert_false(flow_find(&c[order[i]], &f, NULL));
			assert_int_equal(pending_of(K_POOL, slot_of(&c[order[i]].s)), 0);
			assert_true(flow_find(&c[4 + i], &f, NULL));
			check_tables("oldest first");
		}
		/* its third ACK finds nothing and is served all the same */
		assert_int_equal(segment_of(&c[1], F_ACK, ISN + 1, 0, "evicted"), K_POOL);

		/* four that live: nothing gives way */
		world_reset();
		for (uint32_t i = 0; i < 4; i++)
			opened(&c[i]);
		assert_int_equal(segment_of(&c[4], F_SYN, ISN, ASKED | C(flow_full), "full"),
				 K_POOL);
		assert_int_equal(segment_of(&c[4], F_ACK, ISN + 1, 0, "full"), K_POOL);
		assert_int_equal(segment_of(&c[4], F_FIN | F_ACK, ISN + 1, ASKED, "full"), K_POOL);
		/* nor does one that may be taken over */
		segment_of(&c[0], F_SYN, ISN2, ASKED, "reopen");
		segment_of(&c[4], F_SYN, ISN, ASKED | C(flow_full), "full");
		segment_of(&c[0], F_ACK, ISN + 1, ASKED, "lives");
		/* nor one that has just closed */
		segment_of(&c[0], F_FIN | F_ACK, ISN + 1, ASKED | C(flow_closed), "close");
		segment_of(&c[4], F_SYN, ISN, ASKED | C(flow_full), "full");
		assert_true(flow_find(&c[0], &f, &at[0]));
		flow_word(at[0])->live.seen = rig_tick() - rig.settings.closing_timeout + 2;
		segment_of(&c[4], F_SYN, ISN, ASKED | C(flow_full), "not yet expired");
		check_tables("full");
		flow_word(at[0])->live.seen = rig_tick() - rig.settings.closing_timeout - 1;
		segment_of(&c[4], F_SYN, ISN, ASKED | C(flow_new) | C(flow_evicted), "expired");
		assert_false(flow_find(&c[0], &f, NULL));
		assert_true(flow_find(&c[4], &f, NULL));
		check_tables("expired");
		segment_of(&c[4], F_ACK, ISN + 1, ASKED | C(flow_established), "expired");
		assert_int_equal(rig.backends[K_POOL].connections_active, 4);
		check_tables("expired");
		/* an expired one goes before a SYN does */
		segment_of(&c[1], F_FIN | F_ACK, ISN + 1, ASKED | C(flow_closed), "close");
		segment_of(&c[2], F_RST, ISN + 1, ASKED | C(flow_closed), "close");
		segment_of(&c[2], F_SYN, ISN2, ASKED, "port used again");
		assert_true(flow_find(&c[2], &f, &at[2]));
		flow_word(at[2])->syn.seen = rig_tick() - 50;
		assert_true(flow_find(&c[1], &f, &at[1]));
		flow_word(at[1])->live.seen = rig_tick() - rig.settings.closing_timeout - 1;
		segment_of(&c[5], F_SYN, ISN, ASKED | C(flow_new) | C(flow_evicted),
			   "expired first");
		assert_false(flow_find(&c[1], &f, NULL));
		assert_true(flow_find(&c[2], &f, NULL));
		check_tables("expired first");
	}
	rig_close();
}

/* 100,000 spoofed SYNs against a table that is full of live flows as far as it goes. */
static inline void case_flood(void **state)
{
	enum { LIVE = 40, SYNS = 50000 };

	assert_int_equal(world_open(16, 256), 0);
	for (int v6 = 0; v6 < 2; v6++) {
		struct tundish_counters before, after;
		struct conn live[LIVE], c = conn_of(v6, 0);
		bool entered[LIVE];
		uint32_t n = 0, x = 7;
		struct packet in, out;
		struct seen_flow f;

		world_reset();
		for (uint32_t i = 0; i < LIVE; i++) {
			live[i] = conn_of(v6, i);
			live[i].s.flags = F_SYN;
			live[i].s.seq = ISN;
			rig_run(build(&in, &live[i].s), &out);
			live[i].s.flags = F_ACK;
			live[i].s.seq = ISN + 1;
			rig_run(build(&in, &live[i].s), &out);
			entered[i] = flow_find(&live[i], &f, NULL);
			n += entered[i];
		}
		assert_true(n > LIVE * 3 / 4);
		rig_counters(&before);
		for (int i = 0; i < SYNS; i++) {
			x = x * 1664525 + 1013904223;
			c.s.src.word[3] = x;
			c.s.sport = (uint16_t)(1024 + i);
			c.s.flags = F_SYN;
			c.s.seq = x ^ 0x5555;
			rig_run(build(&in, &c.s), &out);
		}
		rig_counters(&after);
		check_tables("flood");
		assert_int_equal(after.flow_new - before.flow_new + after.flow_full -
					 before.flow_full,
				 SYNS);
		assert_true(after.flow_evicted > before.flow_evicted);
		assert_int_equal(after.flow_established, before.flow_established);
		give_slots(K_OTHER, true);
		for (uint32_t i = 0; i < LIVE; i++) {
			if (!entered[i])
				continue;
			assert_true(flow_find(&live[i], &f, NULL));
			assert_int_equal(f.v.live.state, TUNDISH_FLOW_ESTABLISHED);
			assert_int_equal(segment_of(&live[i], F_ACK, ISN + 50, ASKED, "live"),
					 K_POOL);
		}
	}
	rig_close();

	/* nothing but live flows: all SYNs are counted as such */
	assert_int_equal(world_open(1, 64), 0);
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = conn_of(v6, 100);
		struct tundish_counters before, after;
		struct packet in, out;
		size_t length;
		uint8_t *flows;

		world_reset();
		for (uint32_t i = 0; i < 4; i++) {
			struct conn l = conn_of(v6, i);

			opened(&l);
		}
		length = sizeof(*rig.flows) + sizeof(*rig.flows6);
		flows = malloc(length);
		memcpy(flows, rig.flows, sizeof(*rig.flows));
		memcpy(flows + sizeof(*rig.flows), rig.flows6, sizeof(*rig.flows6));
		rig_counters(&before);
		for (uint32_t i = 0; i < 2000; i++) {
			c.s.sport = (uint16_t)(30000 + i);
			c.s.flags = F_SYN;
			assert_int_equal(rig_run(build(&in, &c.s), &out), XDP_TX);
		}
		rig_counters(&after);
		assert_int_equal(after.flow_full - before.flow_full, 2000);
		assert_memory_equal(flows, rig.flows, sizeof(*rig.flows));
		assert_memory_equal(flows + sizeof(*rig.flows), rig.flows6, sizeof(*rig.flows6));
		free(flows);
	}
	rig_close();
}

/* The tuple table with one bucket: four tuples. */
static inline void case_tuples_full(void **state)
{
	assert_int_equal(world_open(256, 1), 0);
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c[6];
		struct seen_flow f;

		world_reset();
		for (uint32_t i = 0; i < 6; i++) {
			c[i] = conn_of(v6, i);
			c[i].s.src.word[3] = TUNDISH_BE32(0xc6336400 + i);
		}
		for (uint32_t i = 0; i < 4; i++)
			opened(&c[i]);
		segment_of(&c[4], F_SYN, ISN, ASKED | C(flow_new), "fifth");
		/* asked once more, to take "counted" back */
		{
			struct tundish_counters before, after;
			struct packet in, out;

			c[4].s.flags = F_ACK;
			c[4].s.seq = ISN + 1;
			rig_counters(&before);
			rig_run(build(&in, &c[4].s), &out);
			rig_counters(&after);
			assert_int_equal(after.tuple_full - before.tuple_full, 1);
			assert_int_equal(after.flow_established - before.flow_established, 1);
			assert_int_equal(after.flow_lookup - before.flow_lookup, 1);
			assert_int_equal(after.flow_unknown, before.flow_unknown);
		}
		assert_true(flow_find(&c[4], &f, NULL));
		assert_int_equal(f.v.live.counted, 0);
		check_tables("fifth");
		/* the port used again, while it is open: counts nowhere either */
		segment_of(&c[4], F_SYN, ISN2, ASKED, "reopen");
		segment_of(&c[4], F_ACK, ISN2 + 1, ASKED | C(flow_established), "reopen");
		segment_of(&c[4], F_FIN | F_ACK, ISN2 + 1, ASKED | C(flow_closed), "uncounted FIN");
		check_tables("uncounted FIN");
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(facts_of(&c[i], K_POOL).tuple_active, 1);
		/* one without active connections gives way */
		segment_of(&c[1], F_FIN | F_ACK, ISN + 1, ASKED | C(flow_closed), "FIN");
		assert_int_equal(facts_of(&c[1], K_POOL).tuple_total, 1);
		segment_of(&c[5], F_SYN, ISN, ASKED | C(flow_new), "sixth");
		segment_of(&c[5], F_ACK, ISN + 1, ASKED | C(flow_established) | C(tuple_evicted),
			   "sixth");
		assert_int_equal(facts_of(&c[1], K_POOL).tuple_total, 0);
		assert_int_equal(facts_of(&c[5], K_POOL).tuple_active, 1);
		check_tables("sixth");
		/* a late FIN of the tuple that is gone changes nothing */
		segment_of(&c[1], F_FIN | F_ACK, ISN + 1, ASKED, "late FIN");
		check_tables("late FIN");
	}
	rig_close();
}

/* Opened and closed in one segment with no place for its tuple. */
static inline void case_tuples_full_at_once(void **state)
{
	assert_int_equal(world_open(256, 1), 0);
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c[5];
		struct packet in, out;

		world_reset();
		for (uint32_t i = 0; i < 5; i++) {
			c[i] = conn_of(v6, i);
			c[i].s.src.word[3] = TUNDISH_BE32(0xc6336400 + i);
			if (i < 4)
				opened(&c[i]);
		}
		segment_of(&c[4], F_SYN, ISN, ASKED | C(flow_new), "fifth");
		c[4].s.flags = F_ACK | F_FIN;
		c[4].s.seq = ISN + 1;
		rig_run(build(&in, &c[4].s), &out);
		assert_int_equal(rig.backends[K_POOL].connections_active, 4);
		assert_int_equal(rig.backends[K_POOL].connections_total, 5);
		check_tables("at once");
	}
	rig_close();
}

#define CASES_FULL                                                                                 \
	cmocka_unit_test(case_who_gives_way), cmocka_unit_test(case_flood),                        \
		cmocka_unit_test(case_tuples_full), cmocka_unit_test(case_tuples_full_at_once)

#endif
