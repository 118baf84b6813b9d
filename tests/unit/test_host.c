// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who holds and who polls sockets, against real processes: children of the test
 * that say on a pipe when they stand as wanted, and are killed at its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "host/host.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define CHILDREN_MAX 16
#define NOBODY	     65534

struct fixture {
	pid_t child[CHILDREN_MAX];
	size_t n_children;
};

/* ---- children ------------------------------------------------------------------------ */

typedef void (*body_fn)(int argument);

/* Runs body(argument) in a child, and returns when that has returned: the child
 * stays as it then is. */
static pid_t spawn(struct fixture *f, body_fn body, int argument)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_true(f->n_children < CHILDREN_MAX);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		body(argument);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	f->child[f->n_children++] = pid;
	return pid;
}

static void end(struct fixture *f, pid_t pid)
{
	for (size_t i = 0; i < f->n_children; i++)
		if (f->child[i] == pid) {
			f->child[i] = f->child[--f->n_children];
			kill(pid, SIGKILL);
			assert_int_equal(waitpid(pid, NULL, 0), pid);
			return;
		}
	fail();
}

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	while (f->n_children)
		end(f, f->child[0]);
	free(f);
	return 0;
}

static int listener(int family, int protocol, bool reuseport, int v6only)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, protocol), on = reuseport;
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	if (bind(fd, family == AF_INET ? (void *)&v4 : (void *)&v6,
		 family == AF_INET ? sizeof(v4) : sizeof(v6)) < 0 ||
	    listen(fd, 16) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int plain_listener(void)
{
	int fd = listener(AF_INET, 0, false, 0);

	assert_true(fd >= 0);
	return fd;
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void watch(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (epoll_ctl(epoll_create1(EPOLL_CLOEXEC), EPOLL_CTL_ADD, fd, &event) < 0)
		_exit(1);
}

static void nothing(int argument)
{
}

static void close_it(int fd)
{
	close(fd);
}

static size_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* ---- scan ------------------------------------------------------------------------------ */

static pid_t acceptor_of(uint64_t inode)
{
	_cleanup_free_ struct td_holder *h = NULL;
	size_t n;

	assert_int_equal(td_host_holders(inode, &h, &n), 0);
	return td_host_acceptor(h, n);
}

/* As nginx: the parent opens all, each child inherits all and polls one. */
static void test_holders_and_pollers(void **state)
{
	enum { N = 4 };
	_cleanup_free_ struct td_holder *h = NULL;
	const struct td_holder *part;
	uint64_t inodes[N + 2];
	size_t n, n_part, polls;
	pid_t child[N];
	int fd[N];

	for (int i = 0; i < N; i++) {
		fd[i] = plain_listener();
		inodes[i] = inode_of(fd[i]);
	}
	inodes[N] = inodes[0]; /* twice */
	inodes[N + 1] = UINT64_MAX;
	for (int i = 0; i < N; i++)
		child[i] = spawn(*state, watch, fd[i]);
	assert_int_equal(td_host_scan(inodes, N + 2, &h, &n), 0);
	assert_int_equal(n, N * (N + 1));
	for (size_t i = 1; i < n; i++)
		assert_true(h[i - 1].inode < h[i].inode ||
			    (h[i - 1].inode == h[i].inode && h[i - 1].pid < h[i].pid));
	for (int i = 0; i < N; i++) {
		part = td_host_find(h, n, inodes[i], &n_part);
		assert_int_equal(n_part, N + 1);
		polls = 0;
		for (size_t k = 0; k < n_part; k++) {
			assert_int_equal(part[k].fd, fd[i]);
			assert_int_equal(part[k].uid, geteuid());
			assert_string_equal(part[k].command, "test_host");
			assert_int_equal(part[k].polls, part[k].pid == child[i]);
			polls += part[k].polls;
		}
		assert_int_equal(polls, 1);
		assert_int_equal(td_host_acceptor(part, n_part), child[i]);
	}
	assert_null(td_host_find(h, n, UINT64_MAX, &n_part));
	assert_int_equal(n_part, 0);
	assert_null(td_host_find(NULL, 0, 1, &n_part));
	for (int i = 0; i < N; i++)
		close(fd[i]);
	/* Held by all children still, polled by one each. */
	assert_int_equal(acceptor_of(inodes[2]), child[2]);
}

static void test_acceptor_without_a_poller(void **state)
{
	int fd = plain_listener();
	uint64_t inode = inode_of(fd);
	pid_t a, b;

	assert_int_equal(acceptor_of(inode), getpid());
	a = spawn(*state, nothing, 0);
	assert_int_equal(acceptor_of(inode), 0); /* two hold, none polls */
	close(fd);
	assert_int_equal(acceptor_of(inode), a);
	end(*state, a);
	assert_int_equal(acceptor_of(inode), 0); /* nobody */

	fd = plain_listener();
	a = spawn(*state, watch, fd);
	assert_int_equal(acceptor_of(inode_of(fd)), a);
	b = spawn(*state, watch, fd);
	assert_true(b > 0);
	assert_int_equal(acceptor_of(inode_of(fd)), 0); /* two poll */
	assert_int_equal(td_host_acceptor(NULL, 0), 0);
	close(fd);
}

static void duplicate_and_watch(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 200);

	watch(copy); /* under another number */
	close(fd);
	if (dup2(copy, 90) != 90)
		_exit(1);
}

static void test_one_row_for_each_process(void **state)
{
	_cleanup_free_ struct td_holder *h = NULL;
	int fd = plain_listener();
	uint64_t inode = inode_of(fd);
	pid_t child;
	size_t n;

	child = spawn(*state, duplicate_and_watch, fd);
	close(fd);
	assert_int_equal(td_host_holders(inode, &h, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(h[0].pid, child);
	assert_int_equal(h[0].fd, 90);
	assert_true(h[0].polls);
}

static void test_scan_for_nothing(void **state)
{
	struct td_holder *h = (void *)1;
	size_t n = 7;

	assert_int_equal(td_host_scan(NULL, 0, &h, &n), 0);
	assert_null(h);
	assert_int_equal(n, 0);
	h = (void *)1;
	assert_int_equal(td_host_holders(UINT64_MAX, &h, &n), 0);
	assert_null(h);
	assert_int_equal(n, 0);
}

/* Processes that come and go all the time are passed over. */
static void churn(int argument)
{
	if (fork() != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

static void test_processes_that_vanish(void **state)
{
	int fd = plain_listener();
	uint64_t inode = inode_of(fd);
	size_t before;

	spawn(*state, churn, 0);
	before = open_descriptors();
	for (int i = 0; i < 50; i++) {
		_cleanup_free_ struct td_holder *h = NULL;
		size_t n, found;

		assert_int_equal(td_host_holders(inode, &h, &n), 0);
		assert_true(n >= 3); /* the test, the child, and what it forks */
		assert_non_null(td_host_find(h, n, inode, &found));
		assert_int_equal(found, n);
	}
	assert_int_equal(open_descriptors(), before);
	close(fd);
}

/* ---- names ------------------------------------------------------------------------------ */

static void take_a_bad_name(int argument)
{
	prctl(PR_SET_NAME, "a\nUid:\t0\t0\x1b\xff");
	if (argument && setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(1);
}

static void test_names_hold_anything(void **state)
{
	char command[TD_HOST_COMMAND] = "untouched", brief[4];
	int fd = plain_listener();
	uint64_t inode = inode_of(fd);
	pid_t child = spawn(*state, take_a_bad_name, geteuid() == 0);
	_cleanup_free_ struct td_holder *h = NULL;
	size_t n;

	assert_int_equal(td_host_command(child, command, sizeof(command)), 0);
	assert_string_equal(command, "a?Uid:?0?0??");
	assert_int_equal(td_host_command(child, brief, sizeof(brief)), 0);
	assert_string_equal(brief, "a?U");
	close(fd);
	assert_int_equal(td_host_holders(inode, &h, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(h[0].command, "a?Uid:?0?0??");
	assert_int_equal(h[0].uid, geteuid() == 0 ? NOBODY : geteuid());
	end(*state, child);
	assert_int_equal(td_host_command(child, command, sizeof(command)), -ESRCH);
	assert_string_equal(command, "");
}

/* ---- get_socket --------------------------------------------------------------------------- */

static void test_get_socket(void **state)
{
	int fd = plain_listener(), got = -1;
	uint64_t inode = inode_of(fd);
	struct td_error error = {0};
	struct sockaddr_in name;
	socklen_t length = sizeof(name);
	size_t before;
	pid_t child;

	child = spawn(*state, nothing, 0);
	assert_int_equal(getsockname(fd, (void *)&name, &length), 0);
	close(fd);
	before = open_descriptors();
	assert_int_equal(td_host_get_socket(child, inode, &got, &error), 0);
	assert_int_equal(inode_of(got), inode);
	assert_int_equal(fcntl(got, F_GETFD), FD_CLOEXEC);
	close(got);
	assert_int_equal(open_descriptors(), before);

	got = -7;
	assert_int_equal(td_host_get_socket(child, inode + 1000000, &got, &error), -ENOENT);
	assert_non_null(strstr(error.text, "test_host"));
	assert_int_equal(got, -7);
	assert_int_equal(open_descriptors(), before);

	/* Nothing of it is left behind: the listener ends with its program. */
	end(*state, child);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (void *)&name, sizeof(name)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
	assert_int_equal(td_host_get_socket(child, inode, &got, &error), -ESRCH);
	assert_non_null(strstr(error.text, "there is no process"));
	assert_int_equal(td_host_get_socket(0, inode, &got, &error), -ESRCH);
	assert_int_equal(td_host_get_socket(-1, inode, &got, NULL), -ESRCH);
	assert_int_equal(got, -7);
}

static void test_zombie(void **state)
{
	struct td_host_listener *l = NULL;
	struct td_error error = {0};
	siginfo_t info;
	pid_t pid = fork();
	size_t n;
	int fd;

	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(td_host_get_socket(pid, 1, &fd, &error), -ESRCH);
	assert_int_equal(td_host_listeners(pid, &l, &n, &error), -ESRCH);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int idle_thread(void *argument)
{
	while (argument == NULL)
		pause();
	return 0;
}

static void share_thread_id(int fd)
{
	static char stack[16384] __attribute__((aligned(16)));
	int tid = clone(idle_thread, stack + sizeof(stack),
			CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL);

	if (tid < 0 || write(fd, &tid, sizeof(tid)) != sizeof(tid))
		_exit(1);
}

static void test_thread_is_no_process(void **state)
{
	struct td_error error = {0};
	int tid, fd, pipe_fd[2];

	assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
	spawn(*state, share_thread_id, pipe_fd[1]);
	assert_int_equal(read(pipe_fd[0], &tid, sizeof(tid)), sizeof(tid));
	assert_int_equal(td_host_get_socket(tid, 1, &fd, &error), -ESRCH);
	assert_non_null(strstr(error.text, "is a thread"));
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

/* What a child without privileges is told, in memory that both see. */
static struct {
	pid_t target;
	uint64_t inode;
	int r[2];
	struct td_error error[2];
} * shared;

static void try_without_privileges(int argument)
{
	struct td_host_listener *l;
	size_t n;
	int fd;

	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(1);
	shared->r[0] = td_host_get_socket(shared->target, shared->inode, &fd, &shared->error[0]);
	shared->r[1] = td_host_listeners(shared->target, &l, &n, &shared->error[1]);
}

static void test_no_permission(void **state)
{
	int fd = plain_listener();

	if (geteuid() != 0)
		skip();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(shared != MAP_FAILED);
	shared->inode = inode_of(fd);
	shared->target = spawn(*state, nothing, 0);
	spawn(*state, try_without_privileges, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(shared->r[i], -EPERM);
		assert_non_null(strstr(shared->error[i].text, "CAP_SYS_PTRACE"));
		assert_non_null(strstr(shared->error[i].text, "test_host"));
	}
	munmap(shared, sizeof(*shared));
	close(fd);
}

/* ---- listeners ------------------------------------------------------------------------------ */

static const struct td_host_listener *find(const struct td_host_listener *l, size_t n, int fd)
{
	for (size_t i = 0; i < n; i++)
		if (l[i].inode == inode_of(fd))
			return &l[i];
	return NULL;
}

static void test_listeners(void **state)
{
	_cleanup_free_ struct td_host_listener *l = NULL;
	int fd[5] = {listener(AF_INET, 0, false, 0), listener(AF_INET, 0, true, 0),
		     listener(AF_INET6, 0, true, 0), listener(AF_INET6, 0, false, 1),
		     listener(AF_INET, IPPROTO_MPTCP, false, 0)};
	int other[4] = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
			socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
			socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), dup(fd[0])};
	static const struct tundish_addr any = {0};
	struct sockaddr_in name;
	socklen_t length = sizeof(name);
	uint64_t cookie = 0;
	size_t n, before, wanted = 0;
	char text[TD_ADDRESS_TEXT];

	for (int i = 0; i < 5; i++)
		wanted += fd[i] >= 0;
	assert_true(wanted >= 4 && fd[3] >= 0); /* MPTCP may be missing */
	assert_int_equal(getsockname(fd[0], (void *)&name, &length), 0);
	assert_int_equal(connect(other[0], (void *)&name, sizeof(name)), 0);
	assert_int_equal(bind(other[2], (void *)&(struct sockaddr){.sa_family = AF_UNIX}, 2), 0);
	assert_int_equal(listen(other[2], 1), 0);
	before = open_descriptors();
	assert_int_equal(td_host_listeners(getpid(), &l, &n, NULL), 0);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(n, wanted);
	for (int i = 0; i < 5; i++) {
		const struct td_host_listener *found = fd[i] < 0 ? NULL : find(l, n, fd[i]);

		if (i == 4 && fd[i] < 0)
			break;
		assert_non_null(found);
		assert_int_equal(found->fd, fd[i]);
		assert_int_equal(found->uid, geteuid());
		assert_int_equal(found->reuseport, i == 1 || i == 2);
		assert_int_equal(found->v6, i == 2 || i == 3);
		assert_int_equal(found->v6only, i == 3);
		assert_int_equal(found->mptcp, i == 4);
		assert_true(found->same_netns);
		assert_true(found->port != 0);
		if (i == 2 || i == 3)
			assert_true(tundish_addr_equal(&found->address, &any));
		else
			assert_string_equal(td_address_print(&found->address, text), "127.0.0.1");
		length = sizeof(cookie);
		assert_int_equal(
			getsockopt(fd[i], SOL_SOCKET, 57 /* SO_COOKIE */, &cookie, &length), 0);
		assert_true(found->cookie == cookie);
		close(fd[i]);
	}
	assert_int_equal(find(l, n, other[3])->port, ntohs(name.sin_port));
	for (int i = 0; i < 4; i++)
		close(other[i]);
}

static void listen_elsewhere(int argument)
{
	if (unshare(CLONE_NEWNET) < 0 || listener(AF_INET6, 0, true, 0) < 0)
		_exit(1);
}

static void test_listeners_of_others(void **state)
{
	_cleanup_free_ struct td_host_listener *l = NULL;
	struct td_error error = {0};
	int fd = plain_listener();
	pid_t child;
	size_t n = 7;

	child = spawn(*state, close_it, fd);
	assert_int_equal(td_host_listeners(child, &l, &n, &error), 0);
	assert_int_equal(n, 0);
	assert_null(l);
	close(fd);
	end(*state, child);
	assert_int_equal(td_host_listeners(child, &l, &n, &error), -ESRCH);
	assert_non_null(strstr(error.text, "there is no process"));

	if (geteuid() != 0)
		return;
	child = spawn(*state, listen_elsewhere, 0);
	assert_int_equal(td_host_listeners(child, &l, &n, &error), 0);
	assert_int_equal(n, 1);
	assert_false(l[0].same_netns);
	assert_true(l[0].reuseport);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_holders_and_pollers),
		T(test_acceptor_without_a_poller),
		T(test_one_row_for_each_process),
		T(test_scan_for_nothing),
		T(test_processes_that_vanish),
		T(test_names_hold_anything),
		T(test_get_socket),
		T(test_zombie),
		T(test_thread_is_no_process),
		T(test_no_permission),
		T(test_listeners),
		T(test_listeners_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
