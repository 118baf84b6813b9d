// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rows of a view, by the columns of its list: the same cells as `tundish service list` and its
 * like print, put in order by the values behind them, and filtered by what is seen.
 */
#include "cli/top.h"

static const struct {
	const char *object, *name;
} views[TOP_VIEWS] = {
	[TOP_SERVICES] = {"status", "name"},
	[TOP_BACKENDS] = {"backend", "name"},
	[TOP_WORKERS] = {"worker", "worker"},
};

const struct cli_column *top_columns(enum top_view view)
{
	for (size_t i = 0; i < cli_n_objects; i++)
		if (strcmp(cli_objects[i].name, views[view].object) == 0)
			/* The service is the view's title. */
			return cli_objects[i].verbs->columns + (view != TOP_SERVICES);
	return NULL;
}

const char *top_row_name(enum top_view view, const struct top_row *row)
{
	const char *name = json_string_value(json_object_get(row->json, views[view].name));

	return name ? name : "";
}

int top_trouble_of(const char *state)
{
	static const struct {
		const char *state;
		int trouble;
	} known[] = {{"down", 2},     {"disabled", 2}, {"full", 2},   {"stalled", 2},
		     {"degraded", 1}, {"drain", 1},    {"drained", 1}};

	for (size_t i = 0; state && i < TD_ARRAY_SIZE(known); i++)
		if (strcmp(state, known[i].state) == 0)
			return known[i].trouble;
	return 0;
}

/* ---- order -------------------------------------------------------------------------- */

struct sorting {
	const struct cli_column *column; /* NULL: what is wrong first */
	bool reverse;
};

/* Numbers first and the greatest of them; then text; then what is empty. */
static int compare_values(const json_t *a, const json_t *b)
{
	double x, y;
	int empty = (!a || json_is_null(a)) - (!b || json_is_null(b));

	if (empty)
		return empty;
	if (json_is_number(a) && json_is_number(b)) {
		x = json_number_value(a);
		y = json_number_value(b);
		return (x < y) - (x > y);
	}
	if (json_is_array(a) && json_is_array(b))
		return compare_values(json_array_get(a, 0), json_array_get(b, 0));
	if (json_is_string(a) && json_is_string(b))
		return strverscmp(json_string_value(a), json_string_value(b));
	return (json_is_true(b) != 0) - (json_is_true(a) != 0);
}

static int trouble_of_row(const struct top_row *r)
{
	return top_trouble_of(json_string_value(json_object_get(r->json, "state")));
}

static int compare(const void *x, const void *y, void *context)
{
	const struct sorting *s = context;
	const struct top_row *a = x, *b = y;
	int d;

	if (s->column)
		d = compare_values(cli_value(a->json, s->column->key),
				   cli_value(b->json, s->column->key));
	else
		d = trouble_of_row(b) - trouble_of_row(a);
	if (s->reverse)
		d = -d;
	return d ? d : a->place < b->place ? -1 : a->place > b->place;
}

/* ---- rows ---------------------------------------------------------------------------- */

static void row_done(struct top_row *row, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(row->cell[i]);
}

void top_rows_done(struct top_rows *r)
{
	for (size_t i = 0; i < r->n; i++)
		row_done(&r->row[i], r->n_columns);
	free(r->row);
	json_decref(r->json);
	*r = (struct top_rows){0};
}

static bool passes(const struct top_row *row, size_t n, const char *filter)
{
	for (size_t i = 0; i < n; i++)
		if (strcasestr(row->cell[i], filter))
			return true;
	return !filter[0];
}

static void make_row(struct top_rows *r, struct top_row *row)
{
	struct cli_buffer cell = {0};

	for (size_t i = 0; i < r->n_columns; i++) {
		cli_cell(&cell, &r->columns[i], row->json);
		row->cell[i] = strdup(cell.data);
		if (!row->cell[i])
			exit(cli_fail(CLI_FAILED, "out of memory"));
	}
	cli_buffer_done(&cell);
}

void top_rows_make(struct top_rows *r, enum top_view view, json_t *list, struct top_order order,
		   const char *filter)
{
	const struct cli_column *columns = top_columns(view);
	struct sorting sorting = {.reverse = order.reverse};

	*r = (struct top_rows){.columns = columns, .json = list, .all = json_array_size(list)};
	while (r->n_columns < TOP_COLUMNS_MAX && columns[r->n_columns].title) {
		r->width[r->n_columns] = strlen(columns[r->n_columns].title);
		r->n_columns++;
	}
	r->row = calloc(r->all + 1, sizeof(*r->row));
	if (!r->row)
		exit(cli_fail(CLI_FAILED, "out of memory"));
	for (size_t i = 0; i < r->all; i++) {
		struct top_row *row = &r->row[r->n];

		*row = (struct top_row){.json = json_array_get(list, i), .place = i};
		make_row(r, row);
		for (size_t k = 0; k < r->n_columns; k++) /* of all: a filter moves no column */
			r->width[k] = TD_MAX(r->width[k], cli_width(row->cell[k]));
		if (passes(row, r->n_columns, filter))
			r->n++;
		else
			row_done(row, r->n_columns);
	}
	if (order.column >= 0 && (size_t)order.column < r->n_columns)
		sorting.column = &columns[order.column];
	qsort_r(r->row, r->n, sizeof(*r->row), compare, &sorting);
}
