// SPDX-License-Identifier: GPL-2.0-only
/*
 * The built `tundish` against a control socket that answers from a table of
 * canned JSON. The program is $TUNDISH, or $BUILD/tundish; tests run from the
 * top of the tree. One thread: while the program runs, a loop serves its
 * requests and reads its output, with a bound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "control/control.h"

#define WAIT_MS	  30000
#define WORDS_MAX 24

#define STATUS                                                                                     \
	"{\"version\":\"0.1.0\",\"pin\":\"/sys/fs/bpf/tundish\",\"uptime_seconds\":90061,"         \
	"\"interfaces\":[{\"name\":\"eth0\",\"mode\":\"native\",\"dispatcher\":false,"             \
	"\"note\":\"alone\"}],"                                                                    \
	"\"services\":[{\"name\":\"web\",\"delivery\":\"ipip\",\"vips\":2,\"backends_up\":1,"      \
	"\"backends\":2,\"connections_active\":1234567,\"connections_per_second\":12.5,"           \
	"\"packets_per_second\":20000,\"bytes_per_second\":1572864}],"                             \
	"\"flows\":{\"active\":524288,\"capacity\":1048576,\"active6\":0,\"capacity6\":524288},"   \
	"\"tuples\":{\"active\":10,\"capacity\":262144},\"drops\":{\"drop_ttl\":3},"               \
	"\"counters\":{\"pass_other\":7},"                                                         \
	"\"attention\":[{\"what\":\"backend web2 of web has no neighbour\","                       \
	"\"why\":\"no answer on eth0\",\"do\":\"look at the cable\"}]}"

#define BACKEND(name, state)                                                                       \
	"{\"service\":\"web\",\"name\":\"" name "\",\"address\":\"10.0.1.11\",\"weight\":100,"     \
	"\"state\":\"" state "\",\"health\":null,\"connections_active\":5,"                        \
	"\"connections_total\":9007199254740993,\"packets\":123456,\"bytes\":1536}"

#define SERVICE                                                                                    \
	"{\"service\":\"web\",\"vips\":[\"192.0.2.10\",\"2001:db8::10\"],\"ports\":[\"80\","       \
	"\"443\"],\"protocol\":\"tcp\",\"delivery\":\"ipip\",\"scheduler\":\"maglev\","            \
	"\"own\":true,\"backends\":2,\"backends_up\":1,\"connections_active\":5,"                  \
	"\"connections_total\":9,\"packets\":10,\"bytes\":11}"

#define FLOW                                                                                       \
	"{\"client\":\"198.51.100.7\",\"client_port\":40001,\"vip\":\"192.0.2.10\",\"port\":80,"   \
	"\"protocol\":\"tcp\",\"service\":\"web\",\"backend\":\"web1\","                           \
	"\"state\":\"established\",\"age_seconds\":200,\"idle_seconds\":1}"

#define TUPLE                                                                                      \
	"{\"client\":\"198.51.100.7\",\"vip\":\"192.0.2.10\",\"port\":80,\"protocol\":\"tcp\","    \
	"\"active\":10000,\"total\":9999}"

#define TRACE                                                                                      \
	"{\"service\":\"web\",\"target\":\"web1\",\"reason\":\"Maglev alone\",\"path\":"           \
	"[\"destination is virtual IP number 1\",\"service number 1\"],\"verdict\":\"sent_ipip\"}"

#define EVENT(seq, what)                                                                           \
	"{\"seq\":" #seq ",\"time\":\"2024-05-06T07:08:09Z\",\"event\":\"" what "\","              \
	"\"object\":\"web/web1\",\"reason\":\"asked by a command\"}"

#define WORKER(name, state)                                                                        \
	"{\"service\":\"app\",\"worker\":\"" name "\",\"pid\":77,\"command\":\"nginx\","           \
	"\"state\":\"" state "\",\"queue_depth\":3,\"queue_limit\":511,"                           \
	"\"connections_total\":12000,\"connections_share\":0.25,"                                  \
	"\"accept_wait_seconds\":{\"p50\":0.00025,\"p99\":0.0018}}"

static const struct {
	const char *request, *answer;
} canned[] = {
	{"GET status", STATUS},
	{"GET services", "[" SERVICE "]"},
	{"GET services/web", SERVICE},
	{"GET backends", "[" BACKEND("web1", "up") "," BACKEND("web2", "drain") "]"},
	{"GET backends/web", "[" BACKEND("web1", "up") "]"},
	{"POST backends/web/web1/drain", BACKEND("web1", "drain")},
	{"POST backends/web/web1/enable", "{}"},
	{"POST backends/web/web1/disable", "{\"state\":\"disabled\",\"reason\":\"by command\"}"},
	{"POST backends/web/web1/weight", "{\"weight\":7}"},
	{"POST backends/../..%2f/drain", "{}"},
	{"GET workers", "[]"},
	{"GET workers/app", "[" WORKER("w0", "up") "," WORKER("w1", "up") "]"},
	{"GET workers/none", "[]"},
	{"POST workers/app/w0/drain", WORKER("w0", "drain")},
	{"POST workers/app/w1/drain", "{\"state\":\"drained\",\"reason\":\"its queue is empty\"}"},
	{"POST workers/app/w0/undrain", "{}"},
	{"POST workers/app/adopt", "{\"reason\":\"2 listeners of nginx\"}"},
	{"GET services/app",
	 "{\"service\":\"app\",\"workers\":{\"listen\":[\"127.0.0.1:0\"],\"size\":8}}"},
	{"GET flows", "[" FLOW "]"},
	{"GET flows/count", "{\"flows\":3,\"flows6\":4}"},
	{"GET tuples", "[" TUPLE "]"},
	{"GET trace", TRACE},
	{"POST config/check", "{\"changes\":[]}"},
	{"POST config/diff", "{\"changes\":[{\"kind\":\"add\",\"object\":\"web/web3\","
			     "\"why\":\"new in the file\"}]}"},
	{"POST config/apply", "{\"changes\":[]}"},
	{"POST unload", "{}"},
};

struct fixture {
	char directory[64], path[96];
	struct td_control *control;
	char requests[4096]; /* a line each */
	char body[256];
	/* what overrides the table */
	const char *json;
	char *text;
	unsigned int status;
	int exit_code;
	unsigned int n_events;
	bool unload_fails;
	unsigned int asked_after_unload; /* it ends at the fourth request */
	const char *const *workers;	 /* what GET workers/app says, one after the other */
};

