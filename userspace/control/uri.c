// SPDX-License-Identifier: GPL-2.0-only
/*
 * The request target (RFC 9112, section 3.2) as words and query.
 *
 * libmicrohttpd would decode the path before anybody can split it: an encoded
 * slash becomes a separator and an encoded NUL ends the string. So this takes
 * the raw target, splits first, decodes each piece after, and refuses what no
 * name can hold: NUL and what is not UTF-8 (a handler may put any word into a
 * JSON answer).
 */
#include "control/private.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_utf8(const char *text)
{
	json_t *probe = json_string(text); /* NULL where it is not */

	json_decref(probe);
	return probe;
}

/* In place; the result is never longer. @form: '+' is a space. */
static int decode(char *text, bool form)
{
	char *in, *out = text;
	int high, low;

	for (in = text; *in; in++) {
		if (*in == '%') {
			high = hex(in[1]);
			low = high < 0 ? -1 : hex(in[2]);
			if (low < 0 || (high == 0 && low == 0))
				return -EINVAL;
			*out++ = (char)(high << 4 | low);
			in += 2;
		} else if (form && *in == '+') {
			*out++ = ' ';
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
	return is_utf8(text) ? 0 : -EINVAL;
}

static int parse_query(char *text, struct td_uri *t)
{
	char *pair, *rest = text, *equals;

	while ((pair = strsep(&rest, "&"))) {
		if (!pair[0])
			continue;
		if (t->n_query == TD_URI_QUERY_MAX)
			return -E2BIG;
		equals = strchr(pair, '=');
		if (equals)
			*equals++ = '\0';
		else
			equals = pair + strlen(pair);
		if (decode(pair, true) < 0 || decode(equals, true) < 0)
			return -EINVAL;
		t->query[t->n_query].key = pair;
		t->query[t->n_query].value = equals;
		t->n_query++;
	}
	return 0;
}

static int parse_path(char *text, struct td_uri *t)
{
	char *word, *rest = text + 1;
	size_t length = strlen(rest);

	if (length && rest[length - 1] == '/')
		rest[length - 1] = '\0'; /* one at the end is forgiven */
	if (!rest[0])
		return 0;
	while ((word = strsep(&rest, "/"))) {
		if (!word[0] || t->n_words == TD_URI_WORDS_MAX)
			return -ENOENT;
		if (decode(word, false) < 0)
			return -EINVAL;
		t->word[t->n_words++] = word;
	}
	return 0;
}

int td_uri_parse(const char *raw, struct td_uri *ret)
{
	struct td_uri t = {0};
	char *question;
	int r;

	if (raw[0] != '/')
		return -EINVAL;
	t.text = strdup(raw);
	if (!t.text)
		return -ENOMEM;
	question = strchr(t.text, '?');
	if (question)
		*question++ = '\0';
	r = parse_path(t.text, &t);
	if (r == 0 && question)
		r = parse_query(question, &t);
	if (r < 0) {
		td_uri_done(&t);
		return r;
	}
	*ret = t;
	return 0;
}

void td_uri_done(struct td_uri *t)
{
	free(t->text);
	*t = (struct td_uri){0};
}

const char *td_uri_query(const struct td_uri *t, const char *key)
{
	for (size_t i = 0; i < t->n_query; i++)
		if (strcmp(t->query[i].key, key) == 0)
			return t->query[i].value;
	return NULL;
}
