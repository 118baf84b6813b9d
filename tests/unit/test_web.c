// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is heard on the metrics address: by path, method, Host, Origin and X-Tundish; and what
 * such an answer tells browsers.
 */
#include "control_fixture.h"

struct row {
	const char *method, *path, *host, *origin, *mark;
	unsigned int status; /* 0: it goes to the handler */
};

static unsigned int status_of(const struct row *r, bool repeated, const char *own_name)
{
	struct td_reply reply = {0};
	struct td_uri uri = {0};
	struct td_web w = {r->method, &uri, r->host, r->origin, r->mark, repeated, own_name};
	unsigned int status;
	bool allowed;

	assert_int_equal(td_uri_parse(r->path, &uri), 0);
	allowed = td_web_allows(&w, &reply);
	status = reply.status;
	assert_int_equal(allowed, status == 0);
	assert_int_equal(allowed, reply.json == NULL);
	td_reply_done(&reply);
	td_uri_done(&uri);
	return status;
}

static void check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned int status = status_of(&rows[i], false, "edge1.example.net");

		if (status != rows[i].status)
			fail_msg("%s %s Host %s Origin %s X-Tundish %s: %u and not %u",
				 rows[i].method, rows[i].path, rows[i].host ?: "-",
				 rows[i].origin ?: "-", rows[i].mark ?: "-", status,
				 rows[i].status);
	}
}

static void test_paths(void **state)
{
	static const struct row rows[] = {
		{"GET", "/", "evil.example", NULL, NULL,
		 0}, /* the page says nothing of this host */
		{"GET", "/metrics", "evil.example", NULL, NULL, 0},
		{"GET", "/metrics", NULL, NULL, NULL, 0},
		{"POST", "/", "localhost", NULL, "1", 405},
		{"POST", "/metrics", "localhost", NULL, "1", 405},
		{"GET", "/metrics/x", "localhost", NULL, NULL, 404},
		{"GET", "/v1", "localhost", NULL, NULL, 404},
		{"GET", "/v2/status", "localhost", NULL, NULL, 404},
		{"GET", "/index.html", "localhost", NULL, NULL, 404},
		{"GET", "/v1/status", "localhost", NULL, NULL, 0},
	};

	check(rows, TD_ARRAY_SIZE(rows));
}

static void test_hosts(void **state)
{
	static const struct {
		const char *host;
		bool good;
	} hosts[] = {
		{"127.0.0.1", true},
		{"127.0.0.1:9799", true},
		{"10.0.0.1:80", true},
		{"[::1]", true},
		{"[2001:db8::1]:9799", true},
		{"localhost", true},
		{"LocalHost:9799", true},
		{"edge1.example.net", true},
		{"EDGE1.example.net:9799", true},
		{"edge1:9799", true},
		{NULL, false},
		{"", false},
		{":9799", false},
		{"evil.example", false},
		{"127.0.0.1.evil.example", false},
		{"localhost.evil.example", false},
		{"edge1.evil.example", false},
		{"edge1.example.net.evil.example", false},
		{"edge", false},
		{"edge1.", false},
		{"evil.example:127.0.0.1", false},
		{"127.0.0.1:x", false},
		{"127.0.0.1:80:80", false},
		{"127.0.0.1@evil.example", false},
		{"evil.example\t127.0.0.1", false},
		{"[::1", false},
		{"[::1]x", false},
		{"[]", false},
		{"[evil.example]", false},
		{"[127.0.0.1]", false},
		{"::1", false},
		{"0x7f000001", false},
		{"2130706433", false},
		{"127.1", false},
	};
	char long_name[400];

	for (size_t i = 0; i < TD_ARRAY_SIZE(hosts); i++) {
		struct row r = {"GET", "/v1/status", hosts[i].host, NULL, NULL, 0};

		if ((status_of(&r, false, "edge1.example.net") == 0) != hosts[i].good)
			fail_msg("Host %s", hosts[i].host ?: "-");
	}
	memset(long_name, '1', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(
		status_of(&(struct row){"GET", "/v1/status", long_name, NULL, NULL, 0}, false, ""),
		403);
	assert_int_equal(
		status_of(&(struct row){"GET", "/v1/status", "127.0.0.1", NULL, NULL, 0}, true, ""),
		400);
	assert_int_equal(
		status_of(&(struct row){"GET", "/v1/status", ".x", NULL, NULL, 0}, false, ".x.y"),
		403);
}

static void test_changes(void **state)
{
#define AT "POST", "/v1/backends/web/b1/drain"
	static const struct row rows[] = {
		{AT, "127.0.0.1:9799", NULL, "1", 0}, /* curl */
		{AT, "127.0.0.1:9799", "http://127.0.0.1:9799", "1", 0},
		{AT, "edge1", "https://EDGE1", "1", 0},
		{AT, "127.0.0.1:9799", "http://127.0.0.1:9799", NULL, 403}, /* a form */
		{AT, "127.0.0.1:9799", NULL, NULL, 403},
		{AT, "127.0.0.1:9799", NULL, "0", 403},
		{AT, "127.0.0.1:9799", "http://evil.example", "1", 403},
		{AT, "127.0.0.1:9799", "null", "1", 403},
		{AT, "127.0.0.1:9799", "", "1", 403},
		{AT, "127.0.0.1:9799", "http://127.0.0.1", "1", 403}, /* another port */
		{AT, "127.0.0.1:9799", "http://127.0.0.1:9799.evil.example", "1", 403},
		{AT, "127.0.0.1:9799", "file://127.0.0.1:9799", "1", 403},
		{AT, "evil.example", "http://evil.example", "1", 403}, /* rebound */
		{"GET", "/v1/status", "127.0.0.1", "http://evil.example", NULL, 403},
	};

	check(rows, TD_ARRAY_SIZE(rows));
}

/* All there is told not to guess, not to be framed, not to be kept. */
static void test_headers(void **state)
{
	static const char *const lines[] = {
		"\r\nX-Content-Type-Options: nosniff\r\n",
		"\r\nReferrer-Policy: no-referrer\r\n",
		"\r\nContent-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n",
		"\r\nCache-Control: no-store\r\n",
	};
	struct fixture *f = *state;
	struct td_error e = {0};
	uint16_t port = 22279;
	char address[32];
	struct answer a;
	int fd;

	do
		snprintf(address, sizeof(address), "127.0.0.1:%u", ++port);
	while (td_control_set_metrics(f->control, address, &e) == -EADDRINUSE && port < 22400);
	fd = dial_tcp(port);
	transmit(f, fd, "GET /v1/status HTTP/1.1\r\nHost: [::1]\r\n\r\n", 43);
	a = receive(f, fd, false);
	assert_int_equal(a.status, 200);
	assert_string_equal(f->words, "status");
	assert_int_equal(f->peer, (uid_t)-1);
	for (size_t i = 0; i < TD_ARRAY_SIZE(lines); i++)
		assert_non_null(strstr(a.bytes, lines[i]));
	assert_null(strstr(a.bytes, "Access-Control"));
	answer_done(&a);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_changes),
		T(test_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
