// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arithmetic of lanes: what is used is told exactly at any time, what is at rest does
 * not count as taken, and the forecast is held against a simulated lane and its sweep.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <math.h>

#include "core/lane_budget.h"

#define S     1000000000ull
#define START (1000 * S)
#define PASS  4 /* seconds */

/* ---- one picture -------------------------------------------------------------------- */

static struct td_lane plain(void)
{
	return (struct td_lane){
		.key = {.space = TD_SPACE_NAT, .protocol = IPPROTO_TCP},
		.used = 100,
		.usable = 1000,
		.yielding = 70,
		.opened = 5000,
		.entered = 300,
		.refused = 7,
		.counts = {.state = {[TUNDISH_NAT_SYN_SENT] = 4,
				     [TUNDISH_NAT_SYN_RECEIVED] = 6,
				     [TUNDISH_NAT_ESTABLISHED] = 20,
				     [TUNDISH_NAT_FIN_CLIENT] = 3,
				     [TUNDISH_NAT_FIN_SERVER] = 2,
				     [TUNDISH_NAT_CLOSING] = 5,
				     [TUNDISH_NAT_RESTING] = 15,
				     [TUNDISH_NAT_TIME_WAIT] = 40,
				     [TUNDISH_NAT_RESET_SERVER] = 4,
				     [TUNDISH_NAT_RESET_CLIENT] = 1},
			   .leaving = {10, 10, 5, 5, 5, 5}},
		.time_wait_s = 60,
	};
}

static struct tundish_ports ports;

static void pictured(struct td_budget *b, const struct td_lane *l, uint64_t pass, uint64_t at,
		     struct td_picture *ret)
{
	if (!b->scan)
		ports = (struct tundish_ports){0};
	td_lane_ports(l, pass, &ports);
	if (b->scan != pass) {
		td_budget_scanned(b, &ports, pass, at);
		td_budget_look(b, &ports, at);
	}
	td_lane_picture(b, l, &ports, at, ret);
}

static void test_states(void **state)
{
	struct td_lane l = plain();
	struct td_budget b = {0};
	struct td_picture i;

	pictured(&b, &l, 1, START, &i);
	assert_int_equal(i.used, 100);
	assert_int_equal(i.usable, 1000);
	assert_int_equal(i.state[TUNDISH_PORT_opening], 10);
	assert_int_equal(i.state[TUNDISH_PORT_established], 20);
	assert_int_equal(i.state[TUNDISH_PORT_close_wait], 2);
	assert_int_equal(i.state[TUNDISH_PORT_closing], 28);
	assert_int_equal(i.state[TUNDISH_PORT_time_wait], 40);
	assert_int_equal(i.reusable, 20); /* TIME_WAITs are not cut short here */
	assert_true(fabs(i.utilization - 0.08) < 1e-9);
	assert_int_equal(i.cliff, 0);
	assert_true(isinf(i.cliff_s) && isinf(i.exhaustion_s));
	l.early = true;
	pictured(&b, &l, 1, START, &i);
	assert_int_equal(i.reusable, 60);
	assert_true(fabs(i.utilization - 0.04) < 1e-9);
}

/* Between two passes `used` is still exact, whatever came and went. */
static void test_exact(void **state)
{
	struct td_lane l = plain();
	struct td_budget b = {0};
	struct td_picture i;

	pictured(&b, &l, 1, START, &i);
	for (uint32_t used = 0; used <= 1000; used += 50) {
		uint32_t sum = 0;

		l.used = used;
		l.yielding = used / 2;
		pictured(&b, &l, 1, START + S, &i);
		for (int k = 0; k < TUNDISH_PORT_STATE_MAX; k++)
			sum += i.state[k];
		assert_int_equal(i.used, used);
		assert_int_equal(sum, used);
		assert_true(i.reusable <= l.yielding);
	}
	l.used = l.usable = 0; /* all are reserved */
	l.yielding = 0;
	pictured(&b, &l, 1, START + S, &i);
	assert_int_equal(i.exhaustion_s, 0);
	assert_true(i.utilization == 1);
}

/* What the data path writes meanwhile may contradict itself. */
static void test_read(void **state)
{
	struct tundish_lane l = {.protocol = IPPROTO_UDP,
				 .port_be = TUNDISH_BE16(53),
				 .used = 11,
				 .usable = 10,
				 .yielding = 12,
				 .tw[3] = 7};
	struct td_lane r;

	td_lane_read(&l, &r);
	assert_int_equal(r.used, 10);
	assert_int_equal(r.yielding, 10);
	assert_int_equal(r.tw[3], 7);
	assert_int_equal(r.key.remote_port_be, TUNDISH_BE16(53));
	assert_true(td_port_has_remote(&r.key)); /* of UDP too */
}

