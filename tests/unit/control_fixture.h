/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control transport over real sockets, with a handler that answers from
 * what it was asked. One thread: each wait is a loop that lets the server run
 * and looks at the client's descriptor, with a bound.
 */
#ifndef CONTROL_FIXTURE_H
#define CONTROL_FIXTURE_H

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
	bool has_come;	    /* what /v1/later waits for */
	uint64_t since_ns;
	uid_t peer; /* (uid_t)-1: nobody is known */
	char accept[64];
	/* of /v1/stream, and of all that there were */
	size_t stream_bytes;
	unsigned int streams, ended;
	bool waits, breaks; /* before each piece, until has_come; after some */
};

struct stream {
	struct fixture *f;
	size_t at;
};

static inline ssize_t stream_more(void *context, char *buffer, size_t size)
{
	struct stream *s = context;
	size_t n = TD_MIN(size, s->f->stream_bytes - s->at);

	if (s->f->waits && !s->f->has_come)
		return -EAGAIN;
	s->f->has_come = false;
	if (s->f->breaks && s->at > s->f->stream_bytes / 2)
		return -EIO;
	for (size_t i = 0; i < n; i++)
		buffer[i] = (char)('a' + (s->at + i) % 26);
	s->at += n;
	return (ssize_t)n;
}

static inline void stream_done(void *context)
{
	struct stream *s = context;

	s->f->ended++;
	free(s);
}

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static inline void handler(void *context, const struct td_request *r, struct td_reply *reply)
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
	f->peer = r->peer ? r->peer->uid : (uid_t)-1;

	snprintf(f->accept, sizeof(f->accept), "%s", r->accept ? r->accept : "(none)");

	if (strcmp(r->word[0], "stream") == 0) {
		struct stream *s = calloc(1, sizeof(*s));

		s->f = f;
		f->streams++;
		reply->stream = (struct td_stream){stream_more, stream_done, s};
	} else if (strcmp(r->word[0], "metrics") == 0) {
		reply->text = strdup("tundish_x 1\n# EOF\n");
		reply->content_type = "application/openmetrics-text";
	} else if (strcmp(r->word[0], "big") == 0) {
		reply->text = malloc(f->reply_bytes + 1);
		memset(reply->text, 'x', f->reply_bytes);
		reply->text[f->reply_bytes] = '\0';
	} else if (strcmp(r->word[0], "later") == 0 && !f->has_come) {
		reply->later = true;
		f->since_ns = r->since_ns;
	} else if (strcmp(r->word[0], "fail") == 0) {
		td_reply_error(reply, 404, 4, "no service \"%s\" \xff\x01", "web");
	} else {
		reply->json = json_pack("{s:s, s:i}", "hello", r->word[0], "n", (int)r->n_words);
	}
}

static const struct td_control_limits small = {
	.connections = 4,
	.per_user = 4,
	.for_root = 0,
	.idle_s = 1,
	.request_ms = 900,
	.answer_ms = 1500,
	.head_bytes = 8 << 10,
	.body_bytes = 64 << 10,
	.bodies_bytes = 100 << 10,
};

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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

static inline int dial(const struct fixture *f)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", f->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static inline int dial_tcp(uint16_t port)
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
static inline void turn(struct fixture *f, int fd, short events)
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

static inline void answer_done(struct answer *a)
{
	free(a->bytes);
	*a = (struct answer){0};
}

static inline bool complete(struct answer *a)
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
static inline struct answer receive(struct fixture *f, int fd, bool to_end)
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
static inline bool transmit(struct fixture *f, int fd, const char *bytes, size_t length)
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

static inline struct answer ask(struct fixture *f, const char *request)
{
	int fd = dial(f);
	struct answer a;

	transmit(f, fd, request, strlen(request));
	a = receive(f, fd, false);
	close(fd);
	return a;
}

static inline int ask_status(struct fixture *f, const char *line)
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

static inline void assert_serves(struct fixture *f)
{
	assert_int_equal(ask_status(f, "GET /v1/status"), 200);
}

static inline void assert_ends(struct fixture *f, int fd)
{
	struct answer a = receive(f, fd, true);

	assert_true(a.closed);
	answer_done(&a);
	close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
