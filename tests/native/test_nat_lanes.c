// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source ports: exactly as many as there are, none twice, each rests while there are
 * others; and which lane, and which port goes where none is free.
 */
#include "native/rig_nat.h"

#include <pthread.h>

enum { TAKERS = 4 };

/* ---- four CPUs at once, for real --------------------------------------------------------- */

static struct {
	uint32_t n, refused;
	uint16_t port[65536];
} taken[TAKERS];

static pthread_barrier_t barrier;

static void *taker(void *arg)
{
	struct nat_query *q;
	uint32_t refused = 0;
	int i = (int)(intptr_t)arg;

	rig_cpu = (uint32_t)i + 1;
	rig_random = 77 + (uint32_t)i;
	q = &rig_queries[rig_cpu][NAT_QUERY_LIVE];
	q->lane = 1;
	pthread_barrier_wait(&barrier);
	while (refused < 3) {
		if (lane_take(q))
			taken[i].port[taken[i].n++] = bpf_ntohs(q->source_port);
		else
			refused++;
	}
	taken[i].refused = refused;
	return NULL;
}

static void take_all(uint16_t first, uint16_t last, uint32_t reserved)
{
	static uint8_t seen[65536];
	pthread_t threads[TAKERS];
	uint32_t n = 0, usable = last - first + 1u;

	world(4, 4);
	set_lane(1, 7, 8443, first, last);
	for (uint32_t i = 0; i < reserved; i++) /* every third */
		rig_ports[1].taken[(first + 3 * i) / 64] |= 1ull << (first + 3 * i) % 64;
	rig_lanes[1].usable = usable -= reserved;
	rig_lanes[1].stride = 5;
	memset(taken, 0, sizeof(taken));
	memset(seen, 0, sizeof(seen));
	pthread_barrier_init(&barrier, NULL, TAKERS);
	for (int i = 0; i < TAKERS; i++)
		pthread_create(&threads[i], NULL, taker, (void *)(intptr_t)i);
	for (int i = 0; i < TAKERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < TAKERS; i++) {
		n += taken[i].n;
		for (uint32_t k = 0; k < taken[i].n; k++) {
			uint16_t p = taken[i].port[k];

			assert_in_range(p, first, last);
			assert_false(seen[p]);
			assert_true((p - first) % 3u || (p - first) / 3u >= reserved);
			seen[p] = 1;
		}
	}
	assert_int_equal(n, usable);
	assert_int_equal(rig_lanes[1].used, usable);
	assert_int_equal(rig_lanes[1].opened, usable);
	pthread_barrier_destroy(&barrier);
}

static void test_until_full(void **state)
{
	for (int round = 0; round < 10; round++) {
		take_all(1024, 65535, 0);
		take_all(1024, 65535, 9000);
		take_all(1000, 1015, 0);
		take_all(1000, 1015, 3);
		take_all(40000, 40000, 0);
		take_all(10000, 19999, 1);
	}
}

/* While others give back: whoever is let in by the count gets a port. */
static void *churner(void *arg)
{
	uint16_t held[16];
	uint32_t n = 0;
	struct nat_query *q;

	rig_cpu = (uint32_t)(intptr_t)arg + 1;
	rig_random = 99 + rig_cpu;
	q = &rig_queries[rig_cpu][NAT_QUERY_LIVE];
	q->lane = 1;
	for (int i = 0; i < 200000; i++) {
		if (n < 16 && (bpf_get_prandom_u32() >> 9 & 1)) {
			if (lane_take(q))
				held[n++] = bpf_ntohs(q->source_port);
		} else if (n) {
			assert_int_equal(lane_put(1, held[--n]), 1);
		}
	}
	while (n)
		assert_int_equal(lane_put(1, held[--n]), 1);
	return NULL;
}

