// SPDX-License-Identifier: GPL-2.0-only
/* "did you mean": distances against a table and against slips made at random. */
#include "lib/suggest.h"

#include <setjmp.h>
#include <cmocka.h>

static void test_slips(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned int slips;
	} rows[] = {
		{"", "", 0},
		{"", "abc", 3},
		{"web", "web", 0},
		{"web", "wbe", 1},
		{"web", "we", 1},
		{"web", "webs", 1},
		{"web", "wab", 1},
		{"WEB", "web", 0},
		{"ca", "abc", 3},
		{"kitten", "sitting", 3},
		{"drain", "darin", 1},
		{"services", "servcies", 1},
		{"abcdef", "badcfe", 3},
	};

	(void)state;
	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		assert_int_equal(td_slips(rows[i].a, rows[i].b), rows[i].slips);
		assert_int_equal(td_slips(rows[i].b, rows[i].a), rows[i].slips);
	}
}

/* One to three random slips are that many at most, and the lengths' difference at least. */
static void test_random_slips(void **state)
{
	uint64_t seed = 88172645463325252ull;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char word[64], slipped[80];
		size_t n, m;
		unsigned int made = 0, told;

#define DRAW(k) (seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17, (size_t)(seed % (k)))
		n = m = DRAW(40) + 1;
		for (size_t i = 0; i < n; i++)
			word[i] = (char)('a' + DRAW(4));
		word[n] = '\0';
		memcpy(slipped, word, n + 1);
		for (size_t slips = DRAW(3) + 1; made < slips && m > 1; made++) {
			size_t at = DRAW(m - 1), kind = DRAW(4);
			char c = slipped[at];

			if (kind == 0) {
				slipped[at] = (char)('a' + DRAW(4));
			} else if (kind == 1) {
				slipped[at] = slipped[at + 1];
				slipped[at + 1] = c;
			} else if (kind == 2) {
				memmove(slipped + at, slipped + at + 1, m - at);
				m--;
			} else {
				memmove(slipped + at + 1, slipped + at, m - at + 1);
				m++;
			}
		}
		told = td_slips(word, slipped);
		assert_int_equal(told, td_slips(slipped, word));
		/* Swaps that overlap other slips may cost one more each in the restricted form. */
		assert_true(told <= made + (made > 1 ? made : 0));
		assert_true(told >= (n > m ? n - m : m - n));
		assert_true((told == 0) == (strcmp(word, slipped) == 0));
	}
}

static const char *meant(const char *given, const char *words, char *buffer, size_t size)
{
	struct td_suggest s = {.given = given};
	char copy[512], *rest = copy, *word;

	snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strsep(&rest, " ")))
		td_suggest_add(&s, word);
	return td_suggest_tell(&s, buffer, size);
}

static void test_words(void **state)
{
	static const struct {
		const char *given, *words, *meant;
	} rows[] = {
		{"wbe", "web api shop", "web"},
		{"WEB", "web api", "web"},
		{"web3", "web1 web2", NULL}, /* neither more than the other */
		{"web3", "web1 web1", "web1"},
		{"web13", "web1 web2 web131 web", NULL},
		{"web12", "wbe12 web1", NULL},
		{"frontned", "backend frontend", "frontend"},
		{"frntned", "backend frontend", "frontend"},
		{"fronted1", "backend frontend2", "frontend2"},
		{"ap", "web api", "api"},
		{"x", "y", NULL}, /* all of it is another word */
		{"", "a", NULL},
		{"aaaa", "bbaa", NULL}, /* two slips in a short word */
		{"anything", "", NULL},
		{"web", "w", NULL},
	};
	char said[TD_SUGGEST_TELL_BYTES], wanted[TD_SUGGEST_TELL_BYTES];

	(void)state;
	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		wanted[0] = '\0';
		if (rows[i].meant)
			snprintf(wanted, sizeof(wanted), "; did you mean \"%s\"?", rows[i].meant);
		assert_string_equal(meant(rows[i].given, rows[i].words, said, sizeof(said)),
				    wanted);
	}
}

/* Words of a request, which may be anything. */
static void test_hostile(void **state)
{
	char longest[TD_SUGGEST_WORD_MAX + 1], longer[5000], said[TD_SUGGEST_TELL_BYTES];
	struct td_suggest s = {.given = longer}, none = {0};

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	td_suggest_add(&s, longest);
	assert_string_equal(td_suggest_tell(&s, said, sizeof(said)), "");
	assert_int_equal(td_slips(longer, "a"), UINT_MAX);
	longest[5] = 'b';
	s = (struct td_suggest){.given = longest};
	longer[sizeof(longest) - 1] = '\0';
	td_suggest_add(&s, longer);
	assert_string_equal(td_suggest_word(&s), longer);
	td_suggest_tell(&s, said, sizeof(said));
	assert_int_equal(said[strlen(said) - 1], '?'); /* not cut */
	td_suggest_add(&none, "web");
	assert_null(td_suggest_word(&none));
	s = (struct td_suggest){.given = "\xff\xfe\x01"};
	td_suggest_add(&s, "\xff\xfe");
	assert_non_null(td_suggest_word(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slips),
		cmocka_unit_test(test_random_slips),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
