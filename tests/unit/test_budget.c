// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arithmetic of source ports: ports of a namespace, one tuple's picture, and the
 * forecast, held against a simulated tuple of which the truth is known.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <math.h>
#include <netinet/in.h>

#include "core/address.h"
#include "core/forecast.h"

#define S	 1000000000ull
#define START	 (1000 * S)
#define INTERVAL 5

static struct td_budget_space plain(void)
{
	struct td_budget_space s = {.scan = 1, .first = 32768, .last = 60999, .reuse_delay_s = 1};

	td_budget_count_ports(&s, NULL, NULL);
	return s;
}

static struct tundish_port_key key_of(const char *local, const char *remote)
{
	struct tundish_port_key k = {.protocol = IPPROTO_TCP, .space = 1};

	assert_int_equal(td_address_parse(local, &k.local), 0);
	assert_int_equal(td_address_parse(remote, &k.remote), 0);
	return k;
}

/* ---- ports of a namespace --------------------------------------------------------- */

static void set(uint64_t *words, unsigned int port)
{
	words[port / 64] |= 1ull << port % 64;
}

static void test_ports_are_counted(void **state)
{
	struct td_budget_space s = {.first = 100, .last = 199};
	static uint64_t reserved[TUNDISH_PORT_WORDS];
	static struct tundish_port_bits bits;

	td_budget_count_ports(&s, NULL, NULL);
	assert_int_equal(s.reserved + s.blocked + s.udp, 0);
	assert_int_equal(s.cliff, 50);
	set(reserved, 99), set(reserved, 100), set(reserved, 101), set(reserved, 200);
	set((uint64_t *)bits.blocked, 100); /* reserved already */
	set((uint64_t *)bits.blocked, 102);
	set((uint64_t *)bits.blocked, 103);
	set((uint64_t *)bits.listening, 103);
	set((uint64_t *)bits.listening, 104);
	set((uint64_t *)bits.listening, 200);
	set((uint64_t *)bits.seen, 150);
	set((uint64_t *)bits.udp, 199);
	td_budget_count_ports(&s, reserved, &bits);
	assert_int_equal(s.reserved, 2);
	assert_int_equal(s.blocked, 3);
	assert_int_equal(s.cliff, 47); /* 100, 102 and 104 are not to be had */
	assert_int_equal(s.udp, 1);
	assert_true(td_budget_in_range(&s, reserved, 102));
	assert_false(td_budget_in_range(&s, reserved, 101));
	assert_false(td_budget_in_range(&s, reserved, 200));
	s = (struct td_budget_space){.first = 65535, .last = 65535};
	td_budget_count_ports(&s, NULL, NULL);
	assert_int_equal(s.cliff, 1);
}

/* ---- one picture --------------------------------------------------------------------- */

static void test_a_still_tuple(void **state)
{
	struct tundish_port_key k = key_of("192.0.2.1", "198.51.100.1");
	struct td_budget_space s = plain();
	struct tundish_ports p = {.counted[1] = {.scan = 1,
						 .state = {1, 20, 3, 4, 600},
						 .reusable = 500,
						 .bound = 10,
						 .leaving = {100, 200, 300, 400, 500, 600}}};
	struct td_budget b = {0};
	struct td_picture i;

	s.blocked = 110;
	td_budget_scanned(&b, &p, 1, START);
	td_budget_look(&b, &p, START);
	td_budget_picture(&b, &k, &p, &s, START, &i);
	assert_int_equal(i.used, 628);
	assert_int_equal(i.state[TUNDISH_PORT_time_wait], 600);
	assert_int_equal(i.usable, 28232 - 110 + 10);
	assert_int_equal(i.cliff, 14116 + 5);
	assert_int_equal(i.reusable, 0); /* tcp_tw_reuse is 0 */
	assert_true(fabs(i.utilization - 628.0 / 28132) < 1e-9);
	assert_true(isinf(i.exhaustion_s) && isinf(i.cliff_s));
	/* Half of the TIME_WAITs are over after half a minute, all after a whole one. */
	td_budget_picture(&b, &k, &p, &s, START + 30 * S, &i);
	assert_int_equal(i.state[TUNDISH_PORT_time_wait], 300);
	td_budget_picture(&b, &k, &p, &s, START + 60 * S, &i);
	assert_int_equal(i.used, 28);
}

