// SPDX-License-Identifier: GPL-2.0-only
/*
 * Metrics as text: the table's rows, both forms, labels of any bytes, pieces of any size, which form a reader
 * wants; and how many snapshots there are, whoever reads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/snapshot.h"

static bool ends_in(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && !strcmp(text + a - b, end);
}

/* What OpenMetrics and promtool ask of names. */
static void test_rows(void **state)
{
	for (enum td_metric m = 0; m < TD_METRIC_MAX; m++) {
		const struct td_metric_row *row = td_metric_row(m);
		char family[100];

		assert_non_null(row->name);
		snprintf(family, sizeof(family), "%s", row->name);
		assert_int_equal(ends_in(family, "_total"), row->type == TD_METRIC_COUNTER);
		if (row->type == TD_METRIC_COUNTER)
			family[strlen(family) - strlen("_total")] = '\0';
		assert_int_equal(ends_in(family, "_seconds"), !strcmp(row->unit, "seconds"));
		assert_int_equal(ends_in(family, "_ratio"), !strcmp(row->unit, "ratio"));
		assert_int_equal(ends_in(family, "_bytes"), !strcmp(row->unit, "bytes"));
		assert_true(row->type != TD_METRIC_HISTOGRAM || row->unit[0]);
		assert_null(strpbrk(row->help, "\\\"\n"));
		assert_int_equal(ends_in(row->help, "."), m < TD_METRIC_COUNTERS);
		for (enum td_metric k = 0; k < m; k++)
			assert_string_not_equal(row->name, td_metric_row(k)->name);
	}
}

/* All of it, in pieces of `size`. */
static char *text_of(const struct td_exposition *e, enum td_metrics_form form, size_t size)
{
	char *piece = malloc(size), *text = calloc(1, 1);
	struct td_exposition_cursor at = {0};
	size_t length = 0, n;

	while ((n = td_exposition_write(e, form, &at, piece, size))) {
		assert_true(n <= size && piece[n - 1] == '\n');
		text = realloc(text, length + n + 1);
		memcpy(text + length, piece, n);
		text[length += n] = '\0';
	}
	assert_int_equal(td_exposition_write(e, form, &at, piece, size), 0);
	free(piece);
	return text;
}

static void holds(const struct td_exposition *e, enum td_metrics_form form, const char *wanted)
{
	char *text = text_of(e, form, TD_EXPOSITION_LINE_MAX);

	assert_string_equal(text, wanted);
	free(text);
}

