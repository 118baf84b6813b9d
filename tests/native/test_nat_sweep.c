// SPDX-License-Identifier: GPL-2.0-only
/*
 * The daemon's sweep of translated connections over the tables as the data path makes
 * them: hours in a moment, since time is a parameter; a daemon that died at each step of
 * ending a connection; and both at work at once.
 */
#include "native/rig_nat.h"

#include "core/nat_sweep.c"

#include <pthread.h>

enum { BUCKETS = 8, PORTS = 40, SERVICES = 3 };

static struct td_nat_tables tables;
static struct td_nat_sweep *sweep;
static uint64_t reserved_ports[TUNDISH_LANE_WORDS];

static void tuple_sub(void *context, const struct tundish_addr *client, uint32_t vip, __be16 port,
		      uint32_t tick)
{
	struct tuple_change c = {.client = *client, .vip = vip, .port = port, .active = -1};

	tuple_apply(&c);
}

static const uint64_t *reserved(void *context, uint32_t lane)
{
	return lane == 1 ? reserved_ports : NULL;
}

static struct td_nat_tables tables_of(void)
{
	return (struct td_nat_tables){
		.nat = rig_nat,
		.out = rig_out,
		.back = rig_back,
		.lanes = rig_lanes,
		.lane_ports = rig_ports,
		.fans = rig_fans,
		.backends = rig_backends,
		.settings = rig_settings,
		.lanes_max = NAT_LANES,
		.lane_ports_max = NAT_LANES,
		.backends_max = NAT_BACKENDS,
		.services_max = SERVICES,
		.tuple_sub = tuple_sub,
		.reserved = reserved,
	};
}

static int setup(void **state)
{
	world(BUCKETS, PORTS);
	for (int b = 1; b < NAT_BACKENDS; b++)
		rig_backends[b].state = TUNDISH_BACKEND_UP;
	memset(reserved_ports, 0, sizeof(reserved_ports));
	rig_now_ns = 7000000ull << TUNDISH_TICK_SHIFT;
	rig_cpu = 1;
	tables = tables_of();
	sweep = td_nat_sweep_new(&tables);
	assert_non_null(sweep);
	return 0;
}

static int teardown(void **state)
{
	sweep = td_nat_sweep_free(sweep);
	return 0;
}

static const struct td_nat_counts *pass(void)
{
	uint32_t slices = 0;

	do
		assert_true(++slices <= td_nat_sweep_slices(&tables, 5));
	while (!td_nat_sweep_slice(sweep, &tables, rig_now_ns, 5));
	return td_nat_sweep_counts(sweep, NULL);
}

static void later(uint32_t ticks)
{
	rig_now_ns += (uint64_t)ticks << TUNDISH_TICK_SHIFT;
}

/* A connection of a new client that has come to this state, by its segments. */
static uint32_t connection(uint32_t number, uint32_t backend, uint32_t to)
{
	static const struct {
		uint32_t side, flags;
	} way[] = {[TUNDISH_NAT_SYN_RECEIVED] = {1, 3},
		   [TUNDISH_NAT_ESTABLISHED] = {0, 2},
		   [TUNDISH_NAT_FIN_CLIENT] = {0, 6},
		   [TUNDISH_NAT_CLOSING] = {1, 6},
		   [TUNDISH_NAT_TIME_WAIT] = {0, 2}};
	struct nat_query *q = query_of(0, TUNDISH_NAT_CLIENT);

	q->far_port = TUNDISH_BE16(2000 + number);
	q->backend = backend;
	q->syn = (struct tundish_nat_syn){.isn = 1000};
	assert_int_equal(nat_find(q), 0);
	assert_int_equal(lane_choose(q), LANE_FREE);
	assert_int_equal(lane_take(q), 1);
	assert_int_equal(nat_make(q, 0), NAT_MADE);
	for (uint32_t s = TUNDISH_NAT_SYN_RECEIVED; s <= to && s <= TUNDISH_NAT_TIME_WAIT; s++) {
		if (!way[s].flags ||
		    (to == TUNDISH_NAT_RESET_CLIENT && s > TUNDISH_NAT_ESTABLISHED))
			continue;
		q->segment = (struct tundish_nat_segment){
			.side = way[s].side,
			.flags = way[s].flags,
			.seq = 5000,
			.end = 5001,
			.ack = way[s].side ? q->record.client_seq + (s < TUNDISH_NAT_ESTABLISHED)
					   : q->record.server_seq + (s < TUNDISH_NAT_FIN_CLIENT)};
		if (s == TUNDISH_NAT_CLOSING && to == TUNDISH_NAT_TIME_WAIT)
			q->segment.ack--; /* both at once */
		assert_int_equal(nat_step(q), 1);
		settle();
		if (s == TUNDISH_NAT_CLOSING && to == TUNDISH_NAT_TIME_WAIT) {
			q->segment.ack++;
			q->segment.flags = 2;
			assert_int_equal(nat_step(q), 1);
			settle();
		}
	}
	if (to == TUNDISH_NAT_RESET_CLIENT) {
		q->segment = (struct tundish_nat_segment){.flags = TUNDISH_SEGMENT_RST};
		nat_step(q);
		settle();
	}
	assert_int_equal(q->record.word.state, to);
	return q->place;
}

