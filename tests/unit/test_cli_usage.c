// SPDX-License-Identifier: GPL-2.0-only
/*
 * How `tundish` refuses, and how it helps: exit codes, sentences, completion.
 */
#include "cli_fixture.h"

/* ---- refusals --------------------------------------------------------------------- */

static void test_usage_errors(void **state)
{
	static const struct {
		const char *line, *part;
	} wrong[] = {
		{"s", "ambiguous: status, service"},
		{"t", "ambiguous: tuple, timewait, trace, top"},
		{"bakcend list", "did you mean backend?"},
		{"xyzzy",
		 "valid here: status, service, backend, worker, exec, flow, tuple, port, "
		 "timewait, egress, trace, doctor, config, daemon, events, capture, top, unload, help"},
		{"backend",
		 "\"backend\" needs a verb; valid here: list, drain, enable, disable, weight"},
		{"backend d web web1", "ambiguous: drain, disable"},
		{"backend lits", "did you mean list?"},
		{"backend drain web",
		 "BACKEND is missing; usage: tundish backend drain SERVICE BACKEND"},
		{"backend drain web web1 more", "nothing more is expected at \"more\""},
		{"backend weight web web1", "N is missing"},
		{"backend weight web web1 ten", "\"ten\" is no number"},
		{"backend weight web web1 -5", "no option \"-5\""},
		{"backend weight web web1 99999999999999999999", "is no number"},
		{"backend list --top 5", "no option \"--top\"; valid here: --json"},
		{"tuple list --top", "--top needs a value: --top N"},
		{"tuple list --top=x", "\"x\" is no number"},
		{"flow list --port 65536", "\"65536\" is no number from 0 to 65535"},
		{"flow list --c 1", "ambiguous: --client, --client-port, --control"},
		{"flow list prt=1", "no filter \"prt\"; did you mean port?"},
		{"flow list x", "nothing more is expected"},
		{"--jsn", "did you mean --json?"},
		{"--json=1", "takes no value"},
		{"-x", "no option \"-x\""},
		{"--pin", "needs a value: --pin DIR"},
		{"--control= status", "needs a value"},
		{"trace 1.2.3.4", "trace takes a source and a destination"},
		{"trace 192.0.2.30:80", "usage: tundish trace SRC[:PORT] DST:PORT"},
		{"config check", "FILE is missing"},
		{"worker drain app", "WORKER is missing"},
		{"worker adopt app", "PID is missing"},
		{"worker adopt app nginx", "PID: \"nginx\" is no number"},
		{"exec", "SERVICE is missing"},
		{"exec app", "COMMAND is missing; usage: tundish exec SERVICE [--workers N] "
			     "[--stop-timeout SECONDS] -- COMMAND [ARGUMENTS]"},
		{"exec app --", "COMMAND is missing"},
		{"exec -- true", "SERVICE is missing"},
		{"exec app true", "nothing more is expected at \"true\""},
		{"exec app --workers four -- true", "--workers: \"four\" is no number"},
		{"doctor now",
		 "nothing more is expected at \"now\"; usage: tundish doctor [--interval "
		 "SECONDS] [--connections N] [--sysctl]"},
		{"doctor --interval 3601", "\"3601\" is no number from 0 to 3600"},
		{"doctor --connections 0", "\"0\" is no number from 1 to"},
		{"doctor --sysctl=1", "takes no value"},
		{"doctor --sysctl --interval 2", "leave --interval away"},
		{"help nonsense", "no object \"nonsense\""},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < TD_ARRAY_SIZE(wrong); i++) {
		assert_fails(f, wrong[i].line, 2, wrong[i].part);
		assert_string_equal(f->requests, "");
	}
}

static void test_exit_codes_of_the_daemon(void **state)
{
	struct fixture *f = *state;

	f->status = 404;
	f->exit_code = 4;
	assert_fails(f, "service show x", 4, "tundish: no service \"x\"; known: web");
	f->status = 400;
	f->exit_code = 2;
	assert_fails(f, "trace a b", 2, "no service");
	f->status = 500;
	f->exit_code = 1;
	assert_fails(f, "", 1, "no service");
	f->exit_code = 77; /* not one of ours */
	assert_fails(f, "", 1, "no service");

	f->exit_code = 0;
	f->text = strdup("<html>teapot</html>");
	f->status = 418;
	assert_fails(f, "", 1, "HTTP status 418");
	f->status = 404;
	assert_fails(f, "", 4, "HTTP status 404");
	f->status = 200;
	assert_fails(f, "", 1, "no JSON");
}

static void test_no_daemon(void **state)
{
	static const char *const lines[] = {
		"",
		"service list",
		"backend drain web web1",
		"flow list",
		"trace 1.2.3.4 1.2.3.5:80",
		"config show",
		"config apply /dev/null",
		"config check /dev/null",
		"events",
		"events --once",
		"top",
		"worker drain app w0 --wait",
		"worker adopt app 77",
		"exec app -- true",
	};
	struct fixture *f = *state;
	struct run r;

	f->control = td_control_close(f->control);
	for (size_t i = 0; i < TD_ARRAY_SIZE(lines); i++)
		assert_fails(f, lines[i], 3, f->path);
	assert_fails(f, "config check /dev/null", 3, "tundishd --check --config /dev/null");
	/* what needs none */
	r = tundish(f, "help");
	assert_int_equal(r.exit_code, 0);
	run_done(&r);
	r = tundish(f, "--version");
	assert_int_equal(r.exit_code, 0);
	assert_has(r.text[1], "tundish ");
	run_done(&r);
}