static void note_request(struct fixture *f, const struct td_request *r, char *line, size_t size)
{
	static const char *const keys[] = {"client",  "client_port", "vip",   "port", "service",
					   "backend", "state",	     "limit", "top",  "src",
					   "dst",     "name",	     "since"};
	size_t used, n;

	n = snprintf(line, size, "%s ", r->method);
	for (size_t i = 0; i < r->n_words; i++)
		n += snprintf(line + n, size - n, "%s%s", i ? "/" : "", r->word[i]);
	used = strlen(f->requests);
	used += snprintf(f->requests + used, sizeof(f->requests) - used, "%s", line);
	for (size_t i = 0; i < TD_ARRAY_SIZE(keys); i++)
		if (r->query(r, keys[i]) && used < sizeof(f->requests))
			used += snprintf(f->requests + used, sizeof(f->requests) - used, " %s=%s",
					 keys[i], r->query(r, keys[i]));
	if (used < sizeof(f->requests))
		snprintf(f->requests + used, sizeof(f->requests) - used, "\n");
	snprintf(f->body, sizeof(f->body), "%s", r->body);
}

static json_t *events(const struct fixture *f, long since)
{
	static const char *const all[] = {EVENT(1, "attached"), EVENT(2, "drained"),
					  EVENT(3, "enabled")};
	json_t *j = json_array();

	/* with the last one once more: a program that follows tells each once */
	for (long i = since > 0 ? since - 1 : 0; i < (long)f->n_events; i++)
		json_array_append_new(j, json_loads(all[i], 0, NULL));
	return j;
}

