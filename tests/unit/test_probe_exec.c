// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs as probes: their status, what they say, what they are told; those that never end, write
 * without end, leave children behind, in their group and out of it, or cannot be run; and that
 * nothing of them stays.
 */
#include <dirent.h>
#include <sys/ptrace.h>

#include "probe_fixture.h"

static enum td_probe_verdict run(const char *script, uint32_t timeout_ms)
{
	char *shell[] = {"/bin/sh", "-c", (char *)(uintptr_t)script};
	struct td_probe_spec s = spec(TD_PROBE_EXEC, 8080);

	s.command = shell;
	s.n_command = 3;
	s.timeout_ms = timeout_ms;
	s.service = "web";
	s.backend = "b1";
	return ask(&s);
}

static void test_status(void **state)
{
	assert_int_equal(run("exit 0", 5000), TD_PROBE_GOOD);
	says("status 0");
	assert_int_equal(run("exit 7", 5000), TD_PROBE_BAD);
	assert_string_equal(last.reason, "status 7");
	assert_int_equal(run("kill -9 $$", 5000), TD_PROBE_BAD);
	says("ended by signal 9");
	assert_int_equal(run("nonexistent-program 2>/dev/null", 5000), TD_PROBE_BAD);
	says("status 127");
}

static void test_output(void **state)
{
	assert_int_equal(run("echo first; echo; echo the last one >&2; exit 2", 5000),
			 TD_PROBE_BAD);
	assert_string_equal(last.reason, "status 2: the last one");
	assert_int_equal(run("printf 'a\\nb\\001\\303c'", 5000), TD_PROBE_GOOD);
	assert_string_equal(last.reason, "status 0: b??c");
	assert_int_equal(run("head -c 100000 /dev/zero | tr '\\0' x; exit 1", 5000), TD_PROBE_BAD);
	assert_in_range(strlen(last.reason), 100, sizeof(last.reason) - 1);
}

static void test_environment(void **state)
{
	assert_int_equal(run("test \"$TUNDISH_ADDRESS:$TUNDISH_PORT $TUNDISH_SERVICE "
			     "$TUNDISH_BACKEND\" = '127.0.0.1:8080 web b1'",
			     5000),
			 TD_PROBE_GOOD);
	setenv("SECRET", "x", 1);
	assert_int_equal(run("test -z \"$SECRET\" -a \"$(pwd)\" = /", 5000), TD_PROBE_GOOD);
	unsetenv("SECRET");
	/* None of this process' descriptors; signals as any program has them, but for the two that
	 * are glibc's own. */
	assert_int_equal(dup2(0, 57), 57);
	assert_int_equal(run("test ! -e /proc/self/fd/57", 5000), TD_PROBE_GOOD);
	close(57);
	assert_int_equal(run("grep -q '^SigBlk:[[:space:]]*0*$' /proc/self/status && "
			     "grep -q '^SigIgn:[[:space:]]*0*[18]*0000000$' /proc/self/status",
			     5000),
			 TD_PROBE_GOOD);
}

/* Processes whose command line has the word, which are not dying; *ret: one of them. */
static unsigned int find_processes(const char *word, int *ret)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	unsigned int n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		char path[300], line[4096] = "";
		FILE *in;
		size_t got;

		snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
		in = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
		if (!in)
			continue;
		got = fread(line, 1, sizeof(line) - 1, in);
		fclose(in);
		if (!memmem(line, got, word, strlen(word)))
			continue;
		n++;
		*ret = atoi(e->d_name);
	}
	closedir(d);
	return n;
}

static unsigned int processes_with(const char *word)
{
	int pid;

	return find_processes(word, &pid);
}

/* Runs the loop until none is left that has the word, and no child either. */
static void none_is_left(const char *word)
{
	for (unsigned int i = 0; i < 500; i++) {
		td_prober_run(prober);
		if (!processes_with(word) && waitpid(-1, NULL, WNOHANG) == -1)
			return;
		usleep(10000);
	}
	fail_msg("%u processes with %s are left", processes_with(word), word);
}

static void none_of_them_is_left(const char *word)
{
	for (unsigned int i = 0; i < 500 && processes_with(word); i++) {
		td_prober_run(prober);
		usleep(1000);
	}
	assert_int_equal(processes_with(word), 0);
}

static void test_weights(void **state)
{
	char *shell[] = {"/bin/sh", "-c", "echo load 7; exit 44"};
	struct td_probe_spec s = spec(TD_PROBE_EXEC, 1);

	s.command = shell;
	s.n_command = 3;
	s.timeout_ms = 5000;
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	assert_int_equal(last.status, 44);
	s.dynamic_weight = true;
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	assert_int_equal(last.status, 44);
	says("status 44: load 7");
	shell[2] = "exit 1";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	shell[2] = "exit 127";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	shell[2] = "exit 0";
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	assert_int_equal(last.status, 0);
	shell[2] = "kill -9 $$";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	assert_int_equal(last.status, -1);
}

