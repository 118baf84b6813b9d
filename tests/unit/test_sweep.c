// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sweep, on tables in plain memory and with time as the test says: what it
 * removes, what it takes off the counts, which slots stop asking and when.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "core/budget.h"
#include "core/sweep.h"

#define BUCKETS	   16
#define N_BACKENDS 8
#define N_SERVICES 3
#define SERVICE	   1
#define VIP	   9
#define TICK	   (1ull << TUNDISH_TICK_SHIFT)
#define START	   (1000 * TICK)
#define PORT	   TUNDISH_BE16(80)

enum { UP1 = 1, UP2 = 2, GONE = 3, DISABLED = 4, NONE = 5 }; /* backends */

static struct fixture {
	struct tundish_flow_bucket flows[BUCKETS];
	struct tundish_flow6_bucket flows6[BUCKETS];
	struct tundish_tuple_bucket tuples[BUCKETS];
	struct tundish_backend backends[N_BACKENDS];
	struct tundish_maglev rows[N_SERVICES];
	struct td_sweep_tables t;
	struct td_sweep *s;
	uint64_t now;
} f;

static struct tundish_maglev *row(void *context, uint32_t service)
{
	return service < N_SERVICES ? &f.rows[service] : NULL;
}

static int setup(void **state)
{
	memset(&f, 0, sizeof(f));
	f.t = (struct td_sweep_tables){
		.flows = f.flows,
		.flows6 = f.flows6,
		.tuples = f.tuples,
		.backends = f.backends,
		.flow_buckets = BUCKETS,
		.flow6_buckets = BUCKETS,
		.tuple_buckets = BUCKETS,
		.backends_max = N_BACKENDS,
		.services_max = N_SERVICES,
		.secret = {1, 2},
		.timeouts =
			{.syn = 60, .established = 100, .closing = 50, .udp_new = 30, .udp = 180},
		.row = row,
	};
	f.s = td_sweep_new(N_BACKENDS, N_SERVICES);
	f.now = START;
	for (uint32_t b = UP1; b <= DISABLED; b++) {
		f.backends[b].service = SERVICE;
		f.backends[b].state = b == GONE	      ? TUNDISH_BACKEND_GONE
				      : b == DISABLED ? TUNDISH_BACKEND_DISABLED
						      : TUNDISH_BACKEND_UP;
	}
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
		f.rows[SERVICE].slot[i] = UP1;
	return 0;
}

static int teardown(void **state)
{
	td_sweep_free(f.s);
	return 0;
}

static struct tundish_addr client(void)
{
	return tundish_addr_v4(TUNDISH_BE32(0x0a000001));
}

static __be16 client_port(size_t i)
{
	return __builtin_bswap16(1024 + i);
}

static __u32 *slot_of(size_t i)
{
	struct tundish_addr a = client();

	return &f.rows[SERVICE]
			.slot[tundish_choice_slot(tundish_choice_hash(&a, client_port(i), PORT))];
}

/* The i-th flow, as the data path would have left it, counts included. */
static union tundish_flow_value *add_flow(size_t i, uint32_t state, uint32_t backend)
{
	struct tundish_flow *e = &f.flows[i % BUCKETS].entry[i / BUCKETS];
	uint32_t tick = tundish_tick(f.now);
	union tundish_flow_value v = tundish_flow_syn(VIP, backend, 77, tick);

	if (state == TUNDISH_FLOW_ESTABLISHED || state == TUNDISH_FLOW_CLOSING)
		v = tundish_flow_as_live(v, state, 77, tick);
	else if (state != TUNDISH_FLOW_UDP_NEW && state != TUNDISH_FLOW_UDP)
		v.syn.state = state;
	else
		v = tundish_flow_udp(VIP, backend, tick);
	if (state == TUNDISH_FLOW_UDP)
		v.live.state = state;
	if (tundish_flow_half_open(v))
		*slot_of(i) += TUNDISH_SLOT_PENDING_ONE;
	if (tundish_flow_open(v))
		f.backends[backend].connections_active++;
	*e = (struct tundish_flow){client().word[3], client_port(i), PORT, v};
	return &e->value;
}