/* ---- time --------------------------------------------------------------------------------- */

static void test_ages(void **state)
{
	static const struct {
		uint32_t to, timeout;
	} rows[] = {{TUNDISH_NAT_SYN_SENT, 57},	     {TUNDISH_NAT_SYN_RECEIVED, 57},
		    {TUNDISH_NAT_ESTABLISHED, 6931}, {TUNDISH_NAT_FIN_CLIENT, 225},
		    {TUNDISH_NAT_CLOSING, 57},	     {TUNDISH_NAT_TIME_WAIT, 57},
		    {TUNDISH_NAT_RESET_CLIENT, 57}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (uint32_t backend = 1; backend <= 2; backend++) {
			uint32_t place = connection((uint32_t)i * 2 + backend, backend, rows[i].to);

			assert_null(table_wrong());
			later(rows[i].timeout - 1);
			assert_int_equal(pass()->aged, 0);
			assert_int_equal(pass()->records, 1);
			assert_int_equal(td_nat_sweep_backend(sweep, backend), 1);
			assert_int_equal(td_nat_sweep_lane(sweep, backend)->state[rows[i].to], 1);
			assert_true(td_nat_sweep_hop(sweep, 1));
			assert_false(td_nat_sweep_hop(sweep, 2));
			/* either end's packet is life */
			rig_nat[place].seen[i & 1] = (uint16_t)tick_now();
			later(rows[i].timeout - 1);
			assert_int_equal(pass()->aged, 0);
			later(1);
			assert_int_equal(pass()->aged, 1);
			assert_int_equal(pass()->records, 0);
			assert_false(td_nat_sweep_hop(sweep, 1));
			assert_null(table_wrong());
			assert_int_equal(rig_lanes[backend].used, 0);
		}
	}
	assert_int_equal(rig_lanes[1].unanswered, 1);
	assert_int_equal(td_nat_sweep_lane(sweep, 1)->unanswered, 1);
	assert_int_equal(rig_lanes[1].entered, 1);
	assert_int_equal(rig_lanes[1].freed, 6);
	assert_int_equal(rig_tuples[0].entry[0].value.active, 0);
	assert_int_equal(rig_tuples[0].entry[0].value.total, 10);
}

/* A keepalive every two hours, for a month. */
static void test_keepalive(void **state)
{
	uint32_t place = connection(1, 1, TUNDISH_NAT_ESTABLISHED);
	struct nat_query *q = query_of(0, TUNDISH_NAT_CLIENT);

	q->far_port = TUNDISH_BE16(2001);
	for (int i = 0; i < 360; i++) {
		for (int k = 0; k < 100; k++) {
			later(67);
			pass();
		}
		q->now = tick_now();
		assert_int_equal(nat_find(q), 1);
		nat_seen(q);
		assert_int_equal(q->place, place);
	}
	assert_null(table_wrong());
}

static void test_leaving(void **state)
{
	connection(1, 1, TUNDISH_NAT_TIME_WAIT);
	pass();
	assert_int_equal(td_nat_sweep_lane(sweep, 1)->leaving[5], 1);
	later(30);
	pass();
	assert_int_equal(td_nat_sweep_lane(sweep, 1)->leaving[2], 1);
	later(25);
	pass();
	assert_int_equal(td_nat_sweep_lane(sweep, 1)->leaving[0], 1);
}