/* They leave their group, and their parent. */
static void test_daemons(void **state)
{
	assert_int_equal(run("setsid sleep 31.5320 >/dev/null 2>&1 & exit 0", 5000), TD_PROBE_GOOD);
	none_is_left("31.5320");
	assert_int_equal(run("(setsid sh -c 'setsid sleep 31.5321 & setsid sleep 31.5321 & wait' "
			     ">/dev/null 2>&1 &); sleep 31.5321",
			     300),
			 TD_PROBE_TIMEOUT);
	none_is_left("31.5321");
	/* A fork for each generation: each one's end brings the next one here. */
	assert_int_equal(run("i=0; while [ $i -lt 40 ]; do i=$((i+1)); setsid sleep 31.5322 & done "
			     ">/dev/null 2>&1; exit 3",
			     5000),
			 TD_PROBE_BAD);
	none_is_left("31.5322");
}

/* What one check has left is no matter of another one that runs, and whose own children stay. */
static void test_beside_others(void **state)
{
	char *shell[] = {"/bin/sh", "-c",
			 "(sleep 31.5323 &) ; sleep 31.5323 & sleep 1.5; "
			 "[ $(pgrep -fc '^sleep 31.5323') = 2 ]"};
	struct td_probe_spec s = spec(TD_PROBE_EXEC, 1);
	struct td_error e = {0};
	struct td_probe *b = NULL;

	s.command = shell;
	s.n_command = 3;
	s.timeout_ms = 10000;
	results = 0;
	assert_int_equal(td_probe_new(prober, &s, on_done, NULL, &b, &e), 0);
	td_probe_at(b, now_ns());
	while (!processes_with("31.5323"))
		td_prober_run(prober);
	s.timeout_ms = 5000;
	shell[2] = "setsid sleep 31.5324 >/dev/null 2>&1 & exit 5";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	says("status 5");
	results = 0;
	none_of_them_is_left("31.5324");
	run_until(1, 20000);
	assert_int_equal(last.verdict, TD_PROBE_GOOD);
	td_probe_free(b);
	none_is_left("31.5323");
}

static void test_never_ends(void **state)
{
	uint64_t begin = now_ns();

	/* With children, and deaf to the polite signal. */
	assert_int_equal(
		run("trap '' TERM; sleep 31.5317 & sleep 31.5317 & wait; : never-ends-a", 300),
		TD_PROBE_TIMEOUT);
	says("not done within 300 ms");
	assert_true(now_ns() - begin < 5000000000ull);
	for (unsigned int i = 0; i < 200 && processes_with("31.5317"); i++)
		usleep(10000);
	assert_int_equal(processes_with("31.5317"), 0);
	/* What it leaves behind ends with it. */
	assert_int_equal(run("sleep 31.5318 >/dev/null 2>&1 & exit 0", 5000), TD_PROBE_GOOD);
	for (unsigned int i = 0; i < 200 && processes_with("31.5318"); i++)
		usleep(10000);
	assert_int_equal(processes_with("31.5318"), 0);
}

static void test_writes_endlessly(void **state)
{
	assert_int_equal(run("exec cat /dev/zero", 500), TD_PROBE_TIMEOUT);
	says("it wrote 1048576 bytes");
	/* A lot, but not without end. */
	assert_int_equal(run("head -c 1000000 /dev/zero; echo; echo done", 10000), TD_PROBE_GOOD);
	says("done");
}

static void test_cannot_be_run(void **state)
{
	char *nothing[] = {"/nonexistent/check"};
	char *text[] = {(char *)(uintptr_t)put_file("text", "exit 0\n", 0600)};
	struct td_probe_spec s = spec(TD_PROBE_EXEC, 1);

	s.command = nothing;
	s.n_command = 1;
	assert_int_equal(ask(&s), TD_PROBE_UNABLE); /* which is not the server's fault */
	says("/nonexistent/check cannot be run");
	s.command = text;
	assert_int_equal(ask(&s), TD_PROBE_UNABLE);
	says("Permission denied");
}

static unsigned int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_nothing_stays(void **state)
{
	unsigned int before = open_files();
	struct td_probe *b[6];
	char *shell[] = {"/bin/sh", "-c", "sleep 31.5319"};
	struct td_probe_spec s = spec(TD_PROBE_EXEC, 1);
	struct td_error e = {0};

	for (unsigned int i = 0; i < 50; i++)
		run(i % 2 ? "exit 0" : "echo x; exit 1", 5000);
	assert_int_equal(open_files(), before);
	/* No more than four of them run here; freed in the middle they are gone. */
	s.command = shell;
	s.n_command = 3;
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(td_probe_new(prober, &s, on_done, NULL, &b[i], &e), 0);
		td_probe_at(b[i], now_ns());
	}
	td_prober_run(prober);
	assert_int_equal(td_prober_counts(prober).programs, 4);
	assert_int_equal(td_prober_counts(prober).waiting, 2);
	for (size_t i = 0; i < 6; i++)
		td_probe_free(b[i]);
	none_is_left("31.5319"); /* no child, not even a dead one */
	assert_int_equal(open_files(), before);
}