/* The tuple of all those flows, in the second of its buckets. */
static struct tundish_tuple *add_tuple_of(uint32_t udp, uint32_t active)
{
	struct tundish_addr a = client();
	uint64_t hash = tundish_siphash(&f.t.secret, (uint64_t)a.word[1] << 32 | a.word[0],
					(uint64_t)a.word[3] << 32 | a.word[2],
					(uint32_t)PORT << 16 | udp << 15 | VIP);
	struct tundish_tuple *e =
		&f.tuples[tundish_bucket((uint32_t)(hash >> 32), BUCKETS)].entry[3];

	*e = (struct tundish_tuple){.client = a, .vip = VIP | udp << 15, .port_be = PORT};
	e->value.active = active;
	e->value.total = 10;
	return e;
}

static struct tundish_tuple *add_tuple(uint32_t active)
{
	return add_tuple_of(0, active);
}

static void pass(void)
{
	int slices = 0;

	while (!td_sweep_slice(f.s, &f.t, f.now, 7))
		assert_in_range(++slices, 1, 100);
}

static void later(uint32_t ticks)
{
	f.now += ticks * TICK;
}

/* ---- ageing ------------------------------------------------------------------ */

static void test_a_fresh_flow_stays(void **state)
{
	union tundish_flow_value *v = add_flow(0, TUNDISH_FLOW_ESTABLISHED, UP1);
	uint64_t before = v->raw;

	later(10);
	pass();
	assert_true(v->raw == before);
	assert_int_equal(td_sweep_counts(f.s, NULL)->flows, 1);
	assert_int_equal(*slot_of(0), UP1);
}

static void test_an_idle_flow_is_watched_then_removed(void **state)
{
	union tundish_flow_value *v = add_flow(0, TUNDISH_FLOW_ESTABLISHED, UP1);
	struct tundish_tuple *tuple = add_tuple(1);

	v->live.counted = 1;
	later(50);
	pass();
	assert_int_equal(v->live.watched, 1);
	assert_int_equal(v->live.seen, (uint16_t)tundish_tick(f.now));
	assert_int_equal(*slot_of(0), UP1 | TUNDISH_SLOT_ASK);

	later(99);
	pass();
	assert_int_equal(v->live.watched, 1);
	assert_int_equal(*slot_of(0), UP1 | TUNDISH_SLOT_ASK); /* as long as it is watched */

	later(1);
	pass();
	assert_true(v->raw == 0);
	assert_int_equal(f.backends[UP1].connections_active, 0);
	assert_int_equal(tuple->value.active, 0);
	assert_int_equal(tuple->value.total, 10);
	assert_int_equal(tuple->changed, tundish_tick(f.now));
	pass();
	assert_int_equal(*slot_of(0), UP1);
}

static void test_a_packet_saves_a_watched_flow(void **state)
{
	union tundish_flow_value *v = add_flow(0, TUNDISH_FLOW_ESTABLISHED, UP1);

	later(50);
	pass();
	later(99);
	*v = tundish_flow_next(*v, TUNDISH_SEGMENT_ACK, 1, UP1, tundish_tick(f.now)).value;
	pass();
	assert_int_equal(*slot_of(0), UP1); /* nothing to watch for any more */
	later(49);
	pass();
	assert_int_equal(v->live.state, TUNDISH_FLOW_ESTABLISHED);
	assert_int_equal(f.backends[UP1].connections_active, 1);
}

static void test_a_flow_that_is_not_counted_takes_nothing_off_its_tuple(void **state)
{
	struct tundish_tuple *tuple = add_tuple(5);

	add_flow(0, TUNDISH_FLOW_ESTABLISHED, UP1);
	later(50);
	pass();
	later(100);
	pass();
	assert_int_equal(f.backends[UP1].connections_active, 0);
	assert_int_equal(tuple->value.active, 5);
}

