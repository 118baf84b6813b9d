// SPDX-License-Identifier: GPL-2.0-only
/*
 * What `tundish` does to the daemon: acts, configuration, events, taking down.
 */
#include "cli_fixture.h"

static void test_backend_acts(void **state)
{
	struct fixture *f = *state;
	char *odd[] = {"backend", "drain", "..", "..%2f", NULL};
	struct run r;

	assert_output(f, "backend drain web web1", "web/web1 state drain\n");
	assert_string_equal(f->requests, "POST backends/web/web1/drain\n");
	assert_output(f, "backend enable web web1", "web/web1 state up\n");
	assert_output(f, "b dis web web1", "web/web1 state disabled: by command\n");
	assert_string_equal(f->requests, "POST backends/web/web1/disable\n");
	assert_output(f, "backend weight web web1 250", "web/web1 weight 7\n");
	assert_string_equal(f->body, "{\"weight\": 250}");
	assert_json(f, "--json backend drain web web1", BACKEND("web1", "drain"));
	assert_fails(f, "backend drain web nope", 4, "no such thing");

	/* any bytes stay one word */
	r = start(f, odd, -1);
	finish(f, &r);
	assert_string_equal(r.text[2], "");
	assert_int_equal(r.exit_code, 0);
	run_done(&r);
}

static void test_config(void **state)
{
	struct fixture *f = *state;
	char name[128], line[256], valid[256];
	FILE *file;
	struct run r;

	snprintf(name, sizeof(name), "%s/a.yaml", f->directory);
	file = fopen(name, "w");
	fputs("services: []\n", file);
	fclose(file);

	snprintf(line, sizeof(line), "config diff %s", name);
	assert_output(f, line, "CHANGE  OBJECT    WHY\nadd     web/web3  new in the file\n");
	assert_string_equal(f->body, "services: []\n");
	assert_has(f->requests, name);
	snprintf(line, sizeof(line), "config apply %s", name);
	assert_output(f, line, "no change\n");
	snprintf(line, sizeof(line), "config apply --json %s", name);
	assert_json(f, line, "{\"changes\":[]}");
	snprintf(line, sizeof(line), "config check %s", name);
	snprintf(valid, sizeof(valid), "%s is valid\n", name);
	assert_output(f, line, valid);

	/* the daemon's sentence begins with the place, as editors know it */
	f->text = strdup("{\"error\":\"a.yaml:14:9: weight 70000 is over 1000\",\"exit\":1}");
	f->status = 400;
	r = tundish(f, line);
	assert_int_equal(r.exit_code, 1);
	assert_string_equal(r.text[2], "a.yaml:14:9: weight 70000 is over 1000\n");
	run_done(&r);
	free(f->text);
	f->text = NULL;
	unlink(name);

	assert_fails(f, line, 1, "No such file");
	assert_fails(f, "config apply /", 1, "cannot read /");
	r = tundish_input(f, "config diff -", "x: 1\n");
	assert_int_equal(r.exit_code, 0);
	assert_string_equal(f->body, "x: 1\n");
	assert_string_equal(f->requests, "POST config/diff name=stdin\n");
	run_done(&r);

	assert_output(f, "config show", "services:\n\t- name: web # \\x1b[31m\n");
	assert_json(f, "config show --json",
		    "{\"config\":\"services:\\n\\t- name: web # \\u001B[31m\\n\"}");
}

static int times(const char *text, const char *part)
{
	int n = 0;

	while ((text = strstr(text, part))) {
		text++;
		n++;
	}
	return n;
}

