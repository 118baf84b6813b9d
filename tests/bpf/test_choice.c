// SPDX-License-Identifier: GPL-2.0-only
/*
 * Services that choose, in this kernel; and on two CPUs at once, where a backend must never
 * have more than its max_connections, and no place may be lost.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "bpf/cases_choice.h"

enum { CPUS = 2, BACKENDS = 3, MOST = 25, ROUNDS = 400, PER_ROUND = 60 };

static atomic_uint over, watching, turn;

static void pin(uint32_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/* Opens more than there is room for, closes what it has got. */
static void *storm(void *arg)
{
	uint32_t cpu = (uint32_t)(uintptr_t)arg;

	pin(cpu);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		atomic_fetch_add(&turn, 1);
		while (atomic_load(&turn) < CPUS * (round + 1))
			sched_yield();
		for (uint32_t i = 0; i < PER_ROUND; i++) {
			struct conn c = choice_conn(round & 1, cpu * 1000 + i);

			choice_send(&c, F_SYN, 100 + round * 5);
			if (i % 4)
				choice_send(&c, F_ACK, 101 + round * 5);
		}
		for (uint32_t i = 0; i < PER_ROUND; i++) {
			struct conn c = choice_conn(round & 1, cpu * 1000 + i);

			if (!(i % 4)) /* those whose ACK came late */
				choice_send(&c, F_ACK, 101 + round * 5);
		}
		for (uint32_t i = 0; i < PER_ROUND; i++) {
			struct conn c = choice_conn(round & 1, cpu * 1000 + i);

			/* a reset of what is not there is a stray */
			choice_send(&c, F_RST, 101 + round * 5);
		}
	}
	return NULL;
}

/* The count itself may be one too many for a moment, by each CPU that tries; what is let
 * through is what the table holds. */
static void *watch(void *arg)
{
	while (atomic_load(&watching))
		for (uint32_t i = 0; i < BACKENDS; i++)
			if (*(volatile uint64_t *)&rig.backends[CHOICE(i)].connections_active >
			    MOST + CPUS)
				atomic_fetch_add(&over, 1);
	return NULL;
}

static uint32_t established(uint32_t backend)
{
	struct seen_flow f;
	uint32_t n = 0;

	for (uint32_t i = 0; i < flow_entries(); i++)
		n += flow_at(i, &f) && tundish_flow_open(f.v) && f.v.live.backend == backend;
	return n;
}

static void test_at_once(void **state)
{
	static const uint16_t weights[BACKENDS] = {100, 100, 100};
	pthread_t threads[CPUS], watcher;
	struct tundish_counters n;
	uint64_t totals = 0;

	if (sysconf(_SC_NPROCESSORS_ONLN) < CPUS)
		skip();
	choice_world(K_POOL, BACKENDS, weights, MOST, TUNDISH_DELIVER_LEAST);
	atomic_store(&watching, 1);
	assert_int_equal(pthread_create(&watcher, NULL, watch, NULL), 0);
	for (uintptr_t i = 0; i < CPUS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, storm, (void *)i), 0);
	for (uint32_t i = 0; i < CPUS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&watching, 0);
	pthread_join(watcher, NULL);
	assert_int_equal(atomic_load(&over), 0);
	check_tables("after all");
	rig_counters(&n);
	assert_true(n.sent_rst_full > 0);
	assert_int_equal(n.flow_established, n.flow_closed);
	for (uint32_t i = 0; i < BACKENDS; i++) {
		assert_int_equal(active_of(i), 0);
		totals += rig.backends[CHOICE(i)].connections_total;
	}
	assert_int_equal(totals, n.flow_established);
	for (uint32_t s = 0; s < TUNDISH_MAGLEV_SLOTS; s++)
		assert_int_equal(pending_of(K_POOL, s), 0);
	choice_end();
}

/* Both fill the service up at once: exactly full, and nobody refused while there was room. */
static void *fill_up(void *arg)
{
	uint32_t cpu = (uint32_t)(uintptr_t)arg;

	pin(cpu);
	for (uint32_t i = 0; i < BACKENDS * MOST; i++) {
		struct conn c = choice_conn(0, cpu * 1000 + i);

		choice_open(&c, 5);
	}
	return NULL;
}

static void test_filled_at_once(void **state)
{
	static const uint16_t weights[BACKENDS] = {100, 100, 100};
	pthread_t threads[CPUS];
	struct tundish_counters n;

	if (sysconf(_SC_NPROCESSORS_ONLN) < CPUS)
		skip();
	for (int round = 0; round < 20; round++) {
		choice_world(K_POOL, BACKENDS, weights, MOST, TUNDISH_DELIVER_LEAST);
		for (uintptr_t i = 0; i < CPUS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, fill_up, (void *)i), 0);
		for (uint32_t i = 0; i < CPUS; i++)
			pthread_join(threads[i], NULL);
		rig_counters(&n);
		for (uint32_t i = 0; i < BACKENDS; i++) {
			assert_int_equal(active_of(i), MOST);
			assert_int_equal(established(CHOICE(i)), MOST);
		}
		assert_int_equal(n.flow_established, BACKENDS * MOST);
		check_tables("filled");
	}
	choice_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {CASES_CHOICE, cmocka_unit_test(test_at_once),
					   cmocka_unit_test(test_filled_at_once)},
				full[] = {CASES_CHOICE_FULL};
	int r;

	if (world_open(1024, 1024) < 0)
		return 0;
	r = cmocka_run_group_tests_name("data path: choice", tests, NULL, NULL);
	rig_close();
	if (world_open(16, 256) < 0)
		return r;
	r += cmocka_run_group_tests_name("data path: choice, full table", full, NULL, NULL);
	rig_close();
	return r;
}
