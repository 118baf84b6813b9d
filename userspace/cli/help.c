// SPDX-License-Identifier: GPL-2.0-only
/*
 * Help, from the table of commands.
 */
#include "cli/cli.h"

#define COMMAND_WIDTH 46

static void print_options(FILE *f, const struct cli_option *options)
{
	char left[64];

	for (; options->name; options++) {
		snprintf(left, sizeof(left), "--%s%s%s", options->name, options->value ? " " : "",
			 options->value ? options->value : "");
		fprintf(f, "  %-20s %s\n", left, options->help);
	}
}

static void print_verb(FILE *f, const struct cli_object *o, const struct cli_verb *v)
{
	struct cli_verb brief = *v;
	char usage[256];

	brief.options[0].name = NULL; /* one line each; options stand below, where asked */
	cli_usage(o, &brief, usage, sizeof(usage));
	fprintf(f, "  %-*s %s%s\n", COMMAND_WIDTH, usage + strlen("tundish "), v->help,
		v->run ? "" : " (not in this version)");
}

static void print_object(FILE *f, const struct cli_object *o)
{
	for (size_t i = 0; i < o->n_verbs; i++)
		print_verb(f, o, &o->verbs[i]);
}

static void print_all(FILE *f)
{
	fputs("Usage: tundish [OPTIONS] OBJECT VERB [ARGUMENTS]\n\n"
	      "Words may be cut to any unique prefix. Without any, the status is shown.\n\n"
	      "Commands:\n",
	      f);
	for (size_t i = 0; i < cli_n_objects; i++)
		print_object(f, &cli_objects[i]);
	fputs("\nOptions:\n", f);
	print_options(f, cli_global_options);
	fputs("\nExit status: 0 done, 1 failed, 2 usage, 3 no daemon, 4 no such thing, 5 doctor found "
	      "something.\n",
	      f);
}

static void print_one(FILE *f, const struct cli_object *o, const struct cli_verb *only)
{
	char usage[384];

	for (size_t i = 0; i < o->n_verbs; i++) {
		const struct cli_verb *v = &o->verbs[i];

		if (only && v != only)
			continue;
		cli_usage(o, v, usage, sizeof(usage));
		fprintf(f, "%s\n      %s%s\n", usage, v->help,
			v->run ? "" : " (not in this version)");
		print_options(f, v->options);
	}
}

int cli_help(const struct cli *c)
{
	if (c->object && strcmp(c->object->name, "help") != 0)
		print_one(stdout, c->object, c->verb);
	else
		print_all(stdout);
	return CLI_DONE;
}

int cli_run_help(const struct cli *c)
{
	const char *names[32];
	struct td_error error = {0};
	int i;

	if (!c->n_arguments) {
		print_all(stdout);
		return CLI_DONE;
	}
	for (size_t n = 0; n < cli_n_objects; n++)
		names[n] = cli_objects[n].name;
	i = cli_match(c->argument[0], names, cli_n_objects, "object", &error);
	if (i < 0)
		return cli_fail(CLI_USAGE, "%s", error.text);
	print_one(stdout, &cli_objects[i], NULL);
	return CLI_DONE;
}
