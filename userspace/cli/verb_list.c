// SPDX-License-Identifier: GPL-2.0-only
/*
 * What most verbs are: a path, asked with the arguments as words and the
 * options as query, and shown by its row's columns.
 */
#include "cli/cli.h"

static bool is_of_pieces(const struct cli *c, size_t option)
{
	return c->verb->pieces && strcmp(c->verb->options[option].name, "limit") == 0;
}

static void list_target(const struct cli *c, struct cli_target *t)
{
	char key[64], *next = NULL;

	snprintf(key, sizeof(key), "%s", c->verb->path);
	for (char *word = strtok_r(key, "/", &next); word; word = strtok_r(NULL, "/", &next))
		cli_target_word(t, word);
	for (size_t i = 0; i < c->n_arguments; i++)
		cli_target_word(t, c->argument[i]);
	for (size_t i = 0; c->verb->options[i].name; i++) {
		if (!c->option[i] || is_of_pieces(c, i))
			continue;
		snprintf(key, sizeof(key), "%s", c->verb->options[i].name);
		for (char *p = key; *p; p++)
			if (*p == '-')
				*p = '_';
		/* A switch has no value of its own. */
		cli_target_query(t, key, c->option[i][0] ? c->option[i] : "1");
	}
}

/* A list that was cut without having been asked for must not pass for the whole. */
static void tell_cut(const struct cli *c, size_t n)
{
	const struct cli_verb *v = c->verb;
	size_t last = 0;

	if (!v->rows || n != v->rows)
		return;
	while (last + 1 < CLI_OPTIONS_MAX && v->options[last + 1].name)
		last++;
	if (!c->option[last])
		fprintf(stderr, "tundish: these are the first %zu; --%s N shows more\n", n,
			v->options[last].name);
}

/* Few at first (CLI_ROWS_FIRST), which are seen at once; then as many as keep the daemon from other things for
 * no longer than some hundredths of a second. */
#define PIECE	 4096u
#define ROWS_MAX 1000000u /* that any daemon gives at once */

/* The number of the last row; -1: there is none, as of a daemon that knows no pieces. */
static json_int_t last_of(const json_t *rows)
{
	const json_t *id = json_object_get(json_array_get(rows, json_array_size(rows) - 1), "id");

	return json_is_integer(id) ? json_integer_value(id) : -1;
}

static int ask_piece(const struct cli *c, size_t limit, json_int_t after, json_t **ret)
{
	struct cli_target t = {0};
	char number[24];

	list_target(c, &t);
	snprintf(number, sizeof(number), "%zu", limit);
	cli_target_query(&t, "limit", number);
	snprintf(number, sizeof(number), "%lld", (long long)after);
	if (after)
		cli_target_query(&t, "after", number);
	return cli_ask(c, &t, NULL, CLI_ROWS, c->verb->columns->key, ret);
}

/* How many rows at most, of all pieces. */
static size_t rows_wanted(const struct cli *c)
{
	for (size_t i = 0; c->verb->options[i].name; i++)
		if (c->option[i] && is_of_pieces(c, i))
			return strtoul(c->option[i], NULL, 10);
	return c->verb->rows ?: SIZE_MAX;
}

/* What was shown of a list, in whichever way it comes. */
struct shown {
	const struct cli *c;
	struct cli_table table;
	size_t n;
};

/* false: nobody takes more, which main tells. */
static bool show(void *context, const json_t *rows)
{
	struct shown *s = context;

	if (s->c->json)
		cli_json_add(stdout, rows, s->n);
	else
		cli_table_add(stdout, &s->table, s->c->verb->columns, rows);
	s->n += json_array_size(rows);
	return fflush(stdout) == 0;
}

static int ask_pieces(const struct cli *c, struct shown *shown)
{
	size_t got, all = rows_wanted(c), piece = CLI_ROWS_FIRST, limit;
	json_int_t after = 0, last = 0;
	json_t *rows;
	bool goes_on;
	int r;

	do {
		after = last;
		limit = TD_MIN(piece, all - shown->n);
		r = ask_piece(c, limit, after, &rows);
		if (r == CLI_DONE && limit && json_array_size(rows) == limit && last_of(rows) < 0) {
			json_decref(rows);
			/* a daemon that knows no pieces, but limits: all at once */
			r = ask_piece(c, limit = TD_MIN(all, ROWS_MAX), 0, &rows);
		}
		if (r != CLI_DONE)
			return r;
		goes_on = show(shown, rows);
		got = json_array_size(rows);
		last = last_of(rows);
		json_decref(rows);
		piece = PIECE;
	} while (goes_on && got == limit && last > after && shown->n < all);
	return CLI_DONE;
}

int cli_run_list(const struct cli *c)
{
	struct shown shown = {.c = c};
	struct cli_target t = {0};
	int r;

	if (c->verb->pieces && !c->n_arguments) {
		r = ask_pieces(c, &shown);
	} else {
		list_target(c, &t);
		r = cli_ask_rows(c, &t, c->verb->columns->key, show, &shown);
	}
	if (r != CLI_DONE)
		return r;
	if (c->json)
		cli_json_end(stdout, shown.n);
	tell_cut(c, shown.n);
	return CLI_DONE;
}

static const struct cli_verb *list_of_backends(void)
{
	for (size_t i = 0; i < cli_n_objects; i++)
		if (strcmp(cli_objects[i].name, "backend") == 0)
			return cli_objects[i].verbs;
	return NULL;
}

/* A service as lines, its backends as a table below. */
int cli_run_show(const struct cli *c)
{
	struct cli_target t = {0}, b = {0};
	json_t *service, *backends;
	int r;

	list_target(c, &t);
	r = cli_ask(c, &t, NULL, CLI_OBJECT, c->verb->columns->key, &service);
	if (r != CLI_DONE)
		return r;
	if (c->json) {
		cli_print_json(stdout, service);
		json_decref(service);
		return CLI_DONE;
	}
	cli_target_word(&b, "backends");
	cli_target_word(&b, c->argument[0]);
	r = cli_ask(c, &b, NULL, CLI_ROWS, list_of_backends()->columns->key, &backends);
	if (r == CLI_DONE) {
		cli_print_record(stdout, c->verb->columns, service);
		if (json_array_size(backends)) {
			fputc('\n', stdout);
			cli_print_table(stdout, list_of_backends()->columns, backends);
		}
		json_decref(backends);
	}
	json_decref(service);
	return r;
}

/* Whatever numbers the daemon has, one a line. */
int cli_run_count(const struct cli *c)
{
	struct cli_target t = {0};
	const char *key;
	json_t *counts, *value;
	int r;

	cli_target_word(&t, c->verb->path);
	cli_target_word(&t, "count");
	r = cli_ask(c, &t, NULL, CLI_OBJECT, NULL, &counts);
	if (r != CLI_DONE)
		return r;
	if (c->json) {
		cli_print_json(stdout, counts);
	} else {
		json_object_foreach (counts, key, value) {
			const struct cli_column column[] = {{key, key, CLI_NUMBER, NULL}, {0}};

			cli_print_record(stdout, column, counts);
		}
	}
	json_decref(counts);
	return CLI_DONE;
}