static void test_reuse(void **state)
{
	struct tundish_port_key k = key_of("192.0.2.1", "198.51.100.1"),
				lo = key_of("192.0.2.1", "127.0.0.2"), lo6 = key_of("::1", "::1");
	struct td_budget_space s = plain();
	struct tundish_ports p = {.counted[1] = {.scan = 1,
						 .state = {0, 100, 0, 0, 1000},
						 .reusable = 900,
						 .leaving = {200, 400, 600, 800, 900, 1000}}};
	struct td_budget b = {0};
	struct td_picture i;

	td_budget_scanned(&b, &p, 1, START);
	s.tw_reuse = 2;
	td_budget_picture(&b, &k, &p, &s, START, &i);
	assert_int_equal(i.reusable, 0);
	td_budget_picture(&b, &lo, &p, &s, START, &i);
	assert_int_equal(i.reusable, 900);
	assert_int_equal(i.used, 1100);
	assert_true(fabs(i.utilization - 200.0 / 28232) < 1e-9);
	td_budget_picture(&b, &lo6, &p, &s, START, &i);
	assert_int_equal(i.reusable, 900);
	s.tw_reuse = 1;
	td_budget_picture(&b, &k, &p, &s, START, &i);
	assert_int_equal(i.reusable, 900);
}

/* What connect(2) has taken over is counted twice until the TIME_WAIT that it took ends: never
 * more than there are. */
static void test_reused_ones_are_no_more_than_there_are(void **state)
{
	struct tundish_port_key k = key_of("192.0.2.1", "198.51.100.1");
	struct td_budget_space s = {
		.scan = 1, .first = 1000, .last = 1099, .reuse_delay_s = 1, .tw_reuse = 1};
	struct tundish_ports p = {.counted[1] = {.scan = 1,
						 .state = {0, 10, 0, 0, 95},
						 .reusable = 90,
						 .leaving = {0, 0, 0, 0, 0, 95}}};
	struct td_budget b = {0};
	struct td_picture i;

	td_budget_scanned(&b, &p, 1, START);
	td_budget_picture(&b, &k, &p, &s, START, &i);
	assert_int_equal(i.used, 100);
	assert_int_equal(i.state[TUNDISH_PORT_time_wait], 90);
	assert_int_equal(i.reusable, 85);
}

/* Of a tuple that no scan has seen yet the TIME_WAITs are known from the events. */
static void test_younger_than_the_last_scan(void **state)
{
	struct tundish_port_key k = key_of("192.0.2.1", "198.51.100.1");
	struct td_budget_space s = plain();
	struct tundish_ports p = {.entered = 5, .held = 2};
	struct td_budget b = {0};
	struct td_picture i;

	for (unsigned int n = 0; n < 5; n++)
		tundish_tw_enter(&p, START);
	td_budget_picture(&b, &k, &p, &s, START + S, &i);
	assert_int_equal(i.state[TUNDISH_PORT_time_wait], 5);
	assert_int_equal(i.used, 7);
}

/* A UDP port is an address's, or every address's. */
static void test_udp_ports(void **state)
{
	struct tundish_port_key one = key_of("192.0.2.1", "::"), any = key_of("0.0.0.0", "::");
	struct td_budget_space s = plain();
	struct tundish_ports p = {.counted[1] = {.scan = 1, .state = {0, 7}}};
	struct td_budget b = {0};
	struct td_picture i;

	one.protocol = any.protocol = IPPROTO_UDP;
	s.udp = 40;
	s.udp_any = 7;
	td_budget_scanned(&b, &p, 1, START);
	td_budget_picture(&b, &one, &p, &s, START, &i);
	assert_int_equal(i.usable, 28232 - 7);
	td_budget_picture(&b, &any, &p, &s, START, &i);
	assert_int_equal(i.usable, 28232 - 40 + 7);
	assert_int_equal(i.cliff, 0);
}

