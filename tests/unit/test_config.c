// SPDX-License-Identifier: GPL-2.0-only
/*
 * The configuration: what is refused and in which words, what is taken and
 * prints as itself, and that no damage to a file does more than be refused.
 *
 * Data stand in tests/unit/config/, found from the top of the tree (TD_TOP where
 * the program does not run there). invalid.txt holds the refused files, each
 * with its whole message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "config/text.h"
#include "lib/escape.h"
#include "config/value.h"
#include "core/address.h"
#include "tundish/workers.h"

static void must_refuse(const char *text, size_t length, int code, const char *message)
{
	struct td_config *c = (struct td_config *)0x1;
	struct td_error error = {0};

	assert_int_equal(td_config_parse("t.yaml", text, length, &c, &error), -code);
	assert_string_equal(error.text, message);
	assert_ptr_equal(c, 0x1);
}

/* ---- refused ----------------------------------------------------------------- */

static void test_invalid_files(void **state)
{
	char *data = read_text("tests/unit/config/invalid.txt", NULL), *p = strstr(data, "\n=== ");
	unsigned int cases = 0, wrong = 0;

	while (p) {
		char *title = p + 5, *text = strchr(title, '\n') + 1, *end = strstr(text, "!!! ");
		char *message = end + 4, *next = strstr(message, "\n=== "), *line_end;
		struct td_config *c = NULL;
		struct td_error error = {0};
		int r;

		text[-1] = '\0';
		line_end = strchr(message, '\n');
		*line_end = '\0';
		r = td_config_parse("t.yaml", text, (size_t)(end - text), &c, &error);
		if (r != -EINVAL || c || strcmp(error.text, message)) {
			wrong++;
			print_error("%s: returned %d\n  is:     %s\n  wanted: %s\n", title, r,
				    error.text, message);
			td_config_free(c);
		}
		cases++;
		p = next;
	}
	free(data);
	assert_int_equal(wrong, 0);
	assert_true(cases >= 150);
}

static void test_invalid_bytes(void **state)
{
#define ROW(text, message)                                                                         \
	{                                                                                          \
		text, sizeof(text) - 1, "t.yaml:" message                                          \
	}
	static const struct {
		const char *text;
		size_t length;
		const char *message;
	} rows[] = {
		ROW("", "1:1: the file is empty; it needs at least \"interfaces:\""),
		ROW(" \n\t\r\n", "1:1: the file is empty; it needs at least \"interfaces:\""),
		ROW("---\n",
		    "2:1: a mapping has to stand here, not one value; valid keys: "
		    "interfaces, services, egress, timeouts, limits, ports, own_connections, gue, metrics, control"),
		ROW("a: \0b\n", "1:4: control character 0x00 is not allowed"),
		ROW("a: b\nc: \033[2J", "2:4: control character 0x1b is not allowed"),
		ROW("a\177", "1:2: control character 0x7f is not allowed"),
		ROW("a: \xff\n", "1:4: byte 0xff is not UTF-8"),
		ROW("a: \xc3\xa9\xc3(\n", "1:5: byte 0xc3 is not UTF-8"),
		ROW("\xc0\xaf", "1:1: byte 0xc0 is not UTF-8"),		/* overlong */
		ROW("\xe0\x80\xaf", "1:1: byte 0xe0 is not UTF-8"),	/* overlong */
		ROW("\xed\xa0\x80", "1:1: byte 0xed is not UTF-8"),	/* a surrogate */
		ROW("\xf4\x90\x80\x80", "1:1: byte 0xf4 is not UTF-8"), /* over U+10FFFF */
		ROW("a\n\xf0\x9f\x98", "2:1: byte 0xf0 is not UTF-8"),	/* cut off */
		ROW("\xff\xfei\0", "1:1: byte 0xff is not UTF-8"),	/* UTF-16 */
		ROW("interfaces:\n\t- name: eth0\n",
		    "2:1: a tab cannot stand here; indent with spaces"),
		ROW("interfaces:\n- name: \xc3\xa9th0\n",
		    "2:9: interface \"??th0\": name \"??th0\" cannot be an interface's name"),
	};
#undef ROW

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++)
		must_refuse(rows[i].text, rows[i].length, EINVAL, rows[i].message);
}

