// SPDX-License-Identifier: GPL-2.0-only
/* Values that are text of any length, kept as strings of their own. */
#include "config/value.h"
#include "lib/escape.h"

static int check_length(const struct td_row *row, const char *text, struct td_error *error)
{
	char quoted[TD_QUOTED];

	if (!*text)
		return td_fail(error, EINVAL, "%s is empty; leave it out", row->key);
	if (strlen(text) > row->max)
		return td_fail(error, EINVAL, "%s %s is longer than %u characters", row->key,
			       td_quote(text, quoted), row->max);
	return 0;
}

/* What stands in a request's line or header: nothing that could end it. */
static int check_word(const struct td_row *row, const char *text, struct td_error *error)
{
	char quoted[TD_QUOTED];

	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~')
			return td_fail(error, EINVAL,
				       "%s %s has a blank, or a character that is not printable "
				       "ASCII",
				       row->key, td_quote(text, quoted));
	return 0;
}

static int check_file(const struct td_row *row, const char *text, struct td_error *error)
{
	char quoted[TD_QUOTED];

	if (*text != '/')
		return td_fail(error, EINVAL, "%s %s is not the whole name of a file", row->key,
			       td_quote(text, quoted));
	for (const char *p = text; *p; p++)
		if (*p < ' ' || *p > '~')
			return td_fail(error, EINVAL,
				       "%s %s has a character that is not printable ASCII",
				       row->key, td_quote(text, quoted));
	return 0;
}

static int check_escaped(const struct td_row *row, const char *text, struct td_error *error)
{
	char quoted[TD_QUOTED];

	if (td_escape_read(text, NULL) < 0)
		return td_fail(error, EINVAL,
			       "%s %s has a backslash that begins none of \\r, \\n, \\t, \\\\ and "
			       "\\xHH",
			       row->key, td_quote(text, quoted));
	return 0;
}

int td_value_read_text(const struct td_row *row, const char *text, void *object,
		       struct td_error *error)
{
	char **field = (char **)((char *)object + row->offset), *new;
	int r = check_length(row, text, error);

	if (r == 0)
		r = row->type == TD_TYPE_WORD	? check_word(row, text, error)
		    : row->type == TD_TYPE_FILE ? check_file(row, text, error)
						: check_escaped(row, text, error);
	if (r < 0)
		return r;
	/* YAML has escapes of its own, so that anything may have come. */
	new = td_escape_controls(text, strlen(text));
	if (!new)
		return td_fail(error, ENOMEM, "out of memory");
	free(*field);
	*field = new;
	return 0;
}

int td_value_read_argument(const struct td_row *row, const char *text, char **ret,
			   struct td_error *error)
{
	char quoted[TD_QUOTED];

	if (strlen(text) > 4095)
		return td_fail(error, EINVAL, "a member of \"%s\" is longer than 4095 characters",
			       row->key);
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			return td_fail(error, EINVAL,
				       "%s: %s has a character that is not printable ASCII",
				       row->key, td_quote(text, quoted));
	*ret = strdup(text);
	return *ret ? 0 : td_fail(error, ENOMEM, "out of memory");
}
