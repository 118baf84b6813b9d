// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control socket as a file, and the second listener, for metrics.
 */
#include "control_fixture.h"

/* ---- the socket's file --------------------------------------------------------- */

static void test_socket_mode_and_parents(void **state)
{
	char directory[] = "/tmp/tundish-test-control-XXXXXX", path[128];
	struct td_error error = {0};
	struct td_control *c = NULL;
	struct stat st;
	mode_t mask;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/a/b/c.sock", directory);
	mask = umask(077);
	assert_int_equal(td_control_open(path, "", handler, NULL, &c, &error), 0);
	umask(mask);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	c = td_control_close(c);
	assert_int_not_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/a/b", directory);
	assert_int_equal(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/a", directory);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void test_live_socket_is_refused(void **state)
{
	struct fixture *f = *state;
	struct td_error error = {0};
	struct td_control *other = NULL;

	assert_int_equal(td_control_open(f->path, NULL, handler, NULL, &other, &error),
			 -EADDRINUSE);
	assert_null(other);
	assert_non_null(strstr(error.text, f->path));
	assert_non_null(strstr(error.text, "another daemon"));
	assert_serves(f);
}

static void test_stale_socket_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct td_error error = {0};
	int fd;

	f->control = td_control_close(f->control);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", f->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd); /* as a killed daemon leaves it */
	assert_int_equal(access(f->path, F_OK), 0);
	assert_int_equal(
		td_control_open_limited(f->path, NULL, &small, handler, f, &f->control, &error), 0);
	assert_serves(f);
}

static void test_other_files_are_left_alone(void **state)
{
	struct fixture *f = *state;
	struct td_error error = {0};
	struct td_control *other = NULL;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char path[160], link[100], longer[200];
	int fd;

	snprintf(path, sizeof(path), "%s/plain", f->directory);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(td_control_open(path, NULL, handler, NULL, &other, &error), -EEXIST);
	assert_non_null(strstr(error.text, path));
	assert_int_equal(access(path, F_OK), 0);

	snprintf(link, sizeof(link), "%s/link", f->directory);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(td_control_open(link, NULL, handler, NULL, &other, &error), -EEXIST);
	assert_int_equal(unlink(link), 0);
	snprintf(link, sizeof(link), "%s/datagrams", f->directory); /* somebody's, alive */
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", link);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(td_control_open(link, NULL, handler, NULL, &other, &error), -EPROTOTYPE);
	assert_int_equal(unlink(link), 0);
	close(fd);
	snprintf(link, sizeof(link), "%s/plain/c.sock", f->directory);
	assert_int_equal(td_control_open(link, NULL, handler, NULL, &other, &error), -ENOTDIR);
	assert_int_equal(unlink(path), 0);

	memset(longer, 'l', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(td_control_open(longer, NULL, handler, NULL, &other, &error),
			 -ENAMETOOLONG);
	assert_int_equal(td_control_open("", NULL, handler, NULL, &other, &error), -ENAMETOOLONG);
	assert_null(other);
}

static void test_close_leaves_a_successors_socket(void **state)
{
	struct fixture *f = *state;
	struct td_error error = {0};
	struct td_control *next = NULL;

	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(td_control_open_limited(f->path, NULL, &small, handler, f, &next, &error),
			 0);
	td_control_close(f->control);
	f->control = next;
	assert_serves(f);
}

/* ---- metrics -------------------------------------------------------------------- */

static struct answer scrape(struct fixture *f, uint16_t port, const char *line)
{
	char request[256];
	struct answer a;
	int fd = dial_tcp(port);

	assert_true(fd >= 0);
	snprintf(request, sizeof(request), "%s HTTP/1.1\r\nHost: x\r\n\r\n", line);
	transmit(f, fd, request, strlen(request));
	a = receive(f, fd, false);
	close(fd);
	return a;
}

static int scrape_status(struct fixture *f, uint16_t port, const char *line)
{
	struct answer a = scrape(f, port, line);
	int status = a.status;

	answer_done(&a);
	return status;
}

/* A port that was free a moment ago, with its text. */
static uint16_t free_port(char *text, size_t size, const char *host)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t length = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	getsockname(fd, (struct sockaddr *)&a, &length);
	close(fd);
	snprintf(text, size, "%s:%u", host, ntohs(a.sin_port));
	return ntohs(a.sin_port);
}

static void test_metrics(void **state)
{
	struct fixture *f = *state;
	struct td_error error = {0};
	char address[64];
	uint16_t port = free_port(address, sizeof(address), "127.0.0.1");
	struct answer a;

	assert_int_equal(td_control_set_metrics(f->control, address, &error), 0);
	a = scrape(f, port, "GET /metrics");
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "tundish_x 1\n# EOF\n");
	assert_non_null(strstr(a.bytes, "Content-Type: application/openmetrics-text\r\n"));
	assert_string_equal(f->words, "metrics");
	answer_done(&a);

	f->calls = 0;
	assert_int_equal(scrape_status(f, port, "GET /v1"), 404);
	assert_int_equal(scrape_status(f, port, "GET /v1/status"), 403); /* Host: x */
	assert_int_equal(scrape_status(f, port, "GET /metrics/x"), 404);
	assert_int_equal(scrape_status(f, port, "POST /metrics"), 405);
	assert_int_equal(scrape_status(f, port, "POST /v1/unload"), 403);
	assert_int_equal(f->calls, 0);
	assert_serves(f);
}

