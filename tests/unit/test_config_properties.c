// SPDX-License-Identifier: GPL-2.0-only
/*
 * What holds of any configuration: claims on ports are judged as a plain
 * comparison of all pairs judges them, damage is refused or read back equal,
 * size costs no more than it should, and the manual says what the schema does.
 */
#include "config/schema.h"
#include "config/text.h"
#include "config/value.h"
#include "core/plan.h"
#include "random.h"

/* ---- claims ------------------------------------------------------------------- */

/* The VIP of most tests here. */
static const struct td_prefix one = {{{0, 0, TUNDISH_BE32(0xffff), TUNDISH_BE32(0xc0000201)}}, 128};

struct model {
	struct {
		uint32_t first, last;
		unsigned int service;
	} claim[64];
	size_t n;
};

/* Nested or apart, all of them. */
static bool model_is_good(const struct model *m)
{
	for (size_t i = 0; i < m->n; i++)
		for (size_t j = 0; j < i; j++) {
			uint32_t a = m->claim[i].first, b = m->claim[i].last;
			uint32_t c = m->claim[j].first, d = m->claim[j].last;
			bool apart = b < c || d < a;
			bool inside = (a >= c && b <= d) || (c >= a && d <= b);

			if (!apart && (!inside || (a == c && b == d)))
				return false;
		}
	return true;
}

static void test_claims_property(void **state)
{
	unsigned int good = 0, conflicts = 0, too_many = 0;

	for (unsigned int round = 0; round < 6000; round++) {
		/* Ends on a small grid make all cases common, and a coarse one nests. */
		unsigned int services = 1 + random_below(3), grid = 1 << random_below(4);
		unsigned int most = round % 50 ? 4 : 30;
		struct tundish_port_range ranges[TUNDISH_RANGES_MAX];
		struct td_error error = {0};
		struct td_config *c = NULL;
		struct model m = {0};
		char *text = NULL;
		size_t length;
		FILE *out = open_memstream(&text, &length);

		fputs("interfaces: []\nservices:\n", out);
		for (unsigned int s = 0; s < services; s++) {
			unsigned int n = 1 + random_below(most);

			fprintf(out, "- {name: s%u, vips: 192.0.2.1, delivery: workers, ports: [",
				s);
			for (unsigned int i = 0; i < n && m.n < TD_ARRAY_SIZE(m.claim); i++) {
				uint32_t first = 1 + random_below(64) * grid;
				uint32_t last = first + random_below(4) * (grid - 1);

				if (most > 4) /* many apart, in one wide claim */
					first = last = 10 * (64 * s + i) + 5;
				if (most > 4 && !s && !i)
					first = 1, last = 65535;
				fprintf(out, "%s\"%u-%u\"", i ? "," : "", first, last);
				m.claim[m.n].first = first;
				m.claim[m.n].last = last;
				m.claim[m.n++].service = s;
			}
			fputs("]}\n", out);
		}
		fclose(out);

		if (td_config_parse("t", text, length, &c, &error) == 0) {
			int n = td_ports_flatten(c, &one, ranges);

			assert_true(model_is_good(&m));
			assert_true(n > 0 && n <= (int)TUNDISH_RANGES_MAX);
			td_config_free(c);
			good++;
		} else if (strstr(error.text, " divide its ports into ")) {
			assert_true(model_is_good(&m));
			too_many++;
		} else {
			assert_true(strstr(error.text, "overlap") || strstr(error.text, "twice") ||
				    strstr(error.text, "belongs to service"));
			assert_false(model_is_good(&m));
			conflicts++;
		}
		free(text);
	}
	assert_true(good > 500 && conflicts > 500 && too_many > 10);
}