static void test_churn(void **state)
{
	pthread_t threads[TAKERS];

	world(4, 40);
	for (int i = 0; i < TAKERS; i++)
		pthread_create(&threads[i], NULL, churner, (void *)(intptr_t)i);
	for (int i = 0; i < TAKERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(rig_lanes[1].used, 0);
	assert_int_equal(rig_lanes[1].yielding, 0);
	assert_null(table_wrong());
}

/* ---- rest --------------------------------------------------------------------------------- */

/* One connection at a time, each port free again at once: all others come first, but for
 * the words that stand half used at the ends. */
static void rests(uint16_t first, uint16_t last)
{
	static uint32_t given[65536];
	uint32_t usable = last - first + 1u, shortest = ~0u;
	struct nat_query *q = &rig_queries[1][NAT_QUERY_LIVE];

	world(4, 4);
	set_lane(1, 7, 8443, first, last);
	rig_lanes[1].stride = 5; /* no divisor of 1008, 157 or 6 */
	memset(given, 0, sizeof(given));
	rig_cpu = 1;
	q->lane = 1;
	for (uint32_t i = 1; i < 10 * usable; i++) {
		uint32_t port;

		assert_int_equal(lane_take(q), 1);
		port = bpf_ntohs(q->source_port);
		if (given[port] && i - given[port] < shortest)
			shortest = i - given[port];
		given[port] = i;
		lane_put(1, port);
	}
	assert_true(shortest > usable - 64);
	for (uint32_t p = first; p <= last; p++)
		assert_true(given[p]);
}

static void test_rest(void **state)
{
	rests(1024, 65535);
	rests(10000, 19999);
	rests(1000, 1299);
}

/* Two in a row are no neighbours that could be guessed. */
static void test_order(void **state)
{
	struct nat_query *q = &rig_queries[1][NAT_QUERY_LIVE];
	uint32_t last = 0, next = 0;

	world(4, 4);
	set_lane(1, 7, 8443, 1024, 65535);
	rig_cpu = 1;
	q->lane = 1;
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(lane_take(q), 1);
		next += bpf_ntohs(q->source_port) == last + 1;
		last = bpf_ntohs(q->source_port);
	}
	assert_true(next < 1500); /* of 10,000 */
}

/* ---- which lane ----------------------------------------------------------------------------- */

static void fan(uint32_t addresses, uint32_t sources, const uint16_t *ports)
{
	struct tundish_fan *f = &rig_fans[1];

	f->n_addresses = (uint8_t)addresses;
	f->n_sources = (uint8_t)sources;
	f->n_ports = 0;
	for (; ports && ports[f->n_ports]; f->n_ports++)
		f->port_be[f->n_ports] = TUNDISH_BE16(ports[f->n_ports]);
	for (uint32_t i = 0; i < TUNDISH_FAN_LANES; i++)
		f->lane[i] = 1 + i % (NAT_LANES - 1);
}

static int choose(struct nat_query *q, uint16_t port)
{
	q->backend = 1;
	q->port = TUNDISH_BE16(port);
	q->lane = 99;
	return lane_choose(q);
}

static void test_choose(void **state)
{
	static const uint16_t ports[] = {80, 443, 0};
	struct nat_query *q = &rig_queries[1][NAT_QUERY_LIVE];
	uint32_t of[NAT_LANES] = {0};

	world(4, 4);
	rig_cpu = 1;
	for (uint32_t l = 1; l < NAT_LANES; l++)
		set_lane(l, 7, 8443, 1024, 1123);
	/* lanes of the packet's port alone: [port][address][source] */
	fan(1, 3, ports);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(choose(q, 80), LANE_FREE);
		assert_in_range(q->lane, 1, 3);
		of[q->lane]++;
		assert_int_equal(choose(q, 443), LANE_FREE);
		assert_in_range(q->lane, 4, 6);
		assert_int_equal(choose(q, 81), LANE_NONE);
	}
	assert_true(of[1] > 50 && of[2] > 50 && of[3] > 50);
	/* one lane for all ports */
	fan(1, 3, NULL);
	assert_int_equal(choose(q, 81), LANE_FREE);
	assert_in_range(q->lane, 1, 3);
	/* the least used of few */
	fan(2, 2, NULL);
	rig_lanes[1].used = rig_lanes[2].used = rig_lanes[4].used = 10;
	rig_lanes[3].used = 9;
	for (int i = 0; i < 100; i++) {
		choose(q, 81);
		assert_int_equal(q->lane, 3);
	}
	/* in parts, not in ports: 60 of 100 is more than 90 of 200 */
	set_lane(1, 7, 8443, 1024, 1223);
	rig_lanes[1].used = 90;
	rig_lanes[2].used = rig_lanes[3].used = rig_lanes[4].used = 60;
	choose(q, 81);
	assert_int_equal(q->lane, 1);
	/* the only one with a port left is found, wherever it stands */
	fan(7, 1, NULL);
	for (uint32_t l = 1; l < NAT_LANES; l++)
		rig_lanes[l].used = rig_lanes[l].usable;
	for (uint32_t l = 1; l < NAT_LANES; l++) {
		rig_lanes[l].used--;
		for (int i = 0; i < 50; i++) {
			assert_int_equal(choose(q, 81), LANE_FREE);
			assert_int_equal(q->lane, l);
		}
		rig_lanes[l].used++;
	}
	/* all full: the one where most may give way */
	assert_int_equal(choose(q, 81), LANE_NONE);
	rig_lanes[5].yielding = 3;
	rig_lanes[2].yielding = 2;
	assert_int_equal(choose(q, 81), LANE_YIELDS);
	assert_int_equal(q->lane, 5);
	/* what a table should not hold */
	fan(16, 64, NULL);
	assert_int_equal(choose(q, 81), LANE_NONE);
	fan(0, 1, NULL);
	assert_int_equal(choose(q, 81), LANE_NONE);
	q->backend = 4711;
	assert_int_equal(lane_choose(q), LANE_NONE);
}

