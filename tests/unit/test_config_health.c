// SPDX-License-Identifier: GPL-2.0-only
/* The configuration of health checks: each key makes a difference, and stands in what is printed. */
#include "config/text.h"

#define BEGIN                                                                                      \
	"interfaces: []\nservices:\n- {name: s, vips: 192.0.2.1, ports: [80], delivery: fullnat, " \
	"sources: [10.0.9.9], backends: [{name: a, address: 10.0.0.1}, {name: b, address: "        \
	"10.0.0.2"

/* @own: of backend b; @health: of the service */
static struct td_config *with(const char *own, const char *health)
{
	char text[2048];
	struct td_config *c;

	snprintf(text, sizeof(text), "%s%s}]%s%s}\n", BEGIN, own, *health ? ", health: " : "",
		 health);
	c = must_parse(text);
	must_round_trip(c);
	return c;
}

static void differ(const char *own, const char *health, const char *own2, const char *health2)
{
	struct td_config *a = with(own, health), *b = with(own2, health2),
			 *again = with(own, health);

	if (td_config_equal(a, b))
		fail_msg("%s %s is the same as %s %s", own, health, own2, health2);
	assert_true(td_config_equal(a, again));
	td_config_free(a);
	td_config_free(b);
	td_config_free(again);
}

static void test_service(void **state)
{
	static const struct {
		const char *type, *key, *one, *two;
	} rows[] = {
		{"tcp", "port", "1", "2"},
		{"http", "path", "/", "/a"},
		{"tcp", "interval", "2s", "2001ms"},
		{"tcp", "fast_interval", "2s", "2001ms"},
		{"tcp", "down_interval", "2s", "2001ms"},
		{"tcp", "timeout", "1s", "999ms"},
		{"tcp", "rise", "2", "3"},
		{"tcp", "fall", "3", "2"},
		{"tcp", "hold_down", "0s", "1ms"},
		{"tcp", "slow_start", "0s", "1h"},
		{"tcp", "max_ejected", "100%", "99%"},
		{"tcp", "on_down", "keep", "reset"},
		{"http", "host", "a", "b"},
		{"http", "method", "GET", "OPTIONS"},
		{"http", "status", "200-399", "200-398"},
		{"http", "status", "200", "201"},
		{"http", "body", "a", "b"},
		{"tcp", "send", "a", "b"},
		{"tcp", "expect", "a", "b"},
		{"https, host: x", "verify", "true", "false"},
		{"https", "server_name", "a", "b"},
		{"https, host: x", "ca", "/a", "/b"},
		{"exec", "command", "/a", "[/a, /b]"},
		{"exec", "command", "[/a, b]", "[/a, c]"},
		{"exec, command: /a", "dynamic_weight", "true", "false"},
		{"none", "agent", "{port: 1}", "{port: 2}"},
		{"none", "agent", "{port: 1}", "{port: 1, interval: 1s}"},
		{"none", "agent", "{port: 1}", "{port: 1, send: x}"},
		{"none", "agent", "{port: 1, send: y}", "{port: 1, send: x}"},
		{"none", "passive", "{failures: 1}", "{failures: 2}"},
		{"tcp", "passive", "", "{failures: 2}"},
		{"tcp", "passive", "{failures: 1}", "{failures: 1, interval: 2s}"},
		{"tcp", "passive", "{failures: 1}", "{failures: 1, hold_down: 1s}"},
		{"tcp", "passive", "{failures: 1}", "{failures: 1, hold_down_max: 1m}"},
		{"tcp", "passive", "{failures: 1}", "{failures: 1, trial: false}"},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		char one[200], two[200];

		snprintf(one, sizeof(one), "{type: %s, %s: %s}", rows[i].type, rows[i].key,
			 rows[i].one);
		snprintf(two, sizeof(two), "{type: %s, %s: %s}", rows[i].type, rows[i].key,
			 rows[i].two);
		differ("", one, "", two);
	}
	differ("", "", "", "{type: none}");
	differ("", "{type: tcp}", "", "{type: http}");
	differ("", "{type: http}", "", "{type: http, host: x}");
	differ("", "{type: tcp}", "", "{type: tcp, port: 80}");
	differ("", "{type: tcp}", "", "{type: tcp, fast_interval: 1s}");
	differ("", "{type: tcp}", "", "{type: tcp, down_interval: 1s}");
}

static void test_backend(void **state)
{
	static const struct {
		const char *type, *one, *two;
	} rows[] = {
		{"tcp", "", ", backup: true"},
		{"tcp", "", ", health: {type: none}"},
		{"tcp", ", health: {}", ", health: {port: 1}"},
		{"tcp", ", health: {port: 2}", ", health: {port: 1}"},
		{"tcp", ", health: {address: 10.0.0.3}", ", health: {address: 10.0.0.4}"},
		{"http", ", health: {path: /a}", ", health: {path: /b}"},
		{"http", ", health: {host: a}", ", health: {host: b}"},
		{"https, verify: false", ", health: {server_name: a}",
		 ", health: {server_name: b}"},
		{"udp, send: x", ", health: {send: a}", ", health: {send: b}"},
		{"tcp", ", health: {expect: a}", ", health: {expect: b}"},
		{"none, agent: {port: 1}", ", health: {agent_port: 2}",
		 ", health: {agent_port: 3}"},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		char health[100];

		snprintf(health, sizeof(health), "{type: %s}", rows[i].type);
		differ(rows[i].one, health, rows[i].two, health);
	}
}

/* What says nothing is no difference. */
static void test_nothing(void **state)
{
	struct td_config *a = with("", "{type: tcp}"), *b = with(", health: {}", "{type: tcp}");
	struct td_config *c = with(", health: , backup: false", "{type: tcp, fall: 3, agent: }");

	assert_true(td_config_equal(a, b));
	assert_true(td_config_equal(a, c));
	td_config_free(a);
	td_config_free(b);
	td_config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_service),
		cmocka_unit_test(test_backend),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests_name("config_health", tests, NULL, NULL);
}
