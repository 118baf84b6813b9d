// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control transport over real sockets, with a handler that answers from
 * what it was asked. One thread: each wait is a loop that lets the server run
 * and looks at the client's descriptor, with a bound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "control/private.h"

#define WAIT_MS 10000

/* ---- the fixture ---------------------------------------------------------- */

struct fixture {
	char directory[64], path[96];
	struct td_control *control;
	/* what the handler saw last */
	unsigned int calls;
	char method[8], words[256], body[64], query[256];
	size_t body_length;
	size_t reply_bytes; /* for /v1/big */
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void handler(void *context, const struct td_request *r, struct td_reply *reply)
{
	struct fixture *f = context;
	const char *value = r->query(r, "key");

	f->calls++;
	snprintf(f->method, sizeof(f->method), "%s", r->method);
	f->words[0] = '\0';
	for (size_t i = 0; i < r->n_words; i++) {
		if (i)
			strcat(f->words, "|");
		strncat(f->words, r->word[i], 40);
	}
	snprintf(f->query, sizeof(f->query), "%s", value ? value : "(none)");
	snprintf(f->body, sizeof(f->body), "%s", r->body);
	f->body_length = r->body_length;

	if (strcmp(r->word[0], "metrics") == 0) {
		reply->text = strdup("tundish_x 1\n# EOF\n");
		reply->content_type = "application/openmetrics-text";
	} else if (strcmp(r->word[0], "big") == 0) {
		reply->text = malloc(f->reply_bytes + 1);
		memset(reply->text, 'x', f->reply_bytes);
		reply->text[f->reply_bytes] = '\0';
	} else if (strcmp(r->word[0], "fail") == 0) {
		td_reply_error(reply, 404, 4, "no service \"%s\" \xff\x01", "web");
	} else {
		reply->json = json_pack("{s:s, s:i}", "hello", r->word[0], "n", (int)r->n_words);
	}
}

static const struct td_control_limits small = {
	.connections = 4,
	.idle_s = 1,
	.request_ms = 900,
	.head_bytes = 8 << 10,
	.body_bytes = 64 << 10,
	.bodies_bytes = 100 << 10,
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct td_error error = {0};

	strcpy(f->directory, "/tmp/tundish-test-control-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/run/c.sock", f->directory);
	assert_int_equal(
		td_control_open_limited(f->path, NULL, &small, handler, f, &f->control, &error), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char run[96];

	td_control_close(f->control);
	assert_int_not_equal(access(f->path, F_OK), 0);
	snprintf(run, sizeof(run), "%s/run", f->directory);
	rmdir(run);
	assert_int_equal(rmdir(f->directory), 0); /* nothing was left there */
	free(f);
	return 0;
}

static int dial(const struct fixture *f)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", f->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static int dial_tcp(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r = connect(fd, (struct sockaddr *)&a, sizeof(a));
	if (r < 0) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* One turn of an event loop as the daemon's: waits for the server's descriptor
 * or the client's, no longer than the server says. */
static void turn(struct fixture *f, int fd, short events)
{
	struct pollfd p[2] = {
		{.fd = td_control_fd(f->control), .events = POLLIN},
		{.fd = fd, .events = events},
	};
	int wait = td_control_wait_ms(f->control);

	poll(p, fd >= 0 ? 2 : 1, wait < 0 || wait > 20 ? 20 : wait);
	td_control_run(f->control);
}

struct answer {
	char *bytes;
	size_t length;
	bool closed;
	int status;
	const char *body;
};

static void answer_done(struct answer *a)
{
	free(a->bytes);
	*a = (struct answer){0};
}

static bool complete(struct answer *a)
{
	const char *end, *length;

	if (!a->bytes || !(end = strstr(a->bytes, "\r\n\r\n")))
		return false;
	a->status = atoi(a->bytes + 9);
	a->body = end + 4;
	length = strcasestr(a->bytes, "\r\nContent-Length: ");
	return length && length < end &&
	       a->length >= (size_t)(a->body - a->bytes) + strtoul(length + 18, NULL, 10);
}

/* Reads until the answer is whole, or (where `to_end`) the connection ends. */
static struct answer receive(struct fixture *f, int fd, bool to_end)
{
	uint64_t end = now_ms() + WAIT_MS;
	struct answer a = {0};
	size_t room = 0;
	ssize_t n;

	while (now_ms() < end) {
		if (room - a.length < 65536) {
			room = room ? room * 2 : 1 << 17;
			a.bytes = realloc(a.bytes, room);
		}
		n = recv(fd, a.bytes + a.length, room - a.length - 1, 0);
		if (n > 0)
			a.length += n;
		a.bytes[a.length] = '\0';
		if (n == 0 || (n < 0 && errno != EAGAIN)) {
			a.closed = true;
			complete(&a);
			return a;
		}
		if (complete(&a) && !to_end)
			return a;
		if (n < 0)
			turn(f, fd, POLLIN);
	}
	fail_msg("no answer in time, have: %.200s", a.bytes);
	return a;
}

/* False where the server ended the connection meanwhile. */
static bool transmit(struct fixture *f, int fd, const char *bytes, size_t length)
{
	uint64_t end = now_ms() + WAIT_MS;
	ssize_t n;

	while (length > 0) {
		assert_true(now_ms() < end);
		n = send(fd, bytes, length, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0) {
			bytes += n;
			length -= n;
		} else {
			turn(f, fd, POLLOUT);
		}
	}
	return true;
}

static struct answer ask(struct fixture *f, const char *request)
{
	int fd = dial(f);
	struct answer a;

	transmit(f, fd, request, strlen(request));
	a = receive(f, fd, false);
	close(fd);
	return a;
}

static int ask_status(struct fixture *f, const char *line)
{
	char request[4096];
	struct answer a;
	int status;

	snprintf(request, sizeof(request), "%s HTTP/1.1\r\nHost: x\r\n\r\n", line);
	a = ask(f, request);
	status = a.status;
	if (status >= 400) { /* each error is a sentence and an exit status */
		json_t *j = json_loads(a.body, 0, NULL);

		assert_true(json_is_string(json_object_get(j, "error")));
		assert_true(json_is_integer(json_object_get(j, "exit")));
		json_decref(j);
	}
	answer_done(&a);
	return status;
}

static void assert_serves(struct fixture *f)
{
	assert_int_equal(ask_status(f, "GET /v1/status"), 200);
}

static void assert_ends(struct fixture *f, int fd)
{
	struct answer a = receive(f, fd, true);

	assert_true(a.closed);
	answer_done(&a);
	close(fd);
}

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

/* ---- hostile clients ----------------------------------------------------------- */

static void test_garbage(void **state)
{
	static const char *const garbage[] = {
		"asdf\r\n\r\n",
		"\r\n\r\n\r\n\r\n",
		"GET\r\n\r\n",
		"GET /v1/status\r\n\r\n",
		"GET /v1/status HTTP/9.9\r\nHost: x\r\n\r\n",
		"GET /v1/status HTTP/1.1\r\n: x\r\nHost x\r\n\r\n",
		"GET /v1/status HTTP/1.1\r\n\r\n",
		"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
		"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"\x80\xff\xfe\n\n",
	};
	struct fixture *f = *state;
	unsigned int seed = 1;
	char noise[3000];
	struct answer a;

	for (size_t i = 0; i < TD_ARRAY_SIZE(garbage); i++) {
		int fd = dial(f);

		f->calls = 0;
		transmit(f, fd, garbage[i], strlen(garbage[i]));
		shutdown(fd, SHUT_WR);
		a = receive(f, fd, true);
		assert_true(a.closed);
		if (a.length > 0)
			assert_true(a.status >= 400);
		assert_int_equal(f->calls, 0);
		answer_done(&a);
		close(fd);
		assert_serves(f);
	}
	for (int round = 0; round < 50; round++) {
		int fd = dial(f);

		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = rand_r(&seed);
		transmit(f, fd, noise, sizeof(noise));
		shutdown(fd, SHUT_WR);
		assert_ends(f, fd);
	}
	assert_serves(f);
}

static void test_half_request_then_gone(void **state)
{
	static const char request[] =
		"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n0123456789";
	struct fixture *f = *state;

	/* at every length, so in every state of the parser */
	for (size_t n = 0; n < strlen(request); n++) {
		int fd = dial(f);

		transmit(f, fd, request, n);
		td_control_run(f->control);
		close(fd);
		td_control_run(f->control);
	}
	assert_int_equal(f->calls, 0);
	assert_serves(f);
}

static void test_half_request_and_silence(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	transmit(f, fd, "GET /v1/sta", 11);
	assert_ends(f, fd);
	assert_int_equal(f->calls, 0);
	assert_serves(f);
}

static void test_silence(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	assert_ends(f, fd);
	assert_serves(f);
}

static void test_slow_client(void **state)
{
	struct fixture *f = *state;
	uint64_t start = now_ms();
	int fd = dial(f);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t sent = 0;

	/* never silent for as long as the idle limit, and never done */
	transmit(f, fd, "GET /v1/status HTTP/1.1\r\nX: ", 28);
	for (;;) {
		assert_true(now_ms() - start < WAIT_MS);
		if (send(fd, "x", 1, MSG_NOSIGNAL) < 0)
			break;
		sent++;
		turn(f, -1, 0);
		if (poll(&p, 1, 20) > 0) /* the pace of a slow client */
			break;
	}
	assert_true(sent > 3);
	assert_true(now_ms() - start >= small.request_ms);
	close(fd);
	assert_serves(f);
}

static void test_huge_head(void **state)
{
	struct fixture *f = *state;
	char *request = malloc(200000);
	struct answer a;
	int fd;

	strcpy(request, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ");
	memset(request + strlen(request), 'h', 100000);
	strcpy(request + 100000, "\r\n\r\n");
	fd = dial(f);
	transmit(f, fd, request, strlen(request));
	a = receive(f, fd, true);
	assert_true(a.length == 0 || a.status == 431 || a.status == 413);
	answer_done(&a);
	close(fd);

	strcpy(request, "GET /v1/");
	memset(request + 8, 'u', 100000);
	strcpy(request + 100000, " HTTP/1.1\r\nHost: x\r\n\r\n");
	fd = dial(f);
	transmit(f, fd, request, strlen(request));
	a = receive(f, fd, true);
	assert_true(a.length == 0 || a.status == 414 || a.status == 431);
	answer_done(&a);
	close(fd);
	free(request);
	assert_int_equal(f->calls, 0);
	assert_serves(f);
}

static void test_too_many_connections(void **state)
{
	static const char request[] = "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *f = *state;
	struct answer a;
	int idle[8], fd;

	for (size_t i = 0; i < TD_ARRAY_SIZE(idle); i++)
		idle[i] = dial(f);
	turn(f, -1, 0);
	fd = dial(f);
	transmit(f, fd, request, strlen(request));
	for (int i = 0; i < 5; i++)
		td_control_run(f->control);
	assert_int_equal(f->calls, 0); /* waits behind the limit */
	a = receive(f, fd, false);     /* until the idle ones are ended */
	assert_int_equal(a.status, 200);
	answer_done(&a);
	close(fd);
	for (size_t i = 0; i < TD_ARRAY_SIZE(idle); i++)
		close(idle[i]);
}

static void test_client_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	f->reply_bytes = 20 << 20;
	transmit(f, fd, "GET /v1/big HTTP/1.1\r\nHost: x\r\n\r\n", 34);
	for (uint64_t end = now_ms() + WAIT_MS; f->calls == 0;) {
		assert_true(now_ms() < end);
		turn(f, -1, 0);
	}
	assert_serves(f); /* nobody waits for it */
	for (uint64_t end = now_ms() + WAIT_MS; td_control_wait_ms(f->control) >= 0;) {
		assert_true(now_ms() < end); /* it is ended in time, unread */
		turn(f, -1, 0);
	}
	close(fd);
}

static void test_event_loop(void **state)
{
	struct fixture *f = *state;
	struct pollfd p = {.fd = td_control_fd(f->control), .events = POLLIN};
	struct answer a;
	int fd;

	assert_int_equal(td_control_wait_ms(f->control), -1);
	assert_int_equal(poll(&p, 1, 0), 0);
	fd = dial(f);
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	transmit(f, fd, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", 37);
	a = receive(f, fd, false);
	answer_done(&a);
	/* an idle connection: nothing to do now, but a time to look again */
	td_control_run(f->control);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_true(td_control_wait_ms(f->control) > 0);
	assert_true(td_control_wait_ms(f->control) <= 1100);
	close(fd);
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	td_control_run(f->control);
	assert_int_equal(td_control_wait_ms(f->control), -1);
}

static void test_close_sends_the_last_answer(void **state)
{
	struct fixture *f = *state;
	struct pollfd p = {.fd = td_control_fd(f->control), .events = POLLIN};
	int fd = dial(f), other, status;
	char bytes[4096];
	ssize_t n, all = 0;
	pid_t reader;

	f->reply_bytes = 1 << 20; /* more than a socket holds */
	transmit(f, fd, "GET /v1/big HTTP/1.1\r\nHost: x\r\n\r\n", 34);
	for (uint64_t end = now_ms() + WAIT_MS; f->calls == 0;) {
		assert_true(now_ms() < end);
		poll(&p, 1, 20);
		td_control_run(f->control);
	}
	reader = fork();
	if (reader == 0) {
		fcntl(fd, F_SETFL, 0);
		while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
			all += n;
		_exit(all > 1 << 20 ? 0 : 1);
	}
	other = dial(f); /* somebody silent does not hold it up */
	f->control = td_control_close(f->control);
	assert_int_equal(waitpid(reader, &status, 0), reader);
	assert_int_equal(status, 0);
	close(fd);
	close(other);
}

/* ---- the socket's file --------------------------------------------------------- */

static void test_socket_mode_and_parents(void **state)
{
	char directory[] = "/tmp/tundish-test-control-XXXXXX", path[128];
	struct td_error error = {0};
	struct td_control *c = NULL;
	struct stat st;
	mode_t mask;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/a/b/c.sock", directory);
	mask = umask(077);
	assert_int_equal(td_control_open(path, "", handler, NULL, &c, &error), 0);
	umask(mask);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	c = td_control_close(c);
	assert_int_not_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/a/b", directory);
	assert_int_equal(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/a", directory);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void test_live_socket_is_refused(void **state)
{
	struct fixture *f = *state;
	struct td_error error = {0};
	struct td_control *other = NULL;

	assert_int_equal(td_control_open(f->path, NULL, handler, NULL, &other, &error),
			 -EADDRINUSE);
	assert_null(other);
	assert_non_null(strstr(error.text, f->path));
	assert_non_null(strstr(error.text, "another daemon"));
	assert_serves(f);
}

static void test_stale_socket_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct td_error error = {0};
	int fd;

	f->control = td_control_close(f->control);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", f->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd); /* as a killed daemon leaves it */
	assert_int_equal(access(f->path, F_OK), 0);
	assert_int_equal(
		td_control_open_limited(f->path, NULL, &small, handler, f, &f->control, &error), 0);
	assert_serves(f);
}

static void test_other_files_are_left_alone(void **state)
{
	struct fixture *f = *state;
	struct td_error error = {0};
	struct td_control *other = NULL;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char path[160], link[100], longer[200];
	int fd;

	snprintf(path, sizeof(path), "%s/plain", f->directory);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(td_control_open(path, NULL, handler, NULL, &other, &error), -EEXIST);
	assert_non_null(strstr(error.text, path));
	assert_int_equal(access(path, F_OK), 0);

	snprintf(link, sizeof(link), "%s/link", f->directory);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(td_control_open(link, NULL, handler, NULL, &other, &error), -EEXIST);
	assert_int_equal(unlink(link), 0);
	snprintf(link, sizeof(link), "%s/datagrams", f->directory); /* somebody's, alive */
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", link);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(td_control_open(link, NULL, handler, NULL, &other, &error), -EPROTOTYPE);
	assert_int_equal(unlink(link), 0);
	close(fd);
	snprintf(link, sizeof(link), "%s/plain/c.sock", f->directory);
	assert_int_equal(td_control_open(link, NULL, handler, NULL, &other, &error), -ENOTDIR);
	assert_int_equal(unlink(path), 0);

	memset(longer, 'l', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(td_control_open(longer, NULL, handler, NULL, &other, &error),
			 -ENAMETOOLONG);
	assert_int_equal(td_control_open("", NULL, handler, NULL, &other, &error), -ENAMETOOLONG);
	assert_null(other);
}

static void test_close_leaves_a_successors_socket(void **state)
{
	struct fixture *f = *state;
	struct td_error error = {0};
	struct td_control *next = NULL;

	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(td_control_open_limited(f->path, NULL, &small, handler, f, &next, &error),
			 0);
	td_control_close(f->control);
	f->control = next;
	assert_serves(f);
}

/* ---- metrics -------------------------------------------------------------------- */

static struct answer scrape(struct fixture *f, uint16_t port, const char *line)
{
	char request[256];
	struct answer a;
	int fd = dial_tcp(port);

	assert_true(fd >= 0);
	snprintf(request, sizeof(request), "%s HTTP/1.1\r\nHost: x\r\n\r\n", line);
	transmit(f, fd, request, strlen(request));
	a = receive(f, fd, false);
	close(fd);
	return a;
}

static int scrape_status(struct fixture *f, uint16_t port, const char *line)
{
	struct answer a = scrape(f, port, line);
	int status = a.status;

	answer_done(&a);
	return status;
}

/* A port that was free a moment ago, with its text. */
static uint16_t free_port(char *text, size_t size, const char *host)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t length = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	getsockname(fd, (struct sockaddr *)&a, &length);
	close(fd);
	snprintf(text, size, "%s:%u", host, ntohs(a.sin_port));
	return ntohs(a.sin_port);
}

static void test_metrics(void **state)
{
	struct fixture *f = *state;
	struct td_error error = {0};
	char address[64];
	uint16_t port = free_port(address, sizeof(address), "127.0.0.1");
	struct answer a;

	assert_int_equal(td_control_set_metrics(f->control, address, &error), 0);
	a = scrape(f, port, "GET /metrics");
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "tundish_x 1\n# EOF\n");
	assert_non_null(strstr(a.bytes, "Content-Type: application/openmetrics-text\r\n"));
	assert_string_equal(f->words, "metrics");
	answer_done(&a);

	f->calls = 0;
	assert_int_equal(scrape_status(f, port, "GET /"), 404);
	assert_int_equal(scrape_status(f, port, "GET /v1/status"), 404);
	assert_int_equal(scrape_status(f, port, "GET /metrics/x"), 404);
	assert_int_equal(scrape_status(f, port, "POST /metrics"), 405);
	assert_int_equal(scrape_status(f, port, "POST /v1/unload"), 405);
	assert_int_equal(f->calls, 0);
	assert_serves(f);
}

static void test_metrics_move(void **state)
{
	struct fixture *f = *state;
	struct td_error error = {0};
	char first[64], second[64], wide[64];
	uint16_t port = free_port(first, sizeof(first), "127.0.0.1"), other;
	int fd;

	assert_int_equal(td_control_set_metrics(f->control, first, &error), 0);
	assert_int_equal(td_control_set_metrics(f->control, first, &error), 0);
	other = free_port(second, sizeof(second), "127.0.0.1");
	assert_int_equal(td_control_set_metrics(f->control, second, &error), 0);
	assert_int_equal(dial_tcp(port), -1);
	assert_int_equal(scrape_status(f, other, "GET /metrics"), 200);

	/* the same port, wider: our own listener is in the way */
	snprintf(wide, sizeof(wide), "0.0.0.0:%u", other);
	assert_int_equal(td_control_set_metrics(f->control, wide, &error), 0);
	assert_int_equal(scrape_status(f, other, "GET /metrics"), 200);

	/* what cannot be had changes nothing */
	assert_int_equal(td_control_set_metrics(f->control, "192.0.2.1:9", &error), -EADDRNOTAVAIL);
	assert_int_equal(td_control_set_metrics(f->control, "localhost:80", &error), -EINVAL);
	assert_int_equal(td_control_set_metrics(f->control, "127.0.0.1:65536", &error), -EINVAL);
	assert_int_equal(td_control_set_metrics(f->control, "127.0.0.1", &error), -EINVAL);
	assert_int_equal(td_control_set_metrics(f->control, "::1:80", &error), -EINVAL);
	assert_int_equal(td_control_set_metrics(f->control, "127.0.0.1:", &error), -EINVAL);
	assert_non_null(strstr(error.text, "ADDR:PORT"));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	{
		struct sockaddr_in a = {.sin_family = AF_INET};
		socklen_t length = sizeof(a);

		a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
		listen(fd, 1);
		getsockname(fd, (struct sockaddr *)&a, &length);
		snprintf(first, sizeof(first), "127.0.0.1:%u", ntohs(a.sin_port));
	}
	assert_int_equal(td_control_set_metrics(f->control, first, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, first));
	close(fd);
	assert_int_equal(scrape_status(f, other, "GET /metrics"), 200);

	assert_int_equal(td_control_set_metrics(f->control, "", &error), 0);
	assert_int_equal(dial_tcp(other), -1);
	assert_serves(f);
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
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_get),
		T(test_head_has_no_body),
		T(test_post_body),
		T(test_pipelined_and_kept_alive),
		T(test_percent_encoding),
		T(test_paths_and_methods),
		T(test_error_reply),
		T(test_large_reply),
		T(test_body_limit),
		T(test_body_limit_of_all),
		T(test_garbage),
		T(test_half_request_then_gone),
		T(test_half_request_and_silence),
		T(test_silence),
		T(test_slow_client),
		T(test_huge_head),
		T(test_too_many_connections),
		T(test_client_that_does_not_read),
		T(test_event_loop),
		T(test_close_sends_the_last_answer),
		cmocka_unit_test(test_socket_mode_and_parents),
		T(test_live_socket_is_refused),
		T(test_stale_socket_is_replaced),
		T(test_other_files_are_left_alone),
		T(test_close_leaves_a_successors_socket),
		T(test_metrics),
		T(test_metrics_move),
		cmocka_unit_test(test_uri),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
