// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who of a pool takes new connections: some cases one by one, and what has to hold of any pool.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "core/pool.h"
#include "random.h"

/*
 * A pool as letters, each followed by when it fell ill where that matters: `h` healthy, `s` sick,
 * `d` drained; capitals are backups. The answer in letters: `+` in, `.` spare, `-` out, `k` kept by
 * the limit, `l` kept as one of the last.
 */
static void is(const char *pool, unsigned int max_ejected, const char *wanted)
{
	static const char letters[] = "+.-kl";
	struct td_pool_member m[16] = {0};
	char got[17] = "";
	size_t n = 0;

	for (const char *p = pool; *p; p++) {
		if (*p >= '0' && *p <= '9') {
			m[n - 1].since_ns = (uint64_t)(*p - '0');
			continue;
		}
		m[n].backup = *p < 'a';
		m[n].healthy = (*p | 0x20) != 's';
		m[n].usable = (*p | 0x20) != 'd';
		n++;
	}
	assert_int_equal(td_pool_settle(m, n, max_ejected), 0);
	for (size_t i = 0; i < n; i++)
		got[i] = (m[i].usable ? letters[m[i].place] : ' ');
	assert_string_equal(got, wanted);
}

static void test_cases(void **state)
{
	is("", 100, "");
	is("hhh", 100, "+++");
	is("hsh", 100, "+-+");
	is("sss", 100, "lll");
	is("s", 0, "l");
	is("hsss", 100, "+---");
	/* Of four one is ejected: the one that went first. */
	is("hs3s1s2", 25, "+k-k");
	is("hs3s1s2", 50, "+k--");
	is("hs3s1s2", 49, "+k-k");
	is("hs3s1s2", 0, "+kkk");
	is("hs1s1", 50, "+-k");
	/* Backups. */
	is("hhH", 100, "++.");
	is("hsH", 100, "+-.");
	is("ssH", 100, "--+");
	is("ssH", 0, "--+");
	is("ssS", 100, "ll-");
	is("ssHS", 100, "--+-");
	is("hS", 100, "+-");
	/* One that takes none anyway counts nowhere. */
	is("ds", 100, " l");
	is("dh", 100, " +");
	is("dH", 100, " +");
	is("dS", 100, " l");
	is("hs1s2dd", 50, "+-k  ");
}

static bool takes(const struct td_pool_member *m)
{
	return m->usable && m->place != TD_POOL_OUT && m->place != TD_POOL_SPARE;
}

static void test_properties(void **state)
{
	for (unsigned int round = 0; round < 50000; round++) {
		struct td_pool_member m[12] = {0}, again[12];
		size_t n = random_below(13), usable = 0, in = 0, primaries = 0, out = 0;
		unsigned int max = random_below(3) ? random_below(101) : 100;
		bool healthy = false, healthy_primary = false;

		for (size_t i = 0; i < n; i++) {
			m[i].usable = random_below(5);
			m[i].backup = !random_below(3);
			m[i].healthy = random_below(2);
			m[i].since_ns = random_below(4);
		}
		assert_int_equal(td_pool_settle(m, n, max), 0);
		for (size_t i = 0; i < n; i++) {
			usable += m[i].usable;
			in += takes(&m[i]);
			healthy |= m[i].usable && m[i].healthy;
			healthy_primary |= m[i].usable && m[i].healthy && !m[i].backup;
			primaries += m[i].usable && !m[i].backup;
			out += m[i].usable && !m[i].backup && !takes(&m[i]);
		}
		/* Connections go somewhere, as long as there is anybody. */
		assert_int_equal(in > 0, usable > 0);
		/* No more are out than may be, but where backups have taken over. */
		if (healthy_primary || !healthy)
			assert_true(out * 100 <= primaries * max);
		for (size_t i = 0; i < n; i++) {
			if (!m[i].usable)
				continue;
			/* Whoever is healthy and no backup is in; backups alone are not with
			 * others. */
			if (m[i].healthy && !m[i].backup)
				assert_int_equal(m[i].place, TD_POOL_IN);
			if (m[i].backup && takes(&m[i]))
				assert_false(healthy_primary);
			if (m[i].place == TD_POOL_KEPT_LAST)
				assert_false(healthy);
			/* Whoever went first is out first. */
			for (size_t k = 0; k < n; k++)
				if (m[i].place == TD_POOL_KEPT_LIMIT && m[k].usable &&
				    !m[k].backup && m[k].place == TD_POOL_OUT)
					assert_true(m[k].since_ns <= m[i].since_ns);
		}
		/* The same again, which a plan made twice depends on. */
		memcpy(again, m, sizeof(m));
		assert_int_equal(td_pool_settle(again, n, max), 0);
		assert_memory_equal(again, m, sizeof(m));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_properties),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