static void test_metrics_move(void **state)
{
	struct fixture *f = *state;
	struct td_error error = {0};
	char first[64], second[64], wide[64];
	uint16_t port = free_port(first, sizeof(first), "127.0.0.1"), other;
	int fd;

	assert_int_equal(td_control_set_metrics(f->control, first, &error), 0);
	assert_int_equal(td_control_set_metrics(f->control, first, &error), 0);
	other = free_port(second, sizeof(second), "127.0.0.1");
	assert_int_equal(td_control_set_metrics(f->control, second, &error), 0);
	assert_int_equal(dial_tcp(port), -1);
	assert_int_equal(scrape_status(f, other, "GET /metrics"), 200);

	/* the same port, wider: our own listener is in the way */
	snprintf(wide, sizeof(wide), "0.0.0.0:%u", other);
	assert_int_equal(td_control_set_metrics(f->control, wide, &error), 0);
	assert_int_equal(scrape_status(f, other, "GET /metrics"), 200);

	/* what cannot be had changes nothing */
	assert_int_equal(td_control_set_metrics(f->control, "192.0.2.1:9", &error), -EADDRNOTAVAIL);
	assert_int_equal(td_control_set_metrics(f->control, "localhost:80", &error), -EINVAL);
	assert_int_equal(td_control_set_metrics(f->control, "127.0.0.1:65536", &error), -EINVAL);
	assert_int_equal(td_control_set_metrics(f->control, "127.0.0.1", &error), -EINVAL);
	assert_int_equal(td_control_set_metrics(f->control, "::1:80", &error), -EINVAL);
	assert_int_equal(td_control_set_metrics(f->control, "127.0.0.1:", &error), -EINVAL);
	assert_non_null(strstr(error.text, "ADDR:PORT"));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	{
		struct sockaddr_in a = {.sin_family = AF_INET};
		socklen_t length = sizeof(a);

		a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
		listen(fd, 1);
		getsockname(fd, (struct sockaddr *)&a, &length);
		snprintf(first, sizeof(first), "127.0.0.1:%u", ntohs(a.sin_port));
	}
	assert_int_equal(td_control_set_metrics(f->control, first, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, first));
	close(fd);
	assert_int_equal(scrape_status(f, other, "GET /metrics"), 200);

	assert_int_equal(td_control_set_metrics(f->control, "", &error), 0);
	assert_int_equal(dial_tcp(other), -1);
	assert_serves(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_socket_mode_and_parents),
		T(test_live_socket_is_refused),
		T(test_stale_socket_is_replaced),
		T(test_other_files_are_left_alone),
		T(test_close_leaves_a_successors_socket),
		T(test_metrics),
		T(test_metrics_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
