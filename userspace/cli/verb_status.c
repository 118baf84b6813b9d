// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole on one screen: what needs attention first, with its reason and
 * what to do; then what is attached, served, flowing and dropped.
 */
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"

#define SERVICES_AROUND 3 /* lines about services but for their own */
#define SERVICES_LEAST	3
#define SERVICES_PART	8 /* shown if there is much that needs attention */
#define SERVICES_MOST	200

static const struct cli_column interface_columns[] = {
	{"INTERFACE", "name", CLI_TEXT, NULL},
	{"MODE", "mode", CLI_TEXT, NULL},
	{"DISPATCHER", "dispatcher", CLI_YES, NULL},
	{"NOTE", "note", CLI_TEXT, NULL},
	{0},
};

/*
 * What a terminal has room for. Whoever reads it elsewhere, a pipe or a file, gets all that needs
 * attention: there neither lines nor rows end. Services are asked for as many as are shown, and
 * `service list` has all.
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
	return (struct screen){TD_MAX(w.ws_row, 24), w.ws_col};
}

/* ---- attention --------------------------------------------------------------------------- */

static const struct {
	const char *key, *before;
} parts[] = {{"what", "! "}, {"why", "  why: "}, {"do", "  do:  "}, {"command", "  see: "}};

/* A part's text, "" where it has none; `buffer` may hold it. */
static const char *part_of(const json_t *a, size_t p, char *buffer, size_t size)
{
	const char *text = json_string_value(json_object_get(a, parts[p].key));

	return p ? text ?: "" : cli_what_since(a, buffer, size);
}

/* Lines that the text takes: its own end, and what a narrow terminal makes of it. */
static size_t lines_of(const json_t *a, size_t n_parts, size_t columns)
{
	size_t lines = 0;
	char buffer[300];

	for (size_t p = 0; p < n_parts; p++) {
		const char *text = part_of(a, p, buffer, sizeof(buffer));

		if (text[0])
			lines +=
				(cli_width(text) + strlen(parts[p].before) + columns - 1) / columns;
	}
	return lines;
}

static void print_entry(const json_t *a)
{
	char buffer[300];

	for (size_t p = 0; p < TD_ARRAY_SIZE(parts); p++) {
		const char *text = part_of(a, p, buffer, sizeof(buffer));

		if (!text[0])
			continue;
		fputs(parts[p].before, stdout);
		cli_put_escaped(stdout, text, CLI_KEEP_NONE);
		fputc('\n', stdout);
	}
}

/* As many as there is room for beside so many services, at least one. */
static void print_attention(const json_t *attention, size_t services, struct screen *s)
{
	size_t n = json_array_size(attention), i = 0;
	size_t room = s->rows == SIZE_MAX ? SIZE_MAX : s->rows > services ? s->rows - services : 0;
	size_t used = n > 0; /* the empty line */

	for (; i < n; i++) {
		const json_t *a = json_array_get(attention, i);
		size_t lines = room == SIZE_MAX ? 0 : lines_of(a, TD_ARRAY_SIZE(parts), s->columns);

		if (i && used + lines + (i + 1 < n) > room)
			break;
		used += lines;
		print_entry(a);
	}
	if (i < n) {
		printf("! %zu more; `tundish status | less` and `tundish top` have them\n", n - i);
		used++;
	}
	if (n)
		fputc('\n', stdout);
	if (s->rows != SIZE_MAX)
		s->rows -= TD_MIN(used, s->rows);
}

/* ---- services ---------------------------------------------------------------------------- */

/* As many as there is room for, of `total`; those come first that need looking at most. */
static void print_services(const struct cli *c, const json_t *services, size_t total, size_t room)
{
	struct cli_column columns[16] = {0};
	size_t n = TD_MIN(json_array_size(services), room);
	json_t *kept = json_array();

	/* Without the last one: the reason is above, where it needs attention. */
	for (size_t i = 0; i < TD_ARRAY_SIZE(columns) && c->verb->columns[i + 1].title; i++)
		columns[i] = c->verb->columns[i];
	for (size_t i = 0; i < n; i++)
		json_array_append(kept, json_array_get(services, i));
	cli_print_table(stdout, columns, kept);
	if (n < total)
		printf("and %zu more: tundish service list\n", total - n);
	json_decref(kept);
}

