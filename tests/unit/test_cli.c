// SPDX-License-Identifier: GPL-2.0-only
/*
 * What `tundish` shows: tables and JSON.
 */
#include "cli_fixture.h"

static const char status_text[] =
	"tundish 0.1.0 (this is " TD_VERSION "), up 1d1h, pinned in /sys/fs/bpf/tundish\n"
	"\n"
	"! backend web2 of web has no neighbour, for 12m3s\n"
	"  why: no answer on eth0\n"
	"  do:  look at the cable\n"
	"  see: tundish backend list web\n"
	"\n"
	"INTERFACE  MODE    DISPATCHER  NOTE\n"
	"eth0       native  no          alone\n"
	"\n"
	"SERVICE  STATE      UP  ACTIVE  CONN/S  PACKETS/S  BYTES/S  DELIVERY  VIPS\n"
	"web      degraded  1/2    1.2M    12.5      20.0k   1.5MiB  ipip         2\n"
	"\n"
	"flows IPv4   524k of 1.0M (50%)\n"
	"flows IPv6   0 of 524k (0%)\n"
	"tuples       10 of 262k (0%)\n"
	"drops        drop_ttl 3\n";

static void test_status(void **state)
{
	struct fixture *f = *state;

	assert_output(f, "status", status_text);
	assert_output(f, "", status_text);
	assert_output(f, "st", status_text);
	assert_json(f, "--json", STATUS);
	assert_json(f, "status --json", STATUS);
	f->json = "{\"version\":\"0.0.9\"}"; /* a daemon that knows less does not break it */
	assert_output(f, "",
		      "tundish 0.0.9 (this is " TD_VERSION
		      "), up -, pinned in -\n\nattached to no interface\n\nno services\n\n"
		      "drops        none\n");
	f->json =
		"{\"version\":\"0.0.9\",\"reload\":{\"phase\":\"applying\",\"steps_done\":420,\"steps\":1000,\"seconds\":2.1}}";
	assert_output(f, "",
		      "tundish 0.0.9 (this is " TD_VERSION
		      "), up -, pinned in -\n\nreloading: 420 of 1000 steps, 2.1s\n\n"
		      "attached to no interface\n\nno services\n\ndrops        none\n");
	f->json =
		"{\"version\":\"0.0.9\",\"reload\":{\"phase\":\"reading\",\"steps_done\":0,\"steps\":0,\"seconds\":3}}";
	assert_output(f, "",
		      "tundish 0.0.9 (this is " TD_VERSION
		      "), up -, pinned in -\n\nreloading: reading the file, 3s\n\n"
		      "attached to no interface\n\nno services\n\ndrops        none\n");
}

static void test_backend_list(void **state)
{
	struct fixture *f = *state;

	assert_output(
		f, "backend list",
		"SERVICE  NAME  ADDRESS    WEIGHT  STATE  HEALTH  ACTIVE  MAX  CONN/S  TOTAL  PACKETS   BYTES  DISABLED IN  REASON\n"
		"web      web1  10.0.1.11     100  up     -            5    -       2   9.0P     123k  1.5KiB            -  -\n"
		"web      web2  10.0.1.11     100  drain  -            5    -       2   9.0P     123k  1.5KiB            -  -\n");
	assert_string_equal(f->requests, "GET backends limit=64\n");
	/* numbers are exact, above what a double holds */
	assert_json(f, "--json backend list web", "[" BACKEND("web1", "up") "]");
	assert_string_equal(f->requests, "GET backends/web\n");
}

static void test_services(void **state)
{
	struct fixture *f = *state;
	struct run r;

	assert_output(
		f, "service list",
		"SERVICE  STATE     VIPS                     PORTS   PROTO  DELIVERY  SCHEDULER  OWN   UP  ACTIVE  "
		"TOTAL  PACKETS  BYTES  REASON\n"
		"web      degraded  192.0.2.10,2001:db8::10  80,443  tcp    ipip      maglev     yes  1/2       5  "
		"    9       10    11B  web2 is down\n");
	assert_json(f, "service show web --json", SERVICE);
	r = tundish(f, "service show web");
	assert_int_equal(r.exit_code, 0);
	assert_has(r.text[1], "STATE      degraded\nVIPS       192.0.2.10,2001:db8::10\n");
	assert_has(r.text[1], "\nREASON     web2 is down\n");
	assert_has(r.text[1], "\nweb      web1  10.0.1.11");
	run_done(&r);
	assert_fails(f, "service show nope", 4, "no such thing: GET services/nope");
}

