// SPDX-License-Identifier: GPL-2.0-only
/*
 * `timewait`: the sentence on whether it matters first, then the numbers, the services
 * and the destinations with who closes first there.
 */
#include "cli/cli.h"

static const struct cli_column head_columns[] = {
	{"sockets", "sockets", CLI_COUNT, "limit"},
	{"outbound", "outbound", CLI_COUNT, NULL},
	{"entered/s", "entered_per_second", CLI_COUNT, NULL},
	{"entered", "entered", CLI_COUNT, NULL},
	{"re-used", "reused", CLI_COUNT, NULL},
	{"overflowed", "overflowed", CLI_COUNT, NULL},
	{0},
};

static const struct cli_column namespace_columns[] = {
	{"NAMESPACE", "namespace", CLI_TEXT, NULL},
	{"SOCKETS", "sockets", CLI_COUNT, "limit"},
	{"ENTERED/S", "entered_per_second", CLI_COUNT, NULL},
	{"RE-USED", "reused", CLI_COUNT, NULL},
	{"OVERFLOWED", "overflowed", CLI_COUNT, NULL},
	{0},
};

static const struct cli_column tuple_columns[] = {
	{"LOCAL", "local_ip", CLI_TEXT, NULL},
	{"REMOTE", "remote_ip", CLI_TEXT, NULL},
	{"PORT", "remote_port", CLI_NUMBER, NULL},
	{"NAMESPACE", "namespace", CLI_TEXT, NULL},
	{"TIME_WAIT", "time_wait", CLI_COUNT, NULL},
	{"USE", "utilization", CLI_PERCENT, NULL},
	{"HERE", "closed_here", CLI_COUNT, NULL},
	{"THERE", "closed_there", CLI_COUNT, NULL},
	{"RST HERE", "reset_here", CLI_COUNT, NULL},
	{"RST THERE", "reset_there", CLI_COUNT, NULL},
	{"THEN RST", "closed_then_reset", CLI_COUNT, NULL},
	{"CLOSES FIRST", "closes_first", CLI_TEXT, NULL},
	{0},
};

static const struct cli_column service_columns[] = {
	{"SERVICE", "local_ip", CLI_TEXT, NULL},
	{"PORT", "local_port", CLI_NUMBER, NULL},
	{"NAMESPACE", "namespace", CLI_TEXT, NULL},
	{"HERE", "closed_here", CLI_COUNT, NULL},
	{"THERE", "closed_there", CLI_COUNT, NULL},
	{"RST HERE", "reset_here", CLI_COUNT, NULL},
	{"RST THERE", "reset_there", CLI_COUNT, NULL},
	{"THEN RST", "closed_then_reset", CLI_COUNT, NULL},
	{"CLOSES FIRST", "closes_first", CLI_TEXT, NULL},
	{0},
};

static void print_list(const json_t *o, const char *key, const struct cli_column *columns,
		       size_t least)
{
	const json_t *list = json_object_get(o, key);

	if (json_array_size(list) < least)
		return;
	fputc('\n', stdout);
	cli_print_table(stdout, columns, list);
}

int cli_run_timewait(const struct cli *c)
{
	struct cli_target t = {0};
	const char *why;
	json_t *o;
	int r;

	cli_target_word(&t, "timewait");
	r = cli_ask(c, &t, NULL, CLI_OBJECT, "sockets", &o);
	if (r != CLI_DONE)
		return r;
	if (c->json) {
		cli_print_json(stdout, o);
	} else {
		why = json_string_value(json_object_get(o, "why"));
		cli_put_escaped(stdout, why ? why : "", CLI_KEEP_NONE);
		fputs("\n\n", stdout);
		cli_print_record(stdout, head_columns, o);
		print_list(o, "namespaces", namespace_columns, 2);
		print_list(o, "tuples", tuple_columns, 1);
		print_list(o, "services", service_columns, 1);
	}
	json_decref(o);
	return CLI_DONE;
}
