// SPDX-License-Identifier: GPL-2.0-only
/*
 * The list of workers for people: each is one socket, also where several services
 * stand before it, so it is one row, with their names, and figures add up. JSON has
 * a row for each service, as the daemon answers.
 *
 * Acts on workers: one by name, or "all" that the service has at the moment. A
 * worker may go while it is acted on, which is what draining is for, so one
 * that is gone counts as drained.
 *
 * With --wait the list is asked for again until none of them has anything in
 * its queue. There is no bound: how long a queue takes is the program's affair,
 * and whoever wants one has timeout(1).
 */
#include <time.h>

#include "cli/cli.h"

#define POLL_NS 100000000L

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* ---- the list ------------------------------------------------------------------------ */

#define NAMES_MAX 3 /* in one row; the others are counted */

/* `row` shows the worker of `again` too, which is before one more service. */
static void take_in(json_t *row, const json_t *again)
{
	json_int_t n = json_integer_value(json_object_get(row, "names")) + 1;

	json_object_set_new(row, "names", json_integer(n));
	if (n < NAMES_MAX)
		json_object_set_new(
			row, "service",
			json_sprintf("%s,%s", text_of(row, "service"), text_of(again, "service")));
	/* Of what is stalled each service has its own opinion. */
	if (strcmp(text_of(row, "state"), "up") == 0)
		json_object_set(row, "state", json_object_get(again, "state"));
}

/* One row for each worker, of one for each of its services. */
static json_t *by_socket(const json_t *rows)
{
	json_t *merged = json_array(), *known = json_object(), *row, *first;
	size_t i;

	json_array_foreach (rows, i, row) {
		json_t *key = json_sprintf("%s %s", text_of(row, "worker"), text_of(row, "listen"));

		first = json_object_get(known, json_string_value(key));
		if (first) {
			take_in(first, row);
		} else {
			json_object_set(known, json_string_value(key), row);
			json_array_append(merged, row);
		}
		json_decref(key);
	}
	json_decref(known);
	json_array_foreach (merged, i, row) {
		json_int_t n = json_integer_value(json_object_get(row, "names")) + 1;

		if (n > NAMES_MAX)
			json_object_set_new(row, "service",
					    json_sprintf("%s,+%lld", text_of(row, "service"),
							 (long long)n - NAMES_MAX));
	}
	return merged;
}

int cli_run_worker_list(const struct cli *c)
{
	struct cli_target t = {0};
	json_t *rows, *merged;
	int r;

	if (c->json || c->n_arguments)
		return cli_run_list(c);
	cli_target_word(&t, c->verb->path);
	r = cli_ask(c, &t, NULL, CLI_ROWS, c->verb->columns->key, &rows);
	if (r != CLI_DONE)
		return r;
	merged = by_socket(rows);
	cli_print_table(stdout, c->verb->columns, merged);
	json_decref(merged);
	json_decref(rows);
	return CLI_DONE;
}

/* ---- acts ---------------------------------------------------------------------------- */

static int ask_workers(const struct cli *c, json_t **ret)
{
	struct cli_target t = {0};

	cli_target_word(&t, "workers");
	cli_target_word(&t, c->argument[0]);
	return cli_ask(c, &t, NULL, CLI_ROWS, "worker", ret);
}

/* The worker as the daemon answers, with what was asked in place of what it leaves out. */
static int act(const struct cli *c, const char *worker, json_t **ret)
{
	bool drain = strcmp(c->verb->name, "drain") == 0;
	struct cli_target t = {0};
	json_t *answer, *asked;
	int r;

	cli_target_word(&t, "workers");
	cli_target_word(&t, c->argument[0]);
	cli_target_word(&t, worker);
	cli_target_word(&t, drain ? "drain" : "undrain");
	r = cli_ask(c, &t, "", CLI_OBJECT, NULL, &answer);
	if (r != CLI_DONE)
		return r;
	asked = json_pack("{s:s, s:s, s:s}", "service", c->argument[0], "worker", worker, "state",
			  drain ? "drain" : "up");
	json_object_update_missing(answer, asked);
	json_decref(asked);
	*ret = answer;
	return CLI_DONE;
}

static int act_on_all(const struct cli *c, json_t *acted)
{
	json_t *workers, *row, *answer;
	int r, result = CLI_DONE;
	size_t i;

	r = ask_workers(c, &workers);
	if (r != CLI_DONE)
		return r;
	if (json_array_size(workers) == 0)
		result = cli_fail(CLI_NO_SUCH_THING, "service \"%s\" has no workers",
				  c->argument[0]);
	json_array_foreach (workers, i, row) {
		r = act(c, text_of(row, "worker"), &answer);
		if (r == CLI_DONE)
			json_array_append_new(acted, answer);
		else if (r != CLI_NO_SUCH_THING) /* it went meanwhile */
			result = r;
	}
	json_decref(workers);
	return result;
}

