// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole on one screen: what needs attention first, with its reason and
 * what to do; then what is attached, served, flowing and dropped.
 */
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"

#define TABLES_LINES   7 /* how full tables are, drops, source ports */
#define SERVICES_LEAST 3
#define SERVICES_PART  8 /* shown if there is much that needs attention */

static const struct cli_column interface_columns[] = {
	{"INTERFACE", "name", CLI_TEXT, NULL},
	{"MODE", "mode", CLI_TEXT, NULL},
	{"DISPATCHER", "dispatcher", CLI_YES, NULL},
	{"NOTE", "note", CLI_TEXT, NULL},
	{0},
};

/*
 * What a terminal has room for. Whoever reads it elsewhere, a pipe or a file, gets all: there
 * neither lines nor rows end.
 */
struct screen {
	size_t rows, columns; /* SIZE_MAX: no terminal */
};

static struct screen screen_of_stdout(void)
{
	struct winsize w;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || !w.ws_row ||
	    !w.ws_col)
		return (struct screen){SIZE_MAX, SIZE_MAX};
	return (struct screen){TD_MAX(w.ws_row, 24) - 2u,
			       w.ws_col}; /* what asks for more is below */
}

/* ---- attention --------------------------------------------------------------------------- */

static const struct {
	const char *key, *before;
} parts[] = {{"what", "! "}, {"why", "  why: "}, {"do", "  do:  "}, {"command", "  see: "}};

/* Lines that the text takes: its own end, and what a narrow terminal makes of it. */
static size_t lines_of(const json_t *a, size_t n_parts, size_t columns)
{
	size_t lines = 0;

	for (size_t p = 0; p < n_parts; p++) {
		const char *text = json_string_value(json_object_get(a, parts[p].key));

		if (text && text[0])
			lines +=
				(cli_width(text) + strlen(parts[p].before) + columns - 1) / columns;
	}
	return lines;
}

static void print_entry(const json_t *a)
{
	for (size_t p = 0; p < TD_ARRAY_SIZE(parts); p++) {
		const char *text = json_string_value(json_object_get(a, parts[p].key));

		if (!text || !text[0])
			continue;
		fputs(parts[p].before, stdout);
		cli_put_escaped(stdout, text, CLI_KEEP_NONE);
		fputc('\n', stdout);
	}
}

/* As many as there is room for, at least one. */
static void print_attention(const json_t *attention, struct screen *s)
{
	size_t n = json_array_size(attention), i = 0;

	for (; i < n; i++) {
		const json_t *a = json_array_get(attention, i);
		size_t lines =
			s->rows == SIZE_MAX ? 0 : lines_of(a, TD_ARRAY_SIZE(parts), s->columns);

		if (i && lines + (i + 1 < n) > s->rows)
			break;
		s->rows -= TD_MIN(lines, s->rows);
		print_entry(a);
	}
	if (i < n)
		printf("! %zu more; `tundish status | less` and `tundish top` have them\n", n - i);
	if (n)
		fputc('\n', stdout);
}

/* ---- services ---------------------------------------------------------------------------- */

static int trouble_of(const json_t *service)
{
	const char *state = json_string_value(json_object_get(service, "state"));

	return !state ? 0 : strcmp(state, "down") == 0 ? 2 : strcmp(state, "degraded") == 0;
}

/* The worst and then the first ones of the list, if it is cut. The caller owns it. */
static json_t *first_services(const json_t *services, size_t room)
{
	json_t *kept = json_array(), *service;
	size_t i;

	for (int trouble = 2; trouble >= 0; trouble--)
		json_array_foreach ((json_t *)services, i, service)
			if (trouble_of(service) == trouble && json_array_size(kept) < room)
				json_array_append(kept, service);
	return kept;
}

static void print_services(const struct cli *c, const json_t *services, size_t room)
{
	struct cli_column columns[16] = {0};
	size_t n = json_array_size(services);
	json_t *kept = NULL;

	/* Without the last one: the reason is above, where it needs attention. */
	for (size_t i = 0; i < TD_ARRAY_SIZE(columns) && c->verb->columns[i + 1].title; i++)
		columns[i] = c->verb->columns[i];
	if (n > room)
		kept = first_services(services, room);
	cli_print_table(stdout, columns, kept ? kept : services);
	if (kept)
		printf("and %zu more: tundish service list\n", n - json_array_size(kept));
	json_decref(kept);
}

/* ---- the rest ---------------------------------------------------------------------------- */

static void print_fill(const char *what, const json_t *table, const char *active,
		       const char *capacity)
{
	double n = json_number_value(json_object_get(table, active));
	double of = json_number_value(json_object_get(table, capacity));
	char a[24], b[24];

	if (!json_object_get(table, active))
		return;
	printf("%-12s %s of %s (%.0f%%)\n", what, cli_count(n, a, sizeof(a)),
	       cli_count(of, b, sizeof(b)), of > 0 ? 100 * n / of : 0);
}

static void print_drops(const json_t *drops)
{
	const char *reason, *before = "";
	json_t *value;
	char n[24];

	printf("%-12s ", "drops");
	json_object_foreach ((json_t *)drops, reason, value) {
		fputs(before, stdout);
		cli_put_escaped(stdout, reason, CLI_KEEP_NONE);
		printf(" %s", cli_count(json_number_value(value), n, sizeof(n)));
		before = ", ";
	}
	puts(json_object_size(drops) ? "" : "none");
}