/* ---- the rest ---------------------------------------------------------------------------- */

static void print_fill(FILE *f, const char *what, const json_t *table, const char *active,
		       const char *capacity)
{
	double n = json_number_value(json_object_get(table, active));
	double of = json_number_value(json_object_get(table, capacity));
	char a[24], b[24];

	if (!json_object_get(table, active))
		return;
	fprintf(f, "%-12s %s of %s (%.0f%%)\n", what, cli_count(n, a, sizeof(a)),
		cli_count(of, b, sizeof(b)), of > 0 ? 100 * n / of : 0);
}

static void print_drops(FILE *f, const json_t *drops)
{
	const char *reason, *before = "";
	json_t *value;
	char n[24];

	fprintf(f, "%-12s ", "drops");
	json_object_foreach ((json_t *)drops, reason, value) {
		fputs(before, f);
		cli_put_escaped(f, reason, CLI_KEEP_NONE);
		fprintf(f, " %s", cli_count(json_number_value(value), n, sizeof(n)));
		before = ", ";
	}
	fputs(json_object_size(drops) ? "\n" : "none\n", f);
}

static void print_nat(FILE *f, const json_t *o)
{
	const json_t *fullest = json_object_get(o, "fullest");
	const char *tuple = json_string_value(json_object_get(fullest, "tuple"));

	if (!o)
		return;
	print_fill(f, "translated", o, "connections", "capacity");
	fprintf(f, "%-12s %.0f of %.0f", "NAT lanes",
		json_number_value(json_object_get(o, "lanes")),
		json_number_value(json_object_get(o, "lanes_capacity")));
	if (tuple) {
		fprintf(f, ", the fullest %.0f%% (",
			100 * json_number_value(json_object_get(fullest, "utilization")));
		cli_put_escaped(f, tuple, CLI_KEEP_NONE);
		fputc(')', f);
	}
	fputc('\n', f);
}

static void print_source_ports(FILE *f, const json_t *o)
{
	static const struct cli_column age = {"", "age_seconds", CLI_SECONDS, NULL};
	const json_t *scan = json_object_get(o, "scan");
	const char *fullest = json_string_value(json_object_get(o, "fullest"));
	struct cli_buffer cell = {0};
	char n[24];

	if (!o)
		return;
	if (!json_is_true(json_object_get(o, "watch"))) {
		fputs("source ports not watched\n", f);
		return;
	}
	fprintf(f, "%-12s %s tuples", "source ports",
		cli_count(json_number_value(json_object_get(o, "tuples")), n, sizeof(n)));
	if (fullest) {
		fprintf(f, ", the fullest %.0f%% (",
			100 * json_number_value(json_object_get(o, "utilization_max")));
		cli_put_escaped(f, fullest, CLI_KEEP_NONE);
		fputc(')', f);
	}
	cli_cell(&cell, &age, scan);
	fprintf(f, "; counted %s ago, every %.0fs\n", cell.data,
		json_number_value(json_object_get(scan, "interval_seconds")));
	cli_buffer_done(&cell);
}

static void print_reload(const json_t *o)
{
	char text[160];

	if (!o)
		return;
	cli_reload_text(o, text, sizeof(text));
	printf("%s\n\n", text);
}

static void print_interfaces(FILE *f, const json_t *s)
{
	const json_t *interfaces = json_object_get(s, "interfaces");

	if (json_array_size(interfaces))
		cli_print_table(f, interface_columns, interfaces);
	else
		fputs("attached to no interface\n", f);
	fputc('\n', f);
}