static void test_no_error_wanted(void **state)
{
	struct td_config *c = NULL;

	assert_int_equal(td_config_parse("t.yaml", "interfaces: 1", 13, &c, NULL), -EINVAL);
	assert_int_equal(td_config_parse("t.yaml", "interfaces: [", 13, &c, NULL), -EINVAL);
	assert_null(c);
}

static void test_long_file_name(void **state)
{
	struct td_config *c = NULL;
	struct td_error error = {0};
	char name[2000];

	memset(name, 'd', sizeof(name));
	strcpy(name + sizeof(name) - 7, "x.yaml");
	assert_int_equal(td_config_parse(name, "interfaces: 1", 13, &c, &error), -EINVAL);
	assert_non_null(strstr(error.text, "x.yaml:1:13: \"interfaces\" has to be a list"));
}

static void test_load(void **state)
{
	struct td_config *c = NULL;
	struct td_error error = {0};

	assert_int_equal(td_config_load("/nonexistent/t.yaml", &c, &error), -ENOENT);
	assert_string_equal(error.text,
			    "cannot open /nonexistent/t.yaml: No such file or directory; "
			    "give the configuration's place with --config");
	assert_int_equal(td_config_load("/", &c, &error), -EISDIR);
	assert_string_equal(error.text, "cannot read /: Is a directory");
	assert_int_equal(td_config_load("/dev/zero", &c, &error), -E2BIG);
	assert_int_equal(td_config_load("/dev/null", &c, &error), -EINVAL);
	assert_null(c);
}

/* ---- taken ---------------------------------------------------------------------- */

static void test_round_trips(void **state)
{
	static const char *const files[] = {
		"scripts/tundish.yaml.example",
		"tests/unit/config/minimal.yaml",
		"tests/unit/config/bounds.yaml",
		"tests/unit/config/exact-limits.yaml",
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(files); i++) {
		char *text = read_text(files[i], NULL);
		struct td_config *c = must_parse(text);

		must_round_trip(c);
		td_config_free(c);
		free(text);
	}
}

/* Words that other YAML readers take for numbers, truth values or nothing. */
static void test_quoting(void **state)
{
	static const char *const lines[] = {
		"name: \"123\"\n",   "name: \"null\"\n",
		"{name: \"yes\", ",  "name: nested\n",
		"\\\"\\\\\"\n",	     "[1, \"2-65535\"]",
		"192.0.2.1, \"2001", "listen: off, commands: true}",
	};
	char *file = read_text("tests/unit/config/bounds.yaml", NULL);
	struct td_config *c = must_parse(file);
	char *text = print(c);

	for (size_t i = 0; i < TD_ARRAY_SIZE(lines); i++)
		if (!strstr(text, lines[i]))
			fail_msg("no \"%s\" in\n%s", lines[i], text);
	td_config_free(c);
	free(text);
	free(file);
}

static void test_defaults(void **state)
{
	struct td_config *c =
		must_parse("\xef\xbb\xbf"
			   "interfaces: [{name: eth0}]\n"
			   "services: [{name: s, vips: 192.0.2.1, ports: 80, delivery: dsr,"
			   "            backends: [{name: b, address: 10.0.0.1}]}]\n");

	assert_int_equal(c->interfaces[0].attach, TD_ATTACH_AUTO);
	assert_int_equal(c->services[0].protocol, 6);
	assert_true(c->services[0].own);
	assert_int_equal(c->services[0].workers.n_listen, 0);
	assert_int_equal(c->services[0].vips[0].prefix, 128);
	assert_int_equal(c->services[0].backends[0].weight, 100);
	assert_int_equal(c->services[0].backends[0].state, TUNDISH_BACKEND_UP);
	assert_int_equal(c->timeouts.syn_ms, 60000);
	assert_int_equal(c->timeouts.established_ms, 3600000);
	assert_int_equal(c->timeouts.closing_ms, 60000);
	assert_int_equal(c->timeouts.udp_new_ms, 30000);
	assert_int_equal(c->timeouts.udp_ms, 180000);
	assert_true(c->services[0].flows);
	assert_int_equal(c->limits.flows, 1048576);
	assert_int_equal(c->limits.flows6, 524288);
	assert_int_equal(c->limits.tuples, 262144);
	assert_int_equal(c->limits.services, 64);
	assert_int_equal(c->limits.backends, 4096);
	assert_int_equal(c->limits.vips, 1024);
	assert_int_equal(c->limits.workers, 1024);
	assert_int_equal(c->limits.groups, 16);
	assert_int_equal(c->limits.ports, 65536);
	assert_int_equal(c->limits.fragments, 8192);
	assert_string_equal(c->metrics_listen, "127.0.0.1:9799");
	td_config_free(c);
}

