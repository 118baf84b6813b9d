// SPDX-License-Identifier: GPL-2.0-only
/* Work that takes long is told while it is done, to a systemd that listens, and remembered. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/progress.h"
#include "kernel/work.h"

/* An abstract socket, as systemd may have it. Returns its descriptor. */
static int systemd(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[64];

	snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "tundish-progress-%d", getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&a,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
					  strlen(a.sun_path + 1))),
			 0);
	snprintf(name, sizeof(name), "@%s", a.sun_path + 1);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

/* The next message; it comes when it comes. */
static void hear(int fd, char *text, size_t size)
{
	ssize_t n = recv(fd, text, size - 1, 0);

	assert_true(n > 0);
	text[n] = '\0';
}

static void test_long(void **state)
{
	struct td_daemon d = {.events = calloc(TD_EVENTS_MAX, sizeof(struct td_event))};
	const struct td_work *works;
	int fd = systemd();
	char text[512];
	size_t n;

	assert_int_equal(td_progress_open(&d), 0);
	td_work_begin("verifying %s", "a_program");
	hear(fd, text, sizeof(text));
	assert_non_null(strstr(text, "STATUS=Verifying a_program, 1 s.\n"));
	assert_non_null(strstr(text, "EXTEND_TIMEOUT_USEC=60000000"));
	hear(fd, text, sizeof(text));
	assert_non_null(strstr(text, "STATUS=Verifying a_program, 2 s.\n"));
	td_work_end(1234);
	works = td_progress_works(&d, &n);
	assert_int_equal(n, 1);
	assert_string_equal(works[0].what, "verifying a_program");
	assert_true(works[0].took_ns >= 2 * TD_NS_PER_S && works[0].instructions == 1234);
	assert_int_equal(d.n_events, 1);
	assert_string_equal(d.events[0].event, "long-work");
	assert_string_equal(d.events[0].object, "verifying a_program");
	assert_non_null(strstr(d.events[0].reason, " s, for 1234 instructions"));
	td_progress_close(&d);
	td_work_begin("nobody is told");
	td_work_end(0);
	free(d.events);
	close(fd);
	unsetenv("NOTIFY_SOCKET");
}

/* Many short ones: the last are remembered, in their order. */
static void test_short(void **state)
{
	struct td_daemon d = {.events = calloc(TD_EVENTS_MAX, sizeof(struct td_event))};
	const struct td_work *works;
	char what[32];
	size_t n;

	assert_int_equal(td_progress_open(&d), 0);
	td_progress_works(&d, &n);
	assert_int_equal(n, 0);
	for (unsigned int i = 0; i < TD_WORKS_MAX + 5; i++) {
		td_work_begin("verifying p%u", i);
		td_work_end(i);
	}
	works = td_progress_works(&d, &n);
	assert_int_equal(n, TD_WORKS_MAX);
	for (unsigned int i = 0; i < n; i++) {
		snprintf(what, sizeof(what), "verifying p%u", i + 5);
		assert_string_equal(works[i].what, what);
		assert_true(works[i].instructions == i + 5);
	}
	td_progress_close(&d);
	free(d.events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