/* `any` with `holes` single ports of another service in it: 2 * holes + 1 ranges. */
static int parse_holes(unsigned int holes, struct td_config **ret, struct td_error *error)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	int r;

	fputs("interfaces: []\nservices:\n"
	      "- {name: a, vips: 192.0.2.1, ports: any, delivery: workers}\n"
	      "- {name: b, vips: 192.0.2.1, delivery: workers, ports: [",
	      out);
	for (unsigned int i = 0; i < holes; i++)
		fprintf(out, "%s%u", i ? "," : "", 10 + 2 * i);
	/* Joined ones do not count: 10 and 11 are one range. */
	fputs(", 11]}\n", out);
	fclose(out);
	r = td_config_parse("t", text, length, ret, error);
	free(text);
	return r;
}

static void test_ranges_of_a_vip(void **state)
{
	struct tundish_port_range ranges[TUNDISH_RANGES_MAX];
	struct td_config *c = NULL;
	struct td_error error = {0};

	/* 32 holes, of which the first two are one with the port between them. */
	assert_int_equal(parse_holes(32, &c, &error), 0);
	assert_int_equal(td_ports_flatten(c, &one, ranges), 63);
	td_config_free(c);
	c = NULL;
	assert_int_equal(parse_holes(33, &c, &error), -EINVAL);
	assert_null(c);
	assert_string_equal(error.text,
			    "t:4:19: service \"b\": the services on VIP 192.0.2.1 divide its "
			    "ports into 65 ranges, over 64; use fewer or wider ones");
}

/* ---- damage ------------------------------------------------------------------- */

/* Parses; what is taken has to round trip. */
static bool survives(const char *text, size_t length)
{
	/* A copy of exactly that size, so that a sanitizer sees a read beyond. */
	char *copy = malloc(length ? length : 1);
	struct td_config *c = NULL;
	struct td_error error = {0};
	int r;

	assert_non_null(copy);
	memcpy(copy, text, length);
	r = td_config_parse("t", copy, length, &c, &error);
	free(copy);
	if (r < 0) {
		assert_int_equal(r, -EINVAL);
		assert_null(c);
		assert_memory_equal(error.text, "t:", 2);
		return false;
	}
	must_round_trip(c);
	td_config_free(c);
	return true;
}

static size_t mutate(char *text, size_t length)
{
	static const char *const words[] = {"[",  "]",	 "{",	  "}",	    ": ",    "- ", "\n",
					    "\t", "&a ", "*a",	  "!!str ", "---\n", "\"", "'",
					    "0",  "-1",	 "65536", "any",    "null",  "~",  "|\n",
					    "? ", "#",	 "\xff",  "ffff::", "/24"};
	size_t at = random_below((uint32_t)length), n;
	const char *word;

	switch (random_below(5)) {
	case 0: /* one bit */ text[at] ^= (char)(1 << random_below(8)); return length;
	case 1: /* some bytes less */
		n = 1 + random_below(12);
		n = TD_MIN(n, length - at);
		memmove(text + at, text + at + n, length - at - n);
		return length - n;
	case 2: /* a piece doubled */
		n = 1 + random_below(64);
		n = TD_MIN(n, length - at);
		memmove(text + at + n, text + at, length - at);
		return length + n;
	case 3: /* a digit for a digit */
		for (n = at; n < length && (text[n] < '0' || text[n] > '9'); n++)
			;
		if (n < length)
			text[n] = (char)('0' + random_below(10));
		return length;
	default: /* a word of YAML */
		word = words[random_below(TD_ARRAY_SIZE(words))];
		n = strlen(word);
		memmove(text + at + n, text + at, length - at);
		memcpy(text + at, word, n);
		return length + n;
	}
}

static void test_mutations(void **state)
{
	static const char *const files[] = {"scripts/tundish.yaml.example",
					    "tests/unit/config/bounds.yaml"};
	unsigned int taken = 0;

	for (unsigned int round = 0; round < 5000; round++) {
		size_t length;
		char *text = read_text(files[round % 2], &length);
		char *changed = malloc(length + 1024);

		assert_non_null(changed);
		memcpy(changed, text, length);
		for (unsigned int i = 1 + random_below(4); i; i--)
			length = mutate(changed, length);
		taken += survives(changed, length);
		free(changed);
		free(text);
	}
	assert_true(taken > 200 && taken < 4500); /* else nothing was tried, or nothing refused */
}