static void test_example(void **state)
{
	char *text = read_text("scripts/tundish.yaml.example", NULL), vip[TD_ADDRESS_TEXT];
	char listen[TD_LISTEN_TEXT];
	struct td_config *c = must_parse(text);
	const struct td_service_conf *web = &c->services[0], *api = &c->services[2],
				     *shop = &c->services[3], *app = &c->services[6];

	assert_int_equal(c->n_interfaces, 1);
	assert_string_equal(c->interfaces[0].name, "eth0");
	assert_int_equal(c->n_services, 9);
	assert_int_equal(c->services[1].protocol, 17);
	assert_false(c->services[1].flows);
	assert_string_equal(web->name, "web");
	assert_int_equal(web->delivery, TUNDISH_DELIVERY_IPIP);
	assert_int_equal(web->n_vips, 2);
	assert_string_equal(td_address_print(&web->vips[1].address, vip), "2001:db8::10");
	assert_int_equal(web->n_ports, 2);
	assert_int_equal(web->ports[1].first, 443);
	assert_int_equal(web->ports[1].last, 443);
	assert_int_equal(web->n_backends, 4);
	assert_true(web->backends[3].backup);
	assert_string_equal(web->backends[3].health->path, "/");
	assert_int_equal(web->health->type, TD_CHECK_HTTP);
	assert_string_equal(web->health->path, "/healthz");
	assert_string_equal(web->health->host, "www.example.com");
	assert_int_equal(web->health->status.first, 200);
	assert_int_equal(web->health->hold_down_ms, 15000);
	assert_int_equal(web->health->max_ejected, 50);
	assert_int_equal(web->health->agent.port, 9999);
	assert_int_equal(web->health->agent.interval_ms, 2000);
	assert_int_equal(td_escape_read(c->services[1].health->send, NULL), 17);
	assert_null(api->health);
	assert_string_equal(web->backends[2].name, "web3");
	assert_int_equal(web->backends[2].state, TUNDISH_BACKEND_DRAIN);
	assert_int_equal(api->delivery, TUNDISH_DELIVERY_GUE);
	assert_int_equal(api->gue.port, 6080);
	assert_int_equal(c->gue.port, 6080);
	assert_int_equal(c->services[5].backends[1].weight, 50);
	assert_int_equal(shop->delivery, TUNDISH_DELIVERY_FULLNAT);
	assert_int_equal(shop->n_sources, 2);
	assert_int_equal(shop->nat.source_ports.last, 0);
	assert_int_equal(shop->backends[0].n_addresses, 2);
	assert_true(tundish_addr_equal(&shop->backends[0].address,
				       &shop->backends[0].addresses[0].address));
	assert_int_equal(shop->backends[0].port, 8443);
	assert_int_equal(shop->backends[1].n_addresses, 0);
	assert_int_equal(app->delivery, TUNDISH_DELIVERY_WORKERS);
	assert_int_equal(app->workers.n_listen, 1);
	assert_string_equal(td_listen_print(app->workers.listen, listen), "[::]:8080");
	assert_int_equal(c->services[8].ports[0].first, 0);
	assert_int_equal(c->services[8].ports[0].last, 65535);
	assert_false(c->services[8].own);
	td_config_free(c);
	free(text);
}