static void test_backend_gone(void **state)
{
	connection(1, 1, TUNDISH_NAT_ESTABLISHED);
	connection(2, 3, TUNDISH_NAT_ESTABLISHED);
	rig_backends[1].state = TUNDISH_BACKEND_FREE;
	assert_int_equal(pass()->wrong, 1);
	assert_null(table_wrong());
	assert_int_equal(pass()->records, 1);
}

/* Its entry may be another's when a pass that began after it had gone has met none of its
 * connections. */
static void test_backend_may_go(void **state)
{
	connection(1, 1, TUNDISH_NAT_SYN_SENT);
	pass();
	assert_false(td_nat_sweep_gone(sweep, &tables, 1));
	assert_false(td_nat_sweep_slice(sweep, &tables, rig_now_ns, 1)); /* a pass is under way */
	rig_backends[1].state = TUNDISH_BACKEND_GONE;
	rig_backends[2].state = TUNDISH_BACKEND_GONE;
	rig_backends[2].weight = 1;
	while (!td_nat_sweep_slice(sweep, &tables, rig_now_ns, 5))
		;
	assert_false(td_nat_sweep_gone(sweep, &tables, 1));
	assert_false(td_nat_sweep_gone(sweep, &tables, 2)); /* still has slots */
	pass();
	assert_false(td_nat_sweep_gone(sweep, &tables, 1));
	later(100);
	assert_int_equal(pass()->aged, 1);
	assert_true(td_nat_sweep_gone(sweep, &tables, 1));
	assert_false(td_nat_sweep_gone(sweep, &tables, 2));
	assert_false(td_nat_sweep_gone(sweep, &tables, 3)); /* up, without connections */
	assert_false(td_nat_sweep_gone(sweep, &tables, NAT_BACKENDS));
	rig_backends[1].state = TUNDISH_BACKEND_UP; /* it came back */
	assert_false(td_nat_sweep_gone(sweep, &tables, 1));
}

static void test_counts(void **state)
{
	rig_backends[1].service = 2;
	rig_backends[2].service = 2;
	rig_backends[3].service = SERVICES + 1; /* is none */
	connection(1, 1, TUNDISH_NAT_SYN_SENT);
	connection(2, 1, TUNDISH_NAT_ESTABLISHED);
	connection(3, 2, TUNDISH_NAT_ESTABLISHED);
	connection(4, 3, TUNDISH_NAT_ESTABLISHED);
	pass();
	assert_int_equal(td_nat_sweep_service(sweep, 2)[TUNDISH_NAT_SYN_SENT], 1);
	assert_int_equal(td_nat_sweep_service(sweep, 2)[TUNDISH_NAT_ESTABLISHED], 2);
	assert_int_equal(td_nat_sweep_service(sweep, 1)[TUNDISH_NAT_ESTABLISHED], 0);
	assert_null(td_nat_sweep_service(sweep, SERVICES));
	assert_int_equal(td_nat_sweep_lane(sweep, 1)->waiting, 0);
	later(TUNDISH_NAT_YIELD_SENT);
	pass();
	assert_int_equal(td_nat_sweep_lane(sweep, 1)->waiting, 1);
	assert_int_equal(td_nat_sweep_lane(sweep, 2)->waiting, 0);
}

/* A segment that comes while the sweep judges keeps the connection. */
static void test_quicker(void **state)
{
	uint32_t place = connection(1, 1, TUNDISH_NAT_SYN_SENT);
	union tundish_nat_word judged = rig_nat[place].word;

	later(100);
	rig_nat[place].word.since = tick_now();
	assert_false(end(&tables, place, judged, tick_now()));
	assert_null(table_wrong());
	assert_int_equal(rig_lanes[1].used, 1);
	assert_true(end(&tables, place, rig_nat[place].word, tick_now()));
	assert_null(table_wrong());
	assert_int_equal(rig_lanes[1].used, 0);
}

/* ---- the audit ------------------------------------------------------------------------------ */