/* ---- taking back --------------------------------------------------------------------------- */

enum { PORTS = 200 };

static uint32_t fill(uint32_t state_of)
{
	uint32_t n = 0;

	world(60, PORTS);
	rig_now_ns = 5000000ull << TUNDISH_TICK_SHIFT;
	rig_cpu = 1;
	for (uint32_t c = 0; c < PORTS; c++) {
		struct nat_query *q = query_of(0, TUNDISH_NAT_CLIENT);

		q->far_port = TUNDISH_BE16(2000 + c);
		q->backend = 1;
		q->syn = (struct tundish_nat_syn){.isn = 1000};
		assert_int_equal(nat_find(q), 0);
		assert_int_equal(lane_choose(q), LANE_FREE);
		assert_int_equal(lane_take(q), 1);
		assert_int_equal(nat_make(q, 0), NAT_MADE);
		n++;
	}
	for (uint32_t i = 0; i < 60 * 8; i++) {
		struct tundish_nat *r = &rig_nat[i];
		bool was = tundish_nat_is_marked(state_of);

		if (r->word.state == TUNDISH_NAT_FREE)
			continue;
		r->word.state = state_of;
		if (tundish_nat_is_active(state_of))
			rig_backends[1].connections_active++;
		lane_mark(1, bpf_ntohs(r->source_port_be), was);
	}
	assert_null(table_wrong());
	return n;
}

/* A new client with this ISN; 0: refused. */
static uint32_t another(uint32_t number, uint32_t isn)
{
	struct nat_query *q = query_of(0, TUNDISH_NAT_CLIENT);
	uint32_t port;

	q->far_port = TUNDISH_BE16(40000 + number);
	q->backend = 1;
	q->syn = (struct tundish_nat_syn){.isn = isn};
	assert_int_equal(nat_find(q), 0);
	if (lane_choose(q) != LANE_YIELDS || !lane_reclaim(q)) {
		settle();
		return 0;
	}
	port = bpf_ntohs(q->source_port);
	assert_int_equal(nat_make(q, 0), NAT_MADE);
	settle();
	assert_null(table_wrong());
	return port;
}

static void test_reclaim(void **state)
{
	static const struct {
		uint32_t state, yields, expires;
	} rows[] = {{TUNDISH_NAT_SYN_SENT, 4, 57},     {TUNDISH_NAT_SYN_RECEIVED, 11, 57},
		    {TUNDISH_NAT_RESTING, 2, 11},      {TUNDISH_NAT_TIME_WAIT, 1, 57},
		    {TUNDISH_NAT_RESET_SERVER, 2, 11}, {TUNDISH_NAT_RESET_CLIENT, 2, 57},
		    {TUNDISH_NAT_ESTABLISHED, 0, 0},   {TUNDISH_NAT_FIN_SERVER, 0, 0},
		    {TUNDISH_NAT_CLOSING, 0, 0}};
	uint64_t start;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static uint8_t seen[65536];
		bool waits = rows[i].state == TUNDISH_NAT_TIME_WAIT;

		fill(rows[i].state);
		start = rig_now_ns;
		memset(seen, 0, sizeof(seen));
		assert_int_equal(another(0, 1001), 0);
		if (!rows[i].yields) {
			rig_now_ns = start + (1000ull << TUNDISH_TICK_SHIFT);
			assert_int_equal(another(0, 1001), 0);
			continue;
		}
		rig_now_ns = start + ((uint64_t)(rows[i].yields - 1) << TUNDISH_TICK_SHIFT);
		assert_int_equal(another(0, 1001), 0);
		rig_now_ns = start + ((uint64_t)rows[i].yields << TUNDISH_TICK_SHIFT);
		/* a SYN that the server's TIME_WAIT would not take gets none of those */
		assert_int_equal(!!another(0, 1000), !waits);
		for (uint32_t c = waits ? 0 : 1; c < PORTS; c++) {
			uint32_t port = another(c + 1, 1001);

			assert_in_range(port, NAT_RANGE, NAT_RANGE + PORTS - 1);
			assert_false(seen[port]);
			seen[port] = 1;
		}
		assert_int_equal(another(PORTS + 2, 1001), 0);
		assert_int_equal(rig_lanes[1].early, PORTS);
		/* when the time is over any SYN will do, and that is not early */
		fill(rows[i].state);
		rig_now_ns += (uint64_t)rows[i].expires << TUNDISH_TICK_SHIFT;
		assert_true(another(0, 0));
		assert_int_equal(rig_lanes[1].early, 0);
	}
	/* a backend that is no Linux */
	fill(TUNDISH_NAT_TIME_WAIT);
	rig_fans[1].flags = 0;
	rig_now_ns += 10ull << TUNDISH_TICK_SHIFT;
	assert_int_equal(another(0, 1001), 0);
}

