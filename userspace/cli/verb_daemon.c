// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acts on the daemon itself.
 */
#include "cli/cli.h"

int cli_run_daemon_reexec(const struct cli *c)
{
	struct cli_target t = {0};
	json_t *answer;
	int r;

	cli_target_word(&t, "daemon");
	cli_target_word(&t, c->verb->name);
	r = cli_ask(c, &t, "", CLI_OBJECT, "program", &answer);
	if (r != CLI_DONE)
		return r;
	if (c->json) {
		cli_print_json(stdout, answer);
	} else {
		fputs("goes on as ", stdout);
		cli_put_escaped(stdout,
				json_string_value(json_object_get(answer, "program")) ?: "?",
				CLI_KEEP_NONE);
		fputc('\n', stdout);
	}
	json_decref(answer);
	return CLI_DONE;
}