/* Half-open ones that a pass has met late are no new ones. */
static void test_late_count(void **state)
{
	struct td_lane l = plain();
	struct td_budget b = {0};
	struct td_picture i;

	l.counts.state[TUNDISH_NAT_SYN_SENT] = 0;
	pictured(&b, &l, 1, START, &i);
	l.counts.state[TUNDISH_NAT_SYN_SENT] = 20;
	pictured(&b, &l, 2, START + 4 * S, &i);
	assert_true(i.opening_rate == 0);
	assert_true(isinf(i.exhaustion_s));
	l.counts.state[TUNDISH_NAT_SYN_SENT] = 0;
	pictured(&b, &l, 3, START + 8 * S, &i);
	assert_true(isinf(i.exhaustion_s));
}

/* Of one that no backend has any more no port can be had; that is not full. */
static void test_gone(void **state)
{
	struct tundish_lane l = {.flags = TUNDISH_LANE_GONE,
				 .first = 1000,
				 .last = 1999,
				 .used = 10,
				 .usable = 10,
				 .opened = 10};
	struct td_budget b = {0};
	struct td_picture i;
	struct td_lane r;

	td_lane_read(&l, &r);
	pictured(&b, &r, 1, START, &i);
	assert_int_equal(i.used, 10);
	assert_true(i.utilization < 0.02 && isinf(i.exhaustion_s));
}

/* ---- a lane, second by second ---------------------------------------------------------- */

enum { LIVES, RESTS, WAITS };

struct sim {
	struct port {
		uint8_t what;
		uint32_t until;
	} port[4096];
	uint32_t n, usable, second, lifetime, refused_at;
	bool server_first, early;
	uint64_t opened, entered, refused, tw[TUNDISH_TW_SLOTS];
	struct td_budget b;
	struct td_picture i;
	struct td_nat_lane_counts counts;
	uint64_t pass;
	unsigned int changes;		 /* all that were told */
	uint32_t half_at, soon_at, peak; /* first times */
};

static uint64_t now(const struct sim *s)
{
	return START + s->second * S;
}

static bool make_room(struct sim *s)
{
	if (s->n < s->usable)
		return true;
	for (uint32_t i = 0; i < s->n; i++)
		if (s->port[i].what == RESTS || (s->port[i].what == WAITS && s->early)) {
			s->port[i] = s->port[--s->n];
			return true;
		}
	return false;
}

static void one_second(struct sim *s, uint32_t rate)
{
	s->second++;
	for (uint32_t i = 0; i < s->n; i++) {
		struct port *p = &s->port[i];

		if (p->what != LIVES || p->until > s->second)
			continue;
		p->what = s->server_first ? WAITS : RESTS;
		p->until = s->second + (s->server_first ? 60 : 10);
		if (s->server_first) {
			s->entered++;
			tundish_tw_slots_enter((__u64 *)s->tw, now(s));
		}
	}
	while (rate--) {
		if (!make_room(s)) {
			s->refused++;
			s->refused_at = s->refused_at ?: s->second;
			continue;
		}
		s->port[s->n++] = (struct port){LIVES, s->second + s->lifetime};
		s->opened++;
		s->peak = TD_MAX(s->peak, s->n);
	}
}

static void sweep(struct sim *s)
{
	s->counts = (struct td_nat_lane_counts){0};
	for (uint32_t i = 0; i < s->n;) {
		struct port *p = &s->port[i];

		if (p->what != LIVES && p->until <= s->second) {
			*p = s->port[--s->n];
			continue;
		}
		s->counts.state[p->what == LIVES   ? TUNDISH_NAT_ESTABLISHED
				: p->what == RESTS ? TUNDISH_NAT_RESTING
						   : TUNDISH_NAT_TIME_WAIT]++;
		if (p->what == WAITS)
			s->counts.leaving[(p->until - s->second - 1) / 10]++;
		i++;
	}
}

