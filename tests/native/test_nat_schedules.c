// SPDX-License-Identifier: GPL-2.0-only
/*
 * Three CPUs on the same translated connections, in thousands of orders (schedule.h):
 * the same SYN at once, SYNs that take each other's ports, segments of both ends, ends
 * by the data path. Each copy that a reader gets must be of one connection. What must
 * hold of the tables (rig_nat.h) is asked whenever all have finished.
 * SEED=n ROUNDS=n choose other orders.
 */
#define RIG_STEPS
#include "native/rig_nat.h"
#include "native/schedule.h"

enum { CLIENTS = 6, ACTS = 4 };

enum act {
	ACT_SYN,
	ACT_LOOK,      /* from the client's side */
	ACT_LOOK_BACK, /* from the server's: any port of the lane */
	ACT_STEP,
	ACT_FREE,
	ACT_KINDS
};

static struct {
	struct {
		enum act act;
		uint32_t client, backend, flags, side, number;
	} acts[ACTS];
	int n;
} jobs[THREADS];

static const char *torn; /* what a reader saw that cannot be */
static uint64_t made, found;

/* All fields of a record follow from its client's number. */
static void check_copy(const struct nat_query *q)
{
	uint32_t base = bpf_ntohs(q->record.client_port_be) - 5000u;
	uint32_t client = base + 3 * (q->record.vip_id - 3u);

	found++;
	if (client >= CLIENTS || TUNDISH_NAT_HOP(q->record.lane_hop) != client + 1 ||
	    q->record.client.word[3] != TUNDISH_BE32(0xc6336400 + base % 2))
		torn = "a copy of two connections";
	if (q->side == TUNDISH_NAT_SERVER && q->record.source_port_be != q->far_port)
		torn = "a reply goes to another's client";
	if (q->side == TUNDISH_NAT_CLIENT &&
	    (q->record.client_port_be != q->far_port || q->record.vip_id != q->id))
		torn = "a client's packet goes by another's port";
	if (q->record.word.state == TUNDISH_NAT_FREE)
		torn = "a free record is found";
}

/* What the client's SYN comes to: its source port, 0 where it is refused. */
static uint32_t syn(uint32_t client, uint32_t backend, uint32_t isn)
{
	struct nat_query *q = query_of(client, TUNDISH_NAT_CLIENT);
	int r;

	q->backend = backend;
	q->syn = (struct tundish_nat_syn){.isn = isn};
	q->segment = (struct tundish_nat_segment){
		.flags = TUNDISH_SEGMENT_SYN, .seq = isn, .end = isn + 1};
	if (nat_find(q)) {
		nat_seen(q);
		r = nat_step(q);
		settle();
		return r ? bpf_ntohs(q->record.source_port_be) : 0;
	}
	r = lane_choose(q);
	if (r == LANE_NONE || (r == LANE_FREE ? !lane_take(q) : !lane_reclaim(q))) {
		settle();
		return 0;
	}
	r = nat_make(q, 0);
	settle();
	if (r == NAT_FULL || r == NAT_TAKEN) {
		lane_put(q->lane, bpf_ntohs(q->source_port));
		return 0;
	}
	return bpf_ntohs(q->record.source_port_be);
}

static void job(int thread)
{
	rig_cpu = (uint32_t)thread + 1;
	rig_random = schedule.dice | 1;
	for (int i = 0; i < jobs[thread].n; i++) {
		uint32_t client = jobs[thread].acts[i].client;
		uint32_t side = jobs[thread].acts[i].act == ACT_LOOK_BACK;
		struct nat_query *q = query_of(client, side);

		switch (jobs[thread].acts[i].act) {
		case ACT_SYN:
			made += !!syn(client, jobs[thread].acts[i].backend,
				      jobs[thread].acts[i].number);
			continue;
		case ACT_LOOK_BACK:
			q->far = rig_lanes[1].source;
			q->far_port = TUNDISH_BE16(NAT_RANGE + client % rig_lanes[1].usable);
			q->port = TUNDISH_BE16(8443);
			q->id = 7;
			break;
		default: break;
		}
		if (!nat_find(q))
			continue;
		check_copy(q);
		if (jobs[thread].acts[i].act == ACT_STEP) {
			nat_seen(q);
			q->segment = (struct tundish_nat_segment){
				.side = jobs[thread].acts[i].side,
				.flags = jobs[thread].acts[i].flags,
				.seq = jobs[thread].acts[i].number,
				.end = jobs[thread].acts[i].number + 1,
				/* most fit what the record says */
				.ack = jobs[thread].acts[i].side
					       ? q->record.client_seq + (q->record.word.state < 3)
					       : q->record.server_seq + (q->record.word.state < 3)};
			if (nat_step(q) && q->record.word.generation == 0xffff)
				torn = "generation";
			settle();
		} else if (jobs[thread].acts[i].act == ACT_FREE) {
			nat_free(q, q->place, q->record.word.raw, 0);
			settle();
		}
	}
}