static void handler(void *context, const struct td_request *r, struct td_reply *reply)
{
	struct fixture *f = context;
	char line[512];

	note_request(f, r, line, sizeof(line));
	if (f->unload_fails && strcmp(line, "POST unload") == 0) {
		td_reply_error(reply, 500, 1, "no permission");
	} else if (f->exit_code) {
		td_reply_error(reply, f->status, f->exit_code, "no service \"x\"; known: web");
	} else if (f->text) {
		reply->text = strdup(f->text);
		reply->status = f->status;
	} else if (f->workers && strcmp(line, "GET workers/app") == 0) {
		reply->json = json_loads(*f->workers, 0, NULL);
		f->workers += f->workers[1] != NULL;
	} else if (f->json) {
		reply->json = json_loads(f->json, JSON_DECODE_ANY, NULL);
	} else if (strcmp(line, "GET config") == 0) {
		reply->text = strdup("services:\n\t- name: web # \x1b[31m\n");
	} else if (strcmp(line, "GET events") == 0) {
		reply->json = events(f, strtol(r->query(r, "since"), NULL, 10));
	} else {
		for (size_t i = 0; i < TD_ARRAY_SIZE(canned); i++)
			if (strcmp(line, canned[i].request) == 0)
				reply->json = json_loads(canned[i].answer, 0, NULL);
		if (!reply->json)
			td_reply_error(reply, 404, 4, "no such thing: %s", line);
	}
	if (strcmp(line, "POST unload") == 0 || f->asked_after_unload)
		f->asked_after_unload++;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct td_error error = {0};

	strcpy(f->directory, "/tmp/tundish-test-cli-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/c.sock", f->directory);
	assert_int_equal(td_control_open(f->path, NULL, handler, f, &f->control, &error), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	td_control_close(f->control);
	assert_int_equal(rmdir(f->directory), 0);
	free(f->text);
	free(f);
	return 0;
}

/* ---- running the program -------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static const char *the_program(void)
{
	static char path[256];
	const char *build = getenv("BUILD");

	if (getenv("TUNDISH"))
		return getenv("TUNDISH");
	snprintf(path, sizeof(path), "%s/tundish", build && build[0] ? build : "build");
	return path;
}

struct run {
	pid_t pid;
	int fd[3]; /* its stdin (to write), stdout, stderr */
	char *text[3];
	size_t length[3], room[3];
	int exit_code; /* -1: running; 128 + signal where one ended it */
};

static struct run start(struct fixture *f, char *const words[], int out_fd)
{
	const char *program = the_program();
	struct run r = {.exit_code = -1};
	char *argv[WORDS_MAX + 4];
	int in[2], out[2], err[2], n = 0;

	argv[n++] = (char *)program;
	argv[n++] = "--control";
	argv[n++] = f->path;
	while (*words && n < WORDS_MAX + 3)
		argv[n++] = *words++;
	argv[n] = NULL;
	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC) | pipe2(err, O_CLOEXEC), 0);
	r.pid = fork();
	assert_true(r.pid >= 0);
	if (r.pid == 0) {
		dup2(in[0], 0);
		dup2(out_fd >= 0 ? out_fd : out[1], 1);
		dup2(err[1], 2);
		execv(program, argv);
		_exit(126);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	r.fd[0] = in[1];
	r.fd[1] = out[0];
	r.fd[2] = err[0];
	for (int i = 1; i < 3; i++) {
		fcntl(r.fd[i], F_SETFL, O_NONBLOCK);
		r.room[i] = 1 << 16;
		r.text[i] = calloc(1, r.room[i]);
	}
	return r;
}

static void take(struct run *r, int i)
{
	ssize_t n;

	while (r->fd[i] >= 0) {
		if (r->room[i] - r->length[i] < 4096) {
			r->room[i] *= 2;
			r->text[i] = realloc(r->text[i], r->room[i]);
		}
		n = read(r->fd[i], r->text[i] + r->length[i], r->room[i] - r->length[i] - 1);
		if (n < 0)
			return;
		if (n == 0) {
			close(r->fd[i]);
			r->fd[i] = -1;
		}
		r->length[i] += n;
		r->text[i][r->length[i]] = '\0';
	}
}

static void turn(struct fixture *f, struct run *r)
{
	struct pollfd p[3] = {
		{.fd = f->control ? td_control_fd(f->control) : -1, .events = POLLIN},
		{.fd = r->fd[1], .events = POLLIN},
		{.fd = r->fd[2], .events = POLLIN},
	};
	int status;

	poll(p, 3, 10);
	if (f->control)
		td_control_run(f->control);
	take(r, 1);
	take(r, 2);
	if (f->asked_after_unload > 3 && f->control) /* as the daemon ends: after the answer */
		f->control = td_control_close(f->control);
	if (r->fd[1] < 0 && r->fd[2] < 0 && waitpid(r->pid, &status, WNOHANG) == r->pid)
		r->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_done(struct run *r)
{
	for (int i = 0; i < 3; i++) {
		if (r->fd[i] >= 0)
			close(r->fd[i]);
		free(r->text[i]);
	}
	*r = (struct run){0};
}

static void finish(struct fixture *f, struct run *r)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (r->exit_code < 0) {
		if (now_ms() > end) {
			kill(r->pid, SIGKILL);
			fail_msg("the program did not end; stdout: %.300s", r->text[1]);
		}
		turn(f, r);
	}
}

