// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control socket and clients that mean no good, or are broken.
 */
#include <grp.h>

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

/* As the daemon's loop does: runs when something is told, and not for the sake of a test. */
static void test_all_leave_at_once(void **state)
{
	static const char request[] = "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *f = *state;
	struct pollfd p = {.fd = td_control_fd(f->control), .events = POLLIN};
	int idle[8], fd;

	for (size_t i = 0; i < TD_ARRAY_SIZE(idle); i++)
		idle[i] = dial(f);
	for (int i = 0; i < 5; i++)
		turn(f, -1, 0);
	for (size_t i = 0; i < TD_ARRAY_SIZE(idle); i++)
		close(idle[i]);
	fd = dial(f);
	transmit(f, fd, request, strlen(request));
	for (int i = 0; i < 100 && !f->calls; i++) {
		int wait = td_control_wait_ms(f->control);

		assert_true(poll(&p, 1, wait < 0 ? 5000 : wait) > 0 || wait >= 0);
		td_control_run(f->control);
	}
	assert_int_equal(f->calls, 1);
	close(fd);
}

/* A process of another user: `n` connections, and on each what its first byte is about
 * ('?': nothing has come) goes to the pipe, in order, before it ends. */
static pid_t crowd(const struct fixture *f, uid_t uid, int n, int ends[2], const int *gate)
{
	static const char request[] = "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n";
	pid_t pid = fork();
	char answer[64], c;
	int fd[16];

	if (pid)
		return pid;
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		_exit(2);
	for (int i = 0; i < n; i++) {
		fd[i] = dial(f);
		fcntl(fd[i], F_SETFL, 0);
		if (!gate)
			send(fd[i], request, strlen(request), MSG_NOSIGNAL);
	}
	if (gate) { /* silent: those that are refused only */
		for (int i = 0; i < n; i++) {
			struct pollfd p = {.fd = fd[i], .events = POLLIN};

			c = '?';
			if (poll(&p, 1, 300) > 0 && recv(fd[i], answer, 12, MSG_WAITALL) == 12)
				c = answer[9];
			if (write(ends[1], &c, 1) != 1)
				_exit(3);
		}
		close(gate[1]);
		if (read(gate[0], &c, 1) < 0)
			_exit(4);
		_exit(0);
	}
	for (int i = 0; i < n; i++) {
		c = recv(fd[i], answer, 12, MSG_WAITALL) == 12 ? answer[9] : '?';
		if (write(ends[1], &c, 1) != 1)
			_exit(3);
	}
	_exit(0);
}

static void read_crowd(struct fixture *f, int fd, char *ret, int n)
{
	uint64_t end = now_ms() + WAIT_MS;

	memset(ret, 0, n + 1);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int got = 0; got < n;) {
		ssize_t r = read(fd, ret + got, n - got);

		assert_true(now_ms() < end);
		if (r > 0)
			got += r;
		else
			turn(f, fd, POLLIN);
	}
}

/* One user's connections, then all users' but root's: what is over is told so, and root
 * gets in all the time. */
static void test_shares(void **state)
{
	struct td_control_limits limits = small;
	struct fixture *f = *state;
	int pipes[2][2], gate[2], status;
	struct td_error e = {0};
	char got[2][17];
	pid_t pid[2];

	if (geteuid() != 0)
		skip();
	td_control_close(f->control);
	limits.connections = 8;
	limits.per_user = 4;
	limits.for_root = 2;
	limits.idle_s = 10;
	limits.request_ms = 10000;
	assert_int_equal(
		td_control_open_limited(f->path, NULL, &limits, handler, f, &f->control, &e), 0);
	assert_int_equal(chmod(f->directory, 0755), 0);
	assert_int_equal(chmod(f->path, 0666), 0);
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
		pid[i] = crowd(f, 65534 - (uid_t)i, 6, pipes[i], gate);
		read_crowd(f, pipes[i][0], got[i], 6);
	}
	assert_string_equal(got[0], "????55"); /* four of a user */
	assert_string_equal(got[1], "??5555"); /* six of all users but root */
	assert_int_equal(f->calls, 0);
	assert_serves(f);
	assert_int_equal(f->peer, 0);
	close(gate[0]);
	close(gate[1]);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	/* They have gone, and there is room again: for requests this time. */
	pid[0] = crowd(f, 65534, 4, pipes[0], NULL);
	read_crowd(f, pipes[0][0], got[0], 4);
	assert_string_equal(got[0], "2222");
	assert_int_equal(f->peer, 65534);
	assert_int_equal(waitpid(pid[0], &status, 0), pid[0]);
	for (int i = 0; i < 2; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
}