static void test_events(void **state)
{
	struct fixture *f = *state;
	char *words[] = {"events", NULL}, *lines[] = {"events", "--json", NULL};
	uint64_t end = now_ms() + WAIT_MS;
	struct run r;

	f->n_events = 2;
	assert_output(f, "events --once",
		      "2024-05-06T07:08:09Z attach web/web1: asked by a command\n"
		      "2024-05-06T07:08:09Z worker-join web/web1: asked by a command\n");
	assert_json(f, "events --once --json",
		    "[" EVENT(1, "attach") "," EVENT(2, "worker-join") "]");

	r = start(f, words, -1);
	while (!strstr(r.text[1], "worker-join")) {
		assert_true(now_ms() < end);
		turn(f, &r);
	}
	f->n_events = 3;
	while (!strstr(r.text[1], "worker-leave")) {
		assert_true(now_ms() < end);
		turn(f, &r);
	}
	kill(r.pid, SIGINT);
	finish(f, &r);
	assert_int_equal(r.exit_code, 128 + SIGINT);
	assert_null(strstr(strstr(r.text[1], "worker-join") + 1, "worker-join")); /* each once */
	assert_has(f->requests, "GET events since=2\n");
	run_done(&r);

	f->n_events = 2;
	r = start(f, lines, -1);
	while (!strstr(r.text[1], "worker-join")) {
		assert_true(now_ms() < end);
		turn(f, &r);
	}
	f->control = td_control_close(f->control); /* the daemon goes, which is told once ... */
	/* between two questions, or with one before it */
	while (!strstr(r.text[2], "no daemon answers") && !strstr(r.text[2], "did not answer")) {
		assert_true(now_ms() < end);
		turn(f, &r);
	}
	f->n_events = 3;
	listen_again(f); /* ... and comes back */
	while (!strstr(r.text[1], "worker-leave")) {
		assert_true(now_ms() < end);
		turn(f, &r);
	}
	kill(r.pid, SIGINT);
	finish(f, &r);
	assert_string_equal(r.text[1], EVENT(1, "attach") "\n" EVENT(2, "worker-join") "\n" EVENT(
					       3, "worker-leave") "\n");
	assert_int_equal(times(r.text[2], "no daemon answers") + times(r.text[2], "did not answer"),
			 1);
	run_done(&r);
}

static void test_events_filters(void **state)
{
	static const struct {
		const char *line, *events;
	} cases[] = {
		{"--event worker-join", EVENT(2, "worker-join")},
		{"--event worker-join,worker-leave",
		 EVENT(2, "worker-join") "," EVENT(3, "worker-leave")},
		{"--event worker", EVENT(2, "worker-join") "," EVENT(3, "worker-leave")},
		{"--event worker-refused,freed", ""},
		{"--object web1 --event attach", EVENT(1, "attach")},
		{"--object web2", ""},
		{"--service web --event attach", EVENT(1, "attach")},
		{"--service we", ""},
		{"--service web1", ""}, /* a backend is no service */
		{"--since 2024-05-06T07:08:09Z --event attach", EVENT(1, "attach")},
		{"--since 2024-05-06T07:08:10Z", ""},
		{"--since 10m", ""},
		{"--since 2020-01-01 --event attach", EVENT(1, "attach")},
	};
	struct fixture *f = *state;
	char line[200], json[1000];

	f->n_events = 3;
	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++) {
		snprintf(line, sizeof(line), "events --once --json %s", cases[i].line);
		snprintf(json, sizeof(json), "[%s]", cases[i].events);
		assert_json(f, line, json);
	}
	assert_fails(f, "events --since yesterday", 2, "no time; valid: 10m");
	assert_fails(f, "events --since 2024-13-01", 2, "no time");
	/* a word of its own, not the beginning of one; and all of a list are looked at */
	assert_fails(f, "events --event work", 2, "no event \"work\"; tundish(8) has");
	assert_fails(
		f, "events --event attach,helth", 2,
		"no event \"helth\"; tundish(8) has all under EVENTS; did you mean \"health\"?");
	assert_fails(f, "events --event=", 2, "no event \"\"");
	assert_fails(f, "events --event ,attach", 2, "no event \"\"");
	assert_fails(f, "events --event attach-", 2, "did you mean \"attach\"?");
}