static void test_forms(void **state)
{
	struct td_exposition *e = td_exposition_new();
	struct tundish_waits w = {.bucket = {[0] = 3, [5] = 4, [23] = 1}, .sum = 1234567890123};
	char *text;

	td_expose_family(e, TD_METRIC_bytes_total);
	td_expose(e, td_expose_labels(e, "service", "web", "target", "b1", NULL), UINT64_MAX);
	td_expose_family(e, TD_METRIC_tuple_utilization_max_ratio);
	td_expose_real(e, td_expose_labels(e, "namespace", NULL, NULL), 0.25);
	td_expose_family(e, TD_METRIC_socket_scan_cpu_seconds);
	td_expose_ns(e, 0, 12000000345);
	td_expose_family(e, TD_METRIC_COUNTER_sent_dsr);
	td_expose(e, 0, 0);
	holds(e, TD_METRICS_TEXT,
	      "# HELP tundish_bytes_total Bytes from clients, from the IP header on.\n"
	      "# TYPE tundish_bytes_total counter\n"
	      "tundish_bytes_total{service=\"web\",target=\"b1\"} 18446744073709551615\n"
	      "# HELP tundish_tuple_utilization_max_ratio Of 64512 ports that a client can have "
	      "towards one VIP and port, how many the one with most has in use.\n"
	      "# TYPE tundish_tuple_utilization_max_ratio gauge\n"
	      "tundish_tuple_utilization_max_ratio 0.25\n"
	      "# HELP tundish_socket_scan_cpu_seconds Of CPU, for the last scan.\n"
	      "# TYPE tundish_socket_scan_cpu_seconds gauge\n"
	      "tundish_socket_scan_cpu_seconds 12.000000345\n"
	      "# HELP tundish_sent_dsr_total Packets sent with rewritten MAC addresses.\n"
	      "# TYPE tundish_sent_dsr_total counter\n"
	      "tundish_sent_dsr_total 0\n");
	holds(e, TD_METRICS_OPEN,
	      "# HELP tundish_bytes Bytes from clients, from the IP header on.\n"
	      "# TYPE tundish_bytes counter\n"
	      "# UNIT tundish_bytes bytes\n"
	      "tundish_bytes_total{service=\"web\",target=\"b1\"} 18446744073709551615\n"
	      "# HELP tundish_tuple_utilization_max_ratio Of 64512 ports that a client can have "
	      "towards one VIP and port, how many the one with most has in use.\n"
	      "# TYPE tundish_tuple_utilization_max_ratio gauge\n"
	      "# UNIT tundish_tuple_utilization_max_ratio ratio\n"
	      "tundish_tuple_utilization_max_ratio 0.25\n"
	      "# HELP tundish_socket_scan_cpu_seconds Of CPU, for the last scan.\n"
	      "# TYPE tundish_socket_scan_cpu_seconds gauge\n"
	      "# UNIT tundish_socket_scan_cpu_seconds seconds\n"
	      "tundish_socket_scan_cpu_seconds 12.000000345\n"
	      "# HELP tundish_sent_dsr Packets sent with rewritten MAC addresses.\n"
	      "# TYPE tundish_sent_dsr counter\n"
	      "tundish_sent_dsr_total 0\n"
	      "# EOF\n");
	td_exposition_free(e);

	e = td_exposition_new();
	td_expose_family(e, TD_METRIC_accept_wait_seconds);
	td_expose_waits(e, td_expose_labels(e, "service", "app", NULL), &w, 2);
	td_expose_family(e, TD_METRIC_source_port_search_seconds);
	td_expose_waits(e, 0, NULL, 1);
	text = text_of(e, TD_METRICS_OPEN, 1 << 16);
	assert_non_null(strstr(text, "_bucket{service=\"app\",le=\"2e-06\"} 3\n"));
	assert_non_null(strstr(text, "_bucket{service=\"app\",le=\"3.2e-05\"} 7\n"));
	assert_non_null(strstr(text, "_bucket{service=\"app\",le=\"2.09715\"} 7\n"));
	assert_non_null(strstr(text,
			       "tundish_accept_wait_seconds_bucket{service=\"app\",le=\"+Inf\"} 8\n"
			       "tundish_accept_wait_seconds_sum{service=\"app\"} 1234.567890123\n"
			       "tundish_accept_wait_seconds_count{service=\"app\"} 8\n"));
	assert_non_null(
		strstr(text, "tundish_source_port_search_seconds_bucket{le=\"1e-06\"} 0\n"));
	assert_non_null(strstr(text, "tundish_source_port_search_seconds_sum 0.000000000\n"));
	free(text);
	td_exposition_free(e);

	e = td_exposition_new();
	holds(e, TD_METRICS_TEXT, "");
	holds(e, TD_METRICS_OPEN, "# EOF\n");
	td_exposition_free(e);
}

/* Labels of any bytes end where they end. */
static void test_hostile_labels(void **state)
{
	/* Bytes above 0x7f: a character of two, three, four bytes; a lone one, an overlong one,
	 * a surrogate, one beyond Unicode, one that is cut off */
	static const char hostile[] =
		"a\"} 1\ntundish_fake 9\n# EOF\n\\{},=\x01\xc3\xa4\xe2\x82\xac"
		"\xf0\x9f\x98\x80\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82";
	char longest[5000];
	struct td_exposition *e = td_exposition_new();
	char *text;

	td_expose_family(e, TD_METRIC_backend_up);
	td_expose(e, td_expose_labels(e, "service", hostile, "backend", "\\\\\"", NULL), 1);
	holds(e, TD_METRICS_TEXT,
	      "# HELP tundish_backend_up 1 where the backend's state is up and health does not say "
	      "down.\n"
	      "# TYPE tundish_backend_up gauge\n"
	      "tundish_backend_up{service=\"a\\\"} 1\\ntundish_fake 9\\n# EOF\\n\\\\{},=\x01\xc3\xa4\xe2\x82\xac"
	      "\xf0\x9f\x98\x80????????????\","
	      "backend=\"\\\\\\\\\\\"\"} 1\n");
	memset(longest, '\n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	td_expose(e,
		  td_expose_labels(e, "a", longest, "b", longest, "c", longest, "d", longest, "e",
				   longest, "f", longest, "g", longest, "h", longest, "i", longest,
				   NULL),
		  UINT64_MAX);
	text = text_of(e, TD_METRICS_TEXT, TD_EXPOSITION_LINE_MAX);
	assert_int_equal(td_exposition_trouble(e), 0);
	assert_null(strstr(text, "\ntundish_fake"));
	assert_null(strstr(text, "i=\""));
	assert_true(ends_in(text, "\\n\"} 18446744073709551615\n"));
	free(text);
	td_exposition_free(e);
}

