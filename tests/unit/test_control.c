// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control socket: requests and what comes back.
 */
#include "control_fixture.h"

/* ---- requests -------------------------------------------------------------- */

static void test_get(void **state)
{
	struct fixture *f = *state;
	struct answer a = ask(f, "GET /v1/backends/web?key=a%3Ab HTTP/1.1\r\nHost: x\r\n\r\n");

	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "{\"hello\":\"backends\",\"n\":2}");
	assert_non_null(strstr(a.bytes, "Content-Type: application/json\r\n"));
	assert_string_equal(f->method, "GET");
	assert_string_equal(f->words, "backends|web");
	assert_string_equal(f->query, "a:b");
	assert_int_equal(f->body_length, 0);
	answer_done(&a);
}

static void test_later(void **state)
{
	static const char later[] =
		"GET /v1/later HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	struct fixture *f = *state;
	struct answer a;
	int fd[3];

	for (size_t i = 0; i < TD_ARRAY_SIZE(fd); i++) {
		fd[i] = dial(f);
		transmit(f, fd[i], later, strlen(later));
		for (unsigned int turns = 0; f->calls <= i && turns < 1000; turns++)
			turn(f, -1, 0);
		assert_int_equal(f->calls, i + 1);
	}
	/* Others are answered meanwhile, and it is not asked again without a reason. */
	for (int i = 0; i < 3; i++) {
		a = ask(f, "GET /v1/other HTTP/1.1\r\nHost: x\r\n\r\n");
		assert_int_equal(a.status, 200);
		answer_done(&a);
	}
	assert_int_equal(f->calls, 6);
	/* In vain, and then not. */
	td_control_resume(f->control);
	assert_int_equal(td_control_wait_ms(f->control), 0);
	for (unsigned int turns = 0; f->calls < 9 && turns < 1000; turns++)
		turn(f, -1, 0);
	assert_int_equal(f->calls, 9);
	assert_true(f->since_ns && f->since_ns / 1000000 <= now_ms());
	f->has_come = true;
	td_control_resume(f->control);
	for (size_t i = 0; i < TD_ARRAY_SIZE(fd); i++) {
		a = receive(f, fd[i], false);
		assert_int_equal(a.status, 200);
		assert_string_equal(a.body, "{\"hello\":\"later\",\"n\":1}");
		answer_done(&a);
		close(fd[i]);
	}
	assert_int_equal(f->calls, 12);
}

/* Whoever waits when the daemon ends, or has gone himself, is in nobody's way. */
static void test_later_never_comes(void **state)
{
	static const char later[] = "GET /v1/later HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *f = *state;
	int gone = dial(f), fd = dial(f);
	char bytes[512];
	ssize_t n;

	transmit(f, gone, later, strlen(later));
	transmit(f, fd, later, strlen(later));
	for (unsigned int turns = 0; f->calls < 2 && turns < 1000; turns++)
		turn(f, -1, 0);
	assert_int_equal(f->calls, 2);
	close(gone);
	f->control = td_control_close(f->control);
	n = read(fd, bytes, sizeof(bytes) - 1);
	assert_true(n > 0);
	bytes[n] = '\0';
	assert_non_null(strstr(bytes, " 503 "));
	close(fd);
}

static void test_head_has_no_body(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);
	struct answer a;

	transmit(f, fd, "HEAD /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 57);
	a = receive(f, fd, true);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "");
	assert_string_equal(f->method, "GET");
	answer_done(&a);
	close(fd);
}

static void test_post_body(void **state)
{
	struct fixture *f = *state;
	struct answer a = ask(f, "POST /v1/backends/web/web1/weight HTTP/1.1\r\nHost: x\r\n"
				 "Content-Length: 13\r\n\r\n{\"weight\": 5}");

	assert_int_equal(a.status, 200);
	assert_string_equal(f->method, "POST");
	assert_string_equal(f->words, "backends|web|web1|weight");
	assert_string_equal(f->body, "{\"weight\": 5}");
	assert_int_equal(f->body_length, 13);
	answer_done(&a);
}

