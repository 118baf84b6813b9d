// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probes by http and https, before nginx (statuses, redirects, bodies, names, certificates that are
 * of another name, of nobody, expired) and before servers that answer by halves, hang, reset, never
 * end, or speak something else.
 */
#include "probe_fixture.h"

/* ---- nginx --------------------------------------------------------------------------------- */

static uint16_t plain, tls, expired;
static pid_t nginx;

static void run_shell(const char *format, ...) TD_PRINTF(1, 2);
static void run_shell(const char *format, ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	assert_int_equal(system(command), 0);
}

/* A certificate of a name, signed by itself; @more: of openssl x509 */
static void certificate(const char *name, const char *file, const char *more)
{
	run_shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
		  "-subj /CN=%s -addext subjectAltName=DNS:%s -keyout %s/%s.key -out %s/%s.crt %s "
		  "2>/dev/null",
		  name, name, scratch, file, scratch, file, more);
}

static int setup(void **state)
{
	char conf[3000], path[128];
	char *argv[] = {"nginx", "-p", scratch, "-e", "stderr", "-c", path, NULL};
	uint64_t end = now_ns() + 10000000000ull;

	if (setup_prober(state) < 0)
		return -1;
	plain = free_port();
	tls = free_port();
	expired = free_port();
	certificate("web.example", "good", "-days 2");
	run_shell("cd %s && openssl req -new -key good.key -subj /CN=web.example -out x.csr && "
		  "openssl x509 -req -in x.csr -signkey good.key -days -1 -out expired.crt "
		  "2>/dev/null",
		  scratch);
	run_shell("head -c 3000000 /dev/zero | tr '\\0' x >%s/large", scratch);
	run_shell("mkdir -p %s/t", scratch);
	snprintf(
		conf, sizeof(conf),
		"daemon off; master_process off; pid %s/pid; error_log stderr crit;\n"
		"events { worker_connections 64; }\n"
		"http { access_log off; client_body_temp_path t; proxy_temp_path t;\n"
		" fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;\n"
		" ssl_session_cache shared:tls:1m;\n"
		" ssl_certificate %s/good.crt; ssl_certificate_key %s/good.key;\n"
		" server { listen 127.0.0.1:%u; listen 127.0.0.1:%u ssl; server_name web.example;\n"
		"  location /healthz { return 200 \"ok $request_method $host $http_host "
		"$uri?$args\\n\"; }\n"
		"  location /broken { return 503 \"ok\"; }\n"
		"  location /moved { return 302 http://127.0.0.1:1/; }\n"
		"  location /session { return 200 \"session $ssl_session_reused\"; }\n"
		"  location /large { alias %s/large; }\n"
		"  location /empty { return 204; } }\n"
		" server { listen 127.0.0.1:%u ssl; ssl_certificate %s/expired.crt;\n"
		"  location / { return 200 ok; } } }\n",
		scratch, scratch, scratch, plain, tls, scratch, expired, scratch);
	snprintf(path, sizeof(path), "%s", put_file("nginx.conf", conf, 0600));
	nginx = run_program(argv);
	while (!accepts(plain) && now_ns() < end)
		usleep(10000);
	return accepts(plain) ? 0 : -1;
}

static int teardown(void **state)
{
	end_program(nginx);
	return end_prober(state);
}

static struct td_probe_spec http(const char *path)
{
	struct td_probe_spec s = spec(TD_PROBE_HTTP, plain);

	s.path = path;
	return s;
}

static void test_statuses(void **state)
{
	struct td_probe_spec s = http("/healthz");

	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	says("status 200");
	s.path = "/broken";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	says("status 503, not 200 to 399");
	s.status = (struct td_range_conf){503, 503};
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s.path = "/healthz";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	says("status 200, not 503");
	/* A redirect is an answer, and is not followed. */
	s = http("/moved");
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	says("status 302, a redirect to http://127.0.0.1:1/ which is not followed");
	s.body = "302 Found";
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s.status = (struct td_range_conf){200, 299};
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	s = http("/empty");
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
}

static void test_body(void **state)
{
	struct td_probe_spec s = http("/healthz?a=b");

	s.body = "ok GET 127.0.0.1";
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s.body = "/healthz?a=b\\n";
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s.body = "fine";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	says("status 200, but the body is another one than expected");
	s.path = "/empty";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	/* What is wrong first is told. */
	s.path = "/broken";
	s.body = "ok";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	says("status 503");
	/* Beyond 64 KiB nobody looks. */
	s.path = "/large";
	s.body = "xxxx";
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s.body = "y";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
}