static void test_truncations(void **state)
{
	size_t length;
	char *text = read_text("scripts/tundish.yaml.example", &length);

	for (size_t n = 0; n < length; n++)
		survives(text, n);
	free(text);
}

/* ---- size ---------------------------------------------------------------------- */

static void test_size_of_file(void **state)
{
	/* What an attacker would send: depth and number, in every form of YAML. */
	static const char *const patterns[] = {"[",    "{",	 "- ",	    "? ",     "[a,",
					       "a: {", "\"",	 "- [a]\n", "&a ",    "!t ",
					       "|\n",  "a: b\n", "'",	    "[[],\n", "{a,\n"};
	const size_t limit = 16u << 20, most = 4u << 20;
	char *text = malloc(limit + 1);
	struct td_config *c = NULL;
	struct td_error error = {0};

	assert_non_null(text);
	memset(text, '#', limit + 1);
	memcpy(text, "interfaces: []\n", 15);
	assert_int_equal(td_config_parse("t.yaml", text, limit + 1, &c, &error), -E2BIG);
	assert_string_equal(error.text, "t.yaml:1:1: the configuration is over 16 MiB");
	assert_int_equal(td_config_parse("t.yaml", text, limit, &c, NULL), 0);
	td_config_free(c);
	c = NULL;

	for (size_t i = 0; i < TD_ARRAY_SIZE(patterns); i++) {
		size_t n = strlen(patterns[i]);

		for (size_t j = 0; j < most; j++)
			text[j] = patterns[i][j % n];
		assert_int_equal(td_config_parse("t.yaml", text, most, &c, &error), -EINVAL);
		assert_memory_equal(error.text, "t.yaml:", 7);
	}
	free(text);
}

/* 60,000 backends and then one again: by pairs this would take minutes. */
static void test_many_backends(void **state)
{
	struct td_config *c = NULL;
	struct td_error error = {0};
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	fputs("interfaces: []\nlimits: {backends: 131071}\n"
	      "services:\n- name: s\n  vips: 192.0.2.1\n  ports: 80\n"
	      "  delivery: ipip\n  backends:\n",
	      out);
	for (unsigned int i = 1; i <= 60000; i++)
		fprintf(out, "  - {name: b%u, address: 10.1.%u.%u}\n", i, i >> 8, i & 255);
	fflush(out);
	assert_int_equal(td_config_parse("t", text, length, &c, &error), 0);
	assert_int_equal(c->services[0].n_backends, 60000);
	td_config_free(c);
	c = NULL;
	fputs("  - {name: again, address: 10.1.0.7}\n", out);
	fclose(out);
	assert_int_equal(td_config_parse("t", text, length, &c, &error), -EINVAL);
	assert_string_equal(error.text,
			    "t:60009:28: service \"s\": backend \"again\": address 10.1.0.7 is "
			    "that of backend \"b7\" in line 15; give each its own");
	free(text);
}

/* ---- the schema and the manual --------------------------------------------------- */

static void test_defaults_are_valid(void **state)
{
	_Alignas(
		max_align_t) char object[sizeof(struct td_config) + sizeof(struct td_service_conf)];

	for (size_t i = 0; i < td_schema_rows; i++) {
		const struct td_row *row = &td_schema[i];
		struct td_error error = {0};

		memset(object, 0, sizeof(object)); /* of another scope, the bytes are another's */
		assert_non_null(row->help);
		assert_false(row->required && row->standard);
		if (row->standard)
			assert_int_equal(td_value_read(row, row->standard, object, &error), 0);
		if (row->type == TD_TYPE_WORD) { /* a string of its own */
			char **text = (char **)(object + row->offset);

			free(*text);
			*text = NULL;
		}
	}
}