static void print_nat(const json_t *o)
{
	const json_t *fullest = json_object_get(o, "fullest");
	const char *tuple = json_string_value(json_object_get(fullest, "tuple"));

	if (!o)
		return;
	print_fill("translated", o, "connections", "capacity");
	printf("%-12s %.0f of %.0f", "NAT lanes", json_number_value(json_object_get(o, "lanes")),
	       json_number_value(json_object_get(o, "lanes_capacity")));
	if (tuple) {
		printf(", the fullest %.0f%% (",
		       100 * json_number_value(json_object_get(fullest, "utilization")));
		cli_put_escaped(stdout, tuple, CLI_KEEP_NONE);
		putchar(')');
	}
	putchar('\n');
}

static void print_source_ports(const json_t *o)
{
	static const struct cli_column age = {"", "age_seconds", CLI_SECONDS, NULL};
	const json_t *scan = json_object_get(o, "scan");
	const char *fullest = json_string_value(json_object_get(o, "fullest"));
	struct cli_buffer cell = {0};
	char n[24];

	if (!o)
		return;
	if (!json_is_true(json_object_get(o, "watch"))) {
		puts("source ports not watched");
		return;
	}
	printf("%-12s %s tuples", "source ports",
	       cli_count(json_number_value(json_object_get(o, "tuples")), n, sizeof(n)));
	if (fullest) {
		printf(", the fullest %.0f%% (",
		       100 * json_number_value(json_object_get(o, "utilization_max")));
		cli_put_escaped(stdout, fullest, CLI_KEEP_NONE);
		putchar(')');
	}
	cli_cell(&cell, &age, scan);
	printf("; counted %s ago, every %.0fs\n", cell.data,
	       json_number_value(json_object_get(scan, "interval_seconds")));
	cli_buffer_done(&cell);
}

/* "reloading: 420 of 1000 steps, 2s" */
static void print_reload(const json_t *o)
{
	static const struct cli_column since = {"", "seconds", CLI_SECONDS, NULL};
	double steps = json_number_value(json_object_get(o, "steps"));
	struct cli_buffer cell = {0};

	if (!o)
		return;
	cli_cell(&cell, &since, o);
	if (steps > 0)
		printf("reloading: %.0f of %.0f steps, %s\n\n",
		       json_number_value(json_object_get(o, "steps_done")), steps, cell.data);
	else
		printf("reloading: reading the file, %s\n\n", cell.data);
	cli_buffer_done(&cell);
}

static void print_status(const struct cli *c, const json_t *s)
{
	static const struct cli_column head[] = {
		{"", "version", CLI_TEXT, NULL},
		{"", "uptime_seconds", CLI_SECONDS, NULL},
		{"", "pin", CLI_TEXT, NULL},
	};
	static const char *const words[] = {"tundish ", ", up ", ", pinned in "};
	const json_t *interfaces = json_object_get(s, "interfaces");
	const json_t *services = json_object_get(s, "services");
	size_t n = json_array_size(services), others;
	struct screen screen = screen_of_stdout();
	struct cli_buffer cell = {0};

	for (size_t i = 0; i < TD_ARRAY_SIZE(head); i++) {
		cli_cell(&cell, &head[i], s);
		printf("%s%s", words[i], cell.data);
	}
	cli_buffer_done(&cell);
	fputs("\n\n", stdout);

	print_reload(json_object_get(s, "reload"));

	/* All but attention has its lines first; of services at least some are shown. */
	others = 2 + (json_object_get(s, "reload") ? 2 : 0) + json_array_size(interfaces) + 2 +
		 TABLES_LINES + 2 + TD_MIN(n, SERVICES_PART);
	if (screen.rows != SIZE_MAX)
		screen.rows = screen.rows > others ? screen.rows - others : 0;
	print_attention(json_object_get(s, "attention"), &screen);
	if (json_array_size(interfaces))
		cli_print_table(stdout, interface_columns, interfaces);
	else
		puts("attached to no interface");
	fputc('\n', stdout);
	if (n)
		print_services(
			c, services,
			screen.rows == SIZE_MAX
				? SIZE_MAX
				: TD_MAX(screen.rows + TD_MIN(n, SERVICES_PART), SERVICES_LEAST));
	else
		puts("no services");
	fputc('\n', stdout);
	print_fill("flows IPv4", json_object_get(s, "flows"), "active", "capacity");
	print_fill("flows IPv6", json_object_get(s, "flows"), "active6", "capacity6");
	print_fill("tuples", json_object_get(s, "tuples"), "active", "capacity");
	print_nat(json_object_get(s, "nat"));
	print_drops(json_object_get(s, "drops"));
	print_source_ports(json_object_get(s, "source_ports"));
}

int cli_run_status(const struct cli *c)
{
	struct cli_target t = {0};
	json_t *status;
	int r;

	cli_target_word(&t, "status");
	r = cli_ask(c, &t, NULL, &status);
	if (r != CLI_DONE)
		return r;
	if (c->json)
		cli_print_json(stdout, status);
	else
		print_status(c, status);
	json_decref(status);
	return CLI_DONE;
}