static void test_between_scans(void **state)
{
	struct tundish_port_key k = key_of("2001:db8::1", "2001:db8::2");
	struct td_budget_space s = plain();
	struct tundish_ports p = {.held = -5, .counted[1] = {.scan = 1, .state = {0, 100, 0, 5}}};
	struct td_budget b = {0};
	struct td_picture i;

	td_budget_scanned(&b, &p, 1, START);
	p.held += 40;
	td_budget_picture(&b, &k, &p, &s, START + S, &i);
	assert_int_equal(i.used, 145);
	for (unsigned int n = 0; n < 50; n++) {
		p.held--;
		p.entered++;
		tundish_tw_enter(&p, START + 2 * S);
	}
	td_budget_picture(&b, &k, &p, &s, START + 2 * S, &i);
	assert_int_equal(i.used, 145);
	assert_int_equal(i.state[TUNDISH_PORT_time_wait], 50);
	p.held -= 300; /* more than there can have been: some other error */
	td_budget_picture(&b, &k, &p, &s, START + 2 * S, &i);
	assert_int_equal(i.used, 50);
	/* A scan that does not count it says that it is empty. */
	td_budget_scanned(&b, &p, 2, START + 5 * S);
	td_budget_picture(&b, &k, &p, &s, START + 5 * S, &i);
	assert_int_equal(i.used, 0);
}

static void test_an_empty_tuple_is_over(void **state)
{
	struct tundish_ports p = {.held = 0, .counted[1] = {.scan = 1, .state = {0, 1}}};
	struct td_budget b = {0};

	for (uint64_t scan = 1; scan < 4; scan++) {
		td_budget_scanned(&b, &p, scan, START + scan * S);
		td_budget_look(&b, &p, START + scan * S);
		assert_int_equal(td_budget_over(&b, &p, START + scan * S), scan == 3);
	}
	p.held++;
	assert_false(td_budget_over(&b, &p, START + 4 * S));
	/* What begins and ends between two scans is life too. */
	p.held--;
	p.opened++;
	p.freed++;
	for (uint64_t scan = 4; scan < 7; scan++) {
		assert_false(td_budget_over(&b, &p, START + scan * S));
		td_budget_scanned(&b, &p, scan, START + scan * S);
	}
	assert_true(td_budget_over(&b, &p, START + 7 * S));
	/* A TIME_WAIT that the scan did not see yet. */
	tundish_tw_enter(&p, START + 7 * S);
	assert_false(td_budget_over(&b, &p, START + 60 * S));
	assert_true(td_budget_over(&b, &p, START + 80 * S));
}

/* Told when a bound is passed, and taken back only when it is well behind. */
static void test_half_has_a_hysteresis(void **state)
{
	static const struct {
		double utilization;
		unsigned int changes;
	} steps[] = {
		{0.49, 0}, {0.5, TD_BUDGET_OVER_HALF},	 {0.6, 0},  {0.46, 0},
		{0.5, 0},  {0.44, TD_BUDGET_UNDER_HALF}, {0.49, 0}, {0.51, TD_BUDGET_OVER_HALF},
	};
	struct td_budget b = {0};

	for (size_t i = 0; i < TD_ARRAY_SIZE(steps); i++) {
		struct td_picture p = {.utilization = steps[i].utilization,
				       .exhaustion_s = INFINITY};

		assert_int_equal(td_budget_changes(&b, &p, INTERVAL), steps[i].changes);
	}
}

/* A TIME_WAIT that connect(2) may take over after a second keeps its port for no longer. */
static void test_a_course_with_reuse(void **state)
{
	const struct td_course c = {.entered = 100, .rest = 1, .scan_age = 2, .new_tw = 100},
			       minute = {.entered = 100, .rest = 60, .scan_age = 2, .new_tw = 100};

	assert_true(fabs(td_course_new_left(&c, 0) - 50) < 1e-9);
	assert_true(fabs(td_course_new_left(&c, 1)) < 1e-9);
	assert_true(fabs(td_course_new_left(&minute, 1) - 100) < 1e-9);
	assert_true(isinf(td_course_reaches(&c, 500)));
	assert_true(fabs(td_course_reaches(&minute, 500) - 4) < 1e-9);
}

/* What is more than a day away is no forecast. */
static void test_the_horizon(void **state)
{
	const struct td_course c = {.slope = 0.1, .rest = TD_TIME_WAIT_S};

	assert_true(fabs(td_course_reaches(&c, 8000) - 80000) < 1);
	assert_true(isinf(td_course_reaches(&c, 9000)));
	/* Between two seconds it is a straight line. */
	assert_true(fabs(td_course_reaches(&(struct td_course){.slope = 4, .rest = 60}, 10) - 2.5) <
		    1e-9);
}

