/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The built `tundish` against a control socket that answers from a table of
 * canned JSON. The program is $TUNDISH, or $BUILD/tundish; tests run from the
 * top of the tree. One thread: while the program runs, a loop serves its
 * requests and reads its output, with a bound.
 */
#ifndef CLI_FIXTURE_H
#define CLI_FIXTURE_H

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

#define STATUS                                                                                                       \
	"{\"version\":\"0.1.0\",\"pin\":\"/sys/fs/bpf/tundish\",\"uptime_seconds\":90061,"                           \
	"\"interfaces\":[{\"name\":\"eth0\",\"mode\":\"native\",\"dispatcher\":false,"                               \
	"\"note\":\"alone\"}],"                                                                                      \
	"\"services\":[{\"name\":\"web\",\"state\":\"degraded\",\"delivery\":\"ipip\",\"vips\":2,\"backends_up\":1," \
	"\"backends\":2,\"connections_active\":1234567,\"connections_per_second\":12.5,"                             \
	"\"packets_per_second\":20000,\"bytes_per_second\":1572864}],"                                               \
	"\"flows\":{\"active\":524288,\"capacity\":1048576,\"active6\":0,\"capacity6\":524288},"                     \
	"\"tuples\":{\"active\":10,\"capacity\":262144},\"drops\":{\"drop_ttl\":3},"                                 \
	"\"counters\":{\"pass_other\":7},"                                                                           \
	"\"attention\":[{\"what\":\"backend web2 of web has no neighbour\","                                         \
	"\"why\":\"no answer on eth0\",\"do\":\"look at the cable\","                                                \
	"\"seconds\":723,\"command\":\"tundish backend list web\"}]}"

#define BACKEND(name, state)                                                                       \
	"{\"service\":\"web\",\"name\":\"" name "\",\"address\":\"10.0.1.11\",\"weight\":100,"     \
	"\"state\":\"" state "\",\"health\":null,\"connections_active\":5,"                        \
	"\"connections_total\":9007199254740993,\"packets\":123456,\"bytes\":1536,"                \
	"\"connections_per_second\":2}"

#define SERVICE                                                                                    \
	"{\"service\":\"web\",\"vips\":[\"192.0.2.10\",\"2001:db8::10\"],\"ports\":[\"80\","       \
	"\"443\"],\"protocol\":\"tcp\",\"delivery\":\"ipip\",\"scheduler\":\"maglev\","            \
	"\"own\":true,\"backends\":2,\"backends_up\":1,\"connections_active\":5,"                  \
	"\"connections_total\":9,\"packets\":10,\"bytes\":11,\"state\":\"degraded\","              \
	"\"reason\":\"web2 is down\"}"

#define FLOW                                                                                       \
	"{\"client\":\"198.51.100.7\",\"client_port\":40001,\"vip\":\"192.0.2.10\",\"port\":80,"   \
	"\"protocol\":\"tcp\",\"service\":\"web\",\"backend\":\"web1\","                           \
	"\"state\":\"established\",\"age_seconds\":200,\"idle_seconds\":1,"                        \
	"\"translated\":{\"source\":\"10.0.1.250\",\"source_port\":1024,"                          \
	"\"backend_address\":\"10.0.1.21\",\"backend_port\":8443}}"

#define TUPLE                                                                                      \
	"{\"client\":\"198.51.100.7\",\"vip\":\"192.0.2.10\",\"port\":80,\"protocol\":\"tcp\","    \
	"\"active\":10000,\"total\":9999,\"utilization\":0.155,\"vips_needed\":1}"

#define PORT                                                                                       \
	"{\"local_ip\":\"10.0.0.1\",\"remote_ip\":\"10.0.0.5\",\"remote_port\":80,"                \
	"\"source\":\"nat\",\"service\":\"web\",\"namespace\":null,"                               \
	"\"protocol\":\"tcp\",\"used\":14116,\"time_wait\":14000,"                                 \
	"\"usable\":28232,\"utilization\":0.5,\"seconds_to_exhaustion\":200,"                      \
	"\"seconds_to_cliff\":0,\"opening_rate\":240,\"failed\":0}"

#define BLOCKED                                                                                    \
	"{\"port\":40001,\"protocol\":\"tcp\",\"program\":\"python3\",\"pid\":77,"                 \
	"\"address\":\"10.0.0.1\",\"reason\":\"bound\",\"why\":\"bound to this port\"}"

