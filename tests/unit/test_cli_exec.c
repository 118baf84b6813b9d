// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets of `tundish exec` and the instances that are run with them. The
 * supervisor runs in a child; the server that it runs is this program again
 * (SERVER_MODE as its first argument), which answers each connection with its
 * process id.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "cli/exec.h"

#define SERVER_MODE "--serve"
#define WAIT_MS	    20000

/* ---- the server ------------------------------------------------------------------------ */

static volatile sig_atomic_t asked_to_end;

static void on_term(int signal)
{
	asked_to_end = 1;
}

static size_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 3; /* ".", ".." and the directory itself */
}

static int check_environment(void)
{
	const char *fds = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	const char *pid = getenv("LISTEN_PID");
	sigset_t mask;

	if (!fds || strcmp(fds, "2") || !names || strcmp(names, "app:app") || !pid ||
	    atoi(pid) != getpid())
		return 10;
	for (int fd = 3; fd < 5; fd++) {
		int listens = 0;
		socklen_t length = sizeof(listens);

		if (fcntl(fd, F_GETFD) != 0 ||
		    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) < 0 || !listens)
			return 11;
	}
	if (open_descriptors() != 5) /* and nothing else */
		return 12;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int i = 1; i < SIGRTMIN; i++)
		if (sigismember(&mask, i))
			return 13;
	return 0;
}

/* @file: what the mode needs to remember from one instance to the next. */
static int serve(const char *mode, const char *file)
{
	struct sigaction term = {.sa_handler = strcmp(mode, "stubborn") ? on_term : SIG_IGN};
	struct pollfd p[2] = {{.fd = 3, .events = POLLIN}, {.fd = 4, .events = POLLIN}};
	struct timespec soon = {.tv_nsec = 20000000};
	char text[32];
	int fd;

	if (strcmp(mode, "environment") == 0)
		return check_environment();
	if (strcmp(mode, "fail") == 0 ||
	    (strcmp(mode, "first-only") == 0 && access(file, F_OK) == 0)) {
		fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
		if (write(fd, "x", 1) != 1)
			return 99;
		return 3;
	}
	fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
	close(fd);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGTERM, &term, NULL);
	for (fd = 3; fd < 5; fd++)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	while (!asked_to_end) {
		if (ppoll(p, 2, &soon, NULL) <= 0)
			continue;
		for (int i = 0; i < 2; i++) {
			int got = accept4(p[i].fd, NULL, NULL, 0);

			if (got < 0)
				continue;
			snprintf(text, sizeof(text), "%d", getpid());
			if (write(got, text, strlen(text)) < 0)
				return 98;
			close(got);
			if (strcmp(mode, "shutdown") == 0) {
				shutdown(3, SHUT_RDWR);
				shutdown(4, SHUT_RDWR);
				return 5;
			}
		}
	}
	return 0;
}

/* ---- rig -------------------------------------------------------------------------------- */

struct rig {
	char file[64];
	char listen[32];
	struct sockaddr_in name;
	struct cli_sockets sockets;
	pid_t pid; /* the supervisor */
	int err;   /* its stderr */
	char text[4096];
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* A port of the loopback's that nobody has. */
static int set_up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(r->name);

	r->name = (struct sockaddr_in){.sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (void *)&r->name, sizeof(r->name)), 0);
	assert_int_equal(getsockname(fd, (void *)&r->name, &length), 0);
	close(fd);
	snprintf(r->listen, sizeof(r->listen), "127.0.0.1:%u", ntohs(r->name.sin_port));
	snprintf(r->file, sizeof(r->file), "/tmp/tundish-test-exec-%d", getpid());
	unlink(r->file);
	r->err = -1;
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	if (r->pid) {
		kill(r->pid, SIGKILL);
		waitpid(r->pid, NULL, 0);
	}
	if (r->err >= 0)
		close(r->err);
	unlink(r->file);
	cli_sockets_done(&r->sockets);
	free(r);
	return 0;
}

static void supervise(struct rig *r, char *const argv[], unsigned int stop_timeout_s)
{
	struct td_error error = {0};
	int err[2];

	assert_int_equal(cli_sockets_add(&r->sockets, r->listen, 2, &error), 0);
	assert_int_equal(pipe2(err, O_CLOEXEC), 0);
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(err[1], 2);
		_exit(cli_supervise(&r->sockets, "app", argv, stop_timeout_s));
	}
	close(err[1]);
	r->err = err[0];
	cli_sockets_done(&r->sockets); /* the supervisor alone holds them */
}

