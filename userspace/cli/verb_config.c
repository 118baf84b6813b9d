// SPDX-License-Identifier: GPL-2.0-only
/*
 * Configuration: files are read here and judged by the daemon, which alone
 * knows what runs. Without a daemon `tundishd --check` judges them.
 */
#include "cli/cli.h"

#define FILE_MAX ((size_t)16 << 20) /* as the daemon takes */

static const struct cli_column change_columns[] = {
	{"CHANGE", "kind", CLI_TEXT, NULL},
	{"OBJECT", "object", CLI_TEXT, NULL},
	{"WHY", "why", CLI_TEXT, NULL},
	{0},
};

int cli_read_file(const char *name, char **ret)
{
	_cleanup_fclose_ FILE *opened = NULL;
	struct cli_buffer b = {0};
	FILE *f = stdin;
	char piece[16384];
	size_t n;
	int r = CLI_DONE;

	if (strcmp(name, "-") != 0) {
		f = opened = fopen(name, "re");
		if (!f)
			return cli_fail(CLI_FAILED, "cannot read %s: %s", name, strerror(errno));
	}
	cli_buffer_add(&b, "", 0);
	while (r == CLI_DONE && (n = fread(piece, 1, sizeof(piece), f)) > 0) {
		cli_buffer_add(&b, piece, n);
		if (b.length > FILE_MAX)
			r = cli_fail(CLI_FAILED, "%s is over the limit of %zu bytes", name,
				     FILE_MAX);
	}
	if (r == CLI_DONE && ferror(f))
		r = cli_fail(CLI_FAILED, "cannot read %s: %s", name, strerror(errno));
	if (r == CLI_DONE && strlen(b.data) != b.length)
		r = cli_fail(CLI_FAILED, "%s is no text: it holds a zero byte", name);
	if (r != CLI_DONE) {
		cli_buffer_done(&b);
		return r;
	}
	*ret = b.data;
	return CLI_DONE;
}

static void print_changes(const struct cli *c, const json_t *answer)
{
	const json_t *changes = json_object_get(answer, "changes");
	size_t n = json_array_size(changes);

	if (strcmp(c->verb->name, "check") == 0) {
		cli_put_escaped(stdout, c->argument[0], CLI_KEEP_NONE);
		puts(" is valid");
		return;
	}
	if (n == 0)
		puts("no change");
	else
		cli_print_table(stdout, change_columns, changes);
}

int cli_run_config_change(const struct cli *c)
{
	const char *name = strcmp(c->argument[0], "-") == 0 ? "stdin" : c->argument[0];
	_cleanup_(cli_answer_done) struct cli_answer raw = {0};
	_cleanup_free_ char *yaml = NULL;
	struct td_error error = {0};
	struct cli_target t = {0};
	json_t *answer;
	int r;

	r = cli_read_file(c->argument[0], &yaml);
	if (r != CLI_DONE)
		return r;
	cli_target_word(&t, "config");
	cli_target_word(&t, c->verb->name);
	cli_target_query(&t, "name", name);
	if (strcmp(c->verb->name, "check") == 0) {
		struct cli_target status = {0};

		cli_target_word(&status, "status");
		if (cli_send(c->control, &status, NULL, &raw, &error) == -ECONNREFUSED)
			return cli_fail(CLI_NO_DAEMON,
					"%s; without one, check with: tundishd --check --config %s",
					error.text, c->argument[0]);
	}
	r = cli_ask(c, &t, yaml, CLI_OBJECT, "changes", &answer);
	if (r != CLI_DONE)
		return r;
	if (c->json)
		cli_print_json(stdout, answer);
	else
		print_changes(c, answer);
	json_decref(answer);
	return CLI_DONE;
}

int cli_run_config_show(const struct cli *c)
{
	_cleanup_(cli_answer_done) struct cli_answer a = {0};
	struct cli_target t = {0};
	json_t *wrapped;
	int r;

	cli_target_word(&t, "config");
	r = cli_ask_raw(c, &t, NULL, &a);
	if (r != CLI_DONE)
		return r;
	if (!c->json) {
		cli_put_escaped(stdout, a.body, CLI_KEEP_LINES);
		return CLI_DONE;
	}
	wrapped = json_pack("{s:s}", "config", a.body); /* YAML has no other form in JSON */
	if (!wrapped)
		return cli_fail(CLI_FAILED, "the daemon's configuration is not UTF-8");
	cli_print_json(stdout, wrapped);
	json_decref(wrapped);
	return CLI_DONE;
}