/* A mapping without keys that have to be given. */
static bool has_defaults(const struct td_row *row)
{
	if (row->type != TD_TYPE_MAPPING)
		return false;
	for (size_t i = 0; i < td_schema_rows; i++)
		if (td_schema[i].scope == row->opens && td_schema[i].required)
			return false;
	return true;
}

/* Whether the words are there, on one line or over two. */
static bool tells(const char *at, const char *end, const char *words)
{
	size_t n = strlen(words), i;

	for (; at + n <= end; at++) {
		for (i = 0; i < n && (at[i] == '\n' ? ' ' : at[i]) == words[i]; i++)
			;
		if (i == n)
			return true;
	}
	return false;
}

/* Each key has its entry, which ends with its default; and no entry is of a key
 * that the schema does not have. */
static void test_manual(void **state)
{
	char *manual = read_text("scripts/man/tundish.yaml.5", NULL);
	unsigned int entries = 0;

	for (char *p = manual; (p = strstr(p, "\n.It Cm ")); p++, entries++)
		;
	for (size_t i = 0; i < td_schema_rows; i++) {
		const struct td_row *row = &td_schema[i];
		char path[80], wanted[200], *at, *end, *stop;

		if (row->type == TD_TYPE_LATER)
			continue;
		snprintf(wanted, sizeof(wanted), "\n.It Cm %s\n",
			 td_schema_path(row, path, sizeof(path)));
		at = strstr(manual, wanted);
		if (!at)
			fail_msg("the manual has no entry for %s", path);
		entries--;
		at++;
		end = strstr(at, "\n.It Cm ");
		stop = strstr(at, "\n.El");
		if (!end || (stop && stop < end))
			end = stop;
		assert_non_null(end);
		if (row->required)
			snprintf(wanted, sizeof(wanted), "\nDefault is none; it has to be given.");
		else
			snprintf(wanted, sizeof(wanted), "\nDefault is %s.",
				 row->standard	     ? row->standard
				 : has_defaults(row) ? "the defaults of its keys"
						     : "none");
		if (memcmp(end - strlen(wanted), wanted, strlen(wanted)))
			fail_msg("the manual's entry of %s does not end with \"%s\"", path,
				 wanted + 1);
		for (const struct td_choice *c = row->choices; c && c->name; c++) {
			char *found = strstr(at, c->name);

			if (!c->later && (!found || found > end))
				fail_msg("the manual's entry of %s does not tell of %s", path,
					 c->name);
		}
		if (row->type == TD_TYPE_NUMBER) {
			snprintf(wanted, sizeof(wanted), "%u to %u", row->min, row->max);
			if (!tells(at, end, wanted))
				fail_msg("the manual's entry of %s does not say \"%s\"", path,
					 wanted);
		}
		if (row->type == TD_TYPE_PERCENT) {
			snprintf(wanted, sizeof(wanted), "%u%% to %u%%", row->min, row->max);
			if (!tells(at, end, wanted))
				fail_msg("the manual's entry of %s does not say \"%s\"", path,
					 wanted);
		}
		if (row->type == TD_TYPE_DURATION) {
			char low[TD_DURATION_TEXT], high[TD_DURATION_TEXT];

			snprintf(wanted, sizeof(wanted), "%s to %s",
				 td_duration_print(row->min, low),
				 td_duration_print(row->max, high));
			if (!tells(at, end, wanted))
				fail_msg("the manual's entry of %s does not say \"%s\"", path,
					 wanted);
		}
	}
	assert_int_equal(entries, 0);
	free(manual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claims_property),	   cmocka_unit_test(test_ranges_of_a_vip),
		cmocka_unit_test(test_mutations),	   cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_size_of_file),	   cmocka_unit_test(test_many_backends),
		cmocka_unit_test(test_defaults_are_valid), cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
