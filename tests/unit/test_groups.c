// SPDX-License-Identifier: GPL-2.0-only
/*
 * Worker groups: which the configuration asks for, and that each keeps its place
 * in the maps for as long as its set of listeners does, whatever else comes, goes
 * and has to find room beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "config/text.h"
#include "core/groups.h"
#include "random.h"

#define GROUPS	6 /* ids 1 to 5 */
#define WORKERS 100

/* ---- what the configuration asks for ------------------------------------------ */

static struct td_config *config(const char *services)
{
	char text[4096];

	snprintf(text, sizeof(text),
		 "interfaces: []\nlimits: {groups: 256, workers: 16384}\nservices:\n%s", services);
	return must_parse(text);
}

#define SERVICE(name, port, workers)                                                               \
	"- {name: " name ", vips: 192.0.2.1, ports: " port                                         \
	", delivery: workers, workers: {" workers "}}\n"

static void test_made(void **state)
{
	struct td_config *c = config(SERVICE(
		"a", "1",
		"listen: '[::]:8080', size: 7") "- {name: b, vips: 192.0.2.1, ports: 2, delivery: workers}\n"
						"- {name: c, vips: 192.0.2.1, ports: 3, delivery: dsr,"
						" backends: [{name: x, address: 10.0.0.1}]}\n" SERVICE(
							"d", "4",
							"listen: ['0.0.0.0:81', '0.0.0.0:80', '[::]:80']")
							SERVICE("e", "5", "listen: '[::]:8080', size: 7") SERVICE(
								"f", "6",
								"listen: ['[::]:80', '0.0.0.0:81', '0.0.0.0:80']")
								SERVICE("g", "7",
									"listen: '10.0.0.1:9', share: 99%")
									SERVICE("h", "8",
										"listen: '10.0.0.1:10'")
										SERVICE("i", "9",
											"listen: ['[1111:2222:3333:4444:5555:6666:7777:8888]:80',"
											" '[1111:2222:3333:4444:5555:6666:7777:9999]:80', '[::]:99']"));
	static const uint32_t of[] = {0, TD_GROUP_NONE, TD_GROUP_NONE, 1, 0, 1, 2, 3, 4};
	static const struct {
		const char *name;
		uint32_t size, services;
		bool account;
		size_t n_listen;
	} expected[] = {
		{"[::]:8080", 7, 2, true, 1},
		{"[::]:80,0.0.0.0:80,0.0.0.0:81", 64, 2, true, 3},
		{"10.0.0.1:9", 64, 1, true, 1},
		{"10.0.0.1:10", 64, 1, false, 1},
		{"[::]:99,[1111:2222:3333:4444:5555:6666:7777:8888]:80,[1111:2222", 64, 1, false,
		 3},
	};
	struct td_group_want *groups = NULL;
	struct td_error e = {0};
	size_t n = 99;

	assert_int_equal(td_groups_make(c, &groups, &n, &e), 0);
	assert_int_equal(n, TD_ARRAY_SIZE(expected));
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(groups[i].name, expected[i].name);
		assert_int_equal(groups[i].size, expected[i].size);
		assert_int_equal(groups[i].services, expected[i].services);
		assert_int_equal(groups[i].account, expected[i].account);
		assert_int_equal(groups[i].n_listen, expected[i].n_listen);
		assert_int_equal(groups[i].id, 0);
	}
	for (size_t i = 0; i < TD_ARRAY_SIZE(of); i++)
		assert_int_equal(td_group_of(groups, n, &c->services[i]), of[i]);
	free(groups);
	td_config_free(c);

	/* Of another delivery: for the backend that is this host, in front of one group
	 * with those that have no other. */
	c = config(
		SERVICE("a", "1", "listen: '[::]:8080'") "- {name: b, vips: 192.0.2.2, ports: 2,"
							 " delivery: dsr, backends: [{name: x,"
							 " address: 10.0.0.1}], workers: {listen:"
							 " '[::]:8080'}}\n");
	assert_int_equal(td_groups_make(c, &groups, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(groups[0].services, 2);
	assert_int_equal(td_group_of(groups, n, &c->services[1]), 0);
	free(groups);
	groups = NULL;
	td_config_free(c);

	/* At one address, but of UDP: nothing in common. */
	c = config(SERVICE("a", "53", "listen: '[::]:53'") "- {name: b, vips: 192.0.2.2, ports: 53,"
							   " protocol: udp, delivery: workers,"
							   " workers: {listen: '[::]:53'}}\n");
	assert_int_equal(c->services[1].workers.steering, TUNDISH_STEERING_HASH);
	assert_int_equal(td_groups_make(c, &groups, &n, &e), 0);
	assert_int_equal(n, 2);
	assert_string_equal(groups[0].name, "[::]:53");
	assert_string_equal(groups[1].name, "[::]:53/udp");
	assert_true(groups[1].udp && !groups[0].udp);
	assert_int_equal(td_group_of(groups, n, &c->services[1]), 1);
	free(groups);
	groups = NULL;
	td_config_free(c);

	c = config("- {name: b, vips: 192.0.2.1, ports: 2, delivery: workers}\n");
	assert_int_equal(td_groups_make(c, &groups, &n, &e), 0);
	assert_null(groups);
	assert_int_equal(n, 0);
	td_config_free(c);
}

/* The configuration's own checks keep this away. */
static void test_overlaps_are_refused(void **state)
{
	struct td_config *c = config(SERVICE("a", "1", "listen: ['[::]:80', '[::]:81']")
					     SERVICE("b", "2", "listen: ['[::]:82', '[::]:83']"));
	struct td_group_want *groups = (void *)1;
	struct td_error e = {0};
	size_t n = 99;

	c->services[1].workers.listen[0].port = 81;
	assert_int_equal(td_groups_make(c, &groups, &n, &e), -EINVAL);
	assert_string_equal(e.text, "workers.listen of service \"b\" has a part of group "
				    "[::]:80,[::]:81; give all of it, or none");
	assert_ptr_equal(groups, 1);
	assert_int_equal(n, 99);
	td_config_free(c);
}

/* ---- where they stand ----------------------------------------------------------- */

/* The maps: what the last placement came to. */
static struct model {
	struct tundish_group groups[GROUPS];
	struct td_group_listen listens[64];
	size_t n_listens;
} model;

/* A group by its ports on [::], closed by 0. */
struct wish {
	uint16_t ports[TUNDISH_GROUP_LISTENS + 1];
	uint32_t size;
};

static struct td_group_want wanted[32];
static bool leaving[GROUPS];
static struct td_error error;

static int place(const struct wish *wishes, size_t n)
{
	struct td_groups_installed in = {
		.groups = model.groups,
		.groups_max = GROUPS,
		.workers_max = WORKERS,
		.listens = model.listens,
		.n_listens = model.n_listens,
	};

	memset(wanted, 0, sizeof(wanted));
	error = (struct td_error){0};
	for (size_t i = 0; i < n; i++) {
		wanted[i].size = wishes[i].size;
		for (; wishes[i].ports[wanted[i].n_listen]; wanted[i].n_listen++)
			wanted[i].listen[wanted[i].n_listen].port =
				wishes[i].ports[wanted[i].n_listen];
	}
	return td_groups_place(wanted, n, &in, leaving, &error);
}

/* Takes away what leaves, then puts what is wanted, as the daemon does. */
static void settle(size_t n)
{
	size_t kept = 0;

	for (uint32_t id = 1; id < GROUPS; id++) {
		if (!leaving[id])
			continue;
		assert_true(model.groups[id].flags & TUNDISH_GROUP_ACTIVE);
		memset(&model.groups[id], 0, sizeof(model.groups[id]));
	}
	for (size_t i = 0; i < model.n_listens; i++)
		if (!leaving[model.listens[i].group])
			model.listens[kept++] = model.listens[i];
	model.n_listens = kept;
	for (size_t i = 0; i < n; i++) {
		const struct td_group_want *w = &wanted[i];
		struct tundish_group *g = &model.groups[w->id];

		assert_in_range(w->id, 1, GROUPS - 1);
		assert_true(w->installed == !!(g->flags & TUNDISH_GROUP_ACTIVE));
		if (w->installed)
			assert_int_equal(g->first, w->first);
		g->first = w->first;
		g->size = w->size;
		g->flags = TUNDISH_GROUP_ACTIVE;
		for (size_t j = 0; !w->installed && j < w->n_listen; j++)
			model.listens[model.n_listens++] = (struct td_group_listen){
				{.address = w->listen[j].address, .port = w->listen[j].port},
				w->id};
	}
}

/* No two have the same index. */
static void check(void)
{
	uint8_t taken[WORKERS] = {0};

	for (uint32_t id = 1; id < GROUPS; id++) {
		const struct tundish_group *g = &model.groups[id];

		for (uint32_t i = 0; g->flags && i < g->size; i++) {
			assert_in_range(g->first + i, 0, WORKERS - 1);
			assert_int_equal(taken[g->first + i]++, 0);
		}
	}
}

static void must_place(const struct wish *wishes, size_t n)
{
	if (place(wishes, n) < 0)
		fail_msg("%s", error.text);
	settle(n);
	check();
}

#define PLACE(...)                                                                                 \
	({                                                                                         \
		const struct wish wishes_[] = {__VA_ARGS__};                                       \
		must_place(wishes_, TD_ARRAY_SIZE(wishes_));                                       \
	})

static int setup(void **state)
{
	memset(&model, 0, sizeof(model));
	return 0;
}

static void test_first_fit(void **state)
{
	PLACE({{80}, 10}, {{81, 82}, 20}, {{83}, 1});
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(wanted[i].id, i + 1);
	assert_int_equal(wanted[0].first, 0);
	assert_int_equal(wanted[1].first, 10);
	assert_int_equal(wanted[2].first, 30);
	for (uint32_t id = 0; id < GROUPS; id++)
		assert_false(leaving[id]);
}

static void test_places_are_kept(void **state)
{
	PLACE({{80}, 10}, {{81, 82}, 20}, {{83}, 1});
	PLACE({{83}, 1}, {{84}, 40}, {{82, 81}, 20});
	assert_true(leaving[1]);
	assert_false(leaving[2] || leaving[3]);
	assert_int_equal(wanted[0].id, 3);
	assert_int_equal(wanted[0].first, 30);
	assert_int_equal(wanted[2].id, 2);
	assert_int_equal(wanted[2].first, 10);
	/* Not in the place of the one that leaves, as long as there is another. */
	assert_int_equal(wanted[1].id, 4);
	assert_int_equal(wanted[1].first, 31);
	/* It is gone by now. */
	PLACE({{83}, 1}, {{84}, 40}, {{82, 81}, 20}, {{85}, 10});
	assert_int_equal(wanted[3].id, 1);
	assert_int_equal(wanted[3].first, 0);
}

static void test_a_part_is_another_group(void **state)
{
	PLACE({{80, 81}, 10});
	PLACE({{80}, 10});
	assert_true(leaving[1]);
	assert_false(wanted[0].installed);
	PLACE({{80, 81}, 10});
	assert_false(wanted[0].installed);
	PLACE({{80}, 10}, {{81}, 10});
	assert_false(wanted[0].installed || wanted[1].installed);
	PLACE({{80, 81}, 10}); /* which stood as two */
	assert_false(wanted[0].installed);
	assert_int_equal(model.n_listens, 2);
}

static void test_sizes_change_in_place(void **state)
{
	PLACE({{80}, 10}, {{81}, 10});
	model.groups[1].used = model.groups[2].used = 4;
	PLACE({{80}, 4}, {{81}, 50});
	assert_true(wanted[0].installed && wanted[1].installed);
	PLACE({{80}, 10}, {{81}, 50});
	assert_true(wanted[0].installed);
	/* Another behind it, or those that it uses, or the end of the table. */
	PLACE({{80}, 11}, {{81}, 50});
	assert_false(wanted[0].installed);
	assert_true(wanted[1].installed);
	PLACE({{80}, 11}, {{81}, 3});
	assert_false(wanted[1].installed);
	PLACE({{80}, 11});
	PLACE({{80}, 60});
	model.groups[wanted[0].id].first = 60;
	model.groups[wanted[0].id].size = 40;
	PLACE({{80}, 41});
	assert_int_equal(wanted[0].first, 0);
}

static void test_full_tables(void **state)
{
	static const struct wish six[] = {{{80}, 1}, {{81}, 1}, {{82}, 1},
					  {{83}, 1}, {{84}, 1}, {{85}, 1}};
	static const struct wish wide[] = {{{80}, 60}, {{90}, 41}};
	struct td_group_want untouched = {.id = 77};
	bool marks[GROUPS];

	memset(leaving, true, sizeof(leaving));
	memset(marks, true, sizeof(marks));
	assert_int_equal(place(six, 6), -ENOSPC);
	assert_memory_equal(leaving, marks, sizeof(marks));
	assert_int_equal(wanted[0].id, 0);
	assert_non_null(strstr(error.text, "in a table of 5: raise limits.groups, then `tundish "
					   "unload` and start again"));
	assert_int_equal(place(wide, 2), -ENOSPC);
	assert_non_null(strstr(error.text, "no 41 places in a row for the workers of group "));
	assert_non_null(strstr(error.text, "in a table of 100: raise limits.workers, then"));
	assert_int_equal(untouched.id, 77);
	PLACE({{80}, 60}, {{90}, 40});
	/* Where there is no other, those that leave make room. */
	PLACE({{81}, 100});
	assert_true(leaving[1] && leaving[2]);
	PLACE({{80}, 1}, {{81}, 1}, {{82}, 1}, {{83}, 1}, {{84}, 1});
	PLACE({{90}, 20}, {{91}, 20}, {{92}, 20}, {{93}, 20}, {{94}, 20});
	PLACE();
	for (uint32_t id = 1; id < GROUPS; id++)
		assert_true(leaving[id]);
	assert_int_equal(model.n_listens, 0);
}

/* Pinned maps may hold anything. */
static void test_damaged_maps(void **state)
{
	PLACE({{80}, 10}, {{81}, 10});
	model.groups[1].first = UINT32_MAX - 4;
	PLACE({{80}, 10}, {{81}, 10});
	assert_true(wanted[1].installed);
	model.groups[wanted[0].id].size = UINT32_MAX;
	PLACE({{80}, 10}, {{81}, 10});
	model.groups[wanted[0].id].first = model.groups[wanted[1].id].first + 5; /* overlap */
	PLACE({{80}, 10}, {{81}, 10});
	for (size_t i = 0; i < model.n_listens; i++)
		model.listens[i].group = i ? 0 : UINT32_MAX;
	assert_int_equal(place((const struct wish[]){{{80}, 10}, {{81}, 10}}, 2), 0);
	assert_false(wanted[0].installed || wanted[1].installed);
}

/* One that stays under its size stays where it is, and no two ever overlap. */
static void test_property(void **state)
{
	struct wish now[GROUPS] = {0};
	unsigned int kept = 0, refused = 0;

	for (int round = 0; round < 20000; round++) {
		struct wish next[GROUPS];
		struct model before = model;
		size_t n = 0;

		for (uint16_t i = 0; i < GROUPS; i++) {
			if (random_below(4) == 0)
				now[i].size = random_below(3) * random_below(30);
			now[i].ports[0] = 80 + i;
			if (now[i].size)
				next[n++] = now[i];
		}
		if (place(next, n) < 0) {
			uint32_t total = 0;

			for (size_t i = 0; i < n; i++)
				total += next[i].size;
			/* Only by number, or where those that stay leave no long gap. */
			assert_true(n > GROUPS - 1 || total > WORKERS / 4);
			refused++;
			continue;
		}
		settle(n);
		check();
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < before.n_listens; j++) {
				uint32_t id = before.listens[j].group;

				if (before.listens[j].listen.port != next[i].ports[0] ||
				    before.groups[id].size != next[i].size)
					continue;
				assert_true(wanted[i].installed);
				assert_int_equal(wanted[i].id, id);
				assert_int_equal(wanted[i].first, before.groups[id].first);
				kept++;
			}
	}
	assert_true(kept > 10000 && refused > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_overlaps_are_refused),
		cmocka_unit_test_setup(test_first_fit, setup),
		cmocka_unit_test_setup(test_places_are_kept, setup),
		cmocka_unit_test_setup(test_a_part_is_another_group, setup),
		cmocka_unit_test_setup(test_sizes_change_in_place, setup),
		cmocka_unit_test_setup(test_full_tables, setup),
		cmocka_unit_test_setup(test_damaged_maps, setup),
		cmocka_unit_test_setup(test_property, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
