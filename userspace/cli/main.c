// SPDX-License-Identifier: GPL-2.0-only
/*
 * From argv to an exit status. What is printed on stdout is the answer, and
 * only that; every sentence about what went wrong goes to stderr.
 */
#include <locale.h>

#include "cli/cli.h"

static int run(int argc, char *const argv[])
{
	struct td_error error = {0};
	struct cli c;

	if (cli_is_complete(argc, argv))
		return cli_complete(argc, argv);
	if (cli_parse(argc, argv, &c, &error) < 0)
		return cli_fail(CLI_USAGE, "%s", error.text);
	if (c.version) {
		puts("tundish " TD_VERSION);
		return CLI_DONE;
	}
	if (c.help)
		return cli_help(&c);
	if (!c.verb->run)
		return cli_fail(CLI_FAILED, "\"%s%s%s\" is not in this version", c.object->name,
				c.verb->name ? " " : "", c.verb->name ? c.verb->name : "");
	return c.verb->run(&c);
}

int main(int argc, char *argv[])
{
	int r;

	setlocale(LC_TIME, "");
	setlocale(LC_CTYPE, ""); /* how wide characters are */
	r = run(argc, argv);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		cli_fail(CLI_FAILED, "cannot write the answer: %s", strerror(errno));
		return r ? r : CLI_FAILED;
	}
	return r;
}