static void test_pipelined_and_kept_alive(void **state)
{
	static const char two[] = "GET /v1/one HTTP/1.1\r\nHost: x\r\n\r\n"
				  "GET /v1/two HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	struct fixture *f = *state;
	int fd = dial(f);
	struct answer a;

	transmit(f, fd, two, strlen(two));
	a = receive(f, fd, true);
	assert_non_null(strstr(a.bytes, "{\"hello\":\"one\""));
	assert_non_null(strstr(a.bytes, "{\"hello\":\"two\""));
	assert_int_equal(f->calls, 2);
	answer_done(&a);
	close(fd);
}

static void test_percent_encoding(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask_status(f, "GET /v1/backends/web%2Fweb1?key=x%26y%3dz+%2B"), 200);
	assert_string_equal(f->words, "backends|web/web1");
	assert_string_equal(f->query, "x&y=z +");
	assert_int_equal(ask_status(f, "GET /v1/a%C3%A9+b?other=1"), 200);
	assert_string_equal(f->words, "a\xc3\xa9+b");
	assert_string_equal(f->query, "(none)");
	assert_int_equal(ask_status(f, "GET /v1/status?key"), 200);
	assert_string_equal(f->query, "");

	f->calls = 0;
	assert_int_equal(ask_status(f, "GET /v1/web%00x"), 400);
	assert_int_equal(ask_status(f, "GET /v1/unload%00"), 400);
	assert_int_equal(ask_status(f, "GET /v1/x?key=%00"), 400);
	assert_int_equal(ask_status(f, "GET /v1/x%"), 400);
	assert_int_equal(ask_status(f, "GET /v1/x%4"), 400);
	assert_int_equal(ask_status(f, "GET /v1/x%zz"), 400);
	assert_int_equal(ask_status(f, "GET /v1/x%ff"), 400);
	assert_int_equal(ask_status(f, "GET /v1/x?key=%c3"), 400);
	assert_int_equal(ask_status(f, "GET /v1/x?%c3=1"), 400);
	assert_int_equal(f->calls, 0);
}

static void test_paths_and_methods(void **state)
{
	struct fixture *f = *state;
	struct answer a;

	assert_int_equal(ask_status(f, "GET /v1/a/b/c/d/e/f"), 200);
	assert_string_equal(f->words, "a|b|c|d|e|f");
	assert_int_equal(ask_status(f, "GET /v1/status/"), 200);
	f->calls = 0;
	assert_int_equal(ask_status(f, "GET /"), 404);
	assert_int_equal(ask_status(f, "GET /v1"), 404);
	assert_int_equal(ask_status(f, "GET /v1/"), 404);
	assert_int_equal(ask_status(f, "GET /metrics"), 404);
	assert_int_equal(ask_status(f, "GET /v2/status"), 404);
	assert_int_equal(ask_status(f, "GET /v1//status"), 404);
	assert_int_equal(ask_status(f, "GET /v1/a/b/c/d/e/f/g"), 404);
	assert_int_equal(ask_status(f, "GET v1/status"), 400);
	assert_int_equal(ask_status(f, "GET /v1/x?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17"), 400);
	assert_int_equal(ask_status(f, "DELETE /v1/status"), 405);
	a = ask(f, "PUT /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nxx");
	assert_int_equal(a.status, 405);
	assert_non_null(strstr(a.bytes, "Allow: GET, HEAD, POST\r\n"));
	answer_done(&a);
	assert_int_equal(f->calls, 0);
}

static void test_error_reply(void **state)
{
	struct fixture *f = *state;
	struct answer a = ask(f, "GET /v1/fail HTTP/1.1\r\nHost: x\r\n\r\n");
	json_t *j = json_loads(a.body, 0, NULL);

	assert_int_equal(a.status, 404);
	assert_string_equal(json_string_value(json_object_get(j, "error")),
			    "no service \"web\" ?\x01");
	assert_int_equal(json_integer_value(json_object_get(j, "exit")), 4);
	json_decref(j);
	answer_done(&a);
}