static void test_unload(void **state)
{
	struct fixture *f = *state;

	/* another instance's pins are not this daemon's to unload */
	assert_fails(f, "--pin /sys/fs/bpf/other unload", 1, "not in /sys/fs/bpf/other");
	assert_null(strstr(f->requests, "POST"));
	assert_output(f, "unload", "unloaded /sys/fs/bpf/tundish\n");
	assert_null(f->control);
	/* and now there is none: the kernel is asked, where nothing is */
	assert_fails(f, "unload --pin /tmp/tundish-test-cli-nothing", 4, "nothing to unload");
}

/* A daemon that could not, and ended: the rest is done from here. */
static void test_unload_after_a_daemon_that_failed(void **state)
{
	struct fixture *f = *state;
	struct run r;

	f->json = "{\"pin\":\"/tmp/tundish-test-cli-nothing\"}";
	f->unload_fails = true;
	r = tundish(f, "unload");
	assert_null(f->control);
	assert_string_equal(r.text[2], "tundish: no permission\n");
	assert_string_equal(r.text[1], "unloaded /tmp/tundish-test-cli-nothing\n");
	assert_int_equal(r.exit_code, 0);
	run_done(&r);
}

#define SHARED(service, name, state)                                                               \
	"{\"service\":\"" service "\",\"worker\":\"" name "\",\"state\":\"" state                  \
	"\",\"listen\":\"[::]:8080\"}"

static void test_worker_list(void **state)
{
	struct fixture *f = *state;

	assert_output(
		f, "worker list",
		"SERVICE  WORKER  PID  COMMAND  STATE  QUEUE  CONNECTIONS  SHARE  WAIT p99\n");
	assert_json(f, "worker list --json", "[]");
	assert_output(
		f, "worker list app",
		"SERVICE  WORKER  PID  COMMAND  STATE  QUEUE  CONNECTIONS  SHARE  WAIT p99\n"
		"app      w0       77  nginx    up     3/511        12.0k    25%     1.8ms\n"
		"app      w1       77  nginx    up     3/511        12.0k    25%     1.8ms\n");
	assert_json(f, "worker list app --json", "[" WORKER("w0", "up") "," WORKER("w1", "up") "]");
	/* One socket behind several services is one row, and what is odd of it is told. */
	f->json = "[" SHARED("a", "w0", "up") "," SHARED("a", "w1", "up") "," SHARED(
		"b", "w0",
		"stalled") "," SHARED("b", "w1",
				      "up") "," SHARED("c", "w0",
						       "up") "," SHARED("d", "w0",
									"up") "," SHARED("e", "w0",
											 "up") "]";
	assert_output(
		f, "worker list",
		"SERVICE   WORKER  PID  COMMAND  STATE    QUEUE  CONNECTIONS  SHARE  WAIT p99\n"
		"a,b,c,+2  w0        -  -        stalled    -/-            -      -         -\n"
		"a,b       w1        -  -        up         -/-            -      -         -\n");
	assert_json(f, "worker list --json", f->json);
	f->json = NULL;
	assert_fails(f, "worker list nope", 4, "no such thing: GET workers/nope");
}

static void test_worker_acts(void **state)
{
	struct fixture *f = *state;

	assert_output(f, "worker drain app w0", "app/w0 state drain\n");
	assert_string_equal(f->requests, "POST workers/app/w0/drain\n");
	assert_output(f, "worker drain app w1", "app/w1 state drained: its queue is empty\n");
	assert_json(f, "worker drain app w0 --json", WORKER("w0", "drain"));
	assert_output(f, "worker enable app w0", "app/w0 state up\n");
	assert_string_equal(f->requests, "POST workers/app/w0/undrain\n");
	assert_fails(f, "worker drain app w7", 4, "no such thing");

	assert_output(f, "worker drain app all",
		      "app/w0 state drain\napp/w1 state drained: its queue is empty\n");
	assert_string_equal(f->requests, "GET workers/app\nPOST workers/app/w0/drain\n"
					 "POST workers/app/w1/drain\n");
	assert_fails(f, "worker drain none all", 4, "\"none\" has no workers");

	assert_output(f, "worker adopt app 77", "app adopted process 77: 2 listeners of nginx\n");
	assert_string_equal(f->body, "{\"pid\": 77}");
	assert_fails(f, "worker adopt nope 77", 4, "no such thing");
}