/* Of a churn a small difference is chance; of a fill it is none. */
static void test_chance_is_no_slope(void **state)
{
	struct td_budget b = {.seconds = 30, .opened = 3020, .to_time_wait = 3000};
	struct td_course c = {0};

	td_course_set_rates(&c, &b);
	assert_true(fabs(c.opened - 3020.0 / 30) < 1e-9);
	assert_true(c.slope == 0);
	b.opened = 3600;
	td_course_set_rates(&c, &b);
	assert_true(fabs(c.slope - 20) < 1e-9);
	b.opened = 20;
	b.to_time_wait = 0;
	td_course_set_rates(&c, &b);
	assert_true(c.slope > 0.6);
}

static void test_vips(void **state)
{
	assert_int_equal(td_budget_vips(0), 1);
	assert_int_equal(td_budget_vips(32255), 1);
	assert_int_equal(td_budget_vips(32256), 2); /* one half is not below it */
	assert_int_equal(td_budget_vips(64511), 2);
	assert_int_equal(td_budget_vips(64512), 3);
}

/* ---- a tuple of which the truth is known ------------------------------------------------- */

#define STEP_NS	    (S / 20)
#define SOCKETS_MAX 60000

struct world {
	struct tundish_ports p;
	struct td_budget b;
	struct td_budget_space s;
	struct tundish_port_key k;
	struct td_picture picture;
	uint64_t now, scan, exhausted_ns, told_ns;
	uint64_t ends[SOCKETS_MAX]; /* of connections */
	uint64_t tw[SOCKETS_MAX];
	uint32_t n, n_tw, refused, alarms, over;
	uint32_t random;
	double owed, gap; /* connections */
};

static double chance(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 17;
	w->random ^= w->random << 5;
	return (w->random >> 8) / 16777216.0;
}

static struct world *new_world(uint32_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->s = plain();
	w->k = key_of("192.0.2.1", "198.51.100.1");
	w->now = START;
	w->random = seed * 2654435761u | 1;
	w->gap = 1;
	return w;
}

struct load {
	double rate;	 /* per second */
	double lifetime; /* mean; 0: for ever */
	bool random;	 /* in when they come and how long they live */
	bool peer_closes;
};

static void open_one(struct world *w, const struct load *l)
{
	double life = l->random ? -l->lifetime * log(1 - chance(w)) : l->lifetime;

	if (w->n + w->n_tw >= 28232) {
		w->refused++;
		w->exhausted_ns = w->exhausted_ns ?: w->now;
		return;
	}
	w->ends[w->n++] = l->lifetime > 0 ? w->now + (uint64_t)(life * 1e9) : UINT64_MAX;
	w->p.held++;
	w->p.opened++;
}

static void step(struct world *w, const struct load *l)
{
	uint32_t kept = 0;

	w->now += STEP_NS;
	for (uint32_t i = 0; i < w->n; i++) {
		if (w->ends[i] > w->now) {
			w->ends[kept++] = w->ends[i];
			continue;
		}
		w->p.held--;
		if (l->peer_closes) {
			w->p.freed++;
			continue;
		}
		w->p.entered++;
		tundish_tw_enter(&w->p, w->now);
		w->tw[w->n_tw++] = w->now + 60 * S;
	}
	w->n = kept;
	kept = 0;
	for (uint32_t i = 0; i < w->n_tw; i++)
		if (w->tw[i] > w->now)
			w->tw[kept++] = w->tw[i];
	w->n_tw = kept;
	/* At random: exponential gaps, which makes a Poisson process. */
	w->owed += l->rate * STEP_NS / 1e9;
	while (l->rate > 0 && w->owed >= w->gap) {
		w->owed -= w->gap;
		w->gap = l->random ? -log(1 - chance(w)) : 1;
		open_one(w, l);
	}
}