static const json_t *find(const json_t *workers, const char *name)
{
	const json_t *row;
	size_t i;

	json_array_foreach (workers, i, row)
		if (strcmp(text_of(row, "worker"), name) == 0)
			return row;
	return NULL;
}

/* Brings `worker` up to date. Returns 1 while it has to be waited for, 0 when it
 * has not, or a negative errno where somebody enabled it. */
static int look(json_t *worker, const json_t *workers)
{
	const json_t *now = find(workers, text_of(worker, "worker"));
	bool same = now && json_equal(json_object_get(now, "pid"), json_object_get(worker, "pid"));
	const char *state = text_of(now, "state");

	if (now && strcmp(state, "drain") == 0) {
		json_object_update(worker, (json_t *)now);
		return 1;
	}
	if (now && strcmp(state, "drained") == 0) {
		json_object_update(worker, (json_t *)now);
		return 0;
	}
	if (same)
		return -ECANCELED;
	json_object_set_new(worker, "state", json_string("gone")); /* its name is another's now */
	return 0;
}

static bool is_settled(const json_t *worker)
{
	return strcmp(text_of(worker, "state"), "drained") == 0 ||
	       strcmp(text_of(worker, "state"), "gone") == 0;
}

static int wait_for_all(const struct cli *c, json_t *acted)
{
	static const struct timespec pause = {.tv_nsec = POLL_NS};
	json_t *workers, *worker;
	size_t i, waiting;
	int r;

	for (;;) {
		r = ask_workers(c, &workers);
		if (r != CLI_DONE)
			return r;
		waiting = 0;
		json_array_foreach (acted, i, worker) {
			r = is_settled(worker) ? 0 : look(worker, workers);
			if (r < 0) {
				r = cli_fail(CLI_FAILED,
					     "%s of %s was enabled again while it drained",
					     text_of(worker, "worker"), c->argument[0]);
				json_decref(workers);
				return r;
			}
			waiting += r > 0;
		}
		json_decref(workers);
		if (waiting == 0)
			return CLI_DONE;
		nanosleep(&pause, NULL);
	}
}

static void print(const struct cli *c, const json_t *acted, bool all)
{
	const json_t *worker;
	size_t i;

	if (c->json) {
		cli_print_json(stdout, all ? acted : json_array_get(acted, 0));
		return;
	}
	json_array_foreach (acted, i, worker) {
		cli_put_escaped(stdout, c->argument[0], CLI_KEEP_NONE);
		fputc('/', stdout);
		cli_put_escaped(stdout, text_of(worker, "worker"), CLI_KEEP_NONE);
		fputs(" state ", stdout);
		cli_put_escaped(stdout, text_of(worker, "state"), CLI_KEEP_NONE);
		cli_print_reason(worker);
	}
}

int cli_run_worker_state(const struct cli *c)
{
	bool all = strcmp(c->argument[1], "all") == 0;
	json_t *acted = json_array(), *answer;
	int r;

	if (all) {
		r = act_on_all(c, acted);
	} else {
		r = act(c, c->argument[1], &answer);
		if (r == CLI_DONE)
			json_array_append_new(acted, answer);
	}
	if (r == CLI_DONE && cli_option(c, "wait"))
		r = wait_for_all(c, acted);
	if (r == CLI_DONE || (all && json_array_size(acted)))
		print(c, acted, all);
	json_decref(acted);
	return r;
}

int cli_run_worker_adopt(const struct cli *c)
{
	struct cli_target t = {0};
	json_t *answer;
	char body[64];
	int r;

	/* its digits were checked; the daemon knows the processes */
	snprintf(body, sizeof(body), "{\"pid\": %lu}", strtoul(c->argument[1], NULL, 10));
	cli_target_word(&t, "workers");
	cli_target_word(&t, c->argument[0]);
	cli_target_word(&t, "adopt");
	r = cli_ask(c, &t, body, CLI_EITHER, NULL, &answer);
	if (r != CLI_DONE)
		return r;
	if (c->json) {
		cli_print_json(stdout, answer);
	} else if (json_is_array(answer)) {
		cli_print_table(stdout, c->object->verbs->columns, answer);
	} else {
		cli_put_escaped(stdout, c->argument[0], CLI_KEEP_NONE);
		printf(" adopted process %s", c->argument[1]);
		cli_print_reason(answer);
	}
	json_decref(answer);
	return CLI_DONE;
}
