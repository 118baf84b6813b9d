// SPDX-License-Identifier: GPL-2.0-only
/*
 * Samples as text, in both forms. They differ in the heads of families alone: OpenMetrics calls a counter's
 * family by the name without "_total", tells units, and says where it ends. Numbers are put together here,
 * for half a million lines go through this within a tenth of a second.
 */
#include <strings.h>

#include "api/exposition_private.h"

static const struct td_metric_row rows[TD_METRIC_MAX] = {
#define TUNDISH_X(name, type, unit, labels, bound, help)                                           \
	[TD_METRIC_##name] = {"tundish_" #name, TD_METRIC_##type, unit, labels, #bound, help},
	TD_METRICS(TUNDISH_X)
#undef TUNDISH_X
#define TUNDISH_X(name, kind, help)                                                                \
	[TD_METRIC_COUNTER_##                                                                      \
		name] = {"tundish_" #name "_total", TD_METRIC_COUNTER, "", "", "ONE", help},
		TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
};

const struct td_metric_row *td_metric_row(enum td_metric metric)
{
	return &rows[metric];
}

/* ---- heads ----------------------------------------------------------------------- */

#define HEAD_MAX 1024

static size_t write_head(enum td_metric metric, enum td_metrics_form form, char *out)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	const struct td_metric_row *row = &rows[metric];
	bool open = form == TD_METRICS_OPEN, counter = metric >= TD_METRIC_COUNTERS;
	int length = (int)strlen(row->name);
	size_t n;

	if (open && row->type == TD_METRIC_COUNTER)
		length -= (int)strlen("_total");
	n = (size_t)sprintf(out, "# HELP %.*s %c%s%s\n# TYPE %.*s %s\n", length, row->name,
			    counter ? row->help[0] & ~0x20 : row->help[0], row->help + 1,
			    counter ? "." : "", length, row->name, types[row->type]);
	if (open && row->unit[0])
		n += (size_t)sprintf(out + n, "# UNIT %.*s %s\n", length, row->name, row->unit);
	return n;
}

/* ---- samples --------------------------------------------------------------------- */

static char *put(char *out, const char *text, size_t length)
{
	memcpy(out, text, length);
	return out + length;
}

#define PUT(out, text) put(out, text, sizeof(text) - 1)

static char *put_number(char *out, uint64_t value)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + value % 10);
	while (value /= 10);
	return put(out, digits + n, sizeof(digits) - n);
}

static char *put_seconds(char *out, uint64_t ns)
{
	uint32_t rest = (uint32_t)(ns % 1000000000);

	out = put_number(out, ns / 1000000000);
	*out++ = '.';
	for (uint32_t place = 100000000; place; place /= 10)
		*out++ = (char)('0' + rest / place % 10);
	return out;
}

static char *put_value(char *out, const struct td_exposition_sample *s)
{
	double real;

	if (s->kind == SAMPLE_COUNT)
		return put_number(out, s->value);
	if (s->kind == SAMPLE_NS)
		return put_seconds(out, s->value);
	memcpy(&real, &s->value, sizeof(real));
	return out + sprintf(out, "%.6g", real);
}

static char *put_bound(char *out, uint16_t bucket)
{
	if (bucket == TUNDISH_WAIT_BUCKETS - 1)
		return PUT(out, "+Inf");
	return out + sprintf(out, "%g", (double)(1ull << bucket) / 1e6);
}

static size_t write_sample(const struct td_exposition *e, const struct td_metric_row *row,
			   size_t name_length, const struct td_exposition_sample *s, char *begin)
{
	static const char *const suffixes[] = {"", "_bucket", "_sum", "_count"};
	char *out = put(begin, row->name, name_length);
	uint16_t length;

	out = put(out, suffixes[s->suffix], strlen(suffixes[s->suffix]));
	if (s->labels || s->suffix == SUFFIX_BUCKET)
		*out++ = '{';
	if (s->labels) {
		memcpy(&length, e->labels + s->labels, sizeof(length));
		out = put(out, e->labels + s->labels + sizeof(length), length);
	}
	if (s->suffix == SUFFIX_BUCKET) {
		out = s->labels ? PUT(out, ",le=\"") : PUT(out, "le=\"");
		out = put_bound(out, s->bucket);
		*out++ = '"';
	}
	if (s->labels || s->suffix == SUFFIX_BUCKET)
		*out++ = '}';
	*out++ = ' ';
	out = put_value(out, s);
	*out++ = '\n';
	return (size_t)(out - begin);
}

