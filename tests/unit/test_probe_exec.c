// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs as probes: their status, what they say, what they are told; those that never end, write
 * without end, leave children behind, or cannot be run; and that nothing of them stays.
 */
#include <dirent.h>

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

/* Processes whose command line has the word, which are not dying. */
static unsigned int processes_with(const char *word)
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
		n += memmem(line, got, word, strlen(word)) != NULL;
	}
	closedir(d);
	return n;
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
	assert_int_equal(open_files(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child, not even a dead one */
	for (unsigned int i = 0; i < 200 && processes_with("31.5319"); i++)
		usleep(10000);
	assert_int_equal(processes_with("31.5319"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),		 cmocka_unit_test(test_output),
		cmocka_unit_test(test_environment),	 cmocka_unit_test(test_never_ends),
		cmocka_unit_test(test_writes_endlessly), cmocka_unit_test(test_cannot_be_run),
		cmocka_unit_test(test_nothing_stays),
	};

	return cmocka_run_group_tests_name("probe_exec", tests, setup_prober, end_prober);
}