static uint16_t open_metrics(struct fixture *f)
{
	struct td_error e = {0};
	uint16_t port = 21979;
	char address[32];

	do
		snprintf(address, sizeof(address), "127.0.0.1:%u", ++port);
	while (td_control_set_metrics(f->control, address, &e) == -EADDRINUSE && port < 22100);
	return port;
}

/* Who takes a little now and then is never silent, and has a place no longer than others. */
static void test_metrics_slow_reader(void **state)
{
	static const char big[] = "GET /v1/big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
	struct fixture *f = *state;
	uint16_t port = open_metrics(f);
	uint64_t start = now_ms();
	int fd = dial_tcp(port);
	static char piece[1 << 16];
	size_t taken = 0;

	f->reply_bytes = 20 << 20;
	transmit(f, fd, big, sizeof(big) - 1);
	/* what the kernel has of it can be read on: the daemon's end is that nothing is due any more */
	while (!f->calls || td_control_wait_ms(f->control) >= 0) {
		assert_true(now_ms() - start < WAIT_MS);
		turn(f, -1, 0);
		usleep(20000);
		taken += recv(fd, piece, sizeof(piece), MSG_DONTWAIT) > 0;
	}
	assert_true(now_ms() - start >= small.answer_ms);
	assert_true(taken > 3);
	close(fd);
}

/* Nor does who comes again and again, where more than half of the places are taken. */
static void test_metrics_crowd(void **state)
{
	static const char good[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *f = *state;
	uint16_t port = open_metrics(f);
	int fd[3];

	for (unsigned int i = 0; i < TD_ARRAY_SIZE(fd); i++) {
		struct answer a;

		fd[i] = dial_tcp(port);
		transmit(f, fd[i], good, sizeof(good) - 1);
		a = receive(f, fd[i], false);
		assert_int_equal(a.status, 200);
		assert_int_equal(!!strcasestr(a.bytes, "\r\nConnection: close\r\n"), i == 2);
		answer_done(&a);
	}
	for (unsigned int i = 0; i < TD_ARRAY_SIZE(fd); i++)
		close(fd[i]);
}

/* The metrics listener: no method, path or body reaches the handler but what td_web_allows, and
 * nobody is known there. Slow ones and crowds are ended as on the socket. */
static void test_metrics_hostile(void **state)
{
	static const char *const refused[] = {
		"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"PUT /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/unload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /metrics/../v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /metrics/v1/reload HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /%6detrics%00 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://x/v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"GET /v1/status HTTP/1.0\r\n\r\n",
		"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: x\r\n\r\n",
		"POST /v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n",
		"POST /v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Tundish: 1\r\nOrigin: http://x\r\nContent-Length: 0\r\n\r\n",
		"POST /v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Tundish: 1\r\nContent-Length: 4097\r\n\r\n",
		"OPTIONS /v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://x\r\n\r\n",
	};
	static const char good[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *f = *state;
	uint16_t port = open_metrics(f);
	struct answer a;
	int idle[6], fd;

	for (size_t i = 0; i < TD_ARRAY_SIZE(refused); i++) {
		fd = dial_tcp(port);
		transmit(f, fd, refused[i], strlen(refused[i]));
		shutdown(fd, SHUT_WR);
		a = receive(f, fd, true);
		assert_true(a.length == 0 || a.status >= 400);
		answer_done(&a);
		close(fd);
		assert_int_equal(f->calls, 0);
	}
	for (size_t i = 0; i < TD_ARRAY_SIZE(idle); i++) { /* more than there may be */
		idle[i] = dial_tcp(port);
		transmit(f, idle[i], "GET /met", 8);
	}
	fd = dial_tcp(port);
	transmit(f, fd, good, strlen(good));
	a = receive(f, fd, false); /* when the others have been ended */
	assert_int_equal(a.status, 200);
	assert_int_equal(f->calls, 1);
	assert_string_equal(f->words, "metrics");
	assert_int_equal(f->peer, (uid_t)-1);
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
		T(test_all_leave_at_once),
		T(test_shares),
		T(test_metrics_hostile),
		T(test_metrics_slow_reader),
		T(test_metrics_crowd),
		T(test_client_that_does_not_read),
		T(test_event_loop),
		T(test_close_sends_the_last_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
