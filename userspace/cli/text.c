// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers for people, and strings made harmless: names come from files and
 * other hosts, and a terminal obeys control characters.
 */
#include <wchar.h>

#include "cli/cli.h"

void cli_buffer_add(struct cli_buffer *b, const char *bytes, size_t n)
{
	char *bigger;

	if (b->length + n + 1 > b->room) {
		b->room = TD_MAX(b->room * 2, b->length + n + 64);
		bigger = realloc(b->data, b->room);
		if (!bigger)
			exit(cli_fail(CLI_FAILED, "out of memory"));
		b->data = bigger;
	}
	memcpy(b->data + b->length, bytes, n);
	b->length += n;
	b->data[b->length] = '\0';
}

size_t cli_decode(const char *text, uint32_t *ret)
{
	const unsigned char *s = (const unsigned char *)text;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80	     ? 1
		   : s[0] >> 5 == 6  ? 2
		   : s[0] >> 4 == 14 ? 3
		   : s[0] >> 3 == 30 ? 4
				     : 0;
	uint32_t c;

	if (n < 2) {
		*ret = s[0];
		return n;
	}
	c = s[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	*ret = c;
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

/* C0 and C1 controls, and what reorders or hides text (Unicode's bidirectional
 * and zero-width marks). */
static bool acts(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

void cli_escape(struct cli_buffer *b, const char *text, enum cli_keep keep)
{
	const unsigned char *s = (const unsigned char *)text;
	char hex[16];
	uint32_t c;
	size_t n;

	cli_buffer_add(b, "", 0);
	for (; *s; s += n ? n : 1) {
		n = cli_decode((const char *)s, &c);
		if (n && (!acts(c) || (keep == CLI_KEEP_LINES && (c == '\n' || c == '\t')))) {
			cli_buffer_add(b, (const char *)s, n);
			continue;
		}
		snprintf(hex, sizeof(hex), n > 1 ? "\\u%04x" : "\\x%02x", n ? c : s[0]);
		cli_buffer_add(b, hex, strlen(hex));
	}
}

size_t cli_width(const char *text)
{
	size_t width = 0, n;
	uint32_t c;

	for (; *text; text += n ? n : 1) {
		n = cli_decode(text, &c);
		/* A locale that knows none of it shows one sign for each. */
		width += n && wcwidth((wchar_t)c) >= 0 ? (size_t)wcwidth((wchar_t)c) : 1;
	}
	return width;
}

void cli_put_escaped(FILE *f, const char *text, enum cli_keep keep)
{
	struct cli_buffer b = {0};

	cli_escape(&b, text, keep);
	fwrite(b.data, 1, b.length, f);
	cli_buffer_done(&b);
}

static bool is_whole(double value)
{
	return value < 1e15 && value == (double)(long long)value;
}

static const char *scaled(double value, double step, const char *const *units, size_t n,
			  char *buffer, size_t size)
{
	size_t i = 0;

	while (i + 1 < n && value >= step - 0.5) {
		value /= step;
		i++;
	}
	snprintf(buffer, size, value < 99.95 && (i || !is_whole(value)) ? "%.1f%s" : "%.0f%s",
		 value, units[i]);
	return buffer;
}

/* Exact up to four digits, which need no more room than "1.2k". */
const char *cli_count(double value, char *buffer, size_t size)
{
	static const char *const units[] = {"", "k", "M", "G", "T", "P"};

	if (value >= 1000 && value < 10000) {
		snprintf(buffer, size, "%.0f", value);
		return buffer;
	}
	return scaled(value, 1000, units, TD_ARRAY_SIZE(units), buffer, size);
}

const char *cli_bytes(double value, char *buffer, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};

	return scaled(value, 1024, units, TD_ARRAY_SIZE(units), buffer, size);
}

const char *cli_latency(double seconds, char *buffer, size_t size)
{
	static const char *const units[] = {"us", "ms", "s"};

	return scaled(TD_MAX(seconds, 0) * 1e6, 1000, units, TD_ARRAY_SIZE(units), buffer, size);
}

const char *cli_seconds(double value, char *buffer, size_t size)
{
	unsigned long s = value > 0 ? (unsigned long)value : 0;

	if (value < 10 && !is_whole(value))
		snprintf(buffer, size, "%.1fs", value);
	else if (s < 60)
		snprintf(buffer, size, "%lus", s);
	else if (s < 3600)
		snprintf(buffer, size, "%lum%lus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buffer, size, "%luh%lum", s / 3600, s / 60 % 60);
	else
		snprintf(buffer, size, "%lud%luh", s / 86400, s / 3600 % 24);
	return buffer;
}

const char *cli_what_since(const json_t *entry, char *buffer, size_t size)
{
	const char *what = json_string_value(json_object_get(entry, "what"));
	const json_t *seconds = json_object_get(entry, "seconds");
	char number[24];

	if (what && json_is_number(seconds))
		snprintf(buffer, size, "%s, for %s", what,
			 cli_seconds(json_number_value(seconds), number, sizeof(number)));
	else
		snprintf(buffer, size, "%s", what ?: "");
	return buffer;
}
