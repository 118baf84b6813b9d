// SPDX-License-Identifier: GPL-2.0-only
/*
 * The plan as health has it: backups, a limit on how many are ejected, weights that come back in
 * steps, what agents say, connections that are reset; cut after each step, as everything.
 */
#include "plan_fixture.h"

static struct td_health_conf health;

static struct tundish_backend *entry(const char *name)
{
	for (uint32_t b = 1; b < N_BACKENDS; b++)
		if (model.backends[b].state && !strcmp(model.backends[b].name, name))
			return &model.backends[b];
	fail_msg("no entry of %s", name);
	return NULL;
}

/* @since: 0: it is healthy */
static void falls(const char *name, uint64_t since)
{
	struct tundish_backend *b = entry(name);

	b->flags = since ? b->flags | TUNDISH_BACKEND_UNHEALTHY
			 : b->flags & ~TUNDISH_BACKEND_UNHEALTHY;
	b->health_since_ns = since;
}

/* Weights in the row, as web1, web2, ...; states as u, d (down), x (disabled), r (drained). */
static void are(const struct test_config *t, const char *states, unsigned int a, unsigned int b,
		unsigned int c, unsigned int d)
{
	static const char letters[] = {[TUNDISH_BACKEND_UP] = 'u',
				       [TUNDISH_BACKEND_DOWN] = 'd',
				       [TUNDISH_BACKEND_DRAIN] = 'r',
				       [TUNDISH_BACKEND_DISABLED] = 'x'};
	const unsigned int weights[] = {a, b, c, d};
	char name[8], got[5] = "";

	go(&t->c);
	for (size_t i = 0; i < t->services[0].n_backends; i++) {
		snprintf(name, sizeof(name), "web%zu", i + 1);
		got[i] = letters[entry(name)->state];
		if (entry(name)->weight != weights[i])
			fail_msg("%s has %u, wanted %u", name, entry(name)->weight, weights[i]);
	}
	assert_string_equal(got, states);
}

static struct test_config *checked(size_t n)
{
	struct test_config *t = web(n);

	health = (struct td_health_conf){.type = TD_CHECK_TCP, .max_ejected = 100};
	t->services[0].health = &health;
	for (size_t i = 0; i < n; i++)
		t->backends[0][i].weight = 100;
	return t;
}

static void test_backups(void **state)
{
	struct test_config *t = checked(4);
	struct td_state installed;
	struct td_plan p;

	t->backends[0][2].backup = t->backends[0][3].backup = true;
	are(t, "uuuu", 100, 100, 0, 0);
	falls("web1", 5);
	are(t, "duuu", 0, 100, 0, 0);
	falls("web2", 6);
	are(t, "dduu", 0, 0, 100, 100);
	falls("web3", 7);
	are(t, "dddu", 0, 0, 0, 100);
	falls("web4", 8); /* nobody is left: those that are no backups stay in */
	are(t, "uudd", 100, 100, 0, 0);
	assert_true(td_backend_is_last(entry("web1")));
	falls("web3", 0);
	are(t, "ddud", 0, 0, 100, 0);
	falls("web1", 0);
	are(t, "udud", 100, 0, 0, 0);
	/* By command the others are drained: backups again. */
	td_override_state(entry("web1"), TUNDISH_BACKEND_DRAIN);
	are(t, "rdud", 0, 0, 100, 0);
	td_override_state(entry("web1"), TUNDISH_BACKEND_UP);
	are(t, "udud", 100, 0, 0, 0);
	/* In the file no backup any more. */
	t->backends[0][2].backup = false;
	p = make_plan(&t->c, &installed);
	assert_string_equal(p.steps[0].why, "no backup in the file");
	td_plan_done(&p);
	td_state_done(&installed);
	are(t, "udud", 100, 0, 100, 0);
}

/* Without checks a worker group's word counts all the same. */
static void test_no_checks(void **state)
{
	struct test_config *t = checked(2);

	t->services[0].health = NULL;
	are(t, "uu", 100, 100, 0, 0);
	falls("web1", 10);
	are(t, "du", 0, 100, 0, 0);
}