static void supervise_mode(struct rig *r, const char *mode, unsigned int stop_timeout_s)
{
	char *argv[] = {"/proc/self/exe", SERVER_MODE, (char *)mode, r->file, NULL};
	char self[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(n > 0);
	self[n] = '\0';
	argv[0] = self;
	supervise(r, argv, stop_timeout_s);
}

/* Until it says so on stderr; fills r->text. */
static void wait_for_text(struct rig *r, const char *part)
{
	uint64_t end = now_ms() + WAIT_MS;
	size_t length = strlen(r->text);

	while (!strstr(r->text, part)) {
		struct pollfd p = {.fd = r->err, .events = POLLIN};
		ssize_t n;

		if (now_ms() > end || length + 1 == sizeof(r->text))
			fail_msg("\"%s\" is not in: %s", part, r->text);
		if (poll(&p, 1, 100) <= 0)
			continue;
		n = read(r->err, r->text + length, sizeof(r->text) - 1 - length);
		if (n <= 0)
			fail_msg("\"%s\" is not in: %s", part, r->text);
		length += (size_t)n;
		r->text[length] = '\0';
	}
}

static int wait_for_end(struct rig *r)
{
	uint64_t end = now_ms() + WAIT_MS;
	struct timespec pause = {.tv_nsec = 5000000};
	int status;

	while (waitpid(r->pid, &status, WNOHANG) == 0) {
		if (now_ms() > end)
			fail_msg("it does not end");
		nanosleep(&pause, NULL);
	}
	r->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* One connection; the process that answered, 0 where it failed. */
static pid_t ask(const struct rig *r)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = {.tv_sec = WAIT_MS / 1000};
	char text[32] = "";

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const void *)&r->name, sizeof(r->name)) < 0 ||
	    read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return atoi(text);
}

static pid_t ask_until_other(const struct rig *r, pid_t former)
{
	uint64_t end = now_ms() + WAIT_MS;
	pid_t pid;

	do {
		pid = ask(r);
		assert_true(pid > 0); /* each connection is answered */
		assert_true(now_ms() < end);
	} while (pid == former || kill(former, 0) == 0);
	return pid;
}

static size_t starts(const struct rig *r)
{
	struct stat st;

	return stat(r->file, &st) < 0 ? 0 : (size_t)st.st_size;
}

/* ---- sockets --------------------------------------------------------------------------- */

static int get(int fd, int level, int name)
{
	socklen_t length = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

static void test_sockets(void **state)
{
	struct rig *r = *state;
	struct cli_sockets *s = &r->sockets;
	char listen[32];
	struct tcp_info info;
	socklen_t length = sizeof(info);
	int fd;

	snprintf(listen, sizeof(listen), "[::]:%u", ntohs(r->name.sin_port));
	assert_int_equal(cli_sockets_add(s, listen, 3, NULL), 0);
	assert_int_equal(cli_sockets_add(s, r->listen, 2, NULL), 0);
	assert_int_equal(s->n, 5);
	for (size_t i = 0; i < s->n; i++) {
		assert_int_equal(get(s->fd[i], SOL_SOCKET, SO_ACCEPTCONN), 1);
		assert_int_equal(get(s->fd[i], SOL_SOCKET, SO_REUSEPORT), 1);
		assert_int_equal(get(s->fd[i], SOL_SOCKET, SO_DOMAIN), i < 3 ? AF_INET6 : AF_INET);
		if (i < 3)
			assert_int_equal(get(s->fd[i], IPPROTO_IPV6, IPV6_V6ONLY), 0);
		assert_int_equal(fcntl(s->fd[i], F_GETFD), FD_CLOEXEC);
		assert_int_equal(getsockopt(s->fd[i], IPPROTO_TCP, TCP_INFO, &info, &length), 0);
		assert_int_equal(info.tcpi_sacked, cli_somaxconn()); /* a listener's limit */
	}
	cli_sockets_done(s);
	assert_int_equal(s->n, 0);

	/* "[::]" alone takes IPv4 */
	assert_int_equal(cli_sockets_add(s, listen, 1, NULL), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (void *)&r->name, sizeof(r->name)), 0);
	close(fd);
}

static void assert_refused(struct rig *r, const char *listen, size_t workers, int code,
			   const char *part)
{
	struct td_error error = {0};
	size_t n = r->sockets.n, open = open_descriptors();

	assert_int_equal(cli_sockets_add(&r->sockets, listen, workers, &error), -code);
	if (!strstr(error.text, part))
		fail_msg("\"%s\" is not in: %s", part, error.text);
	assert_int_equal(r->sockets.n, n);
	assert_int_equal(open_descriptors(), open);
}