/* A daemon dies while it ends a connection: the first `steps` of what it does are done. */
static void half_end(uint32_t place, int steps)
{
	struct tundish_nat *r = &rig_nat[place];
	union tundish_nat_word word = r->word;
	uint32_t port = bpf_ntohs(r->source_port_be);
	struct tundish_lane *l = &rig_lanes[1];

	r->word = tundish_nat_freed(word);
	if (steps < 1)
		return;
	for (uint32_t i = 0; i < BUCKETS * 8; i++)
		if (rig_back[i / 8].tag[i % 8] &&
		    tundish_nat_tag_place(rig_back[i / 8].tag[i % 8]) == place)
			rig_back[i / 8].tag[i % 8] = 0;
	if (steps < 2)
		return;
	lane_mark(1, port, 0);
	if (steps < 3)
		return;
	rig_ports[1].taken[port / 64] &= ~(1ull << (port % 64));
	if (steps < 4)
		return;
	l->used--;
}

static void test_audit(void **state)
{
	for (int steps = 0; steps <= 4; steps++) {
		for (uint32_t c = 0; c < 10; c++)
			connection((uint32_t)steps * 20 + c, 1, TUNDISH_NAT_SYN_SENT);
		for (uint32_t i = 0, n = 0; i < BUCKETS * 8 && n < 4; i++)
			if (rig_nat[i].word.state)
				half_end(i, steps), n++;
		if (steps < 4)
			assert_non_null(table_wrong());
		/* once is no proof: it may be happening */
		pass();
		assert_int_equal(td_nat_sweep_counts(sweep, NULL)->tags, 0);
		assert_int_equal(td_nat_sweep_counts(sweep, NULL)->ports, 0);
		assert_int_equal(td_nat_sweep_counts(sweep, NULL)->counts, 0);
		for (int i = 0; i < 3; i++)
			pass();
		assert_null(table_wrong());
		assert_int_equal(rig_lanes[1].used, 6);
		later(100);
		pass();
		assert_int_equal(rig_lanes[1].used, 0);
		assert_null(table_wrong());
	}
}

/* A tag that a maker left, which no program does; and a mark that came late. */
static void test_audit_odd(void **state)
{
	uint32_t place = connection(1, 1, TUNDISH_NAT_ESTABLISHED), port;

	port = bpf_ntohs(rig_nat[place].source_port_be);
	rig_out[3].tag[rig_out[3].tag[0] ? 1 : 0] = TUNDISH_NAT_TAG_BUSY;
	lane_mark(1, port, 1);
	assert_non_null(table_wrong());
	pass(), later(5), pass(), pass();
	assert_null(table_wrong());
}

/* Reserved ports belong to nobody, and are not given back. */
static void test_reserved(void **state)
{
	uint32_t first = NAT_RANGE + 3;

	reserved_ports[first / 64] |= 1ull << (first % 64);
	rig_ports[1].taken[first / 64] |= 1ull << (first % 64);
	rig_lanes[1].usable--;
	connection(1, 1, TUNDISH_NAT_SYN_SENT);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(pass()->ports, 0);
		assert_int_equal(td_nat_sweep_counts(sweep, NULL)->counts, 0);
	}
	assert_true(rig_ports[1].taken[first / 64] >> (first % 64) & 1);
	assert_int_equal(rig_lanes[1].used, 1);
}

/* A port that goes from hand to hand is in nobody's at some looks, and yet nobody's loss. */
static void test_busy_port(void **state)
{
	world(BUCKETS, 2);
	for (int b = 1; b < NAT_BACKENDS; b++)
		rig_backends[b].state = TUNDISH_BACKEND_UP;
	tables = tables_of();
	for (uint32_t i = 0; i < 400; i++) {
		struct nat_query *q = query_of(0, TUNDISH_NAT_CLIENT);

		q->far_port = TUNDISH_BE16(9000 + i);
		q->backend = 1;
		q->now = tick_now();
		assert_int_equal(nat_find(q), 0);
		if (lane_choose(q) == LANE_FREE)
			assert_int_equal(lane_take(q), 1);
		else
			assert_int_equal(lane_reclaim(q), 1);
		assert_int_equal(nat_make(q, 0), NAT_MADE);
		later(5);
		td_nat_sweep_slice(sweep, &tables, rig_now_ns, 3);
		assert_int_equal(td_nat_sweep_counts(sweep, NULL)->ports, 0);
		assert_int_equal(td_nat_sweep_counts(sweep, NULL)->tags, 0);
		assert_null(table_wrong());
		rig_cpu = 1;
	}
}

/* ---- at once -------------------------------------------------------------------------------- */

static volatile bool quit;