static void print_tables(FILE *f, const json_t *s)
{
	print_fill(f, "flows IPv4", json_object_get(s, "flows"), "active", "capacity");
	print_fill(f, "flows IPv6", json_object_get(s, "flows"), "active6", "capacity6");
	print_fill(f, "tuples", json_object_get(s, "tuples"), "active", "capacity");
	print_nat(f, json_object_get(s, "nat"));
	print_drops(f, json_object_get(s, "drops"));
	print_source_ports(f, json_object_get(s, "source_ports"));
}

/* A part, before it is known how much room there is for others. The caller frees it; NULL: no memory. */
static char *rendered(void (*print)(FILE *f, const json_t *s), const json_t *s)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	print(f, s);
	fclose(f);
	return text;
}

/* Lines that it takes on a terminal, which folds those that are too long. */
static size_t lines_in(const char *text, size_t columns)
{
	size_t lines = 0;

	for (const char *end; *text; text = end + (*end == '\n')) {
		_cleanup_free_ char *line = NULL;
		size_t width;

		end = strchrnul(text, '\n');
		line = strndup(text, (size_t)(end - text));
		width = line ? cli_width(line) : 0;
		lines += width ? width / columns + (width % columns > 0) : 1;
	}
	return lines;
}

static int print_status(const struct cli *c, const json_t *s, struct screen screen)
{
	static const struct cli_column head[] = {
		{"", "version", CLI_TEXT, NULL},
		{"", "uptime_seconds", CLI_SECONDS, NULL},
		{"", "pin", CLI_TEXT, NULL},
	};
	static const char *const words[] = {"tundish ", ", up ", ", pinned in "};
	_cleanup_free_ char *interfaces = rendered(print_interfaces, s);
	_cleanup_free_ char *tables = rendered(print_tables, s);
	const char *version = json_string_value(json_object_get(s, "version"));
	const json_t *services = json_object_get(s, "services");
	size_t n, used;
	struct cli_buffer cell = {0};

	if (!interfaces || !tables)
		return cli_fail(CLI_FAILED, "out of memory");
	/* A daemon of a former version sends all, and no number. */
	n = (size_t)TD_MAX(json_integer_value(json_object_get(s, "services_total")), 0);
	n = TD_MAX(n, json_array_size(services));

	for (size_t i = 0; i < TD_ARRAY_SIZE(head); i++) {
		cli_cell(&cell, &head[i], s);
		printf("%s%s", words[i], cell.data);
		if (i == 0 && version && strcmp(version, TD_VERSION) != 0)
			printf(" (this is %s)", TD_VERSION);
	}
	cli_buffer_done(&cell);
	fputs("\n\n", stdout);

	print_reload(json_object_get(s, "reload"));
	used = 2 + (json_object_get(s, "reload") ? 2 : 0) + lines_in(interfaces, screen.columns) +
	       lines_in(tables, screen.columns) + SERVICES_AROUND +
	       1; /* one for what asks for more */
	if (screen.rows != SIZE_MAX)
		screen.rows = screen.rows > used ? screen.rows - used : 0;
	print_attention(json_object_get(s, "attention"), TD_MIN(n, SERVICES_PART), &screen);
	fputs(interfaces, stdout);
	if (n)
		print_services(c, services, n, TD_MAX(screen.rows, SERVICES_LEAST));
	else
		puts("no services");
	fputc('\n', stdout);
	fputs(tables, stdout);
	return CLI_DONE;
}

int cli_run_status(const struct cli *c)
{
	struct screen screen = screen_of_stdout();
	struct cli_target t = {0};
	char most[24];
	json_t *status;
	int r;

	cli_target_word(&t, "status");
	if (!c->json) {
		snprintf(most, sizeof(most), "%zu", TD_MIN(screen.rows, (size_t)SERVICES_MOST));
		cli_target_query(&t, "services", most);
	}
	r = cli_ask(c, &t, NULL, CLI_OBJECT, "version", &status);
	if (r != CLI_DONE)
		return r;
	if (c->json)
		cli_print_json(stdout, status);
	else
		r = print_status(c, status, screen);
	json_decref(status);
	return r;
}