static void test_a_half_open_flow_ends_and_leaves_its_slot(void **state)
{
	union tundish_flow_value *v = add_flow(0, TUNDISH_FLOW_SYN, UP1);

	later(59);
	pass();
	assert_int_equal(*slot_of(0) / TUNDISH_SLOT_PENDING_ONE, 1);
	later(1);
	pass();
	assert_true(v->raw == 0);
	assert_int_equal(*slot_of(0), UP1);
	assert_int_equal(f.backends[UP1].connections_active, 0);
}

static void test_a_syn_on_a_live_flow_that_came_to_nothing(void **state)
{
	union tundish_flow_value *v = add_flow(0, TUNDISH_FLOW_REOPEN, UP1);

	v->syn.counted = 1;
	later(60);
	pass();
	assert_int_equal(v->live.state, TUNDISH_FLOW_ESTABLISHED);
	assert_int_equal(v->live.counted, 1);
	assert_int_equal(v->live.seen, (uint16_t)tundish_tick(f.now));
	assert_int_equal(*slot_of(0), UP1);
	assert_int_equal(f.backends[UP1].connections_active, 1);
}

static void test_a_closing_flow_ends_without_being_counted_twice(void **state)
{
	struct tundish_tuple *tuple = add_tuple(3);
	union tundish_flow_value *v = add_flow(0, TUNDISH_FLOW_CLOSING, UP1);

	v->live.counted = 1; /* was counted, and taken off at its FIN */
	f.backends[UP1].connections_active = 7;
	later(50);
	pass();
	assert_true(v->raw == 0);
	assert_int_equal(f.backends[UP1].connections_active, 7);
	assert_int_equal(tuple->value.active, 3);
}

static void test_udp_flows_end_by_their_own_timeouts(void **state)
{
	struct tundish_tuple *tcp = add_tuple(4), *udp = add_tuple_of(1, 4);
	union tundish_flow_value *fresh = add_flow(0, TUNDISH_FLOW_UDP_NEW, UP1);
	union tundish_flow_value *live = add_flow(1, TUNDISH_FLOW_UDP, UP1);
	union tundish_flow_value *uncounted = add_flow(2, TUNDISH_FLOW_UDP, UP2);

	live->live.counted = 1;
	later(29);
	pass();
	assert_int_equal(td_sweep_counts(f.s, NULL)->flows, 3);
	later(1);
	pass();
	assert_true(fresh->raw == 0);
	assert_int_equal(f.backends[UP1].connections_active, 1);
	later(149);
	pass();
	assert_true(live->raw && uncounted->raw);
	/* no packet is missed, so no slot has to ask, whoever owns it */
	assert_int_equal(*slot_of(1), UP1);
	later(1);
	pass();
	assert_true(!live->raw && !uncounted->raw);
	assert_int_equal(f.backends[UP1].connections_active, 0);
	assert_int_equal(f.backends[UP2].connections_active, 0);
	assert_int_equal(udp->value.active, 3);
	assert_int_equal(tcp->value.active, 4);
}

static void test_udp_of_a_former_owner_holds_no_slot(void **state)
{
	add_flow(0, TUNDISH_FLOW_UDP, UP2);
	*slot_of(0) |= TUNDISH_SLOT_ASK;
	later(10);
	pass();
	assert_int_equal(*slot_of(0), UP1);
}

static void test_udp_of_a_disabled_backend(void **state)
{
	struct tundish_tuple *tuple = add_tuple_of(1, 1);
	union tundish_flow_value *v = add_flow(0, TUNDISH_FLOW_UDP, DISABLED);

	v->live.counted = 1;
	pass();
	assert_true(v->raw == 0);
	assert_int_equal(tuple->value.active, 0);
	assert_int_equal(f.backends[DISABLED].connections_active, 0);
}

static void test_flows6_age_too(void **state)
{
	struct tundish_flow6 *e = &f.flows6[3].entry[2];

	e->client.word[0] = TUNDISH_BE32(0x20010db8);
	e->client_port_be = client_port(0);
	e->port_be = PORT;
	e->value = tundish_flow_as_live(tundish_flow_syn(VIP, UP1, 1, tundish_tick(f.now)),
					TUNDISH_FLOW_CLOSING, 1, tundish_tick(f.now));
	pass();
	assert_int_equal(td_sweep_counts(f.s, NULL)->flows6, 1);
	later(50);
	pass();
	assert_true(e->value.raw == 0);
	assert_int_equal(td_sweep_counts(f.s, NULL)->flows6, 0);
	assert_int_equal(td_sweep_counts(f.s, NULL)->aged, 1);
}

