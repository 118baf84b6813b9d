// SPDX-License-Identifier: GPL-2.0-only
/*
 * `tundish doctor` beside a daemon: what it asks, and that nothing is lost where the answer is
 * none. What it says of the host is held to recorded facts in test_doctor.c.
 */
#include "cli_fixture.h"

#define TUPLE_OF_PORTS(utilization)                                                                \
	"[{\"local_ip\":\"10.0.0.1\",\"remote_ip\":\"10.0.0.\\u001b2\",\"remote_port\":80,"        \
	"\"used\":90,\"time_wait\":80,\"usable\":100,\"utilization\":" utilization                 \
	",\"seconds_to_exhaustion\":null}]"

/* The row of an id, which the caller owns; NULL where there is none. */
static json_t *doctor_row(const struct run *r, const char *id)
{
	json_t *rows = json_loads(r->text[1], 0, NULL), *found = NULL;

	assert_true(json_is_array(rows));
	for (size_t i = 0; i < json_array_size(rows); i++)
		if (strcmp(json_string_value(json_object_get(json_array_get(rows, i), "id")), id) ==
		    0)
			found = json_incref(json_array_get(rows, i));
	json_decref(rows);
	return found;
}

/* The fullest tuple of source ports comes from the daemon, if it has any to tell. */
static void test_doctor(void **state)
{
	struct fixture *f = *state;
	struct run r;
	json_t *row;

	f->json = TUPLE_OF_PORTS("0.9");
	r = tundish(f, "--json doctor --interval 0");
	assert_int_equal(r.exit_code, 5);
	assert_string_equal(f->requests, "GET ports top=1\nGET status\n");
	row = doctor_row(&r, "port_tuple");
	assert_string_equal(json_string_value(json_object_get(row, "verdict")), "warn");
	assert_true(json_is_true(json_object_get(row, "wrong")));
	assert_int_equal(json_integer_value(json_object_get(row, "value")), 90);
	assert_int_equal(json_integer_value(json_object_get(row, "limit")), 100);
	assert_has(json_string_value(json_object_get(row, "sentence")), "90% of the source ports");
	json_decref(row);
	run_done(&r);
	r = tundish(f, "doctor --interval 0");
	assert_int_equal(r.exit_code, 5);
	assert_has(r.text[1],
		   "\nwarn fullest tuple, to 10.0.0.\\x1b2 port 80: 90% of the source ports");
	assert_has(r.text[1], " wrong\n");
	run_done(&r);

	f->json = TUPLE_OF_PORTS("0.1");
	r = tundish(f, "--json doctor --interval 0");
	row = doctor_row(&r, "port_tuple");
	assert_string_equal(json_string_value(json_object_get(row, "verdict")), "ok");
	json_decref(row);
	run_done(&r);
}

/* What it says may be of another version, or nonsense. */
static void test_doctor_without_ports(void **state)
{
	static const char *const answers[] = {
		"[]", "{}", "[7]", "[{\"local_ip\":\"10.0.0.1\"}]",
		"[{\"local_ip\":1,\"remote_ip\":[],\"utilization\":2}]"};
	struct fixture *f = *state;
	struct run r;

	for (size_t i = 0; i < TD_ARRAY_SIZE(answers); i++) {
		f->json = answers[i];
		r = tundish(f, "--json doctor --interval 0");
		assert_true(r.exit_code == 0 || r.exit_code == 5);
		assert_null(doctor_row(&r, "port_tuple"));
		assert_string_equal(r.text[2], "");
		run_done(&r);
	}
	f->requests[0] = '\0';
	r = tundish(f, "doctor --sysctl --connections 1000");
	assert_int_equal(r.exit_code, 0);
	assert_has(r.text[1], "# For 1000 connections");
	assert_string_equal(f->requests, "");
	run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_doctor),
		T(test_doctor_without_ports),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