#define TIMEWAIT                                                                                   \
	"{\"sockets\":14000,\"limit\":131072,\"outbound\":14000,\"entered\":15000,"                \
	"\"entered_per_second\":240.5,\"reused\":1,\"overflowed\":0,\"verdict\":\"cause\","        \
	"\"why\":\"a cause: of it\",\"namespaces\":[],\"services\":[],\"tuples\":[{"               \
	"\"local_ip\":\"10.0.0.1\",\"remote_ip\":\"10.0.0.5\",\"remote_port\":80,"                 \
	"\"time_wait\":14000,\"utilization\":0.5,\"closed_here\":15000,\"closed_there\":0,"        \
	"\"reset_here\":7,\"reset_there\":8,\"closed_then_reset\":9,"                              \
	"\"closes_first\":\"this host\"}]}"

#define TRACE                                                                                      \
	"{\"service\":\"web\",\"target\":\"web1\",\"reason\":\"Maglev alone\",\"path\":"           \
	"[\"destination is virtual IP 192.0.2.10\",\"service web\"],\"verdict\":\"sent_ipip\"}"

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
	{"GET ports", "[" PORT "]"},
	{"GET ports/blocked", "[" BLOCKED "]"},
	{"GET timewait", TIMEWAIT},
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
	const char *lacks;		 /* a path that it does not know, as a former version */
	unsigned int asked_after_unload; /* it ends at the fourth request */
	const char *const *workers;	 /* what GET workers/app says, one after the other */
};

static inline void note_request(struct fixture *f, const struct td_request *r, char *line,
				size_t size)
{
	static const char *const keys[] = {"client",  "client_port", "vip",   "port", "service",
					   "backend", "state",	     "limit", "scan", "top",
					   "src",     "dst",	     "name",  "since"};
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

static inline json_t *events(const struct fixture *f, long since)
{
	static const char *const all[] = {EVENT(1, "attach"), EVENT(2, "worker-join"),
					  EVENT(3, "worker-leave")};
	json_t *j = json_array();

	/* with the last one once more: a program that follows tells each once */
	for (long i = since > 0 ? since - 1 : 0; i < (long)f->n_events; i++)
		json_array_append_new(j, json_loads(all[i], 0, NULL));
	return j;
}

static inline void handler(void *context, const struct td_request *r, struct td_reply *reply)
{
	struct fixture *f = context;
	char line[512];

	note_request(f, r, line, sizeof(line));
	if (f->unload_fails && strcmp(line, "POST unload") == 0) {
		td_reply_error(reply, 500, 1, "no permission");
	} else if (f->exit_code) {
		td_reply_error(reply, f->status, f->exit_code, "no service \"x\"; known: web");
	} else if (f->lacks && r->n_words && strcmp(r->word[0], f->lacks) == 0) {
		td_reply_error(reply, 404, 2, "there is no /v1/%s", f->lacks);
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

static inline void listen_again(struct fixture *f)
{
	struct td_error error = {0};

	assert_int_equal(td_control_open(f->path, NULL, handler, f, &f->control, &error), 0);
}

static inline int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/tundish-test-cli-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/c.sock", f->directory);
	listen_again(f);
	*state = f;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	td_control_close(f->control);
	assert_int_equal(rmdir(f->directory), 0);
	free(f->text);
	free(f);
	return 0;
}

/* ---- running the program -------------------------------------------------------- */

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static inline const char *the_program(void)
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

static inline struct run start(struct fixture *f, char *const words[], int out_fd)
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

static inline void take(struct run *r, int i)
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

static inline void turn(struct fixture *f, struct run *r)
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

static inline void run_done(struct run *r)
{
	for (int i = 0; i < 3; i++) {
		if (r->fd[i] >= 0)
			close(r->fd[i]);
		free(r->text[i]);
	}
	*r = (struct run){0};
}

static inline void finish(struct fixture *f, struct run *r)
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
static inline struct run tundish_input(struct fixture *f, const char *line, const char *input)
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

static inline struct run tundish(struct fixture *f, const char *line)
{
	return tundish_input(f, line, "");
}

static inline void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
}

static inline void assert_output(struct fixture *f, const char *line, const char *expected)
{
	struct run r = tundish(f, line);

	assert_string_equal(r.text[2], "");
	assert_string_equal(r.text[1], expected);
	assert_int_equal(r.exit_code, 0);
	run_done(&r);
}

/* Ends with `code`, nothing on stdout, one line on stderr with `part` in it. */
static inline void assert_fails(struct fixture *f, const char *line, int code, const char *part)
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
static inline void assert_json(struct fixture *f, const char *line, const char *expected)
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

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