static void test_other_lists(void **state)
{
	struct fixture *f = *state;

	assert_output(f, "tuple list --top 5",
		      "CLIENT        VIP         PORT  PROTO  ACTIVE  TOTAL  USE  VIPS NEEDED\n"
		      "198.51.100.7  192.0.2.10    80  tcp     10.0k   9999  16%            1\n");
	assert_string_equal(f->requests, "GET tuples top=5\n");
	assert_json(f, "tuple list --json", "[" TUPLE "]");
	assert_output(f, "flow count", "flows  3\nflows6  4\n");
	assert_json(f, "flow count --json", "{\"flows\":3,\"flows6\":4}");
	assert_output(
		f, "flow list",
		"CLIENT         PORT  VIP         PORT  PROTO  SERVICE  BACKEND  STATE          AGE  IDLE  "
		"AS          TO\n"
		"198.51.100.7  40001  192.0.2.10    80  tcp    web      web1     established  3m20s    1s  "
		"10.0.1.250  10.0.1.21\n");
	assert_string_equal(f->requests, "GET flows limit=64\n");
	assert_json(f, "flow list --json", "[" FLOW "]");
}

static void test_source_ports(void **state)
{
	struct fixture *f = *state;

	assert_output(
		f, "port list --scan --top 5",
		"LOCAL     REMOTE    PORT  PROTO  NAMESPACE  SOURCE  SERVICE         USED  USE  "
		"TIME_WAIT  OPENS/S  DEAR IN  FULL IN  REFUSED\n"
		"10.0.0.1  10.0.0.5    80  tcp    -          nat     web      14116/28232  50%  "
		"    14000      240       0s    3m20s        0\n");
	assert_string_equal(f->requests, "GET ports scan=1 top=5\n");
	assert_json(f, "port list --json", "[" PORT "]");
	assert_output(f, "port blocked",
		      " PORT  PROTO  NAMESPACE  PROGRAM  PID  ADDRESS   WHY\n"
		      "40001  tcp    -          python3   77  10.0.0.1  bound to this port\n");
	assert_string_equal(f->requests, "GET ports/blocked\n");
	assert_output(
		f, "timewait",
		"a cause: of it\n"
		"\n"
		"sockets     14.0k/131k\n"
		"outbound    14.0k\n"
		"entered/s   240\n"
		"entered     15.0k\n"
		"re-used     1\n"
		"overflowed  0\n"
		"\n"
		"LOCAL     REMOTE    PORT  NAMESPACE  TIME_WAIT  USE   HERE  THERE  RST HERE  "
		"RST THERE  THEN RST  CLOSES FIRST\n"
		"10.0.0.1  10.0.0.5    80  -              14.0k  50%  15.0k      0         7  "
		"        8         9  this host\n");
	assert_json(f, "timewait --json", TIMEWAIT);
}

static void test_flow_filters(void **state)
{
	static const char asked[] =
		"GET flows client=2001:db8::7 client_port=4 vip=192.0.2.1 port=80 "
		"service=a b&c backend=w state=syn limit=9\n";
	struct fixture *f = *state;
	char *words[] = {"flow",
			 "list",
			 "--client",
			 "2001:db8::7",
			 "--client-port",
			 "4",
			 "--vip",
			 "192.0.2.1",
			 "--port",
			 "80",
			 "--service=a b&c",
			 "--backend",
			 "w",
			 "--state",
			 "syn",
			 "--limit",
			 "9",
			 NULL};
	struct run r = start(f, words, -1);

	finish(f, &r);
	assert_int_equal(r.exit_code, 0);
	assert_string_equal(f->requests, asked);
	run_done(&r);

	r = tundish(f, "flow list client=2001:db8::7 client_port=4 vip=192.0.2.1 port=80 st=syn");
	assert_int_equal(r.exit_code, 0);
	assert_string_equal(
		f->requests,
		"GET flows client=2001:db8::7 client_port=4 vip=192.0.2.1 port=80 state=syn limit=64\n");
	run_done(&r);
}