static void *packets(void *arg)
{
	uint32_t cpu = (uint32_t)(intptr_t)arg;

	rig_random = 5 + cpu;
	rig_cpu = cpu;
	for (int i = 0; i < 300000; i++) {
		struct nat_query *q = query_of(0, TUNDISH_NAT_CLIENT);
		uint32_t dice = bpf_get_prandom_u32();
		int r;

		q->far_port = TUNDISH_BE16(7000 + (i / 256 * 5 + (dice >> 8) % 24) %
							  5000); /* they move on */
		q->backend = 1 + (dice >> 20) % 3;
		q->segment = (struct tundish_nat_segment){
			.side = dice >> 3 & 1, .flags = (dice >> 4 & 14) | 2, .end = 1};
		if (nat_find(q)) {
			nat_seen(q);
			q->segment.ack = q->segment.side ? q->record.client_seq + 1
							 : q->record.server_seq + 1;
			nat_step(q);
			settle();
			continue;
		}
		r = lane_choose(q);
		if (r == LANE_NONE || (r == LANE_FREE ? !lane_take(q) : !lane_reclaim(q))) {
			settle();
			continue;
		}
		r = nat_make(q, 0);
		settle();
		if (r == NAT_FULL || r == NAT_TAKEN)
			lane_put(q->lane, bpf_ntohs(q->source_port));
	}
	return NULL;
}

static void *sweeper(void *arg)
{
	while (!quit) {
		/* a new one each time, so that nothing is put right on suspicion: passes are
		 * microseconds here, and a thread may stand still for longer */
		struct td_nat_sweep *s = td_nat_sweep_new(&tables);

		while (!td_nat_sweep_slice(s, &tables, rig_now_ns, 3))
			;
		td_nat_sweep_free(s);
		__atomic_fetch_add(&rig_now_ns, 10ull << TUNDISH_TICK_SHIFT, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void test_at_once(void **state)
{
	pthread_t data[2], daemon;

	rig_careless = true;
	pthread_create(&daemon, NULL, sweeper, NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&data[i], NULL, packets, (void *)(intptr_t)(i + 1));
	for (int i = 0; i < 2; i++)
		pthread_join(data[i], NULL);
	quit = true;
	pthread_join(daemon, NULL);
	assert_null(table_wrong());
	assert_true(rig_lanes[1].opened > 1000);
	assert_true(rig_lanes[1].freed > 1000);
	later(10000);
	pass();
	assert_int_equal(pass()->records, 0);
	assert_null(table_wrong());
	rig_careless = false;
}

/* UDP between the same ends is a tuple of its own, to the data path and to the sweep. */
static void test_udp_tuples(void **state)
{
	struct nat_query *q;

	connection(0, 1, TUNDISH_NAT_ESTABLISHED);
	for (uint32_t c = 0; c < 2; c++) {
		rig_cpu = 1; /* table_wrong() has another's */
		q = query_of(0, TUNDISH_NAT_CLIENT);
		q->far_port = TUNDISH_BE16(2000 + c);
		q->udp = 1;
		q->backend = 1;
		assert_int_equal(nat_find(q), 0);
		assert_int_equal(lane_choose(q), LANE_FREE);
		assert_int_equal(lane_take(q), 1);
		assert_int_equal(nat_make(q, 0), NAT_MADE);
		q->segment = (struct tundish_nat_segment){.side = TUNDISH_NAT_SERVER,
							  .flags = TUNDISH_SEGMENT_UDP};
		assert_int_equal(nat_step(q), 1);
		settle();
		assert_int_equal(q->record.word.state, TUNDISH_NAT_UDP_LIVE);
		assert_null(table_wrong());
	}
	/* one ended by the data path, the other by time; the TCP one stays */
	rig_cpu = 1;
	assert_int_equal(nat_free(q, q->place, q->record.word.raw, 0), 1);
	settle();
	assert_null(table_wrong());
	later(rig_settings.timeouts.udp + 1);
	pass();
	assert_null(table_wrong());
	assert_int_equal(rig_backends[1].connections_active, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_ages),		T(test_keepalive), T(test_leaving),    T(test_backend_gone),
		T(test_quicker),	T(test_audit),	   T(test_audit_odd),  T(test_reserved),
		T(test_busy_port),	T(test_at_once),   T(test_udp_tuples), T(test_counts),
		T(test_backend_may_go),
	};

	return cmocka_run_group_tests_name("native: sweep of NAT", tests, NULL, NULL);
}