static void run(struct sim *s, uint32_t seconds, uint32_t rate)
{
	while (seconds--) {
		struct td_lane l = {.usable = s->usable, .early = s->early, .time_wait_s = 60};
		unsigned int changes;

		one_second(s, rate);
		if (s->second % PASS)
			continue;
		sweep(s);
		l.used = s->n;
		for (uint32_t i = 0; i < s->n; i++)
			l.yielding += s->port[i].what != LIVES;
		l.opened = s->opened;
		l.entered = s->entered;
		l.refused = s->refused;
		l.counts = s->counts;
		memcpy(l.tw, s->tw, sizeof(l.tw));
		pictured(&s->b, &l, ++s->pass, now(s), &s->i);
		assert_int_equal(s->i.used, s->n);
		changes = td_budget_changes(&s->b, &s->i, PASS);
		s->changes |= changes;
		if (changes & TD_BUDGET_OVER_HALF)
			s->half_at = s->half_at ?: s->second;
		if (changes & TD_BUDGET_SOON)
			s->soon_at = s->soon_at ?: s->second;
	}
}

static struct sim *sim(void **state, uint32_t usable)
{
	struct sim *s = *state;

	*s = (struct sim){.usable = usable, .lifetime = 3, .early = true};
	return s;
}

/* Clients close first: any number a second goes through, and nothing is told. */
static void test_churn_at_rest(void **state)
{
	struct sim *s = sim(state, 2000);

	run(s, 300, 150); /* 13 s of them and what the sweep leaves: all ports */
	assert_int_equal(s->refused, 0);
	assert_int_equal(s->peak, 2000); /* the sweep is slower than they are */
	assert_int_equal(s->changes, 0);
	assert_true(s->i.utilization < 0.3);
	assert_true(fabs(s->i.opening_rate - 150) < 2);
	assert_true(isinf(s->i.exhaustion_s));
}

/* Servers close first: the same where TIME_WAIT may be cut short ... */
static void test_churn_early(void **state)
{
	struct sim *s = sim(state, 2000);

	s->server_first = true;
	run(s, 300, 150);
	assert_int_equal(s->refused, 0);
	assert_int_equal(s->n, 2000);
	assert_int_equal(s->changes, 0);
	assert_true(fabs(s->i.time_wait_rate - 150) < 2);
	assert_true(isinf(s->i.exhaustion_s));
}

/* ... and where it may not it is known before the first refusal. */
static void test_churn_waits(void **state)
{
	struct sim *s = sim(state, 2000);

	s->server_first = true;
	s->early = false;
	run(s, 120, 60); /* needs 63 times as many ports */
	assert_true(s->refused > 0);
	assert_true(s->soon_at > 0 && s->soon_at + 10 < s->refused_at);
	assert_true(s->half_at > 0 && s->half_at < s->refused_at);
	assert_true(s->i.utilization > 0.9);
}

/* A level that stays below is none, though it grows for a minute. */
static void test_level(void **state)
{
	struct sim *s = sim(state, 4000);

	s->server_first = true;
	s->early = false;
	run(s, 300, 25); /* 63 s of it and what the sweep leaves: 1700 */
	assert_int_equal(s->changes, 0);
	assert_true(isinf(s->i.exhaustion_s));
	assert_true(s->n > 1500 && s->n < 1800);
}

/* Connections that stay: a straight line. */
static void test_leak(void **state)
{
	struct sim *s = sim(state, 4000);

	s->lifetime = 100000;
	run(s, 120, 20);
	assert_true(fabs(s->i.exhaustion_s - 80) < 5); /* 1600 left, at 20 a second */
	assert_true(s->half_at >= 100 && s->half_at <= 104);
	assert_true(s->soon_at > 0 && s->soon_at <= 40);
	run(s, 100, 20);
	assert_true(s->refused > 0);
	assert_int_equal(s->i.exhaustion_s, 0);
	assert_true(s->i.utilization == 1);
}

static int group_setup(void **state)
{
	*state = calloc(1, sizeof(struct sim));
	return *state ? 0 : -1;
}

static int group_teardown(void **state)
{
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),	    cmocka_unit_test(test_exact),
		cmocka_unit_test(test_read),	    cmocka_unit_test(test_late_count),
		cmocka_unit_test(test_gone),	    cmocka_unit_test(test_churn_at_rest),
		cmocka_unit_test(test_churn_early), cmocka_unit_test(test_churn_waits),
		cmocka_unit_test(test_level),	    cmocka_unit_test(test_leak),
	};

	return cmocka_run_group_tests_name("lane budget", tests, group_setup, group_teardown);
}