/* Both buckets full: what may go goes, what lives stays, and that is told. */
static void test_full_buckets(void **state)
{
	uint32_t made = 0, full = 0;

	world(1, 100);
	rig_cpu = 1;
	for (uint32_t c = 0; c < 12; c++) {
		struct nat_query *q = query_of(0, TUNDISH_NAT_CLIENT);
		int r;

		q->far_port = TUNDISH_BE16(2000 + c);
		q->backend = 1;
		assert_int_equal(nat_find(q), 0);
		assert_int_equal(lane_choose(q), LANE_FREE);
		assert_int_equal(lane_take(q), 1);
		r = nat_make(q, 0);
		made += r == NAT_MADE;
		full += r == NAT_FULL;
		if (r == NAT_FULL)
			lane_put(1, bpf_ntohs(q->source_port));
		assert_null(table_wrong());
	}
	assert_int_equal(made, 8);
	assert_int_equal(full, 4);
	rig_now_ns += 10ull << TUNDISH_TICK_SHIFT; /* never answered */
	rig_nat[3].word.state = TUNDISH_NAT_ESTABLISHED;
	rig_backends[1].connections_active++;
	lane_mark(1, bpf_ntohs(rig_nat[3].source_port_be), 0);
	for (uint32_t c = 0; c < 20; c++) {
		struct nat_query *q = query_of(0, TUNDISH_NAT_CLIENT);

		rig_now_ns += 10ull << TUNDISH_TICK_SHIFT;
		q->now = tick_now();
		q->far_port = TUNDISH_BE16(3000 + c);
		q->backend = 1;
		assert_int_equal(nat_find(q), 0);
		assert_int_equal(lane_choose(q), LANE_FREE);
		assert_int_equal(lane_take(q), 1);
		assert_int_equal(nat_make(q, 0), NAT_MADE);
		settle();
		assert_int_equal(rig_nat[3].word.state, TUNDISH_NAT_ESTABLISHED);
		assert_null(table_wrong());
	}
}

/* What a query owes the tuples is one connection's: where it is not settled in between no other
 * one is ended for it. */
static void test_one_count_is_owed(void **state)
{
	static const int wanted[] = {NAT_MADE, NAT_FULL, NAT_MADE};

	world(1, 100);
	rig_cpu = 1;
	for (uint32_t c = 0; c < 11; c++) {
		struct nat_query *q = query_of(0, TUNDISH_NAT_CLIENT);
		int r;

		q->far_port = TUNDISH_BE16(2000 + c);
		q->backend = 1;
		q->syn = (struct tundish_nat_syn){.isn = 1000};
		assert_int_equal(nat_find(q), 0);
		assert_int_equal(lane_choose(q), LANE_FREE);
		assert_int_equal(lane_take(q), 1);
		r = nat_make(q, 0);
		assert_int_equal(r, c < 8 ? NAT_MADE : wanted[c - 8]);
		if (c != 8)
			settle();
		if (r == NAT_FULL)
			lane_put(1, bpf_ntohs(q->source_port));
		if (c != 8)
			assert_null(table_wrong());
		if (c >= 8)
			continue;
		q->segment = (struct tundish_nat_segment){.side = TUNDISH_NAT_SERVER,
							  .flags = TUNDISH_SEGMENT_SYN |
								   TUNDISH_SEGMENT_ACK,
							  .seq = 5000,
							  .end = 5001,
							  .ack = 1001};
		assert_int_equal(nat_step(q), 1);
		q->segment = (struct tundish_nat_segment){
			.flags = TUNDISH_SEGMENT_ACK, .seq = 1001, .end = 1001, .ack = 5001};
		assert_int_equal(nat_step(q), 1);
		nat_settle(q);
		assert_int_equal(q->record.word.state, TUNDISH_NAT_ESTABLISHED);
		if (c == 7) /* forgotten by both ends */
			rig_now_ns += 7000ull << TUNDISH_TICK_SHIFT;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_until_full),   cmocka_unit_test(test_churn),
		cmocka_unit_test(test_rest),	     cmocka_unit_test(test_order),
		cmocka_unit_test(test_choose),	     cmocka_unit_test(test_reclaim),
		cmocka_unit_test(test_full_buckets), cmocka_unit_test(test_one_count_is_owed),
	};

	return cmocka_run_group_tests_name("native: lanes", tests, NULL, NULL);
}