static void test_an_entry_being_written_is_left_alone(void **state)
{
	f.flows[0].entry[0].value.raw = ~0ull;
	f.tuples[0].entry[0].value.raw = ~0ull;
	later(5000);
	pass();
	assert_true(f.flows[0].entry[0].value.raw == ~0ull);
}

/* ---- backends that go -------------------------------------------------------- */

static void test_flows_of_a_disabled_backend_are_removed(void **state)
{
	struct tundish_tuple *tuple = add_tuple(2);
	union tundish_flow_value *a = add_flow(0, TUNDISH_FLOW_ESTABLISHED, DISABLED);
	union tundish_flow_value *b = add_flow(1, TUNDISH_FLOW_REOPEN, DISABLED);
	union tundish_flow_value *c = add_flow(2, TUNDISH_FLOW_SYN, DISABLED);

	a->live.counted = 1;
	b->syn.counted = 1;
	pass();
	assert_true(a->raw == 0 && b->raw == 0 && c->raw == 0);
	assert_int_equal(f.backends[DISABLED].connections_active, 0);
	assert_int_equal(tuple->value.active, 0);
	assert_int_equal(*slot_of(1), UP1);
	assert_int_equal(*slot_of(2), UP1);
	assert_int_equal(td_sweep_counts(f.s, NULL)->moved, 3);
}

static void test_flows_of_no_backend_are_removed(void **state)
{
	union tundish_flow_value *v = add_flow(0, TUNDISH_FLOW_ESTABLISHED, NONE);
	union tundish_flow_value *w = add_flow(1, TUNDISH_FLOW_ESTABLISHED, UP1);

	w->live.backend = 100000; /* beyond the table */
	pass();
	assert_true(v->raw == 0 && w->raw == 0);
	assert_int_equal(td_sweep_counts(f.s, NULL)->wrong, 2);
}

static void test_a_backend_is_gone_after_its_last_flow(void **state)
{
	union tundish_flow_value *v = add_flow(0, TUNDISH_FLOW_CLOSING, GONE);

	pass();
	assert_false(td_sweep_gone(f.s, &f.t, GONE));
	v->raw = 0;
	pass();
	assert_true(td_sweep_gone(f.s, &f.t, GONE));
	f.backends[GONE].connections_active = 1; /* of this host, which no table has */
	assert_false(td_sweep_gone(f.s, &f.t, GONE));
	f.backends[GONE].connections_active = 0;
	assert_true(td_sweep_gone(f.s, &f.t, GONE));
	assert_false(td_sweep_gone(f.s, &f.t, UP2)); /* no flows, but wanted */
	f.backends[GONE].weight = 5;		     /* still in the row */
	assert_false(td_sweep_gone(f.s, &f.t, GONE));
}

static void test_a_backend_that_goes_during_a_pass_waits_for_the_next(void **state)
{
	td_sweep_slice(f.s, &f.t, f.now, 3);
	f.backends[UP2].state = TUNDISH_BACKEND_GONE;
	pass();
	assert_false(td_sweep_gone(f.s, &f.t, UP2));
	pass();
	assert_true(td_sweep_gone(f.s, &f.t, UP2));
	f.backends[UP2].state = TUNDISH_BACKEND_UP; /* came back */
	assert_false(td_sweep_gone(f.s, &f.t, UP2));
}

/* ---- slots that ask ---------------------------------------------------------- */

