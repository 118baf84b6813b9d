// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a SYN or UDP packet would go, or with --egress where a connection would come from: the
 * verdict as lines, then the way there step by step.
 */
#include "cli/cli.h"

static const struct cli_column trace_columns[] = {
	{"service", "service", CLI_TEXT, NULL},
	{"target", "target", CLI_TEXT, NULL},
	{"verdict", "verdict", CLI_TEXT, NULL},
	{"reason", "reason", CLI_TEXT, NULL},
	{0},
};

static const struct cli_column what_if_columns[] = {
	{"change", "change", CLI_TEXT, NULL},
	{"service", "service", CLI_TEXT, NULL},
	{"target", "target", CLI_TEXT, NULL},
	{"reason", "reason", CLI_TEXT, NULL},
	{"slots left", "slots_left", CLI_NUMBER, NULL},
	{"slots moved", "slots_moved", CLI_NUMBER, NULL},
	{"connections staying", "connections_staying", CLI_NUMBER, NULL},
	{"connections ended", "connections_ended", CLI_NUMBER, NULL},
	{0},
};

static void print_path(const json_t *path)
{
	if (json_array_size(path))
		puts("path");
	for (size_t i = 0; i < json_array_size(path); i++) {
		const char *step = json_string_value(json_array_get(path, i));

		printf("  %zu. ", i + 1);
		cli_put_escaped(stdout, step ? step : "-", CLI_KEEP_NONE);
		fputc('\n', stdout);
	}
}

int cli_run_trace(const struct cli *c)
{
	struct cli_target t = {0};
	_cleanup_free_ char *yaml = NULL;
	const char *file = cli_option(c, "config");
	json_t *answer, *what_if;
	int r;

	if (c->n_arguments != (cli_option(c, "egress") ? 1 : 2))
		return cli_fail(
			CLI_USAGE, "%s",
			cli_option(c, "egress")
				? "trace --egress PID takes one destination: trace --egress PID DST:PORT"
				: "trace takes a source and a destination; usage: tundish trace "
				  "SRC[:PORT] DST:PORT");
	cli_target_word(&t, "trace");
	if (cli_option(c, "egress")) {
		cli_target_query(&t, "egress", cli_option(c, "egress"));
		cli_target_query(&t, "dst", c->argument[0]);
	} else {
		cli_target_query(&t, "src", c->argument[0]);
		cli_target_query(&t, "dst", c->argument[1]);
	}
	if (cli_option(c, "protocol"))
		cli_target_query(&t, "protocol", cli_option(c, "protocol"));
	if (cli_option(c, "connection-id"))
		cli_target_query(&t, "connection_id", cli_option(c, "connection-id"));
	if (cli_option(c, "without"))
		cli_target_query(&t, "without", cli_option(c, "without"));
	if (file) {
		r = cli_read_file(file, &yaml);
		if (r != CLI_DONE)
			return r;
		cli_target_query(&t, "name", strcmp(file, "-") ? file : "stdin");
	}
	r = cli_ask(c, &t, yaml, CLI_OBJECT, trace_columns->key, &answer);
	if (r != CLI_DONE)
		return r;
	if (c->json) {
		cli_print_json(stdout, answer);
	} else {
		cli_print_record(stdout, trace_columns, answer);
		print_path(json_object_get(answer, "path"));
		what_if = json_object_get(answer, "what_if");
		if (what_if)
			puts("");
		if (what_if)
			cli_print_record(stdout, what_if_columns, what_if);
	}
	json_decref(answer);
	return CLI_DONE;
}