/* At least what it takes; 96: for suffix, bucket and value. */
static size_t sample_max(const struct td_exposition *e, size_t name_length,
			 const struct td_exposition_sample *s)
{
	uint16_t length = 0;

	if (s->labels)
		memcpy(&length, e->labels + s->labels, sizeof(length));
	return name_length + length + 96;
}

size_t td_exposition_write(const struct td_exposition *e, enum td_metrics_form form,
			   struct td_exposition_cursor *at, char *buffer, size_t size)
{
	size_t used = 0;

	while (at->family < e->n_families) {
		const struct td_exposition_family *f = &e->families[at->family];
		const struct td_metric_row *row = &rows[f->metric];
		size_t end = at->family + 1 < e->n_families ? f[1].first : e->n_samples;
		size_t length = strlen(row->name);

		if (size - used < HEAD_MAX)
			return used;
		if (!at->head)
			used += write_head(f->metric, form, buffer + used);
		at->head = true;
		for (; at->sample < end; at->sample++) {
			if (size - used < sample_max(e, length, &e->samples[at->sample]))
				return used;
			used += write_sample(e, row, length, &e->samples[at->sample],
					     buffer + used);
		}
		at->head = false;
		at->family++;
	}
	if (!at->end && size - used >= HEAD_MAX) {
		at->end = true;
		if (form == TD_METRICS_OPEN)
			used += (size_t)sprintf(buffer + used, "# EOF\n");
	}
	return used;
}

/* ---- which form -------------------------------------------------------------------- */

const char *td_metrics_content_type(enum td_metrics_form form)
{
	return form == TD_METRICS_OPEN
		       ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
}

/* The next piece up to `end`, without the blanks around it, quotation marks or not; moves *text behind. A
 * quoted string with a comma in it is none of ours, and comes to nothing. */
static size_t next_piece(const char **text, const char *ends, const char **ret)
{
	size_t length = strcspn(*text, ends), behind = length;
	const char *piece = *text;

	while (length && strchr(" \t\"", piece[0]))
		piece++, length--;
	while (length && strchr(" \t\"", piece[length - 1]))
		length--;
	*text += behind;
	*ret = piece;
	return length;
}

static bool is(const char *piece, size_t length, const char *word)
{
	return length == strlen(word) && !strncasecmp(piece, word, length);
}

/* One media range; its weight in thousandths, of which form it is. */
static unsigned int read_range(const char **text, bool *ret_open, bool *ret_text)
{
	const char *piece, *version = NULL;
	size_t length = next_piece(text, ";,", &piece), version_length = 0;
	unsigned int weight = 1000;

	*ret_open = is(piece, length, "application/openmetrics-text");
	*ret_text = is(piece, length, "text/plain") || is(piece, length, "text/*") ||
		    is(piece, length, "*/*");
	while (**text == ';') {
		bool is_weight;

		++*text;
		length = next_piece(text, "=;,", &piece);
		is_weight = is(piece, length, "q");
		if (**text != '=')
			continue;
		++*text;
		if (is(piece, length, "version")) {
			version_length = next_piece(text, ";,", &version);
			continue;
		}
		length = next_piece(text, ";,", &piece);
		if (is_weight) {
			double q = strtod(piece, NULL); /* ends at what is no number */

			weight = q >= 0 && q < 1 ? (unsigned int)(q * 1000 + 0.5) : 1000;
		}
	}
	if (version && !is(version, version_length, *ret_open ? "1.0.0" : "0.0.4"))
		*ret_open = *ret_text = false;
	return weight;
}

enum td_metrics_form td_metrics_accepted(const char *accept)
{
	unsigned int best_open = 0, best_text = 0;

	while (accept && *accept) {
		bool open, text;
		unsigned int weight = read_range(&accept, &open, &text);

		if (open)
			best_open = TD_MAX(best_open, weight);
		if (text)
			best_text = TD_MAX(best_text, weight);
		if (*accept == ',')
			accept++;
	}
	return best_open && best_open >= best_text ? TD_METRICS_OPEN : TD_METRICS_TEXT;
}