static void test_stdout_that_is_full(void **state)
{
	struct fixture *f = *state;
	char *words[] = {"status", NULL};
	int full = open("/dev/full", O_WRONLY);
	struct run r = start(f, words, full);

	finish(f, &r);
	assert_int_equal(r.exit_code, 1);
	assert_has(r.text[2], "cannot write the answer");
	run_done(&r);
	close(full);
}

/* ---- help ------------------------------------------------------------------------- */

static void test_help_and_manual(void **state)
{
	static const char *const commands[] = {
		"status",
		"service list",
		"service show NAME",
		"backend list [SERVICE]",
		"backend drain SERVICE BACKEND",
		"backend enable SERVICE BACKEND",
		"backend disable SERVICE BACKEND",
		"backend weight SERVICE BACKEND N",
		"worker list [SERVICE]",
		"worker drain SERVICE WORKER",
		"worker enable SERVICE WORKER",
		"worker adopt SERVICE PID",
		"exec SERVICE",
		"flow list",
		"flow count",
		"tuple list",
		"port list",
		"timewait",
		"trace [SRC[:PORT]] DST:PORT",
		"doctor",
		"config check FILE",
		"config diff FILE",
		"config apply FILE",
		"config show",
		"events",
		"capture [FILTER]",
		"top",
		"unload",
	};
	struct fixture *f = *state;
	struct run all = tundish(f, "help"), r;
	char line[96], manual[32768];
	FILE *file = fopen("scripts/man/tundish.8", "r");

	assert_non_null(file);
	manual[fread(manual, 1, sizeof(manual) - 1, file)] = '\0';
	fclose(file);

	for (size_t i = 0; i < TD_ARRAY_SIZE(commands); i++) {
		snprintf(line, sizeof(line), "\n  %s ", commands[i]);
		assert_has(all.text[1], line);
		/* and the manual has it: the words in lower case */
		snprintf(line, sizeof(line), "Cm %.*s",
			 (int)strspn(commands[i], "abcdefghijklmnopqrstuvwxyz "), commands[i]);
		for (size_t n = strlen(line); line[n - 1] == ' '; n--)
			line[n - 1] = '\0';
		assert_has(manual, line);
	}
	r = tundish(f, "-h");
	assert_string_equal(r.text[1], all.text[1]);
	run_done(&r);
	r = tundish(f, "back --help");
	assert_has(r.text[1], "tundish backend drain SERVICE BACKEND [--wait]");
	assert_null(strstr(r.text[1], "flow"));
	run_done(&r);
	r = tundish(f, "help flow");
	assert_has(r.text[1], "--client-port PORT");
	run_done(&r);
	assert_string_equal(f->requests, "");
	run_done(&all);
}

static void assert_completes_behind(struct fixture *f, const char *global, const char *line,
				    const char *part, const char * not )
{
	const char *program = the_program();
	char command[512], text[4096];
	FILE *p;

	snprintf(command, sizeof(command), "%s %s __complete %s", program, global, line);
	p = popen(command, "r");
	text[fread(text, 1, sizeof(text) - 1, p)] = '\0';
	assert_int_equal(pclose(p), 0);
	if (part)
		assert_has(text, part);
	if (not )
		assert_null(strstr(text, not ));
}

static void assert_completes(struct fixture *f, const char *line, const char *part,
			     const char * not )
{
	assert_completes_behind(f, "", line, part, not );
}

static void test_completion(void **state)
{
	struct fixture *f = *state;

	assert_completes(f, "''", "backend\t", "drain");
	assert_completes(f, "ba", "backend\t", "status");
	assert_completes(f, "--json back ''", "drain\t", "status");
	assert_completes(f, "back d", "disable\t", "weight");
	assert_completes(f, "config check ''", ":files\n", "drain");
	assert_completes(f, "flow list --cl", "--client-port\t", "drain");
	assert_completes(f, "flow list ''", "--client-port\t", "drain");
	assert_completes(f, "flow list --protocol ''", "udp\n", "--");
	assert_completes(f, "flow list --protocol u", "udp\n", "tcp");
	assert_completes(f, "flow list --protocol=u", "--protocol=udp\n", "tcp");
	assert_completes(f, "flow list protocol=", "protocol=tcp\n", "--");
	assert_completes(f, "flow list --top=", NULL, "\n");
	assert_completes(f, "flow list =", NULL, "\n");
	assert_completes(f, "flow list --client ''", NULL, "\n");
	assert_completes(f, "no such ''", NULL, "\n");
	assert_completes(f, "events --event heal", "health\tA backend is up", "attach");
	assert_completes(f, "events --event=ports-h", "--event=ports-half-over\t", "worker");
	assert_completes(f, "events --object ''", NULL, "\n");
	assert_completes(f, "--control ''", ":files\n", "status");
	assert_completes(f, "--control /nowhere worker drain app ''", "all\n", "SERVICE");
	assert_completes(f, "--control /nowhere service show ''", NULL, "\n");
	assert_completes(f, "exec app --", "--stop-timeout\t", ":commands");
	assert_completes(f, "exec app -- ''", ":commands\n", "--");
	assert_completes(f, "exec app -- nginx ''", ":commands\n", "--");
	assert_completes(f, "worker adopt app 1", "1\t", "app");
	assert_completes(f, "help w", "worker\t", "backend");
	assert_completes_behind(f, "--json", "ba", "backend\t", "status");
	assert_completes_behind(f, "--json --control /nowhere", "back d", "disable\t", "weight");
	assert_completes_behind(f, "--control=/nowhere", "worker drain app ''", "all\n", NULL);
	assert_completes_behind(f, "--json", "''", "backend\t", "drain");
	assert_completes(f, "", NULL, "\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_usage_errors),	     T(test_exit_codes_of_the_daemon), T(test_no_daemon),
		T(test_stdout_that_is_full), T(test_help_and_manual),	       T(test_completion),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
