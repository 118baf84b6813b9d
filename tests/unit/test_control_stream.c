// SPDX-License-Identifier: GPL-2.0-only
/*
 * Answers that are made while they are sent: they come whole, wait, break off, and end once, whatever their
 * readers do.
 */
#include "control_fixture.h"

#define BYTES 1000000

static int begin(struct fixture *f, const char *method, const char *version)
{
	char request[100];
	int fd = dial(f);

	snprintf(request, sizeof(request),
		 "%s /v1/stream HTTP/%s\r\nHost: x\r\nAccept: a/b;q=1\r\nConnection: close\r\n\r\n",
		 method, version);
	transmit(f, fd, request, strlen(request));
	for (unsigned int was = f->streams, turns = 0; f->streams == was && turns < 1000; turns++)
		turn(f, -1, 0);
	return fd;
}

static void is_whole(const char *body)
{
	size_t n = 0;

	for (; body[n]; n++)
		assert_int_equal(body[n], 'a' + n % 26);
	assert_int_equal(n, BYTES);
}

static void test_whole(void **state)
{
	struct fixture *f = *state;
	struct answer a;
	int fd;

	f->stream_bytes = BYTES;
	fd = begin(f, "GET", "1.0");
	a = receive(f, fd, true);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.bytes, "Content-Type: text/plain; charset=utf-8\r\n"));
	assert_string_equal(f->accept, "a/b;q=1");
	is_whole(a.body);
	answer_done(&a);
	close(fd);
	fd = begin(f, "GET", "1.1");
	a = receive(f, fd, true);
	assert_non_null(strcasestr(a.bytes, "Transfer-Encoding: chunked\r\n"));
	assert_true(a.length > BYTES);
	assert_string_equal(a.bytes + a.length - 7, "\r\n0\r\n\r\n");
	answer_done(&a);
	close(fd);
	fd = begin(f, "HEAD", "1.1");
	a = receive(f, fd, true);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "");
	answer_done(&a);
	close(fd);
	assert_int_equal(f->streams, 3);
	assert_int_equal(f->ended, 3);
	assert_int_equal(ask_status(f, "GET /v1/status"), 200);
	assert_string_equal(f->accept, "(none)");
}

/* Longer than a silent connection lives; others are answered meanwhile. */
static void test_waits(void **state)
{
	struct fixture *f = *state;
	uint64_t end = now_ms() + 1500;
	struct answer a;
	int fd;

	f->stream_bytes = BYTES;
	f->waits = true;
	fd = begin(f, "GET", "1.0");
	while (now_ms() < end) {
		assert_int_equal(ask_status(f, "GET /v1/other"), 200);
		turn(f, -1, 0);
	}
	assert_int_equal(f->ended, 0);
	for (unsigned int turns = 0; !f->ended && turns < 100000; turns++) {
		char some[1 << 16];

		f->has_come = true;
		td_control_resume(f->control);
		turn(f, -1, 0);
		if (turns == 3)
			f->waits = false;
		if (turns > 3)
			break;
		assert_true(recv(fd, some, sizeof(some), MSG_PEEK) >= 0 || errno == EAGAIN);
	}
	a = receive(f, fd, true);
	is_whole(a.body);
	answer_done(&a);
	close(fd);
	assert_int_equal(f->ended, 1);
}

static void test_breaks(void **state)
{
	struct fixture *f = *state;
	struct answer a;
	int fd;

	f->stream_bytes = BYTES;
	f->breaks = true;
	fd = begin(f, "GET", "1.1");
	a = receive(f, fd, true);
	assert_true(a.closed && a.length > BYTES / 2 && a.length < BYTES);
	assert_true(memcmp(a.bytes + a.length - 5, "0\r\n\r\n", 5));
	answer_done(&a);
	close(fd);
	assert_int_equal(f->ended, 1);
	assert_serves(f);
}

/* Who goes in the midst, who takes nothing, and who waits still when all ends. */
static void test_gone(void **state)
{
	struct fixture *f = *state;
	int fd[3];

	f->stream_bytes = BYTES;
	fd[0] = begin(f, "GET", "1.1");
	close(fd[0]);
	for (unsigned int turns = 0; !f->ended && turns < 1000; turns++)
		turn(f, -1, 0);
	assert_int_equal(f->ended, 1);
	fd[0] = begin(f, "GET", "1.1"); /* ended after a second, for it takes nothing */
	for (unsigned int turns = 0; f->ended < 2 && turns < 1000; turns++)
		turn(f, -1, 0);
	assert_int_equal(f->ended, 2);
	f->waits = true;
	fd[1] = begin(f, "GET", "1.1");
	fd[2] = begin(f, "GET", "1.1");
	close(fd[2]);
	assert_serves(f);
	f->control = td_control_close(f->control);
	assert_int_equal(f->ended, 4);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_whole), T(test_waits), T(test_breaks),
					   T(test_gone)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