static void test_max_ejected(void **state)
{
	struct test_config *t = checked(4);
	struct td_state installed;
	struct td_plan p;

	health.max_ejected = 50;
	are(t, "uuuu", 100, 100, 100, 100);
	falls("web2", 5);
	falls("web3", 6);
	are(t, "uddu", 100, 0, 0, 100);
	falls("web1", 7);
	are(t, "uddu", 100, 0, 0, 100);
	assert_true(td_backend_is_last(entry("web1")));
	/* One that comes back makes room for the next. */
	falls("web2", 0);
	p = make_plan(&t->c, &installed);
	assert_string_equal(p.steps[0].why, "state down by health, was up");
	td_plan_done(&p);
	td_state_done(&installed);
	are(t, "dudu", 0, 100, 0, 100);
	/* All of them: all are in. */
	falls("web2", 8);
	falls("web4", 9);
	are(t, "uuuu", 100, 100, 100, 100);
	health.max_ejected = 0;
	falls("web4", 0);
	are(t, "uuuu", 100, 100, 100, 100);
}

static void test_shares(void **state)
{
	struct test_config *t = checked(2);

	t->backends[0][1].weight = 7;
	are(t, "uu", 100, 7, 0, 0);
	entry("web1")->adjust = -95;
	entry("web2")->adjust = -95;
	are(t, "uu", 5, 1, 0, 0);
	entry("web1")->adjust = -45;
	entry("web2")->adjust = 150;
	are(t, "uu", 55, 18, 0, 0);
	td_override_weight(entry("web1"), 200);
	are(t, "uu", 110, 18, 0, 0);
	entry("web1")->adjust = 900; /* no more than a weight can be */
	are(t, "uu", 1000, 18, 0, 0);
	entry("web2")->adjust = -100; /* as if its weight were 0 */
	are(t, "uu", 1000, 0, 0, 0);
	falls("web1", 5);
	entry("web1")->adjust = 0;
	are(t, "uu", 200, 0, 0, 0); /* the last one with a weight */
	/* Gone and back: it begins anew. */
	t->services[0].n_backends = 1;
	go(&t->c);
	t->services[0].n_backends = 2;
	entry("web1")->flags &= ~TUNDISH_BACKEND_UNHEALTHY;
	are(t, "uu", 200, 7, 0, 0);
}

static void test_agents_drain(void **state)
{
	struct test_config *t = checked(2);
	struct td_state installed;
	struct td_plan p;

	are(t, "uu", 100, 100, 0, 0);
	entry("web2")->flags |= TUNDISH_BACKEND_AGENT_DRAIN;
	p = make_plan(&t->c, &installed);
	assert_string_equal(p.steps[0].why, "state drain by its agent, was up");
	td_plan_done(&p);
	td_state_done(&installed);
	are(t, "ur", 100, 0, 0, 0);
	falls("web2", 5); /* drained is stronger: it is not kept as one of the last */
	falls("web1", 6);
	are(t, "ur", 100, 0, 0, 0);
	entry("web2")->flags &= ~TUNDISH_BACKEND_AGENT_DRAIN;
	falls("web2", 0);
	are(t, "du", 0, 100, 0, 0);
}

/* To the data path it is disabled, to people down. */
static void test_on_down_reset(void **state)
{
	struct test_config *t = checked(2);
	struct td_state installed;
	struct td_plan p;

	health.resets = true;
	are(t, "uu", 100, 100, 0, 0);
	falls("web2", 5);
	p = make_plan(&t->c, &installed);
	/* Its slots move first, or packets of its flows would go to itself. */
	assert_int_equal(p.n_steps, 2);
	assert_int_equal(p.steps[0].kind, TD_STEP_ROW_SET);
	assert_int_equal(p.steps[1].kind, TD_STEP_BACKEND_PUT);
	assert_string_equal(p.steps[1].why, "state down by health, was up");
	td_plan_done(&p);
	td_state_done(&installed);
	are(t, "ux", 100, 0, 0, 0);
	assert_int_equal(td_backend_state_shown(entry("web2")), TUNDISH_BACKEND_DOWN);
	td_override_state(entry("web2"), TUNDISH_BACKEND_DISABLED);
	are(t, "ux", 100, 0, 0, 0);
	assert_int_equal(td_backend_state_shown(entry("web2")), TUNDISH_BACKEND_DISABLED);
	td_override_state(entry("web2"), TUNDISH_BACKEND_UP);
	health.resets = false;
	are(t, "ud", 100, 0, 0, 0);
	falls("web2", 0);
	are(t, "uu", 100, 100, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_backups, setup),
		cmocka_unit_test_setup(test_no_checks, setup),
		cmocka_unit_test_setup(test_max_ejected, setup),
		cmocka_unit_test_setup(test_shares, setup),
		cmocka_unit_test_setup(test_agents_drain, setup),
		cmocka_unit_test_setup(test_on_down_reset, setup),
	};

	return cmocka_run_group_tests_name("plan_health", tests, NULL, NULL);
}
