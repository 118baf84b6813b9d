// SPDX-License-Identifier: GPL-2.0-only
/*
 * The whole on one screen: what needs attention first, with its reason and
 * what to do; then what is attached, served, flowing and dropped.
 */
#include "cli/cli.h"

static const struct cli_column interface_columns[] = {
	{"INTERFACE", "name", CLI_TEXT, NULL},
	{"MODE", "mode", CLI_TEXT, NULL},
	{"DISPATCHER", "dispatcher", CLI_YES, NULL},
	{"NOTE", "note", CLI_TEXT, NULL},
	{0},
};

static const struct cli_column service_columns[] = {
	{"SERVICE", "name", CLI_TEXT, NULL},
	{"DELIVERY", "delivery", CLI_TEXT, NULL},
	{"VIPS", "vips", CLI_NUMBER, NULL},
	{"UP", "backends_up", CLI_NUMBER, "backends"},
	{"ACTIVE", "connections_active", CLI_COUNT, NULL},
	{"CONN/S", "connections_per_second", CLI_COUNT, NULL},
	{"PACKETS/S", "packets_per_second", CLI_COUNT, NULL},
	{"BYTES/S", "bytes_per_second", CLI_BYTES, NULL},
	{0},
};

static void print_attention(const json_t *attention)
{
	static const struct {
		const char *key, *before;
	} parts[] = {{"what", "! "}, {"why", "  why: "}, {"do", "  do:  "}};

	for (size_t i = 0; i < json_array_size(attention); i++) {
		const json_t *a = json_array_get(attention, i);

		for (size_t p = 0; p < TD_ARRAY_SIZE(parts); p++) {
			const char *text = json_string_value(json_object_get(a, parts[p].key));

			if (!text || !text[0])
				continue;
			fputs(parts[p].before, stdout);
			cli_put_escaped(stdout, text, CLI_KEEP_NONE);
			fputc('\n', stdout);
		}
	}
	if (json_array_size(attention))
		fputc('\n', stdout);
}

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

static void print_status(const json_t *s)
{
	static const struct cli_column head[] = {
		{"", "version", CLI_TEXT, NULL},
		{"", "uptime_seconds", CLI_SECONDS, NULL},
		{"", "pin", CLI_TEXT, NULL},
	};
	static const char *const words[] = {"tundish ", ", up ", ", pinned in "};
	const json_t *interfaces = json_object_get(s, "interfaces");
	const json_t *services = json_object_get(s, "services");
	struct cli_buffer cell = {0};

	for (size_t i = 0; i < TD_ARRAY_SIZE(head); i++) {
		cli_cell(&cell, &head[i], s);
		printf("%s%s", words[i], cell.data);
	}
	cli_buffer_done(&cell);
	fputs("\n\n", stdout);

	print_attention(json_object_get(s, "attention"));
	if (json_array_size(interfaces))
		cli_print_table(stdout, interface_columns, interfaces);
	else
		puts("attached to no interface");
	fputc('\n', stdout);
	if (json_array_size(services))
		cli_print_table(stdout, service_columns, services);
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
		print_status(status);
	json_decref(status);
	return CLI_DONE;
}