static void test_sockets_refused(void **state)
{
	struct rig *r = *state;
	struct rlimit few, limit;
	int fd;

	assert_refused(r, "8080", 1, EINVAL, "ADDRESS:PORT");
	assert_refused(r, "127.0.0.1", 1, EINVAL, "ADDRESS:PORT");
	assert_refused(r, "", 1, EINVAL, "ADDRESS:PORT");
	assert_refused(r, "192.0.2.1:8080", 2, EADDRNOTAVAIL, "no such address");
	assert_refused(r, r->listen, CLI_SOCKETS_MAX + 1, EINVAL, "--workers");
	assert_int_equal(cli_sockets_add(&r->sockets, r->listen, 2, NULL), 0);
	assert_refused(r, r->listen, CLI_SOCKETS_MAX - 1, EINVAL, "--workers");
	assert_refused(r, r->listen, SIZE_MAX, EINVAL, "--workers");
	cli_sockets_done(&r->sockets);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (void *)&r->name, sizeof(r->name)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_refused(r, r->listen, 2, EADDRINUSE, "without SO_REUSEPORT");
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = (struct rlimit){.rlim_cur = (rlim_t)fd + 2, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_refused(r, r->listen, 5, EMFILE, "ulimit -n"); /* the first two go again */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* ---- instances --------------------------------------------------------------------------- */

static void test_environment(void **state)
{
	struct rig *r = *state;

	assert_int_equal(fcntl(0, F_DUPFD, 40), 40); /* inherited, and no business of the server */
	supervise_mode(r, "environment", 5);
	close(40);
	assert_int_equal(wait_for_end(r), 0);
}

static void test_many_sockets(void **state)
{
	struct rig *r = *state;
	char *argv[] = {"sh", "-c",
			"test $LISTEN_FDS = 202 && test -S /proc/self/fd/204 && "
			"! test -e /proc/self/fd/205",
			NULL};

	assert_int_equal(cli_sockets_add(&r->sockets, r->listen, 200, NULL), 0);
	supervise(r, argv, 5);
	assert_int_equal(wait_for_end(r), 0);
}

static void test_command_that_is_not_there(void **state)
{
	struct rig *r = *state;
	char *none[] = {"no-such-command-here", NULL}, *directory[] = {"/", NULL};

	supervise(r, none, 5);
	wait_for_text(r, "command \"no-such-command-here\" was not found");
	assert_int_equal(wait_for_end(r), 127);
	close(r->err);
	supervise(r, directory, 5);
	wait_for_text(r, "cannot start /: Permission denied");
	assert_int_equal(wait_for_end(r), 126);
}

static void test_a_server_that_fails(void **state)
{
	struct rig *r = *state;

	supervise_mode(r, "fail", 5);
	wait_for_text(r, "given up");
	assert_int_equal(wait_for_end(r), 3);
	assert_int_equal(starts(r), 6); /* once, and five times again */
}

static void test_crash_loses_nothing(void **state)
{
	struct rig *r = *state;
	pid_t pid;

	supervise_mode(r, "serve", 5);
	pid = ask(r);
	assert_true(pid > 0);
	for (int i = 0; i < 3; i++) {
		kill(pid, SIGKILL);
		pid = ask_until_other(r, pid);
	}
	kill(r->pid, SIGTERM);
	assert_int_equal(wait_for_end(r), 0);
	assert_int_equal(ask(r), 0); /* the sockets went with it */
}

static void test_replacement_loses_nothing(void **state)
{
	struct rig *r = *state;
	pid_t pid;

	supervise_mode(r, "serve", 5);
	pid = ask(r);
	assert_true(pid > 0);
	for (int i = 0; i < 3; i++) {
		kill(r->pid, SIGHUP);
		pid = ask_until_other(r, pid);
	}
	kill(r->pid, SIGINT);
	assert_int_equal(wait_for_end(r), 0);
}

/* What cannot run must not take the place of what does. */
static void test_replacement_that_fails(void **state)
{
	struct rig *r = *state;
	pid_t pid;

	supervise_mode(r, "first-only", 5);
	pid = ask(r);
	assert_true(pid > 0);
	kill(r->pid, SIGHUP);
	wait_for_text(r, "the former one stays");
	assert_int_equal(ask(r), pid);
	assert_int_equal(starts(r), 1); /* and is not tried again */
	kill(r->pid, SIGTERM);
	assert_int_equal(wait_for_end(r), 0);
}

static void test_stubborn_server(void **state)
{
	struct rig *r = *state;
	pid_t pid;

	supervise_mode(r, "stubborn", 1);
	pid = ask(r);
	assert_true(pid > 0);
	kill(r->pid, SIGHUP); /* the former is killed, and that is no reason to start one more */
	pid = ask_until_other(r, pid);
	wait_for_text(r, "is killed");
	kill(pid, SIGSTOP);
	kill(r->pid, SIGTERM);
	assert_int_equal(wait_for_end(r), 128 + SIGKILL);
	assert_null(strstr(r->text, "started again"));
}

/* A program that shuts a listener down would do so for all of its instances. */
static void test_listener_that_was_shut_down(void **state)
{
	struct rig *r = *state;
	pid_t pid;

	supervise_mode(r, "shutdown", 5);
	pid = ask(r);
	assert_true(pid > 0);
	wait_for_text(r, "with status 5 and is started again");
	for (uint64_t end = now_ms() + WAIT_MS; now_ms() < end;) {
		pid_t other = ask(r);

		if (other > 0 && other != pid)
			return;
	}
	fail_msg("nobody listens any more");
}

int main(int argc, char *argv[])
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_sockets),
		T(test_sockets_refused),
		T(test_environment),
		T(test_many_sockets),
		T(test_command_that_is_not_there),
		T(test_a_server_that_fails),
		T(test_crash_loses_nothing),
		T(test_replacement_loses_nothing),
		T(test_replacement_that_fails),
		T(test_stubborn_server),
		T(test_listener_that_was_shut_down),
	};

	if (argc == 4 && strcmp(argv[1], SERVER_MODE) == 0)
		return serve(argv[2], argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