/* The same whatever the pieces are, and with more samples than one piece has room for. */
static void test_pieces(void **state)
{
	struct td_exposition *e = td_exposition_new();
	char name[16], *whole, *pieces;
	size_t lines = 0;

	for (enum td_metric m = 0; m < TD_METRIC_MAX; m++) {
		td_expose_family(e, m);
		for (int i = 0; i < 500; i++) {
			snprintf(name, sizeof(name), "b%d", i);
			td_expose(e, td_expose_labels(e, "service", name, NULL), (uint64_t)i * m);
		}
	}
	assert_int_equal(td_exposition_samples(e), 500 * TD_METRIC_MAX);
	for (enum td_metrics_form form = TD_METRICS_TEXT; form <= TD_METRICS_OPEN; form++) {
		whole = text_of(e, form, 16 << 20);
		for (size_t size = TD_EXPOSITION_LINE_MAX; size < 100000; size = size * 2 - 77) {
			pieces = text_of(e, form, size);
			assert_string_equal(pieces, whole);
			free(pieces);
		}
		lines = 0;
		for (const char *c = whole; *c; c++)
			lines += *c == '\n';
		assert_true(lines >= 502 * TD_METRIC_MAX);
		free(whole);
	}
	td_exposition_free(e);
}

static void test_limit(void **state)
{
	struct td_exposition *e = td_exposition_new();

	td_expose_family(e, TD_METRIC_backend_up);
	for (uint32_t i = 0; i < TD_EXPOSITION_SAMPLES_MAX; i++)
		td_expose(e, 0, i);
	assert_int_equal(td_exposition_trouble(e), 0);
	td_expose(e, 0, 0);
	assert_int_equal(td_exposition_trouble(e), -E2BIG);
	assert_int_equal(td_exposition_samples(e), TD_EXPOSITION_SAMPLES_MAX);
	td_exposition_free(e);
}

static void test_accept(void **state)
{
	static const struct {
		const char *accept;
		bool open;
	} cases[] = {
		/* Prometheus 2.42, 2.5, 3.0 */
		{"application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
		 "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		 true},
		{"application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/"
		 "*;q=0.1",
		 false},
		{"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
		 "application/openmetrics-text;version=0.0.1;q=0.5,text/"
		 "plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/"
		 "*;q=0.2",
		 true},
		{"application/openmetrics-text; version=1.0.0", true},
		{"application/openmetrics-text", true},
		{"APPLICATION/OpenMetrics-Text ; Version = \"1.0.0\" ; charset=utf-8", true},
		{"application/openmetrics-text;version=2.0.0", false},
		{"application/openmetrics-text;q=0", false},
		{"application/openmetrics-text;q=0.3,text/plain;q=0.4", false},
		{"text/plain;q=0.4 , application/openmetrics-text;q=0.4", true},
		{"application/openmetrics-text;q=0.2,text/*;q=0.3", false},
		{"text/html, */*;q=0.8", false},
		{"*/*", false},
		{"text/plain", false},
		{"", false},
		{",,;;==\"\",q=,;q", false},
		{"application/openmetrics-text;version", true},
		{"application/openmetrics-text;q=nan", true},
		{"application/openmetrics-textual", false},
		{"application/openmetrics-tex", false},
	};

	assert_int_equal(td_metrics_accepted(NULL), TD_METRICS_TEXT);
	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++)
		if (td_metrics_accepted(cases[i].accept) !=
		    (cases[i].open ? TD_METRICS_OPEN : TD_METRICS_TEXT))
			fail_msg("Accept: %s", cases[i].accept);
}

/* ---- snapshots ------------------------------------------------------------------ */

#define S 1000000000ull

static struct td_exposition *small(uint64_t value)
{
	struct td_exposition *e = td_exposition_new();

