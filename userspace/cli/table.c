// SPDX-License-Identifier: GPL-2.0-only
/*
 * JSON as aligned columns. Two passes over the rows: one for the widths, one to
 * print, so that no row is kept twice.
 */
#include "cli/cli.h"

static bool is_right(const struct cli_column *c)
{
	return c->format == CLI_NUMBER || c->format == CLI_COUNT || c->format == CLI_BYTES ||
	       c->format == CLI_SECONDS || c->format == CLI_LATENCY || c->format == CLI_PERCENT;
}

static void cell_value(struct cli_buffer *b, enum cli_format format, const json_t *value)
{
	char number[64];

	if (json_is_string(value)) {
		cli_escape(b, json_string_value(value), CLI_KEEP_NONE);
		return;
	}
	if (json_is_array(value)) {
		for (size_t i = 0; i < json_array_size(value); i++) {
			if (i)
				cli_buffer_add(b, ",", 1);
			cell_value(b, format, json_array_get(value, i));
		}
		if (json_array_size(value) == 0)
			cli_buffer_add(b, "-", 1);
		return;
	}
	if (json_is_boolean(value)) {
		snprintf(number, sizeof(number), "%s", json_is_true(value) ? "yes" : "no");
	} else if (json_is_number(value)) {
		switch (format) {
		case CLI_COUNT: cli_count(json_number_value(value), number, sizeof(number)); break;
		case CLI_BYTES: cli_bytes(json_number_value(value), number, sizeof(number)); break;
		case CLI_SECONDS:
			cli_seconds(json_number_value(value), number, sizeof(number));
			break;
		case CLI_LATENCY:
			cli_latency(json_number_value(value), number, sizeof(number));
			break;
		case CLI_PERCENT:
			snprintf(number, sizeof(number), "%.0f%%", json_number_value(value) * 100);
			break;
		default:
			if (json_is_integer(value))
				snprintf(number, sizeof(number), "%lld",
					 (long long)json_integer_value(value));
			else
				snprintf(number, sizeof(number), "%g", json_real_value(value));
		}
	} else {
		snprintf(number, sizeof(number), "-"); /* null, absent, not for a cell */
	}
	cli_buffer_add(b, number, strlen(number));
}

const json_t *cli_value(const json_t *row, const char *key)
{
	const char *dot = strchr(key, '.');
	char first[64];

	if (!dot)
		return json_object_get(row, key);
	snprintf(first, sizeof(first), "%.*s", (int)(dot - key), key);
	return json_object_get(json_object_get(row, first), dot + 1);
}

void cli_cell(struct cli_buffer *b, const struct cli_column *column, const json_t *row)
{
	b->length = 0;
	cell_value(b, column->format, cli_value(row, column->key));
	if (column->of) {
		cli_buffer_add(b, "/", 1);
		cell_value(b, column->format, cli_value(row, column->of));
	}
	if (b->length == 0)
		cli_buffer_add(b, "-", 1);
}

static void put_padded(FILE *f, const char *text, size_t width, bool right, bool last)
{
	int padding = (int)(width - cli_width(text));

	if (right)
		fprintf(f, "%*s", padding, "");
	fputs(text, f);
	if (!right && !last)
		fprintf(f, "%*s", padding, "");
	fputs(last ? "\n" : "  ", f);
}

void cli_table_add(FILE *f, struct cli_table *t, const struct cli_column *columns,
		   const json_t *rows)
{
	size_t n_rows = json_array_size(rows), n = 0;
	struct cli_buffer cell = {0};
	bool begins = !t->begun;

	t->begun = true;
	for (; n < CLI_COLUMNS_MAX && columns[n].title; n++)
		t->width[n] = TD_MAX(t->width[n], strlen(columns[n].title));
	for (size_t r = 0; r < n_rows; r++)
		for (size_t i = 0; i < n; i++) {
			cli_cell(&cell, &columns[i], json_array_get(rows, r));
			t->width[i] = TD_MAX(t->width[i], cli_width(cell.data));
		}
	for (size_t i = 0; i < n && begins; i++)
		put_padded(f, columns[i].title, t->width[i], is_right(&columns[i]), i + 1 == n);
	for (size_t r = 0; r < n_rows; r++)
		for (size_t i = 0; i < n; i++) {
			cli_cell(&cell, &columns[i], json_array_get(rows, r));
			put_padded(f, cell.data, t->width[i], is_right(&columns[i]), i + 1 == n);
		}
	cli_buffer_done(&cell);
}

void cli_print_table(FILE *f, const struct cli_column *columns, const json_t *rows)
{
	struct cli_table t = {0};

	cli_table_add(f, &t, columns, rows);
}

void cli_print_record(FILE *f, const struct cli_column *columns, const json_t *object)
{
	struct cli_buffer cell = {0};
	size_t width = 0;

	for (size_t i = 0; columns[i].title; i++)
		width = TD_MAX(width, strlen(columns[i].title));
	for (size_t i = 0; columns[i].title; i++) {
		cli_cell(&cell, &columns[i], object);
		put_padded(f, columns[i].title, width, false, false);
		fprintf(f, "%s\n", cell.data);
	}
	cli_buffer_done(&cell);
}

#define JSON_FLAGS (JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

void cli_json_add(FILE *f, const json_t *rows, size_t before)
{
	char *text = json_array_size(rows) ? json_dumps(rows, JSON_FLAGS) : NULL;

	/* what stands between the brackets, each on a line of its own */
	if (text)
		fprintf(f, "%s%.*s", before ? "," : "[", (int)strlen(text) - 3, text + 1);
	free(text);
}

void cli_json_end(FILE *f, size_t n)
{
	fputs(n ? "\n]\n" : "[]\n", f);
}

/* As it came, in its order; ASCII only, for the same reason as cli_escape. */
void cli_print_json(FILE *f, const json_t *j)
{
	json_dumpf(j, f, JSON_FLAGS);
	fputc('\n', f);
}