struct play {
	const char *what;
	uint32_t buckets, ports, clients, rounds;
	uint32_t lane2; /* one connection in so many keeps its port: backend 2 */
	uint32_t weights[ACT_KINDS];
	bool fresh;
};

static void play(const struct play *p)
{
	static const uint8_t flags[] = {2, 2, 2, 3, 3, 6, 6, 6, 8, 10};
	uint32_t seed = number("SEED", 1), rounds = number("ROUNDS", p->rounds), sum = 0;
	const char *wrong = NULL;

	for (int i = 0; i < ACT_KINDS; i++)
		sum += p->weights[i];
	world(p->buckets, p->ports);
	made = found = 0;
	torn = NULL;
	rig_careless = p->weights[ACT_FREE] && p->weights[ACT_STEP];
	schedule_open(job);
	for (uint32_t round = 0; round < rounds && !wrong; round++, seed++) {
		schedule_seed(seed);
		rig_now_ns += (uint64_t)(roll() >> 8) % 4 << TUNDISH_TICK_SHIFT;
		for (int t = 0; t < THREADS; t++) {
			jobs[t].n = 1 + (int)(roll() >> 8) % ACTS;
			for (int i = 0; i < jobs[t].n; i++) {
				uint32_t which = (roll() >> 8) % sum, act = 0;

				while (which >= p->weights[act])
					which -= p->weights[act++];
				jobs[t].acts[i].act = (enum act)act;
				jobs[t].acts[i].client = (roll() >> 8) % p->clients;
				jobs[t].acts[i].backend =
					p->lane2 && !((roll() >> 8) % p->lane2) ? 2 : 1;
				jobs[t].acts[i].flags = flags[(roll() >> 8) % sizeof(flags)];
				jobs[t].acts[i].side = (roll() >> 8) & 1;
				jobs[t].acts[i].number = (roll() >> 8) % 8;
			}
		}
		schedule_run();
		wrong = torn ? torn : table_wrong();
		if (p->fresh)
			world(p->buckets, p->ports);
	}
	schedule_close();
	if (wrong)
		fail_msg("%s, SEED=%u: %s", p->what, seed - 1, wrong);
	assert_true(made > rounds / 4);
	if (p->weights[ACT_LOOK] + p->weights[ACT_STEP] && !p->fresh)
		assert_true(found > rounds / 4);
}

/* The same SYN on all CPUs: one record stays, and all ports but its own are free. */
static void test_same_syn(void **state)
{
	play(&(struct play){.what = "the same SYN",
			    .buckets = 4,
			    .ports = 8,
			    .clients = 1,
			    .rounds = 4000,
			    .weights = {[ACT_SYN] = 1},
			    .fresh = true});
}

static void test_beginnings(void **state)
{
	play(&(struct play){.what = "beginnings",
			    .buckets = 1,
			    .ports = 8,
			    .clients = CLIENTS,
			    .rounds = 4000,
			    .lane2 = 2,
			    .weights = {[ACT_SYN] = 4, [ACT_FREE] = 1, [ACT_LOOK] = 1},
			    .fresh = true});
}

/* Fewer ports than clients: they are taken back from what rests, and found again under
 * another's name by readers that came for the former one. */
static void test_reclaim(void **state)
{
	play(&(struct play){
		.what = "ports that change hands",
		.buckets = 2,
		.ports = 3,
		.clients = CLIENTS,
		.rounds = 8000,
		.weights = {[ACT_SYN] = 4, [ACT_LOOK] = 1, [ACT_LOOK_BACK] = 2, [ACT_STEP] = 3}});
	assert_true(rig_lanes[1].early > 200);
}

/* One place at a time: a record is written again as soon as it is free. */
static void test_reuse(void **state)
{
	play(&(struct play){
		.what = "readers against re-use",
		.buckets = 1,
		.ports = 4,
		.clients = CLIENTS,
		.rounds = 8000,
		.weights = {[ACT_SYN] = 3, [ACT_LOOK] = 2, [ACT_LOOK_BACK] = 2, [ACT_FREE] = 3}});
}

static void test_lives(void **state)
{
	play(&(struct play){
		.what = "lives",
		.buckets = 4,
		.ports = 16,
		.clients = CLIENTS,
		.rounds = 8000,
		.lane2 = 3,
		.weights = {[ACT_SYN] = 2, [ACT_LOOK] = 1, [ACT_LOOK_BACK] = 1, [ACT_STEP] = 8}});
	assert_true(rig_backends[1].connections_total > 100);
}

static void test_ends(void **state)
{
	play(&(struct play){.what = "lives that end at once",
			    .buckets = 2,
			    .ports = 8,
			    .clients = CLIENTS,
			    .rounds = 8000,
			    .lane2 = 3,
			    .weights = {[ACT_SYN] = 3, [ACT_STEP] = 6, [ACT_FREE] = 2}});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_syn), cmocka_unit_test(test_beginnings),
		cmocka_unit_test(test_reclaim),	 cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_lives),	 cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests_name("native: orders of CPUs, NAT", tests, NULL, NULL);
}