static void test_requests(void **state)
{
	struct td_probe_spec s = http("/healthz");

	s.host = "www.example:81";
	s.body = "ok GET www.example www.example:81 /healthz";
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s.host = NULL;
	s.method = TD_HTTP_OPTIONS;
	s.body = "ok OPTIONS";
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s.method = TD_HTTP_HEAD;
	s.body = NULL;
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	/* The environment's proxy is not for checks. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	unsetenv("http_proxy");
}

static void test_refused(void **state)
{
	struct td_probe_spec s = http("/");

	s.port = free_port();
	assert_int_equal(ask(&s), TD_PROBE_REFUSED);
	says("connection refused");
	s.kind = TD_PROBE_HTTPS;
	s.verify = false;
	assert_int_equal(ask(&s), TD_PROBE_REFUSED);
}

static void test_tls(void **state)
{
	struct td_probe_spec s = http("/healthz");
	char ca[100];

	snprintf(ca, sizeof(ca), "%s/good.crt", scratch);
	s.kind = TD_PROBE_HTTPS;
	s.port = tls;
	s.server_name = "web.example";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	says("certificate"); /* of nobody that the system knows */
	s.ca = ca;
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s.body = "ok GET web.example";
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s.host = "other.example";
	s.body = "ok GET other.example other.example";
	assert_int_equal(ask(&s),
			 TD_PROBE_GOOD); /* the name of the certificate is another matter */
	s.server_name = NULL;
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	says("other.example");
	s.host = "web.example:9";
	s.body = NULL;
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s.server_name = "wrong.example";
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	says("certificate");
	s.verify = false;
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
	s = http("/");
	s.kind = TD_PROBE_HTTPS;
	s.port = expired;
	s.server_name = "web.example";
	s.ca = ca;
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	says("certificate");
	s.ca = "/nonexistent";
	assert_int_equal(ask(&s), TD_PROBE_UNABLE); /* this host's fault, not the server's */
	/* TLS where there is none, and none where there is. */
	s = http("/");
	s.kind = TD_PROBE_HTTPS;
	s.verify = false;
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	assert_true(last.reason[0]);
	s = http("/");
	s.port = tls;
	assert_int_equal(ask(&s), TD_PROBE_BAD);
	says("status 400");
}

/* Each time the certificate is shown, and so verified, again. */
static void test_tls_again(void **state)
{
	struct td_probe_spec s = http("/session");
	struct td_probe *b = NULL;
	struct td_error e = {0};
	char ca[100];

	snprintf(ca, sizeof(ca), "%s/good.crt", scratch);
	s.kind = TD_PROBE_HTTPS;
	s.port = tls;
	s.server_name = "web.example";
	s.ca = ca;
	s.body = "session .";
	assert_int_equal(td_probe_new(prober, &s, on_done, NULL, &b, &e), 0);
	results = 0;
	for (unsigned int i = 1; i <= 3; i++) {
		td_probe_at(b, now_ns());
		run_until(i, 10000);
		assert_int_equal(last.verdict, TD_PROBE_GOOD);
	}
	td_probe_free(b);
}

/* ---- servers that are none ----------------------------------------------------------------- */

#define HEAD "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n"