static void test_large_reply(void **state)
{
	struct fixture *f = *state;
	struct answer a;

	f->reply_bytes = 20 << 20;
	a = ask(f, "GET /v1/big HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(a.status, 200);
	assert_int_equal(strlen(a.body), f->reply_bytes);
	assert_non_null(strstr(a.bytes, "Content-Type: text/plain; charset=utf-8\r\n"));
	answer_done(&a);
}

/* ---- bodies ------------------------------------------------------------------ */

/* POSTs `length` bytes, declared or in chunks; returns the status, 0: cut. */
static int post(struct fixture *f, size_t length, bool chunked)
{
	_cleanup_free_ char *bytes = calloc(1, 4096);
	char head[160];
	struct answer a;
	bool ok = true;
	int fd = dial(f), status;

	memset(bytes, 'y', 4096);
	if (chunked)
		snprintf(head, sizeof(head),
			 "POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	else
		snprintf(head, sizeof(head),
			 "POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", length);
	ok = transmit(f, fd, head, strlen(head));
	for (size_t n; ok && length > 0; length -= n) {
		n = TD_MIN(length, 4096u);
		if (chunked) {
			snprintf(head, sizeof(head), "%zx\r\n", n);
			ok = transmit(f, fd, head, strlen(head));
		}
		ok = ok && transmit(f, fd, bytes, n);
		if (chunked)
			ok = ok && transmit(f, fd, "\r\n", 2);
	}
	if (chunked && ok)
		transmit(f, fd, "0\r\n\r\n", 5);
	a = receive(f, fd, false);
	status = a.status;
	answer_done(&a);
	close(fd);
	return status;
}

static void test_body_limit(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(post(f, small.body_bytes, false), 200);
	assert_int_equal(f->body_length, small.body_bytes);
	assert_int_equal(post(f, small.body_bytes, true), 200);
	assert_int_equal(f->body_length, small.body_bytes);
	f->calls = 0;
	assert_int_equal(post(f, small.body_bytes + 1, false), 413);
	assert_int_equal(post(f, small.body_bytes + 1, true), 413);
	assert_int_equal(post(f, 100 << 20, false), 413);
	assert_int_equal(post(f, 100 << 20, true), 0); /* not heard out */
	assert_int_equal(f->calls, 0);
	assert_serves(f);
}

static void test_body_limit_of_all(void **state)
{
	static const char head[] =
		"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n";
	struct fixture *f = *state;
	char half[65535];
	int fd = dial(f);

	memset(half, 'z', sizeof(half));
	transmit(f, fd, head, strlen(head));
	transmit(f, fd, half, sizeof(half));
	turn(f, -1, 0);
	assert_int_equal(post(f, small.body_bytes, false), 503);
	close(fd);
	/* what the first held is free once the server saw it go */
	for (int i = 0; i < 20; i++)
		turn(f, -1, 0);
	assert_int_equal(post(f, small.body_bytes, false), 200);
}

/* ---- targets, without a socket -------------------------------------------------- */

static void test_uri(void **state)
{
	struct td_uri t = {.n_words = 77};
	unsigned int seed = 7;
	char noise[64];

	assert_int_equal(td_uri_parse("*", &t), -EINVAL);
	assert_int_equal(td_uri_parse("", &t), -EINVAL);
	assert_int_equal(t.n_words, 77); /* untouched on failure */
	assert_int_equal(td_uri_parse("/", &t), 0);
	assert_int_equal(t.n_words, 0);
	td_uri_done(&t);
	assert_int_equal(td_uri_parse("/v1/a%2fb/?x=1&&y==2&x=3", &t), 0);
	assert_int_equal(t.n_words, 2);
	assert_string_equal(t.word[1], "a/b");
	assert_string_equal(td_uri_query(&t, "x"), "1");
	assert_string_equal(td_uri_query(&t, "y"), "=2");
	assert_null(td_uri_query(&t, "z"));
	td_uri_done(&t);

	for (int round = 0; round < 20000; round++) {
		static const char alphabet[] = "/%%?&=+0aF\xc3\xa9\x80v1";
		size_t n = rand_r(&seed) % (sizeof(noise) - 2);

		noise[0] = '/';
		for (size_t i = 1; i <= n; i++)
			noise[i] = alphabet[rand_r(&seed) % (sizeof(alphabet) - 1)];
		noise[n + 1] = '\0';
		if (td_uri_parse(noise, &t) == 0) {
			for (size_t i = 0; i < t.n_words; i++)
				assert_true(t.word[i][0] != '\0');
			td_uri_done(&t);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_get),
		T(test_later),
		T(test_later_never_comes),
		T(test_head_has_no_body),
		T(test_post_body),
		T(test_pipelined_and_kept_alive),
		T(test_percent_encoding),
		T(test_paths_and_methods),
		T(test_error_reply),
		T(test_large_reply),
		T(test_body_limit),
		T(test_body_limit_of_all),
		cmocka_unit_test(test_uri),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