static void test_worker_drain_waits(void **state)
{
	static const char *const drains[] = {"[" WORKER("w0", "drain") "]",
					     "[" WORKER("w0", "drain") "]",
					     "[" WORKER("w0", "drained") "]", NULL};
	static const char *const goes[] = {"[" WORKER("w0", "drain") "]", "[]", NULL};
	static const char *const successor[] = {
		"[" WORKER("w0", "drain") "]",
		"[{\"service\":\"app\",\"worker\":\"w0\",\"pid\":78,\"state\":\"up\"}]", NULL};
	static const char *const enabled[] = {"[" WORKER("w0", "drain") "]",
					      "[" WORKER("w0", "stalled") "]", NULL};
	static const char *const all[] = {"[" WORKER("w0", "up") "," WORKER("w1", "up") "]",
					  "[" WORKER("w0", "drain") "," WORKER("w1", "drained") "]",
					  "[" WORKER("w0", "drained") "]", NULL};
	struct fixture *f = *state;
	struct run r;

	f->workers = drains;
	assert_output(f, "worker drain app w0 --wait", "app/w0 state drained\n");
	assert_string_equal(f->requests, "POST workers/app/w0/drain\nGET workers/app\n"
					 "GET workers/app\nGET workers/app\n");
	f->workers = drains;
	assert_json(f, "worker drain app w0 --wait --json", WORKER("w0", "drained"));
	f->workers = goes;
	assert_output(f, "worker drain app w0 --wait", "app/w0 state gone\n");
	f->workers = successor; /* its name is another's by now */
	assert_output(f, "worker drain app w0 --wait", "app/w0 state gone\n");
	f->workers = enabled;
	assert_fails(f, "worker drain app w0 --wait", 1, "enabled again while it drained");
	f->workers = all;
	assert_output(f, "worker drain app all --wait",
		      "app/w0 state drained\napp/w1 state drained: its queue is empty\n");
	f->workers = all;
	r = tundish(f, "worker drain app all --json");
	assert_int_equal(r.exit_code, 0);
	assert_has(r.text[1], "[\n  {\n    \"service\": \"app\"");
	run_done(&r);
}

/* What it asks and refuses; test_cli_exec.c has the rest. */
static void test_exec(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(name);
	char json[256];
	int fd;

	assert_fails(f, "exec app -- true", 1, "\"127.0.0.1:0\" is no ADDRESS:PORT");
	assert_fails(f, "exec web -- true", 1, "\"web\" has no workers.listen");
	assert_fails(f, "exec nope -- true", 4, "no such thing: GET services/nope");
	assert_fails(f, "exec app --workers 0 -- true", 2, "--workers: 0 is not from 1 to 1024");
	assert_fails(f, "exec app --workers 9 -- true", 1, "takes 8 workers, and 9 on each of 1");

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (void *)&name, sizeof(name)), 0);
	assert_int_equal(getsockname(fd, (void *)&name, &length), 0);
	close(fd);
	snprintf(json, sizeof(json),
		 "{\"service\":\"app\",\"workers\":{\"listen\":[\"127.0.0.1:%u\"],\"size\":64}}",
		 ntohs(name.sin_port));
	f->json = json;
	assert_output(f, "exec app --workers 3 -- printenv LISTEN_FDS LISTEN_FDNAMES",
		      "3\napp:app:app\n");
	assert_string_equal(f->requests, "GET services/app\n");
	/* options after "--" are the command's */
	assert_output(f, "exec app -- echo --workers --json -h --", "--workers --json -h --\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_backend_acts), T(test_worker_list),
		T(test_worker_acts),  T(test_worker_drain_waits),
		T(test_exec),	      T(test_config),
		T(test_events),	      T(test_events_filters),
		T(test_unload),	      T(test_unload_after_a_daemon_that_failed),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