static void test_a_slot_asks_until_no_flow_of_a_former_owner_is_left(void **state)
{
	union tundish_flow_value *v = add_flow(0, TUNDISH_FLOW_ESTABLISHED, UP2);
	uint32_t other = slot_of(0) == &f.rows[SERVICE].slot[5] ? 6 : 5;

	*slot_of(0) |= TUNDISH_SLOT_ASK;
	f.rows[SERVICE].slot[other] |= TUNDISH_SLOT_ASK;
	pass();
	assert_int_equal(*slot_of(0), UP1 | TUNDISH_SLOT_ASK);
	assert_int_equal(f.rows[SERVICE].slot[other], UP1); /* nobody there */
	v->raw = 0;
	pass();
	assert_int_equal(*slot_of(0), UP1);
}

static void test_owners_changed_too_late_keep_their_slots_asking(void **state)
{
	f.rows[SERVICE].slot[5] |= TUNDISH_SLOT_ASK;
	td_sweep_owner_changed(f.s, SERVICE, f.now - 99 * 1000 * 1000);
	pass();
	assert_int_equal(f.rows[SERVICE].slot[5], UP1 | TUNDISH_SLOT_ASK);
	/* during a pass */
	td_sweep_slice(f.s, &f.t, f.now + TICK, 3);
	td_sweep_owner_changed(f.s, SERVICE, f.now + 2 * TICK);
	later(3);
	pass();
	assert_int_equal(f.rows[SERVICE].slot[5], UP1 | TUNDISH_SLOT_ASK);
	later(1);
	pass();
	assert_int_equal(f.rows[SERVICE].slot[5], UP1);
}

static void test_settling_keeps_the_count_of_half_open_flows(void **state)
{
	f.rows[SERVICE].slot[5] |= TUNDISH_SLOT_ASK | 3 * TUNDISH_SLOT_PENDING_ONE;
	pass();
	assert_int_equal(f.rows[SERVICE].slot[5], UP1 | 3 * TUNDISH_SLOT_PENDING_ONE);
}

static void test_clients_with_most_of_their_ports_are_noted(void **state)
{
	const struct td_sweep_counts *c;

	f.tuples[1].entry[0].value.active = TD_INBOUND_LOW - 1;
	f.tuples[1].entry[1].value.raw = ~0ull; /* being written */
	f.tuples[2].entry[3] = (struct tundish_tuple){.vip = VIP, .port_be = PORT};
	f.tuples[2].entry[3].value.active = TD_INBOUND_LOW;
	pass();
	c = td_sweep_counts(f.s, NULL);
	assert_int_equal(c->n_crowded, 1);
	assert_int_equal(c->crowded[0].vip, VIP);
	assert_int_equal(c->crowded[0].value.active, TD_INBOUND_LOW);
	for (uint32_t i = 0; i < BUCKETS; i++)
		f.tuples[i].entry[2].value.active = TD_INBOUND_HALF;
	pass();
	assert_int_equal(c->n_crowded, TD_CROWDED_MAX); /* of one more */
	memset(f.tuples, 0, sizeof(f.tuples));
	pass();
	assert_int_equal(c->n_crowded, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_fresh_flow_stays),
		T(test_an_idle_flow_is_watched_then_removed),
		T(test_a_packet_saves_a_watched_flow),
		T(test_a_flow_that_is_not_counted_takes_nothing_off_its_tuple),
		T(test_a_half_open_flow_ends_and_leaves_its_slot),
		T(test_a_syn_on_a_live_flow_that_came_to_nothing),
		T(test_a_closing_flow_ends_without_being_counted_twice),
		T(test_udp_flows_end_by_their_own_timeouts),
		T(test_udp_of_a_former_owner_holds_no_slot),
		T(test_udp_of_a_disabled_backend),
		T(test_flows6_age_too),
		T(test_an_entry_being_written_is_left_alone),
		T(test_flows_of_a_disabled_backend_are_removed),
		T(test_flows_of_no_backend_are_removed),
		T(test_a_backend_is_gone_after_its_last_flow),
		T(test_a_backend_that_goes_during_a_pass_waits_for_the_next),
		T(test_a_slot_asks_until_no_flow_of_a_former_owner_is_left),
		T(test_owners_changed_too_late_keep_their_slots_asking),
		T(test_settling_keeps_the_count_of_half_open_flows),
		T(test_clients_with_most_of_their_ports_are_noted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