	td_expose_family(e, TD_METRIC_build_info);
	td_expose(e, 0, value);
	return e;
}

/* Who comes at that time reads that value. */
static void comes(struct td_snapshots *all, uint64_t now, uint64_t value, bool fresh,
		  struct td_snapshot_reader *ret)
{
	assert_int_equal(td_snapshot_is_wanted(all, now), fresh);
	assert_int_equal(
		td_snapshot_enter(all, fresh ? small(value) : NULL, TD_METRICS_OPEN, now, ret), 0);
}

static void reads(struct td_snapshot_reader *r, uint64_t value)
{
	char text[512], wanted[32];
	size_t n = 0;
	ssize_t x;

	while ((x = td_snapshot_read(r, text + n, 7)) > 0) /* by sevens */
		n += (size_t)x;
	assert_int_equal(x, 0);
	text[n] = '\0';
	snprintf(wanted, sizeof(wanted), "info %llu\n# EOF\n", (unsigned long long)value);
	assert_true(ends_in(text, wanted));
	assert_int_equal(td_snapshot_read(r, text, sizeof(text)), 0);
}

static void test_snapshots(void **state)
{
	struct td_snapshots all = {0};
	struct td_snapshot_reader r[8];
	char text[16];

	/* One after the other: each has his own, however soon he comes. */
	comes(&all, 100 * S, 1, true, &r[0]);
	reads(&r[0], 1);
	comes(&all, 100 * S, 2, true, &r[1]); /* although the first has not left yet */
	comes(&all, 101 * S, 2, false, &r[2]);
	td_snapshot_leave(&r[0]);
	reads(&r[2], 2);
	td_snapshot_leave(&r[2]);
	/* Three at once, and no more while the oldest is young. */
	comes(&all, 102 * S, 3, true, &r[3]);
	comes(&all, 104 * S, 4, true, &r[4]);
	comes(&all, 110 * S, 4, false, &r[5]);
	assert_int_equal(td_snapshot_read(&r[1], text, sizeof(text)), sizeof(text));
	comes(&all, 115 * S, 4, false, &r[6]);
	/* Then its readers are cut off, after what they have been given. */
	comes(&all, 116 * S, 5, true, &r[7]);
	while (td_snapshot_read(&r[1], text, sizeof(text)) > 0)
		;
	assert_int_equal(td_snapshot_read(&r[1], text, sizeof(text)), -ECONNABORTED);
	reads(&r[3], 3);
	reads(&r[4], 4);
	reads(&r[5], 4);
	reads(&r[7], 5);
	for (size_t i = 3; i < 8; i++)
		td_snapshot_leave(&r[i]); /* the one of 115 has read nothing */
	td_snapshot_leave(&r[1]);
	for (size_t i = 0; i < TD_SNAPSHOTS_MAX; i++)
		assert_null(all.of[i]);
}

/* For unit/prometheus.sh: each family, with such labels, in one of the forms. */
static int print_all(enum td_metrics_form form)
{
	static const char hostile[] =
		"a\"} 1\ntundish_fake 9\n# EOF\n\\n{},=\xff\xc3\xa4\r\t\x01 end";
	struct td_exposition *e = td_exposition_new();
	struct tundish_waits w = {.bucket = {[4] = 2}, .sum = 20000};
	char *text;

	for (enum td_metric m = 0; m < TD_METRIC_MAX; m++) {
		uint32_t labels = td_expose_labels(e, "service", hostile, "backend", "\"", NULL);

		if (!strncmp(td_metric_row(m)->name, "tundish_drop_", strlen("tundish_drop_")))
			continue; /* in tundish_drops_total */
		td_expose_family(e, m);
		if (td_metric_row(m)->type == TD_METRIC_HISTOGRAM)
			td_expose_waits(e, labels, &w, 2);
		else if (m % 2)
			td_expose_ns(e, labels, m);
		else
			td_expose(e, labels, m);
	}
	text = text_of(e, form, 1 << 16);
	fputs(text, stdout);
	free(text);
	td_exposition_free(e);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	       cmocka_unit_test(test_forms),
		cmocka_unit_test(test_hostile_labels), cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_limit),	       cmocka_unit_test(test_accept),
		cmocka_unit_test(test_snapshots),
	};

	if (argc == 2)
		return print_all(strcmp(argv[1], "open") ? TD_METRICS_TEXT : TD_METRICS_OPEN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
