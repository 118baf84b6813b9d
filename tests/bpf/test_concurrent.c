// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's own program on two CPUs at once, on the same flows and tuples: duplicated
 * SYNs, storms of connections over few tuples. Afterwards no entry is there twice, no
 * count is off, nothing is half open.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "bpf/cases_flow.h"

enum { WORKERS = 2, ROUNDS = 4000, STORM = 40000 };

static atomic_uint arrived, generation;

/* All threads go on together; spins, as they have a CPU each. */
static void meet(void)
{
	uint32_t g = atomic_load(&generation);

	if (atomic_fetch_add(&arrived, 1) == WORKERS - 1) {
		atomic_store(&arrived, 0);
		atomic_fetch_add(&generation, 1);
		return;
	}
	while (atomic_load(&generation) == g)
		sched_yield();
}

static void pin(uint32_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void run(struct conn *c, uint8_t flags, uint32_t seq)
{
	struct packet in, out;

	c->s.flags = flags;
	c->s.seq = seq;
	rig_run(build(&in, &c->s), &out);
}

static struct conn one_of(int v6, uint32_t i)
{
	struct conn c = conn_of(v6, i % 8000);

	c.s.src.word[3] += (i / 8000) << 24;
	return c;
}

/* Each connection from both CPUs: SYN, ACK, FIN, at the same moment. */
static void *same_packets(void *arg)
{
	pin((uint32_t)(uintptr_t)arg);
	for (int v6 = 0; v6 < 2; v6++) {
		for (uint32_t i = 0; i < ROUNDS; i++) {
			struct conn c = one_of(v6, i);

			c.s.src.word[3] += i << 8; /* and a tuple of its own */
			meet();
			run(&c, F_SYN, 1000 + i);
			meet();
			run(&c, F_ACK, 1001 + i);
			if (i & 1)
				meet();
			run(&c, F_FIN | F_ACK, 1001 + i);
		}
	}
	return NULL;
}

/* Connections of its own for each CPU, over the same few tuples. */
static void *storm(void *arg)
{
	uint32_t cpu = (uint32_t)(uintptr_t)arg;

	pin(cpu);
	for (int v6 = 0; v6 < 2; v6++) {
		meet();
		for (uint32_t i = 0; i < STORM; i++) {
			struct conn c = conn_of(v6, cpu * 1000 + i % 500);

			c.s.src.word[3] += (i & 3) << 24;
			run(&c, F_SYN, i);
			run(&c, F_ACK, i + 1);
			if (i % 3 == 0)
				run(&c, F_SYN, i + 0x800); /* a SYN on the live flow */
			run(&c, i & 1 ? F_RST : F_FIN | F_ACK, i + 1);
		}
	}
	return NULL;
}

static void both(void *(*work)(void *))
{
	pthread_t threads[WORKERS];

	for (uintptr_t i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	for (uint32_t i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
}

static void check_ended(uint64_t connections)
{
	struct tundish_counters n;
	uint64_t totals = 0;

	check_tables("after all");
	rig_counters(&n);
	assert_int_equal(n.flow_full + n.tuple_full + n.tuple_evicted, 0);
	assert_int_equal(n.flow_established, connections);
	assert_int_equal(n.flow_closed, connections);
	for (uint32_t i = 0; i < rig.tuple_buckets * 4; i++) {
		assert_int_equal(tuple_at(i)->value.active, 0);
		totals += tuple_at(i)->value.total;
	}
	assert_int_equal(totals, connections);
	assert_int_equal(rig.backends[K_POOL].connections_active, 0);
	assert_int_equal(rig.backends[K_POOL].connections_total, connections);
	for (uint32_t s = 0; s < TUNDISH_MAGLEV_SLOTS; s++)
		assert_int_equal(pending_of(K_POOL, s), 0);
}

static void test_same_packets(void **state)
{
	world_reset();
	both(same_packets);
	check_ended(2 * ROUNDS);
}

static void test_storm(void **state)
{
	world_reset();
	both(storm);
	check_ended(2 * 2 * STORM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_packets),
		cmocka_unit_test(test_storm),
	};
	int r;

	if (sysconf(_SC_NPROCESSORS_ONLN) < WORKERS) {
		printf("skip - CPUs at once: two CPUs are needed\n");
		return 0;
	}
	if (world_open(8192, 8192) < 0)
		return 0;
	r = cmocka_run_group_tests_name("data path: CPUs at once", tests, NULL, NULL);
	rig_close();
	return r;
}