static void scan(struct world *w)
{
	struct tundish_port_count *c = &w->p.counted[++w->scan % 2];
	unsigned int changes;

	*c = (struct tundish_port_count){.scan = w->scan};
	c->state[TUNDISH_PORT_established] = w->n;
	c->state[TUNDISH_PORT_time_wait] = w->n_tw;
	for (uint32_t i = 0; i < w->n_tw; i++) {
		uint64_t first = (w->tw[i] - w->now) / (TUNDISH_LEAVING_S * S);

		for (uint64_t k = TD_MIN(first, TUNDISH_LEAVING_STEPS - 1ull);
		     k < TUNDISH_LEAVING_STEPS; k++)
			c->leaving[k]++;
	}
	td_budget_scanned(&w->b, &w->p, w->scan, w->now);
	td_budget_look(&w->b, &w->p, w->now);
	td_budget_picture(&w->b, &w->k, &w->p, &w->s, w->now, &w->picture);
	assert_int_equal(w->picture.used, w->n + w->n_tw);
	changes = td_budget_changes(&w->b, &w->picture, INTERVAL);
	if (changes & TD_BUDGET_SOON) {
		w->alarms++;
		w->told_ns = w->told_ns ?: w->now;
	}
	w->over += !!(changes & TD_BUDGET_OVER_HALF);
}

static void run(struct world *w, const struct load *l, double seconds)
{
	uint64_t end = w->now + (uint64_t)(seconds * 1e9);

	if (!w->scan)
		scan(w);
	while (w->now < end) {
		step(w, l);
		if (w->now % (INTERVAL * S) == 0)
			scan(w);
	}
}

/* Fills until nothing is left, and holds each forecast from the second scan on against what
 * then happened. The last interval is left out: an error of a second is more than 10% there. */
static void forecast(struct world *w, const struct load *l, double wanted, double *ret_worst)
{
	static struct {
		uint64_t at;
		double said;
	} told[10000];
	size_t n = 0, scans = w->scan;
	double worst = 0;

	while (!w->exhausted_ns && w->now < START + 7200 * S) {
		uint64_t before = w->scan;

		step(w, l);
		if (w->now % (INTERVAL * S) == 0)
			scan(w);
		if (w->scan == before || w->scan < scans + 2)
			continue;
		told[n].at = w->now;
		told[n++].said = w->picture.exhaustion_s;
	}
	assert_true(w->exhausted_ns);
	for (size_t i = 0; i < n; i++) {
		double truth = (w->exhausted_ns - told[i].at) / 1e9;

		if (truth > 2 * INTERVAL)
			worst = fmax(worst, fabs(told[i].said / truth - 1));
	}
	*ret_worst = worst;
	if (worst > wanted)
		fail_msg("a forecast was %.0f%% off, wanted %.0f%%", 100 * worst, 100 * wanted);
}

static void test_a_steady_fill_is_forecast(void **state)
{
	static const struct {
		const char *name;
		struct load load;
		double idle, wanted;
	} cases[] = {
		{"fill, 20/s", {20, 0, false, false}, 0, 0.1},
		{"fill, 200/s", {200, 0, false, false}, 0, 0.1},
		{"fill, 2,000/s", {2000, 0, false, false}, 0, 0.1},
		{"fill after five idle minutes, 200/s", {200, 0, false, false}, 300, 0.1},
		{"random fill, 200/s", {200, 0, true, false}, 0, 0.1},
		{"closes first, 600/s", {600, 0.05, false, false}, 0, 0.1},
		{"closes first, random, 600/s", {600, 0.05, true, false}, 0, 0.1},
		{"closes first after 10 s, 600/s", {600, 10, false, false}, 0, 0.25},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++) {
		struct world *w = new_world((uint32_t)i + 1);
		double worst;

		run(w, &(struct load){0}, cases[i].idle);
		if (!cases[i].idle)
			scan(w);
		forecast(w, &cases[i].load, cases[i].wanted, &worst);
		print_message("%-40s worst %.1f%%\n", cases[i].name, 100 * worst);
		assert_int_equal(w->alarms, 1);
		free(w);
	}
}

/* A churn below the limit is not filling, neither while TIME_WAIT comes to its plateau nor
 * after. Where connections live long their number grows as in a fill at first, and at the
 * rate of that moment it would be one: this is told, and taken back. */
