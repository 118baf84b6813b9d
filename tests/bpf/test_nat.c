// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translated connections in this kernel: as many ports as there are and not one more, from
 * all CPUs at once; what was made is found from both sides; and what the verifier has to
 * do for it.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "bpf/nat_rig.h"

enum { CLIENTS = 40000 };

static int setup(void **state)
{
	return nat_rig_open(CLIENTS);
}

static int teardown(void **state)
{
	nat_rig_close();
	return 0;
}

/* The programs count their turns per CPU, and a long run may be moved to another one. */
static void stay_on(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

struct on_cpu {
	int cpu;
	const char *program;
	uint32_t n;
};

static void *on_cpu(void *arg)
{
	const struct on_cpu *o = arg;

	stay_on(o->cpu);
	nat_rig_run(o->program, o->n);
	return NULL;
}

/* On four CPUs, or as many as there are by turns. */
static void at_once(const char *program, uint32_t n)
{
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	struct on_cpu o[4];
	pthread_t threads[4];

	for (int i = 0; i < 4; i++) {
		o[i] = (struct on_cpu){.cpu = i % cpus, .program = program, .n = n};
		pthread_create(&threads[i], NULL, on_cpu, &o[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static uint32_t bits_in(const __u64 *words, uint32_t first, uint32_t last)
{
	uint32_t n = 0;

	for (uint32_t p = first; p <= last; p++)
		n += words[p / 64] >> (p % 64) & 1;
	return n;
}

static void test_ports(void **state)
{
	nat_rig_lanes(1, 1024, 11023);
	nat_rig_ask(&(struct nat_asked){.lane = 1});
	at_once("take", 4000);
	assert_int_equal(nat_rig_answers().taken, 10000);
	assert_int_equal(nat_rig_answers().refused, 6000);
	assert_int_equal(nat_rig.lanes[1].used, 10000);
	assert_int_equal(bits_in(nat_rig.ports[1].taken, 1024, 11023), 10000);
	/* and back */
	nat_rig_lanes(1, 1024, 11023);
	nat_rig_ask(&(struct nat_asked){.lane = 1, .put = 1});
	at_once("take", 20000);
	assert_int_equal(nat_rig_answers().taken, 80000);
	assert_int_equal(nat_rig.lanes[1].used, 0);
	assert_int_equal(bits_in(nat_rig.ports[1].taken, 1024, 11023), 0);
}

/* Sources x ports, exactly, by whole connections; the same clients on all CPUs at once. */
static void test_budget(void **state)
{
	static uint8_t seen[4][65536];
	uint32_t live = 0;

	memset(seen, 0, sizeof(seen));
	nat_rig_lanes(3, 2000, 2099);
	nat_rig_ask(&(struct nat_asked){.backend = 1});
	at_once("make", 500);
	for (uint32_t i = 0; i < nat_rig.buckets * TUNDISH_NAT_SLOTS; i++) {
		const struct tundish_nat *r = &nat_rig.nat[i];
		uint32_t lane = TUNDISH_NAT_LANE(r->lane_hop);

		if (r->word.state == TUNDISH_NAT_FREE)
			continue;
		live++;
		assert_in_range(lane, 1, 3);
		assert_int_equal(seen[lane][__builtin_bswap16(r->source_port_be)]++, 0);
	}
	assert_int_equal(live, 300);
	for (int l = 1; l <= 3; l++) {
		assert_int_equal(nat_rig.lanes[l].used, 100);
		assert_int_equal(nat_rig.lanes[l].yielding, 100);
	}
}

static void test_find(void **state)
{
	struct nat_asked clients = {.clients = CLIENTS, .backend = 2};

	stay_on(0);
	nat_rig_lanes(1, 1024, 65535);
	nat_rig_ask(&clients);
	nat_rig_run("find_client", CLIENTS);
	assert_int_equal(nat_rig_answers().found, 0);
	nat_rig_ask(&clients);
	nat_rig_run("make", CLIENTS);
	assert_int_equal(nat_rig_answers().made, CLIENTS);
	nat_rig_ask(&clients);
	nat_rig_run("find_client", 2 * CLIENTS); /* and as many others */
	assert_int_equal(nat_rig_answers().found, CLIENTS);
	nat_rig_ask(&clients);
	nat_rig_run("find_server", 2 * CLIENTS);
	assert_int_equal(nat_rig_answers().found, CLIENTS);
	/* all of them through a handshake */
	clients.segment = (struct tundish_nat_segment){
		.side = TUNDISH_NAT_SERVER, .flags = TUNDISH_SEGMENT_SYN | TUNDISH_SEGMENT_ACK};
	nat_rig_ask(&clients);
	nat_rig_run("step_server", CLIENTS);
	assert_int_equal(nat_rig.lanes[2].answered, CLIENTS);
	clients.segment = (struct tundish_nat_segment){.flags = TUNDISH_SEGMENT_ACK, .ack = 1};
	nat_rig_ask(&clients);
	nat_rig_run("step_client", CLIENTS);
	assert_int_equal(nat_rig.backends[2].connections_active, CLIENTS);
	clients.segment.flags = TUNDISH_SEGMENT_RST;
	nat_rig_ask(&clients);
	nat_rig_run("step_client", CLIENTS);
	assert_int_equal(nat_rig.backends[2].connections_active, 0);
	assert_int_equal(nat_rig.backends[2].connections_total, CLIENTS);
}

/* The margin to a million is for all of the data path together. */
static void test_verifier(void **state)
{
	struct bpf_program *p;
	uint32_t sum = 0;

	bpf_object__for_each_program(p, nat_rig.object)
	{
		struct bpf_prog_info info = {0};
		uint32_t length = sizeof(info);

		assert_int_equal(bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &length), 0);
		print_message("%s: %u steps, %u bytes\n", bpf_program__name(p), info.verified_insns,
			      info.xlated_prog_len);
		assert_true(info.verified_insns < 80000);
		sum += info.verified_insns;
	}
	assert_true(sum > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_ports),
		T(test_budget),
		T(test_find),
		T(test_verifier),
	};
	int r = nat_rig_open(8);

	if (r < 0) {
		print_message("skip - nat: %s\n",
			      r == -EPERM ? "not root, or no BPF here" : "load");
		return r != -EPERM;
	}
	nat_rig_close();
	return cmocka_run_group_tests_name("NAT in the kernel", tests, NULL, NULL);
}