static void test_odd_servers(void **state)
{
	static const struct {
		struct peer p;
		const char *body;
		enum td_probe_verdict verdict;
		const char *reason;
	} rows[] = {
		{{.greeting = HEAD "\r\nall of it."}, NULL, TD_PROBE_GOOD, "status 200"},
		{{.greeting = HEAD "\r\nhalf"}, NULL, TD_PROBE_GOOD, "status 200"},
		{{.greeting = HEAD "\r\nhalf"}, "half", TD_PROBE_GOOD, "status 200"},
		{{.greeting = HEAD "\r\nhalf"}, "whole", TD_PROBE_BAD, "closed the connection"},
		{{.greeting = HEAD "\r\nhalf", .hold_ms = 2000},
		 "whole",
		 TD_PROBE_TIMEOUT,
		 "no answer within 300 ms"},
		{{.greeting = HEAD "\r\n", .hold_ms = 2000}, NULL, TD_PROBE_GOOD, "status 200"},
		{{.greeting = HEAD}, NULL, TD_PROBE_BAD, "within its headers"},
		{{.greeting = HEAD "Content-Le"}, NULL, TD_PROBE_BAD, "within its headers"},
		{{.greeting = HEAD "Content-Le"}, "x", TD_PROBE_BAD, "within its headers"},
		{{.greeting = "HTTP/1.1 200"}, NULL, TD_PROBE_BAD, ""},
		{{.greeting = "HTTP/1.1 204 No\r\n\r\n"}, NULL, TD_PROBE_GOOD, "status 204"},
		{{.greeting = HEAD, .hold_ms = 2000}, NULL, TD_PROBE_TIMEOUT, "no answer"},
		{{.greeting = "HTTP/1.1 100 Continue\r\n\r\n" HEAD "\r\n"},
		 NULL,
		 TD_PROBE_GOOD,
		 "status 200"},
		{{.greeting = NULL}, NULL, TD_PROBE_BAD, ""},
		{{.greeting = NULL, .reset = true}, NULL, TD_PROBE_BAD, ""},
		{{.greeting = NULL, .hold_ms = 2000},
		 NULL,
		 TD_PROBE_TIMEOUT,
		 "no answer within 300 ms"},
		{{.greeting = "SSH-2.0-x\r\n"}, NULL, TD_PROBE_BAD, ""},
		{{.greeting = "HTTP/1.1 nonsense\r\n\r\n"}, NULL, TD_PROBE_BAD, ""},
		{{.greeting = "HTTP/1.1 200 OK\r\n", .endless = true, .again = "X: y\r\n"},
		 NULL,
		 TD_PROBE_BAD,
		 "headers are longer than 65536 bytes"},
		/* A byte now and then: the timeout is of all of it. */
		{{.greeting = HEAD "\r\nall of it.", .drip_ms = 50},
		 NULL,
		 TD_PROBE_TIMEOUT,
		 "no answer within 300 ms"},
		{{.greeting = HEAD "\r\nall of it.", .drip_ms = 5},
		 "all of it.",
		 TD_PROBE_GOOD,
		 "status 200"},
		{{.greeting = "HTTP/1.1 100 Continue\r\n\r\n", .endless = true},
		 NULL,
		 TD_PROBE_BAD,
		 "headers are longer than 65536 bytes"},
		{{.greeting = "HTTP/1.1 301 Moved\r\nLocation: /\x01\xc3\r\n\r\n"},
		 NULL,
		 TD_PROBE_GOOD,
		 "status 301, a redirect to /?? which"},
		{{.greeting = "HTTP/1.1 200 OK\r\n\r\nmegabytes", .endless = true},
		 "never",
		 TD_PROBE_BAD,
		 "the body is another one"},
		{{.greeting = "HTTP/1.1 200 OK\r\n\r\nmegabytes", .endless = true},
		 NULL,
		 TD_PROBE_GOOD,
		 ""},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(rows); i++) {
		struct peer p = rows[i].p;
		struct td_probe_spec s = http("/x");
		uint64_t begin = now_ns();

		p.listens = true;
		peer_start(&p);
		s.port = p.port;
		s.body = rows[i].body;
		s.timeout_ms = rows[i].verdict == TD_PROBE_TIMEOUT ? 300 : 10000;
		if (ask(&s) != rows[i].verdict)
			fail_msg("row %zu: %d %s", i, last.verdict, last.reason);
		says(rows[i].reason);
		assert_true(last.reason[0]);
		assert_true(now_ns() - begin < 9000000000ull);
		peer_end(&p);
		assert_memory_equal(p.heard, "GET /x HTTP/1.1\r\n", 17);
	}
}

/* Many at the same time, and ended in the middle. */
static void test_many(void **state)
{
	struct td_probe_spec s = http("/healthz"), t = http("/healthz");
	struct td_probe *b[60];
	struct td_error e = {0};

	t.kind = TD_PROBE_HTTPS;
	t.port = tls;
	t.verify = false;
	for (unsigned int round = 0; round < 3; round++) {
		results = 0;
		for (size_t i = 0; i < TD_ARRAY_SIZE(b); i++) {
			assert_int_equal(
				td_probe_new(prober, i % 2 ? &s : &t, on_done, NULL, &b[i], &e), 0);
			td_probe_at(b[i], now_ns());
		}
		run_until(round == 0 ? 60 : 25, 20000);
		if (!round)
			assert_int_equal(results, 60);
		for (size_t i = 0; i < TD_ARRAY_SIZE(b); i++)
			td_probe_free(b[i]);
		assert_int_equal(td_prober_counts(prober).sockets, 0);
	}
	assert_int_equal(ask(&s), TD_PROBE_GOOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statuses),    cmocka_unit_test(test_body),
		cmocka_unit_test(test_requests),    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_tls),	    cmocka_unit_test(test_tls_again),
		cmocka_unit_test(test_odd_servers), cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests_name("probe_http", tests, setup, teardown);
}
