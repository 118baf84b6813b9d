// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control socket and clients that mean no good, or are broken.
 */
#include "control_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