/* `line` is split at spaces. */
static struct run tundish_input(struct fixture *f, const char *line, const char *input)
{
	_cleanup_free_ char *copy = strdup(line);
	char *words[WORDS_MAX] = {0}, *rest = copy, *word;
	struct run r;
	int n = 0;

	f->requests[0] = '\0';
	while ((word = strsep(&rest, " ")) && n < WORDS_MAX - 1)
		if (word[0])
			words[n++] = word;
	r = start(f, words, -1);
	assert_int_equal(write(r.fd[0], input, strlen(input)), (ssize_t)strlen(input));
	close(r.fd[0]);
	r.fd[0] = -1;
	finish(f, &r);
	return r;
}

static struct run tundish(struct fixture *f, const char *line)
{
	return tundish_input(f, line, "");
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
}

static void assert_output(struct fixture *f, const char *line, const char *expected)
{
	struct run r = tundish(f, line);

	assert_string_equal(r.text[2], "");
	assert_string_equal(r.text[1], expected);
	assert_int_equal(r.exit_code, 0);
	run_done(&r);
}

/* Ends with `code`, nothing on stdout, one line on stderr with `part` in it. */
static void assert_fails(struct fixture *f, const char *line, int code, const char *part)
{
	struct run r = tundish(f, line);

	if (r.exit_code != code)
		fail_msg("\"%s\" ended with %d, not %d: %s", line, r.exit_code, code, r.text[2]);
	assert_string_equal(r.text[1], "");
	assert_has(r.text[2], part);
	assert_ptr_equal(strchr(r.text[2], '\n'), r.text[2] + r.length[2] - 1);
	run_done(&r);
}

/* The JSON printed is the one that was answered, keys in the same order. */
static void assert_json(struct fixture *f, const char *line, const char *expected)
{
	struct run r = tundish(f, line);
	json_t *j = json_loads(r.text[1], JSON_DECODE_ANY, NULL);
	char *compact;

	assert_int_equal(r.exit_code, 0);
	assert_non_null(j);
	compact = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(15));
	assert_string_equal(compact, expected);
	assert_has(r.text[1], "\n");
	free(compact);
	json_decref(j);
	run_done(&r);
}

/* ---- reading ---------------------------------------------------------------------- */

static const char status_text[] =
	"tundish 0.1.0, up 1d1h, pinned in /sys/fs/bpf/tundish\n"
	"\n"
	"! backend web2 of web has no neighbour\n"
	"  why: no answer on eth0\n"
	"  do:  look at the cable\n"
	"\n"
	"INTERFACE  MODE    DISPATCHER  NOTE\n"
	"eth0       native  no          alone\n"
	"\n"
	"SERVICE  DELIVERY  VIPS   UP  ACTIVE  CONN/S  PACKETS/S  BYTES/S\n"
	"web      ipip         2  1/2    1.2M    12.5      20.0k   1.5MiB\n"
	"\n"
	"flows IPv4   524k of 1.0M (50%)\n"
	"flows IPv6   0 of 524k (0%)\n"
	"tuples       10 of 262k (0%)\n"
	"drops        drop_ttl 3\n";

static void test_status(void **state)
{
	struct fixture *f = *state;

	assert_output(f, "status", status_text);
	assert_output(f, "", status_text);
	assert_output(f, "st", status_text);
	assert_json(f, "--json", STATUS);
	assert_json(f, "status --json", STATUS);
	f->json = "{}"; /* a daemon that knows less does not break it */
	assert_output(f, "",
		      "tundish -, up -, pinned in -\n\nattached to no interface\n\nno services\n\n"
		      "drops        none\n");
}

