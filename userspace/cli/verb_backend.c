// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acts on one backend. The daemon's answer is printed with --json; as text, one
 * line says what is so now, and why where the daemon gives a reason.
 */
#include "cli/cli.h"

void cli_print_reason(const json_t *answer)
{
	const char *reason = json_string_value(json_object_get(answer, "reason"));

	if (reason && reason[0]) {
		fputs(": ", stdout);
		cli_put_escaped(stdout, reason, CLI_KEEP_NONE);
	}
	fputc('\n', stdout);
}

static int act(const struct cli *c, const char *body, const char *key, const char *now)
{
	static const struct cli_column any = {"", "", CLI_NUMBER, NULL};
	struct cli_column column = any;
	struct cli_buffer cell = {0};
	struct cli_target t = {0};
	json_t *answer;
	int r;

	cli_target_word(&t, "backends");
	cli_target_word(&t, c->argument[0]);
	cli_target_word(&t, c->argument[1]);
	cli_target_word(&t, c->verb->name);
	r = cli_ask(c, &t, body, &answer);
	if (r != CLI_DONE)
		return r;
	if (c->json) {
		cli_print_json(stdout, answer);
	} else {
		column.key = key;
		if (json_object_get(answer, key))
			cli_cell(&cell, &column, answer); /* what it says, not what was asked */
		else
			cli_escape(&cell, now, CLI_KEEP_NONE);
		cli_put_escaped(stdout, c->argument[0], CLI_KEEP_NONE);
		fputc('/', stdout);
		cli_put_escaped(stdout, c->argument[1], CLI_KEEP_NONE);
		printf(" %s %s", key, cell.data);
		cli_print_reason(answer);
		cli_buffer_done(&cell);
	}
	json_decref(answer);
	return CLI_DONE;
}

int cli_run_backend_state(const struct cli *c)
{
	static const char *const states[][2] = {
		{"drain", "drain"},
		{"enable", "up"},
		{"disable", "disabled"},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(states); i++)
		if (strcmp(c->verb->name, states[i][0]) == 0)
			return act(c, "", "state", states[i][1]);
	return CLI_FAILED;
}

int cli_run_backend_weight(const struct cli *c)
{
	char body[64];

	/* its digits were checked; the daemon knows the limits */
	snprintf(body, sizeof(body), "{\"weight\": %lu}", strtoul(c->argument[2], NULL, 10));
	return act(c, body, "weight", c->argument[2]);
}
