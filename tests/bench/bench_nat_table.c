// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the table of translated connections costs, by itself: finding from either side,
 * beginning, stepping, a source port. By test runs of tests/bpf/nat.bpf.c, less an empty
 * run that makes up the same clients; the least of several.
 */
#include "bench.h"

#include "bpf/nat_rig.h"

enum { ROUNDS = 5 };

static uint32_t empty;

static uint32_t least(const char *program, uint32_t n, const struct nat_asked *a)
{
	uint32_t best = ~0u;

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t ns;

		nat_rig_ask(a);
		ns = nat_rig_run(program, n);
		best = TD_MIN(best, ns);
	}
	return best;
}

static void row(const char *name, uint32_t ns)
{
	report((struct row){.name = name, .value = ns > empty ? ns - empty : 0, .unit = "ns"});
}

static void flows(uint32_t n, const char *words)
{
	struct nat_asked one = {.clients = n, .backend = 2}, any = one;
	char name[80];
	uint32_t runs = TD_MAX(n, 200000u);

	if (nat_rig_open(TD_MAX(n, 1000u)) < 0)
		die("the kernel does not load nat.bpf.o: %s", strerror(errno));
	nat_rig_lanes(16, 1024, 65535);
	any.shuffle = 1;
	empty = least("nothing", runs, &any);
	nat_rig_ask(&one);
	/* the first of each of the two pays for nothing but itself */
	snprintf(name, sizeof(name), "nat: begin, port kept, %s", words);
	row(name, nat_rig_run("make", n));
	if (nat_rig_answers().made < n - n / 10000)
		die("%u connections did not find place", n - (uint32_t)nat_rig_answers().made);
	snprintf(name, sizeof(name), "nat: find, client's side, %s", words);
	row(name, least("find_client", runs, &any));
	snprintf(name, sizeof(name), "nat: find, server's side, %s", words);
	row(name, least("find_server", runs, &any));
	any.segment = (struct tundish_nat_segment){.flags = TUNDISH_SEGMENT_ACK};
	snprintf(name, sizeof(name), "nat: find and step, %s", words);
	row(name, least("step_client", runs, &any));
	nat_rig_close();
}

static void pool(void)
{
	struct nat_asked a = {.clients = 400000, .backend = 1};

	if (nat_rig_open(1000000) < 0)
		die("the kernel does not load nat.bpf.o: %s", strerror(errno));
	nat_rig_lanes(16, 1024, 65535);
	empty = least("nothing", 400000, &a);
	nat_rig_ask(&a);
	row("nat: begin, port of 16 lanes, 400k", nat_rig_run("make", 400000));
	if (nat_rig_answers().made < 399960)
		die("%u connections found no place", 400000 - (uint32_t)nat_rig_answers().made);
	nat_rig_close();
}

/* Of one lane that is so full; each port that is taken is given back. */
static void ports(uint32_t percent, uint32_t each)
{
	struct tundish_lane *l = &nat_rig.lanes[1];
	char name[80];
	uint32_t dice = 12345;

	nat_rig_lanes(1, 1024, 65535);
	for (uint32_t want = l->usable / 100 * percent + (percent == 100 ? l->usable % 100 : 0);
	     l->used < want;) {
		uint32_t p;

		dice = dice * 1664525u + 1013904223u;
		p = 1024 + tundish_bucket(dice, 64512);
		if (percent == 100)
			p = 1024 + l->used;
		if (nat_rig.ports[1].taken[p / 64] >> (p % 64) & 1)
			continue;
		nat_rig.ports[1].taken[p / 64] |= 1ull << (p % 64);
		l->used++;
	}
	snprintf(name, sizeof(name), "nat: port, lane %u%% full, taken and put", percent);
	if (percent == 100)
		snprintf(name, sizeof(name), "nat: port, lane full, refused");
	row(name, least("take", each, &(struct nat_asked){.lane = 1, .put = 1}));
}

/* A full lane of connections that never got an answer, five seconds old: each SYN takes a
 * port of one of them. */
static void reclaim(void)
{
	struct nat_asked a = {.clients = 60000, .backend = 1};

	nat_rig_lanes(1, 1024, 61023);
	nat_rig_ask(&a);
	nat_rig_run("make", 60000);
	for (uint32_t i = 0; i < nat_rig.buckets * TUNDISH_NAT_SLOTS; i++)
		nat_rig.nat[i].word.since -= 5;
	a.first = 100000;
	nat_rig_ask(&a);
	row("nat: begin, lane full, port taken back", nat_rig_run("make", 50000));
	if (nat_rig_answers().made < 49990)
		die("only %u ports were taken back", (uint32_t)nat_rig_answers().made);
	/* none of them yields: 64 looks */
	row("nat: lane full, none yields yet",
	    least("make", 2000,
		  &(struct nat_asked){.first = 200000, .clients = 1000, .backend = 1}));
}

int main(void)
{
	pin_cpu();
	flows(1, "1");
	flows(100000, "100k");
	flows(1000000, "1M");
	pool();
	if (nat_rig_open(100000) < 0)
		die("the kernel does not load nat.bpf.o: %s", strerror(errno));
	empty = 0;
	ports(0, 200000);
	ports(50, 200000);
	ports(99, 100000);
	ports(100, 100000);
	reclaim();
	nat_rig_close();
	return 0;
}