static void test_backend_list(void **state)
{
	struct fixture *f = *state;

	assert_output(
		f, "backend list",
		"SERVICE  NAME  ADDRESS    WEIGHT  STATE  HEALTH  ACTIVE  TOTAL  PACKETS   BYTES\n"
		"web      web1  10.0.1.11     100  up     -            5   9.0P     123k  1.5KiB\n"
		"web      web2  10.0.1.11     100  drain  -            5   9.0P     123k  1.5KiB\n");
	assert_string_equal(f->requests, "GET backends\n");
	/* numbers are exact, above what a double holds */
	assert_json(f, "--json backend list web", "[" BACKEND("web1", "up") "]");
	assert_string_equal(f->requests, "GET backends/web\n");
}

static void test_services(void **state)
{
	struct fixture *f = *state;
	struct run r;

	assert_output(
		f, "service list",
		"SERVICE  VIPS                     PORTS   PROTO  DELIVERY  SCHEDULER  OWN   UP  ACTIVE  "
		"TOTAL  PACKETS  BYTES\n"
		"web      192.0.2.10,2001:db8::10  80,443  tcp    ipip      maglev     yes  1/2       5  "
		"    9       10    11B\n");
	assert_json(f, "service show web --json", SERVICE);
	r = tundish(f, "service show web");
	assert_int_equal(r.exit_code, 0);
	assert_has(r.text[1], "VIPS       192.0.2.10,2001:db8::10\n");
	assert_has(r.text[1], "\nweb      web1  10.0.1.11");
	run_done(&r);
	assert_fails(f, "service show nope", 4, "no such thing: GET services/nope");
}

static void test_other_lists(void **state)
{
	struct fixture *f = *state;

	assert_output(f, "tuple list --top 5",
		      "CLIENT        VIP         PORT  PROTO  ACTIVE  TOTAL\n"
		      "198.51.100.7  192.0.2.10    80  tcp     10.0k   9999\n");
	assert_string_equal(f->requests, "GET tuples top=5\n");
	assert_json(f, "tuple list --json", "[" TUPLE "]");
	assert_output(f, "flow count", "flows  3\nflows6  4\n");
	assert_json(f, "flow count --json", "{\"flows\":3,\"flows6\":4}");
	assert_output(
		f, "flow list",
		"CLIENT         PORT  VIP         PORT  PROTO  SERVICE  BACKEND  STATE          AGE  IDLE\n"
		"198.51.100.7  40001  192.0.2.10    80  tcp    web      web1     established  3m20s    1s\n");
	assert_string_equal(f->requests, "GET flows\n");
	assert_json(f, "flow list --json", "[" FLOW "]");
}

static void test_flow_filters(void **state)
{
	static const char asked[] =
		"GET flows client=2001:db8::7 client_port=4 vip=192.0.2.1 port=80 "
		"service=a b&c backend=w state=syn limit=9\n";
	struct fixture *f = *state;
	char *words[] = {"flow",
			 "list",
			 "--client",
			 "2001:db8::7",
			 "--client-port",
			 "4",
			 "--vip",
			 "192.0.2.1",
			 "--port",
			 "80",
			 "--service=a b&c",
			 "--backend",
			 "w",
			 "--state",
			 "syn",
			 "--limit",
			 "9",
			 NULL};
	struct run r = start(f, words, -1);

	finish(f, &r);
	assert_int_equal(r.exit_code, 0);
	assert_string_equal(f->requests, asked);
	run_done(&r);

	r = tundish(f, "flow list client=2001:db8::7 client_port=4 vip=192.0.2.1 port=80 st=syn");
	assert_int_equal(r.exit_code, 0);
	assert_string_equal(
		f->requests,
		"GET flows client=2001:db8::7 client_port=4 vip=192.0.2.1 port=80 state=syn\n");
	run_done(&r);
}

static void test_a_hundred_thousand_rows(void **state)
{
	struct fixture *f = *state;
	char *big = malloc(101000 * sizeof(FLOW)), *p = big;
	uint64_t begin = now_ms();
	struct run r;
	size_t lines = 0;

	*p++ = '[';
	for (int i = 0; i < 100000; i++)
		p += sprintf(p, "%s%s", i ? "," : "", FLOW);
	strcpy(p, "]");
	f->text = big;
	r = tundish(f, "flow list");
	assert_int_equal(r.exit_code, 0);
	for (char *c = r.text[1]; (c = strchr(c, '\n')); c++)
		lines++;
	assert_int_equal(lines, 100001);
	run_done(&r);
	assert_true(now_ms() - begin < 20000);
}

