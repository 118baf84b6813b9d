// SPDX-License-Identifier: GPL-2.0-only
/*
 * The filter of system calls, put on for real in a child: what it refuses, what still works
 * under it, also for programs that the child starts, and that it kills where it is told to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "daemon/daemon.h"

static int in_child(void (*run)(void), const char *mode)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		unsetenv("TUNDISH_FILTERED");
		if (mode)
			setenv("TUNDISH_TEST_SECCOMP", mode, 1);
		else
			unsetenv("TUNDISH_TEST_SECCOMP");
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || td_filter_put() < 0)
			_exit(100);
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* In a child: its exit status names the line. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			_exit(__LINE__ % 90 + 1);                                                  \
	} while (0)
#define REFUSED(call) MUST((call) == -1 && errno == ENOSYS)

static void refused_calls(void)
{
	int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	MUST(ns >= 0);
	REFUSED(mount("none", "/nowhere", "tmpfs", 0, NULL));
	REFUSED(umount2("/nowhere", 0));
	REFUSED(unshare(CLONE_NEWNET));
	REFUSED(unshare(0));
	REFUSED(setns(ns, CLONE_NEWNS));
	REFUSED(setns(ns, 0));
	REFUSED(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
	REFUSED(syscall(SYS_clone3, NULL, 0));
	REFUSED(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	REFUSED(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0));
	REFUSED(syscall(SYS_io_uring_setup, 1, NULL));
	REFUSED(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	REFUSED(syscall(SYS_userfaultfd, 0));
	REFUSED(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
	REFUSED(syscall(SYS_open_by_handle_at, -1, NULL, 0));
	REFUSED(syscall(SYS_init_module, NULL, 0, ""));
	REFUSED(syscall(SYS_kexec_load, 0, 0, NULL, 0));
	REFUSED(syscall(SYS_clock_settime, CLOCK_REALTIME, NULL));
	REFUSED(syscall(SYS_chroot, "/"));
	REFUSED(syscall(SYS_pivot_root, "/", "/"));
	REFUSED(syscall(SYS_mknodat, -1, "", 0, 0));
	REFUSED(syscall(SYS_swapon, "", 0));
	REFUSED(syscall(SYS_reboot, 0, 0, 0, NULL));
}

static void *nothing(void *argument)
{
	return argument;
}

static int run_program(const char *script)
{
	char *const argv[] = {"sh", "-c", (char *)script, NULL};
	int status;
	pid_t pid;

	MUST(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0);
	MUST(waitpid(pid, &status, 0) == pid);
	return status;
}

static void allowed_calls(void)
{
	int ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	pthread_t thread;
	void *result;

	/* The kernel's own answer, whichever: entering a network's namespace gets through. */
	MUST(ns >= 0 && (setns(ns, CLONE_NEWNET) == 0 || errno == EPERM));
	MUST(pthread_create(&thread, NULL, nothing, &ns) == 0);
	MUST(pthread_join(thread, &result) == 0 && result == &ns);
	MUST(run_program(
		     "x=$(echo ok | cat) && d=$(mktemp -d) && echo $x >$d/f && rm -r $d && test $x = ok") ==
	     0);
	MUST(td_filter_put() == 0); /* a second time: it is seen to be there */
}

static void program_refused(void)
{
	MUST(WEXITSTATUS(run_program("exec unshare --net true 2>/dev/null")) != 0);
}

static void one_refused_call(void)
{
	unshare(CLONE_NEWNET);
}

static void test_refused(void **state)
{
	assert_int_equal(in_child(refused_calls, NULL), 0);
}

static void test_allowed(void **state)
{
	assert_int_equal(in_child(allowed_calls, NULL), 0);
	assert_int_equal(in_child(allowed_calls, "kill"), 0);
}

static void test_programs(void **state)
{
	assert_int_equal(in_child(program_refused, NULL), 0);
}

static void test_kills(void **state)
{
	int status = in_child(one_refused_call, "kill");

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	assert_int_equal(in_child(one_refused_call, "anything"), 0);
}

/* What only says that there is one makes none. */
static void test_said_to_be_there(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		unsetenv("TUNDISH_TEST_SECCOMP");
		setenv("TUNDISH_FILTERED", "1", 1);
		MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		MUST(td_filter_put() == 0);
		REFUSED(unshare(0));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),		 cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_programs),	 cmocka_unit_test(test_kills),
		cmocka_unit_test(test_said_to_be_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