/* Closed in the middle, it leaves nothing either. */
static void test_closed(void **state)
{
	const struct td_prober_options options = {
		.max_sockets = 4, .max_programs = 4, .owns_children = true};
	struct td_prober *fixture = prober;
	char *shell[] = {"/bin/sh", "-c", "setsid sleep 31.5325 & setsid sleep 31.5325 & wait"};
	struct td_probe_spec s = spec(TD_PROBE_EXEC, 1);
	struct td_error e = {0};
	struct td_probe *b = NULL;

	assert_int_equal(td_prober_open(&options, &prober, &e), 0);
	s.command = shell;
	s.n_command = 3;
	assert_int_equal(td_probe_new(prober, &s, on_done, NULL, &b, &e), 0);
	td_probe_at(b, now_ns());
	while (processes_with("31.5325") < 3)
		td_prober_run(prober);
	td_prober_close(prober);
	prober = fixture;
	assert_int_equal(processes_with("31.5325"), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* A thread of the process that is not its first; 0: there is none yet. */
static int second_thread(int pid)
{
	char path[64];
	struct dirent *e;
	int found = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d)))
		if (atoi(e->d_name) > 0 && atoi(e->d_name) != pid)
			found = atoi(e->d_name);
	if (d)
		closedir(d);
	return found;
}

/* One that outlives its killing, as those do that hang in the kernel: here a process one of whose
 * threads is traced, and not reaped by who traces it. Nobody waits for it; so long it has its turn. */
static void test_does_not_die(void **state)
{
	char *command[] = {"/usr/bin/python3", "-c",
			   "import threading, time\n"
			   "threading.Thread(target=time.sleep, args=(31.5320,)).start()"};
	struct td_probe_spec s = spec(TD_PROBE_EXEC, 1);
	unsigned int before = open_files();
	struct td_probe *b = NULL;
	struct td_error e = {0};
	int pid = 0, thread = 0;
	uint64_t begin;

	s.command = command;
	s.n_command = 3;
	s.timeout_ms = 20000;
	assert_int_equal(td_probe_new(prober, &s, on_done, NULL, &b, &e), 0);
	td_probe_at(b, now_ns());
	td_prober_run(prober);
	for (unsigned int i = 0; i < 1500 && !thread; i++) {
		usleep(10000);
		if (find_processes("31.5320", &pid))
			thread = second_thread(pid);
	}
	assert_int_equal(ptrace(PTRACE_SEIZE, thread, 0, 0), 0);
	begin = now_ns();
	td_probe_free(b);
	assert_true(now_ns() - begin < 5000000000ull);
	assert_int_equal(td_prober_counts(prober).programs, 1);
	td_prober_run(prober);
	assert_int_equal(td_prober_counts(prober).programs, 1);
	assert_int_equal(waitpid(thread, NULL, __WALL), thread);
	for (unsigned int i = 0; i < 500 && td_prober_counts(prober).programs; i++) {
		struct pollfd p = {.fd = td_prober_fd(prober), .events = POLLIN};

		poll(&p, 1, 10);
		td_prober_run(prober);
	}
	assert_int_equal(td_prober_counts(prober).programs, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(open_files(), before);
}

/* Whoever goes on as another program has none as its child; a probe is asked anew if it stays. */
static void test_stopped(void **state)
{
	char *shell[] = {"/bin/sh", "-c", "sleep 31.5321"};
	struct td_probe_spec s = spec(TD_PROBE_EXEC, 1);
	struct td_probe *b = NULL;
	struct td_error e = {0};

	s.command = shell;
	s.n_command = 3;
	results = 0;
	assert_int_equal(td_probe_new(prober, &s, on_done, NULL, &b, &e), 0);
	td_probe_at(b, now_ns());
	td_prober_run(prober);
	td_prober_stop_programs(prober);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(td_prober_counts(prober).programs, 0);
	run_until(1, 30);
	assert_int_equal(results, 0);
	assert_int_equal(td_prober_counts(prober).programs, 1);
	td_probe_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),		 cmocka_unit_test(test_output),
		cmocka_unit_test(test_environment),	 cmocka_unit_test(test_never_ends),
		cmocka_unit_test(test_writes_endlessly), cmocka_unit_test(test_cannot_be_run),
		cmocka_unit_test(test_nothing_stays),	 cmocka_unit_test(test_does_not_die),
		cmocka_unit_test(test_stopped),		 cmocka_unit_test(test_weights),
		cmocka_unit_test(test_daemons),		 cmocka_unit_test(test_beside_others),
		cmocka_unit_test(test_closed),
	};

	owns_children = true;

	return cmocka_run_group_tests_name("probe_exec", tests, setup_prober, end_prober);
}