static void test_a_hundred_thousand_rows(void **state)
{
	struct fixture *f = *state;
	char *big = malloc(101000 * sizeof(FLOW)), *p = big;
	uint64_t begin = now_ms();
	struct run r;
	size_t lines = 0;

	*p++ = '[';
	for (int i = 0; i < 100000; i++)
		p += sprintf(p, "%s%s", i ? "," : "", FLOW);
	strcpy(p, "]");
	f->text = big;
	r = tundish(f, "flow list");
	assert_int_equal(r.exit_code, 0);
	for (char *c = r.text[1]; (c = strchr(c, '\n')); c++)
		lines++;
	assert_int_equal(lines, 100001);
	run_done(&r);
	assert_true(now_ms() - begin < 20000);
}

/* The daemon cuts a list at 1000 rows unless it is asked for more: that is told. */
static void test_a_list_that_is_cut(void **state)
{
	static const struct {
		int rows;
		const char *command, *told;
	} cases[] = {
		{1000, "flow list", "tundish: these are the first 1000; --limit N shows more\n"},
		{1000, "flow list --json",
		 "tundish: these are the first 1000; --limit N shows more\n"},
		{1000, "tuple list", "tundish: these are the first 1000; --top N shows more\n"},
		{1000, "flow list --limit 1000", ""},
		{1000, "tuple list --top 1000", ""},
		{1000, "backend list", ""},
		{999, "flow list", ""},
	};
	struct fixture *f = *state;
	static const char first[] = "[{\"client\":0,\"service\":0}";
	char *rows = malloc(sizeof(first) + 4 * 1000 + 4);

	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++) {
		char *p = rows + sprintf(rows, "%s", first);
		struct run r;

		for (int n = 1; n < cases[i].rows; n++)
			p += sprintf(p, ",{}");
		strcpy(p, "]");
		f->json = rows;
		r = tundish(f, cases[i].command);
		assert_int_equal(r.exit_code, 0);
		assert_string_equal(r.text[2], cases[i].told);
		run_done(&r);
	}
	free(rows);
}

static void test_hostile_strings(void **state)
{
	struct fixture *f = *state;
	struct run r;

	f->json = "[{\"service\":\"a\\u001b[2J\\u009b\\n\\u202e\\u007f\",\"name\":\"\\u00fcber\","
		  "\"address\":{\"x\":1},\"weight\":\"\",\"state\":true}]";
	r = tundish(f, "backend list");
	assert_int_equal(r.exit_code, 0);
	assert_has(r.text[1], "\na\\x1b[2J\\u009b\\x0a\\u202e\\x7f  \xc3\xbc"
			      "ber  -             -  yes    -");
	run_done(&r);
	r = tundish(f, "backend list --json");
	assert_has(r.text[1], "\"a\\u001B[2J\\u009B\\n\\u202E\x7f\"");
	run_done(&r);
}

static void test_trace(void **state)
{
	struct fixture *f = *state;

	assert_output(
		f, "trace 198.51.100.7:1234 192.0.2.10:80",
		"service  web\ntarget   web1\nverdict  sent_ipip\nreason   Maglev alone\npath\n"
		"  1. destination is virtual IP 192.0.2.10\n  2. service web\n");
	assert_string_equal(f->requests, "GET trace src=198.51.100.7:1234 dst=192.0.2.10:80\n");
	assert_json(f, "--json trace [2001:db8::7]:1 [2001:db8::10]:80", TRACE);
	assert_string_equal(f->requests, "GET trace src=[2001:db8::7]:1 dst=[2001:db8::10]:80\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_status),
		T(test_backend_list),
		T(test_services),
		T(test_other_lists),
		T(test_source_ports),
		T(test_flow_filters),
		T(test_a_hundred_thousand_rows),
		T(test_a_list_that_is_cut),
		T(test_hostile_strings),
		T(test_trace),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