static void test_a_churn_is_no_fill(void **state)
{
	static const struct {
		const char *name;
		struct load load;
		uint32_t alarms_most;
	} cases[] = {
		{"closes first, 400/s", {400, 0.05, false, false}, 0},
		{"closes first, random, 400/s", {400, 0.05, true, false}, 0},
		{"closes first, random, 30 s", {250, 30, true, false}, 2},
		{"peer closes, random, 100 s", {200, 100, true, true}, 1},
		{"peer closes, random, 85%", {240, 100, true, true}, 2},
	};
	uint32_t alarms = 0;

	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++)
		for (uint32_t seed = 1; seed <= 4; seed++) {
			struct world *w = new_world(seed * 7 + (uint32_t)i);

			run(w, &cases[i].load, 1200);
			assert_int_equal(w->refused, 0);
			print_message("%-40s false alarms in 20 minutes: %u, over half: %u\n",
				      cases[i].name, w->alarms, w->over);
			assert_in_range(w->alarms, 0, cases[i].alarms_most);
			assert_true(w->over <= 1);
			alarms += w->alarms;
			free(w);
		}
	print_message("false alarms in %zu starts and %zu minutes: %u\n", 4 * TD_ARRAY_SIZE(cases),
		      80 * TD_ARRAY_SIZE(cases), alarms);
	assert_in_range(alarms, 0, 16);
}

static void test_bursts_and_draining(void **state)
{
	const struct load burst = {2000, 5, true, false}, idle = {0, 5, true, false},
			  fill = {0, 0, false, false}, drain = {50, 150, true, true},
			  late = {100, 0, true, false};
	struct world *w;
	uint32_t false_alarms = 0, missed = 0;

	/* A second of 2,000 each 30 s: 4,000 in TIME_WAIT at most. */
	for (uint32_t seed = 1; seed <= 5; seed++) {
		w = new_world(seed);
		for (unsigned int i = 0; i < 40; i++) {
			run(w, &burst, 1);
			run(w, &idle, 29);
		}
		assert_int_equal(w->refused, 0);
		false_alarms += w->alarms;
		free(w);
	}
	print_message("bursts: %u false alarms in 200\n", false_alarms);
	assert_in_range(false_alarms, 0, 10);

	/* 25,000 connections that go, while fewer come. */
	false_alarms = 0;
	for (uint32_t seed = 1; seed <= 5; seed++) {
		w = new_world(seed);
		w->n = 25000;
		w->p.held = 25000;
		for (uint32_t i = 0; i < w->n; i++)
			w->ends[i] = START + (uint64_t)(-150 * log(1 - chance(w)) * 1e9);
		run(w, &drain, 900);
		assert_int_equal(w->refused, 0);
		false_alarms += w->alarms;
		free(w);
	}
	print_message("draining: %u false alarms in 5\n", false_alarms);
	assert_int_equal(false_alarms, 0);

	/* After a churn a leak begins: 280 s from then on to the end. */
	for (uint32_t seed = 1; seed <= 10; seed++) {
		w = new_world(seed);
		run(w, &(struct load){100, 20, true, true}, 200);
		run(w, &fill, 1);
		assert_int_equal(w->alarms, 0);
		while (!w->exhausted_ns)
			run(w, &late, INTERVAL);
		missed += !w->told_ns || w->exhausted_ns - w->told_ns < 120 * S;
		free(w);
	}
	print_message("leaks told less than two minutes before the end: %u of 10\n", missed);
	assert_int_equal(missed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports_are_counted),
		cmocka_unit_test(test_a_still_tuple),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_reused_ones_are_no_more_than_there_are),
		cmocka_unit_test(test_younger_than_the_last_scan),
		cmocka_unit_test(test_udp_ports),
		cmocka_unit_test(test_between_scans),
		cmocka_unit_test(test_an_empty_tuple_is_over),
		cmocka_unit_test(test_half_has_a_hysteresis),
		cmocka_unit_test(test_a_course_with_reuse),
		cmocka_unit_test(test_chance_is_no_slope),
		cmocka_unit_test(test_the_horizon),
		cmocka_unit_test(test_vips),
		cmocka_unit_test(test_a_steady_fill_is_forecast),
		cmocka_unit_test(test_a_churn_is_no_fill),
		cmocka_unit_test(test_bursts_and_draining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
