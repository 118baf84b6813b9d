/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of the configuration share: files of the tree, and from text
 * to a configuration and back. */
#ifndef TD_TEST_CONFIG_TEXT_H
#define TD_TEST_CONFIG_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "config/config.h"

/* A file named from the top of the tree; the caller frees it. */
static inline char *read_text(const char *name, size_t *ret_length)
{
	const char *top = getenv("TD_TOP");
	char path[4096];
	char *text = NULL;
	size_t length = 0, room = 0;
	FILE *in;

	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", name);
	in = fopen(path, "r");
	if (!in)
		fail_msg("cannot open %s: run from the top of the tree, or set TD_TOP", path);
	do {
		room += 65536;
		text = realloc(text, room + 1);
		assert_non_null(text);
		length += fread(text + length, 1, room - length, in);
	} while (length == room);
	fclose(in);
	text[length] = '\0';
	if (ret_length)
		*ret_length = length;
	return text;
}

static inline char *print(const struct td_config *c)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	assert_non_null(out);
	assert_int_equal(td_config_print(c, out), 0);
	fclose(out);
	return text;
}

static inline struct td_config *must_parse(const char *text)
{
	struct td_config *c = NULL;
	struct td_error error = {0};

	if (td_config_parse("t.yaml", text, strlen(text), &c, &error) < 0)
		fail_msg("refused: %s\n%s", error.text, text);
	return c;
}

static inline void must_round_trip(const struct td_config *c)
{
	char *text = print(c), *again;
	struct td_config *other = must_parse(text);

	assert_true(td_config_equal(c, other));
	again = print(other);
	assert_string_equal(text, again);
	td_config_free(other);
	free(text);
	free(again);
}

#endif
