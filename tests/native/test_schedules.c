// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two and three CPUs on the same flows and tuples, in thousands of orders. Threads take
 * turns: only one runs, and at each access to memory that CPUs share a die decides who
 * goes on. What the tables must hold true is asked whenever all have finished. The
 * orders are the same in each run; SEED=n ROUNDS=n choose others, V=1 shows the packets of
 * the one that fails.
 */
#define RIG_STEPS
#include "native/rig_native.h"
#include "native/schedule.h"

#include "bpf/cases_choice.h"

enum { CONNECTIONS = 6, PACKETS = 3 };

struct job {
	struct packet in[PACKETS];
	int n;
};

static struct job jobs[THREADS];

static void job(int thread)
{
	static __thread uint8_t rest[PACKET_MAX];
	uint8_t *arena = mmap(NULL, RIG_ARENA, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	struct packet out;

	if (arena == MAP_FAILED)
		abort();
	rig_cpu = (uint32_t)thread + 1;
	for (int i = 0; i < jobs[thread].n; i++)
		rig_program(&jobs[thread].in[i], &out, 0, tundish_xdp, arena, rest);
	munmap(arena, RIG_ARENA);
}

static uint32_t most; /* where not 0: two backends with so many connections at most */
static bool udp;      /* packets of UDP flows, in one tick or in several */

/* Two clients with three connections each, so that they share tuples. */
static struct conn connection(int v6, uint32_t i)
{
	struct conn c = udp ? query_of(v6, i % 3) : conn_of(v6, i % 3);

	c.s.src.word[3] += i / 3;
	return c;
}

/* Flows the tables could not find place for are counted; where that never happened the
 * counts are exact. */
static const char *round_wrong(int v6)
{
	const char *wrong = flows_wrong();

	if (!wrong)
		wrong = tuples_wrong();
	for (uint32_t i = 0; most && i < 2 && !wrong; i++)
		if (active_of(i) > most)
			wrong = "a backend has more than its max_connections";
	for (uint32_t i = 0; i < CONNECTIONS && !wrong; i++) {
		struct conn c = connection(v6, i);
		struct seen_flow f;
		bool half = flow_find(&c, &f, NULL) && tundish_flow_half_open(f.v);

		if (pending_of(udp ? K_UDP : K_POOL, slot_of(&c.s)) != half)
			wrong = "a slot's half-open count is not its half-open flows";
	}
	if (wrong && getenv("V"))
		for (int t = 0; t < THREADS; t++)
			for (int i = 0; i < jobs[t].n; i++)
				fprintf(stderr, "CPU %d: client ...%02x:%u flags %02x\n", t,
					jobs[t].in[i].data[v6 ? 37 : 29],
					get16(jobs[t].in[i].data + (v6 ? 54 : 34)),
					jobs[t].in[i].data[v6 ? 67 : 47]);
	return wrong;
}

static void play_orders(const char *what, const uint8_t *flags, uint32_t n_flags, uint32_t rounds,
			uint32_t connections, bool fresh)
{
	enum kind pool = udp ? K_UDP : K_POOL;

	for (int v6 = 0; v6 < 2; v6++) {
		uint32_t seed = number("SEED", 1);
		const char *wrong = NULL;
		uint64_t totals = 0;
		struct tundish_counters n;

		assert_int_equal(world_open(8, 8), 0);
		if (most)
			choice_world(pool, 2, (uint16_t[]){100, 100}, most, TUNDISH_DELIVER_LEAST);
		schedule_open(job);
		rounds = number("ROUNDS", rounds);
		for (uint32_t round = 0; round < rounds && !wrong; round++, seed++) {
			schedule_seed(seed);
			for (int t = 0; t < THREADS; t++) {
				jobs[t].n = 1 + (int)(roll() >> 8) % PACKETS;
				for (int i = 0; i < jobs[t].n; i++) {
					struct conn c = connection(v6, (roll() >> 8) % connections);

					c.s.flags = flags[(roll() >> 8) % n_flags];
					c.s.seq = c.s.sport * 1000u +
						  (c.s.flags !=
						   F_SYN); /* or one entry's word is another's */
					build(&jobs[t].in[i], &c.s);
				}
			}
			if ((udp || most) && roll() & 1)
				rig_now_ns += 1ull << TUNDISH_TICK_SHIFT;
			schedule_run();
			wrong = round_wrong(v6);
			if (fresh) { /* from nothing again: that is where entries are made */
				memset(rig.flows, 0, sizeof(*rig.flows) * rig.flow_buckets);
				memset(rig.flows6, 0, sizeof(*rig.flows6) * rig.flow_buckets);
				memset(rig.tuples, 0, sizeof(*rig.tuples) * rig.tuple_buckets);
				for (uint32_t i = 0; i < connections; i++) {
					struct conn c = connection(v6, i);

					*slot_word(pool, slot_of(&c.s)) = pool;
				}
				rig.backends[pool].connections_active =
					rig.backends[pool].connections_total = 0;
			}
		}
		schedule_close();
		if (wrong) {
			rig_close();
			fail_msg("v%d %s, SEED=%u: %s", v6 ? 6 : 4, what, seed - 1, wrong);
		}
		if (!fresh) {
			rig_counters(&n);
			for (uint32_t i = 0; i < rig.tuple_buckets * 4; i++)
				totals += tuple_at(i)->value.total;
			assert_int_equal(n.flow_established,
					 rig.backends[pool].connections_total +
						 rig.backends[CHOICE(0)].connections_total +
						 rig.backends[CHOICE(1)].connections_total);
			if (most)
				assert_true(n.sent_rst_full > 0);
			assert_int_equal(n.tuple_evicted, 0);
			/* who loses a race too often goes without an entry, and is counted */
			assert_true(n.flow_full + n.tuple_full < 2 + rounds / 1000);
			if (!n.tuple_full)
				assert_int_equal(totals, n.flow_established);
			assert_true(totals > rounds / 20);
		}
		check_tables(what);
		rig_close();
	}
}

/* The same SYN, and the ACKs behind it, at once. */
static void test_same_syn(void **state)
{
	static const uint8_t flags[] = {F_SYN};

	play_orders("the same SYN", flags, 1, 3000, 1, true);
}

static void test_beginnings(void **state)
{
	static const uint8_t flags[] = {F_SYN, F_SYN, F_ACK};

	play_orders("beginnings", flags, 3, 6000, 3, true);
}

static void test_lives(void **state)
{
	static const uint8_t flags[] = {F_SYN, F_SYN, F_ACK, F_ACK, F_FIN | F_ACK, F_RST};

	play_orders("lives", flags, 6, 6000, 6, false);
}

/* Six connections before two backends that may have one each, or two: never more, and nothing is
 * lost on the way. */
static void test_limits(void **state)
{
	static const uint8_t flags[] = {F_SYN, F_SYN, F_ACK, F_ACK, F_ACK, F_FIN | F_ACK, F_RST};

	for (most = 1; most <= 2; most++)
		play_orders("limits", flags, 7, 3000, 6, false);
	most = 0;
}

/* First packets of one flow, and of several, at once; and those that establish it. */
static void test_udp(void **state)
{
	static const uint8_t flags[] = {0};

	udp = true;
	play_orders("the same UDP flow", flags, 1, 3000, 1, true);
	play_orders("UDP flows", flags, 1, 3000, 3, true);
	udp = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_syn), cmocka_unit_test(test_beginnings),
		cmocka_unit_test(test_lives),	 cmocka_unit_test(test_limits),
		cmocka_unit_test(test_udp),
	};

	return cmocka_run_group_tests_name("native: orders of CPUs", tests, NULL, NULL);
}
