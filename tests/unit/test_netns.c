// SPDX-License-Identifier: GPL-2.0-only
/* Network namespaces: lists of ports, and what a real namespace says. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "host/netns.h"

static unsigned int count(const uint64_t *bits)
{
	unsigned int n = 0;

	for (size_t i = 0; i < TD_NETNS_PORT_WORDS; i++)
		n += (unsigned int)__builtin_popcountll(bits[i]);
	return n;
}

static void test_lists_of_ports(void **state)
{
	static const struct {
		const char *text;
		unsigned int n; /* 0: refused */
	} cases[] = {
		{"8080\n", 1},
		{"8080,9000-9100\n", 102},
		{"0-65535", 65536},
		{"1,3,5", 3},
		{"x", 0},
		{"1-", 0},
		{"-1", 0},
		{"9-8", 0},
		{"65536", 0},
		{"1,,2", 0},
		{"1 2", 0},
		{"1-2-3", 0},
		{"99999999999999999999", 0},
		{"1,", 1},
	};
	uint64_t bits[TD_NETNS_PORT_WORDS];

	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++) {
		memset(bits, 0xff, sizeof(bits));
		assert_int_equal(td_host_ports_parse(cases[i].text, bits),
				 cases[i].n ? 0 : -EINVAL);
		if (cases[i].n)
			assert_int_equal(count(bits), cases[i].n);
	}
	assert_int_equal(td_host_ports_parse("\n", bits), 0);
	assert_int_equal(count(bits), 0);
	assert_int_equal(td_host_ports_parse("64,127", bits), 0);
	assert_int_equal(bits[1], 1 | 1ull << 63);
}

static void test_what_is_no_namespace(void **state)
{
	struct td_error e = {0};
	int fd = -1;

	assert_int_equal(td_host_netns_open("/nowhere", &fd, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nowhere"));
	assert_int_equal(td_host_netns_open("/etc/passwd", &fd, &e), -EINVAL);
	assert_int_equal(td_host_netns_open("/proc/self/ns/mnt", &fd, &e), -EINVAL);
	assert_int_equal(td_host_netns_open("/", &fd, &e), -EINVAL);
	assert_int_equal(fd, -1);
}

static void test_the_own_one(void **state)
{
	static struct td_netns_facts f;
	struct td_error e = {0};

	assert_int_equal(td_host_netns_read(-1, &f, &e), 0);
	assert_true(f.first > 0 && f.first <= f.last);
	assert_true(f.tw_limit > 0 && f.tw_reuse_delay_ms > 0);
}

static void put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(2);
	close(fd);
}

/* A child in a namespace of its own, with other settings, until the pipe ends. */
static void test_another_one(void **state)
{
	static struct td_netns_facts own, f, again;
	int ready[2], end[2], fd = -1;
	struct td_error e = {0};
	char path[64], c;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe(ready) | pipe(end), 0);
	pid = fork();
	if (!pid) {
		close(end[1]);
		if (unshare(CLONE_NEWNET) < 0)
			_exit(1);
		put("/proc/sys/net/ipv4/ip_local_port_range", "40000 40099");
		put("/proc/sys/net/ipv4/ip_local_reserved_ports", "40010-40019,50000");
		put("/proc/sys/net/ipv4/tcp_tw_reuse", "1");
		put("/proc/sys/net/ipv4/tcp_max_tw_buckets", "777");
		if (write(ready[1], "x", 1) != 1 || read(end[0], &c, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	assert_int_equal(td_host_netns_open(path, &fd, &e), 0);
	assert_int_equal(td_host_netns_read(-1, &own, &e), 0);
	assert_int_equal(td_host_netns_read(fd, &f, &e), 0);
	assert_int_equal(f.first, 40000);
	assert_int_equal(f.last, 40099);
	assert_int_equal(count(f.reserved), 11);
	assert_int_equal(f.tw_reuse, 1);
	assert_int_equal(f.tw_limit, 777);
	assert_int_equal(f.tw_entered, 0);
	assert_int_equal(td_host_netns_check(path, fd, &e), 0);
	assert_int_equal(td_host_netns_check("/proc/self/ns/net", fd, &e), -ESTALE);
	assert_non_null(strstr(e.text, "another network namespace"));
	/* And back. */
	assert_int_equal(td_host_netns_read(-1, &again, &e), 0);
	assert_int_equal(again.first, own.first);
	assert_int_equal(again.tw_limit, own.tw_limit);
	close(end[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(td_host_netns_check(path, fd, &e), -ENOENT);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists_of_ports),
		cmocka_unit_test(test_what_is_no_namespace),
		cmocka_unit_test(test_the_own_one),
		cmocka_unit_test(test_another_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