/* The daemon cuts a list at 1000 rows unless it is asked for more: that is told. */
static void test_a_list_that_is_cut(void **state)
{
	static const struct {
		int rows;
		const char *command, *told;
	} cases[] = {
		{1000, "flow list", "tundish: these are the first 1000; --limit N shows more\n"},
		{1000, "flow list --json",
		 "tundish: these are the first 1000; --limit N shows more\n"},
		{1000, "tuple list", "tundish: these are the first 1000; --top N shows more\n"},
		{1000, "flow list --limit 1000", ""},
		{1000, "tuple list --top 1000", ""},
		{1000, "backend list", ""},
		{999, "flow list", ""},
	};
	struct fixture *f = *state;
	char *rows = malloc(4 * 1000 + 4);

	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++) {
		char *p = rows + sprintf(rows, "[{}");
		struct run r;

		for (int n = 1; n < cases[i].rows; n++)
			p += sprintf(p, ",{}");
		strcpy(p, "]");
		f->json = rows;
		r = tundish(f, cases[i].command);
		assert_int_equal(r.exit_code, 0);
		assert_string_equal(r.text[2], cases[i].told);
		run_done(&r);
	}
	free(rows);
}

static void test_hostile_strings(void **state)
{
	struct fixture *f = *state;
	struct run r;

	f->json = "[{\"service\":\"a\\u001b[2J\\u009b\\n\\u202e\\u007f\",\"name\":\"\\u00fcber\","
		  "\"address\":{\"x\":1},\"weight\":\"\",\"state\":true}]";
	r = tundish(f, "backend list");
	assert_int_equal(r.exit_code, 0);
	assert_has(r.text[1], "\na\\x1b[2J\\u009b\\x0a\\u202e\\x7f  \xc3\xbc"
			      "ber  -             -  yes    -");
	run_done(&r);
	r = tundish(f, "backend list --json");
	assert_has(r.text[1], "\"a\\u001B[2J\\u009B\\n\\u202E\x7f\"");
	run_done(&r);
	/* rows that are none */
	f->json = "[1,null,[],{}]";
	r = tundish(f, "tuple list");
	assert_int_equal(r.exit_code, 0);
	run_done(&r);
}

static void test_trace(void **state)
{
	struct fixture *f = *state;

	assert_output(
		f, "trace 198.51.100.7:1234 192.0.2.10:80",
		"service  web\ntarget   web1\nverdict  sent_ipip\nreason   Maglev alone\npath\n"
		"  1. destination is virtual IP number 1\n  2. service number 1\n");
	assert_string_equal(f->requests, "GET trace src=198.51.100.7:1234 dst=192.0.2.10:80\n");
	assert_json(f, "--json trace [2001:db8::7]:1 [2001:db8::10]:80", TRACE);
	assert_string_equal(f->requests, "GET trace src=[2001:db8::7]:1 dst=[2001:db8::10]:80\n");
}

/* ---- acting ------------------------------------------------------------------------ */

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

