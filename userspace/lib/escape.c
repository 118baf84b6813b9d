// SPDX-License-Identifier: GPL-2.0-only
/* See escape.h. */
#include "lib/escape.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What follows a backslash. Returns how many characters that is, or -EINVAL. */
static int read_one(const char *text, char *ret)
{
	switch (*text) {
	case 'r': *ret = '\r'; return 1;
	case 'n': *ret = '\n'; return 1;
	case 't': *ret = '\t'; return 1;
	case '\\': *ret = '\\'; return 1;
	case 'x':
		if (digit(text[1]) < 0 || digit(text[2]) < 0)
			return -EINVAL;
		*ret = (char)(digit(text[1]) << 4 | digit(text[2]));
		return 3;
	default: return -EINVAL;
	}
}

ssize_t td_escape_read(const char *text, char *ret)
{
	ssize_t n = 0;

	for (; *text; text++, n++) {
		char c = *text;

		if (c == '\\') {
			int used = read_one(text + 1, &c);

			if (used < 0)
				return used;
			text += used;
		}
		if (ret)
			ret[n] = c;
	}
	return n;
}

char *td_escape_controls(const char *text, size_t n)
{
	char *new = malloc(4 * n + 1), *to = new;

	for (size_t i = 0; new &&i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\r' || c == '\n' || c == '\t')
			to += sprintf(to, "\\%c", c == '\r' ? 'r' : c == '\n' ? 'n' : 't');
		else if (c < ' ' || c > '~')
			to += sprintf(to, "\\x%02x", c);
		else
			*to++ = (char)c;
	}
	if (new)
		*to = '\0';
	return new;
}