/* Listeners in their own order, defaults of a group, milliseconds, prefixes. */
static void test_workers(void **state)
{
	struct td_config *c = must_parse(
		"interfaces: []\n"
		"services:\n"
		"- {name: a, vips: [198.51.100.0/24, '2001:db8::/64', 192.0.2.1/32], ports: 80,"
		" delivery: workers, workers: {listen: ['0.0.0.0:81', '[::]:80', '0.0.0.0:80']}}\n"
		"- {name: b, vips: [192.0.2.9], ports: 80, delivery: workers, workers:"
		" {listen: '10.0.0.1:9', steering: hash, share: 37%, refuse: reset, stall: 1500ms,"
		" restart_grace: 250ms, size: 3, accept_times: all, client_address: toa,"
		" trusted: [10.0.0.0/30, 'fd00::1']}}\n"
		"- {name: d, vips: [192.0.2.9], ports: 53, protocol: udp, delivery: workers,"
		" workers: {listen: '0.0.0.0:53'}}\n"
		"- {name: c, vips: [192.0.2.10], ports: 80, delivery: ipip, workers: {listen:"
		" '[::]:81', restart_grace: 1s}, backends: [{name: x, address: 10.0.0.1},"
		" {name: y, address: 10.0.0.2}]}\n");
	static const char *const order[] = {"[::]:80", "0.0.0.0:80", "0.0.0.0:81"};
	const struct td_workers_conf *w = &c->services[0].workers;
	const struct td_vip_conf *v = c->services[0].vips;
	char text[TD_LISTEN_TEXT], *all;

	assert_int_equal(w->n_listen, 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(td_listen_print(&w->listen[i], text), order[i]);
	assert_int_equal(w->listen[0].at.column, 132);
	assert_int_equal(w->steering, TUNDISH_STEERING_LEAST_QUEUE);
	assert_int_equal(w->refuse, TUNDISH_REFUSE_DROP);
	assert_int_equal(w->share, 100);
	assert_int_equal(w->stall_ms, 50);
	assert_int_equal(w->restart_grace_ms, 3000);
	assert_int_equal(w->size, 64);
	assert_int_equal(w->accept_times, TUNDISH_ACCEPT_TIMES_ADDRESS);
	assert_int_equal(v[0].prefix, 96 + 24);
	assert_int_equal(v[1].prefix, 64);
	assert_int_equal(v[2].prefix, 128);

	w = &c->services[1].workers;
	assert_int_equal(w->steering, TUNDISH_STEERING_HASH);
	assert_int_equal(w->refuse, TUNDISH_REFUSE_RESET);
	assert_int_equal(w->share, 37);
	assert_int_equal(w->stall_ms, 1500);
	assert_int_equal(w->restart_grace_ms, 250);
	assert_int_equal(w->size, 3);
	assert_int_equal(w->accept_times, TUNDISH_ACCEPT_TIMES_ALL);
	assert_int_equal(w->client_address, TUNDISH_CLIENT_ADDRESS_TOA);
	assert_int_equal(w->n_trusted, 2);
	assert_int_equal(w->trusted[0].prefix, 96 + 30);
	assert_int_equal(w->trusted[1].prefix, 128);

	/* Datagrams wait in no queue. */
	assert_int_equal(c->services[2].workers.steering, TUNDISH_STEERING_HASH);
	assert_int_equal(c->services[2].workers.client_address, TUNDISH_CLIENT_ADDRESS_NONE);

	/* Beside other hosts. */
	w = &c->services[3].workers;
	assert_int_equal(w->n_listen, 1);
	assert_int_equal(w->restart_grace_ms, 1000);
	assert_int_equal(c->services[3].n_backends, 2);
	all = print(c);
	assert_non_null(strstr(all, "vips: [198.51.100.0/24, \"2001:db8::/64\", 192.0.2.1]\n"));
	assert_non_null(strstr(all,
			       "workers: {listen: [\"10.0.0.1:9\"], steering: hash, share: 37%, "
			       "refuse: reset, stall: 1500ms, restart_grace: 250ms, size: 3, "
			       "accept_times: all, client_address: toa, trusted: "
			       "[10.0.0.0/30, \"fd00::1\"]}"));
	free(all);
	must_round_trip(c);
	td_config_free(c);
}

static void test_places(void **state)
{
	struct td_config *c = must_parse("interfaces:\n"
					 "  - name: eth0\n"
					 "services:\n"
					 "- name: s\n"
					 "  vips: [192.0.2.1, 192.0.2.2]\n"
					 "  ports: 80\n"
					 "  delivery: ipip\n"
					 "  backends:\n"
					 "    - {name: b, address: 10.0.0.1}\n");
	const struct td_service_conf *s = &c->services[0];
	const struct td_place *places[] = {&c->interfaces[0].at, &s->at, &s->vips[1].at,
					   &s->ports[0].at, &s->backends[0].at};
	const unsigned int expected[][2] = {{2, 5}, {4, 3}, {5, 21}, {6, 10}, {9, 7}};

	for (size_t i = 0; i < TD_ARRAY_SIZE(expected); i++) {
		assert_int_equal(places[i]->line, expected[i][0]);
		assert_int_equal(places[i]->column, expected[i][1]);
	}
	td_config_free(c);
}

/* Any difference in what is said makes two configurations differ. */
static void test_equal_tells_apart(void **state)
{
	static const char text[] =
		"interfaces: [{name: eth0, attach: auto}]\n"
		"services:\n"
		"- {name: web, vips: [192.0.2.1], ports: [80], delivery: workers, own: true}\n"
		"- {name: lis, vips: [192.0.2.4], ports: [90], delivery: workers,"
		" workers: {listen: ['0.0.0.0:90'], steering: hash, share: 11%, refuse: reset,"
		" stall: 22ms, restart_grace: 33s, size: 44, accept_times: all,"
		" client_address: toa, trusted: [10.0.0.8/30]}}\n"
		"- {name: net, vips: [198.51.100.0/24], ports: [90], delivery: workers}\n"
		"- {name: two, vips: [192.0.2.3], ports: [81-85], delivery: dsr,"
		" backends: [{name: b, address: 10.0.0.1, weight: 7, state: up}]}\n"
		"- {name: gue, vips: [192.0.2.5], ports: [70], delivery: gue,"
		" backends: [{name: g, address: 10.0.0.7}]}\n"
		"- {name: dns, vips: [192.0.2.3], ports: [71], protocol: udp, delivery: workers, flows: on}\n"
		"- {name: full, vips: [192.0.2.6], ports: [72], delivery: fullnat,"
		" sources: [10.0.9.1, 10.0.9.2], source_ports: 2000-2999, mss: 1400, time_wait: 61s,"
		" backends: [{name: f, addresses: [10.0.0.8, 10.0.0.9], port: 73}]}\n"
		"- {name: h3, vips: [192.0.2.6], ports: [72], protocol: udp, delivery: dsr,"
		" quic: {config: 1, server_id_length: 2},"
		" backends: [{name: q, address: 10.0.0.8, server_id: '0a01'}]}\n"
		"timeouts: {syn: 61s, established: 62s, closing: 63s, udp_new: 64s, udp: 65s}\n"
		"limits: {flows: 2001, flows6: 2002, tuples: 2003,"
		" services: 11, backends: 12, vips: 13, workers: 214, groups: 15}\n"
		"gue: {port: 6081}\n"
		"metrics: {listen: '127.0.0.1:9'}\n";
	static const char *const changes[][2] = {
		{"delivery: gue", "delivery: gue, gue: {port: 6079}"},
		{"delivery: fullnat", "delivery: nat"},
		{"10.0.9.2", "10.0.9.3"},
		{", 10.0.9.2", ""},
		{"2000-2999", "2000-3000"},
		{"2000-2999", "auto"},
		{"mss: 1400", "mss: auto"},
		{"mss: 1400", "client_address: toa, mss: 1400"},
		{"time_wait: 61s", "time_wait: 62s"},
		{"time_wait: 61s", "time_wait: 61s, early_reuse: off"},
		{"10.0.0.9]", "10.0.0.10]"},
		{", 10.0.0.9]", "]"},
		{"port: 73", "port: 74"},
		{", port: 73", ""},
		{"udp: 65s", "udp: 65s, nat_established: 90s"},
		{"udp: 65s", "udp: 65s, half_closed: 90s"},
		{"6081", "6082"},
		{"config: 1", "config: 2"},
		{"0a01", "0a02"},
		{"2}, backends: [{name: q, address: 10.0.0.8, server_id: '0a01'",
		 "1}, backends: [{name: q, address: 10.0.0.8, server_id: '0a'"},
		{"groups: 15", "groups: 15, fragments: 8193"},
		{"eth0", "eth1"},
		{"auto", "native"},
		{"attach: auto}", "attach: auto}, {name: x}"},
		{"web", "wep"},
		{"192.0.2.1", "192.0.2.2"},
		{"[192.0.2.1]", "[192.0.2.1, 192.0.2.9]"},
		{"[80]", "[80, 81]"},
		{"[80]", "[79]"},
		{"81-85", "81-84"},
		{"81-85", "82-85"},
		{"own: true", "own: false"},
		{"0.0.0.0:90", "[::]:90"},
		{"0.0.0.0:90", "0.0.0.0:91"},
		{"'0.0.0.0:90'", "'0.0.0.0:90', '0.0.0.0:91'"},
		{"['0.0.0.0:90'], steering: hash", "['0.0.0.0:90'], steering: least-queue"},
		{"share: 11%", "share: 12%"},
		{"refuse: reset", "refuse: drop"},
		{"22ms", "23ms"},
		{"33s", "34s"},
		{"size: 44", "size: 45"},
		{"accept_times: all", "accept_times: address"},
		{"client_address: toa, trusted: [10.0.0.8/30]", "client_address: none"},
		{"10.0.0.8/30", "10.0.0.8/31"},
		{"[10.0.0.8/30]", "[10.0.0.8/30, 10.0.0.9]"},
		{"198.51.100.0/24", "198.51.100.0/25"},
		{"198.51.100.0/24", "198.51.100.0"},
		{"dsr", "ipip"},
		{"name: b", "name: c"},
		{"10.0.0.1", "10.0.0.2"},
		{"weight: 7", "weight: 8"},
		{"state: up", "state: drain"},
		{"state: up}", "state: up}, {name: x, address: 10.0.0.9}"},
		{"61s", "60s"},
		{"62s", "60s"},
		{"flows: on", "flows: off"},
		{"protocol: udp", "protocol: tcp"},
		{"64s", "60s"},
		{"65s", "60s"},
		{"63s", "60s"},
		{"2001", "2004"},
		{"2002", "2004"},
		{"2003", "2004"},
		{"services: 11", "services: 14"},
		{"backends: 12", "backends: 14"},
		{"vips: 13", "vips: 14"},
		{"workers: 214", "workers: 215"},
		{"groups: 15", "groups: 16"},
		{"127.0.0.1:9", "off"},
		{"- {name: web,", "- {name: more, vips: 192.0.2.7, ports: 1, delivery: workers}\n"
				  "- {name: web,"},
	};
	struct td_config *c = must_parse(text), *same = must_parse(text);

	assert_true(td_config_equal(c, same));
	for (size_t i = 0; i < TD_ARRAY_SIZE(changes); i++) {
		const char *at = strstr(text, changes[i][0]);
		char changed[sizeof(text) + 128];
		struct td_config *other;

		assert_non_null(at);
		snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text,
			 changes[i][1], at + strlen(changes[i][0]));
		other = must_parse(changed);
		if (td_config_equal(c, other) || td_config_equal(other, c))
			fail_msg("with \"%s\" for \"%s\" it is equal", changes[i][1],
				 changes[i][0]);
		must_round_trip(other);
		td_config_free(other);
	}
	td_config_free(c);
	td_config_free(same);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invalid_files),
		cmocka_unit_test(test_invalid_bytes),
		cmocka_unit_test(test_no_error_wanted),
		cmocka_unit_test(test_long_file_name),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_quoting),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_workers),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_equal_tells_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