static void test_events(void **state)
{
	struct fixture *f = *state;
	char *words[] = {"events", NULL}, *lines[] = {"events", "--json", NULL};
	uint64_t end = now_ms() + WAIT_MS;
	struct run r;

	f->n_events = 2;
	assert_output(f, "events --once",
		      "2024-05-06T07:08:09Z attached web/web1: asked by a command\n"
		      "2024-05-06T07:08:09Z drained web/web1: asked by a command\n");
	assert_json(f, "events --once --json",
		    "[" EVENT(1, "attached") "," EVENT(2, "drained") "]");

	r = start(f, words, -1);
	while (!strstr(r.text[1], "drained")) {
		assert_true(now_ms() < end);
		turn(f, &r);
	}
	f->n_events = 3;
	while (!strstr(r.text[1], "enabled")) {
		assert_true(now_ms() < end);
		turn(f, &r);
	}
	kill(r.pid, SIGINT);
	finish(f, &r);
	assert_int_equal(r.exit_code, 128 + SIGINT);
	assert_null(strstr(strstr(r.text[1], "drained") + 1, "drained")); /* each once */
	assert_has(f->requests, "GET events since=2\n");
	run_done(&r);

	r = start(f, lines, -1);
	while (!strstr(r.text[1], "enabled")) {
		assert_true(now_ms() < end);
		turn(f, &r);
	}
	f->control = td_control_close(f->control); /* the daemon goes */
	finish(f, &r);
	assert_int_equal(r.exit_code, 3);
	assert_string_equal(r.text[1], EVENT(1, "attached") "\n" EVENT(2, "drained") "\n" EVENT(
					       3, "enabled") "\n");
	run_done(&r);
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

/* ---- refusals --------------------------------------------------------------------- */

static void test_usage_errors(void **state)
{
	static const struct {
		const char *line, *part;
	} wrong[] = {
		{"s", "ambiguous: status, service"},
		{"t", "ambiguous: tuple, timewait, trace, top"},
		{"bakcend list", "did you mean backend?"},
		{"xyzzy", "valid here: status, service, backend, worker, exec, flow, tuple, port, "
			  "timewait, trace, doctor, config, events, capture, top, unload, help"},
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
		{"flow list prot=1", "no filter \"prot\"; did you mean port?"},
		{"flow list x", "nothing more is expected"},
		{"--jsn", "did you mean --json?"},
		{"--json=1", "takes no value"},
		{"-x", "no option \"-x\""},
		{"--pin", "needs a value: --pin DIR"},
		{"--control= status", "needs a value"},
		{"trace 1.2.3.4", "DST:PORT is missing"},
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
		{"help nonsense", "no object \"nonsense\""},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < TD_ARRAY_SIZE(wrong); i++) {
		assert_fails(f, wrong[i].line, 2, wrong[i].part);
		assert_string_equal(f->requests, "");
	}
}

static void test_later_versions(void **state)
{
	static const char *const later[] = {
		"port list --top 5", "timewait", "doctor", "capture tcp port 80", "top",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < TD_ARRAY_SIZE(later); i++)
		assert_fails(f, later[i], 1, "not in this version");
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
		"trace SRC[:PORT] DST:PORT",
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
	assert_has(r.text[1], "tundish backend drain SERVICE BACKEND\n");
	assert_null(strstr(r.text[1], "flow"));
	run_done(&r);
	r = tundish(f, "help flow");
	assert_has(r.text[1], "--client-port PORT");
	run_done(&r);
	assert_string_equal(f->requests, "");
	run_done(&all);
}

static void assert_completes(struct fixture *f, const char *line, const char *part,
			     const char * not )
{
	const char *program = the_program();
	char command[256], text[4096];
	FILE *p;

	snprintf(command, sizeof(command), "%s __complete %s", program, line);
	p = popen(command, "r");
	text[fread(text, 1, sizeof(text) - 1, p)] = '\0';
	assert_int_equal(pclose(p), 0);
	if (part)
		assert_has(text, part);
	if (not )
		assert_null(strstr(text, not ));
}

static void test_completion(void **state)
{
	struct fixture *f = *state;

	assert_completes(f, "", "backend\n", "drain\n");
	assert_completes(f, "--json back", "drain\n", "status\n");
	assert_completes(f, "config check", "FILE\n", "drain\n");
	assert_completes(f, "flow list", "--client-port\n", "drain\n");
	assert_completes(f, "no such", NULL, "\n");
	assert_completes(f, "worker drain app", "WORKER\n", "SERVICE\n");
	assert_completes(f, "exec app", "--stop-timeout\n", "COMMAND\n");
	assert_completes(f, "exec app --", "COMMAND\n", "--");
	assert_completes(f, "exec app -- nginx", "COMMAND\n", "--");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_status),
		T(test_backend_list),
		T(test_services),
		T(test_other_lists),
		T(test_flow_filters),
		T(test_a_hundred_thousand_rows),
		T(test_a_list_that_is_cut),
		T(test_hostile_strings),
		T(test_trace),
		T(test_backend_acts),
		T(test_worker_list),
		T(test_worker_acts),
		T(test_worker_drain_waits),
		T(test_exec),
		T(test_config),
		T(test_events),
		T(test_unload),
		T(test_unload_after_a_daemon_that_failed),
		T(test_usage_errors),
		T(test_later_versions),
		T(test_exit_codes_of_the_daemon),
		T(test_no_daemon),
		T(test_stdout_that_is_full),
		T(test_help_and_manual),
		T(test_completion),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
