/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of egress share: pools over cgroups of their own, and clients in these,
 * towards a listener of the same network namespace. Each client process tells what it
 * saw in memory that it shares with the test.
 */
#ifndef EGRESS_FIXTURE_H
#define EGRESS_FIXTURE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "kernel_fixture.h"

#define PORT  8091
#define FIRST 20000 /* of the range of ports */
#define POOL  1

struct seen {
	uint32_t opened, failed;	     /* connect(2)s */
	int error;			     /* errno of the last one that failed */
	uint32_t by[TUNDISH_EGRESS_SOURCES]; /* source address .N at [N] */
	uint32_t other;			     /* another address */
	bool done;
};

static char cgroup_root[256], cgroup_path[320];
static struct seen *seen;
static int listener4 = -1, listener6 = -1;

static inline struct tundish_addr address(const char *text)
{
	struct tundish_addr a = {0};
	char mapped[64];

	snprintf(mapped, sizeof(mapped), strchr(text, ':') ? "%s" : "::ffff:%s", text);
	assert_int_equal(inet_pton(AF_INET6, mapped, &a), 1);
	return a;
}

static inline void write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail_msg("cannot write \"%s\" to %s: %s", text, path, strerror(errno));
}

/* ---- cgroups ------------------------------------------------------------------------- */

static inline void find_cgroups(void)
{
	FILE *f = popen("findmnt -n -t cgroup2 -o TARGET | head -n 1", "r");

	if (!f || !fgets(cgroup_root, sizeof(cgroup_root), f))
		snprintf(skip_reason, sizeof(skip_reason), "no cgroup v2 tree is mounted");
	if (f)
		pclose(f);
	cgroup_root[strcspn(cgroup_root, "\n")] = '\0';
	snprintf(cgroup_path, sizeof(cgroup_path), "%s/tundish-test-%d", cgroup_root, getpid());
}

static inline int open_cgroup(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		fail_msg("cannot open %s: %s", path, strerror(errno));
	return fd;
}

static inline void join(const char *path)
{
	char procs[512];

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	write_file(procs, "0");
}

/* ---- the world ------------------------------------------------------------------------ */

/* accept(2) waits two seconds at most: a client whose address vanished before its last
 * ACK never comes. */
static inline int listen_on(int family)
{
	const struct timeval patience = {.tv_sec = 2};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		assert_int_equal(bind(fd, (struct sockaddr *)&a6, sizeof(a6)), 0);
	} else {
		assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	}
	assert_int_equal(listen(fd, 4096), 0);
	return fd;
}

static inline void set_range(unsigned int ports)
{
	char text[32];

	snprintf(text, sizeof(text), "%u %u", FIRST, FIRST + ports - 1);
	write_file("/proc/sys/net/ipv4/ip_local_port_range", text);
}

/* Sources are 10.9.0.N and fd09::N, from 1 on; destinations 10.9.1.1 and fd09:1::1. */
static inline int world(void **state)
{
	struct rlimit files = {65536, 65536};

	if (skip_reason[0])
		return 0;
	run(""
	    "ip addr add 10.9.1.1/32 dev lo && ip addr add 10.9.1.2/32 dev lo && "
	    "ip -6 addr add fd09:1::1/128 dev lo nodad && "
	    "for i in $(seq 20); do ip addr add 10.9.0.$i/32 dev lo && "
	    "ip -6 addr add fd09::$(printf %x $i)/128 dev lo nodad || exit 1; done");
	setrlimit(RLIMIT_NOFILE, &files);
	seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(seen, MAP_FAILED);
	assert_true(mkdir(cgroup_path, 0755) == 0 || errno == EEXIST);
	listener4 = listen_on(AF_INET);
	listener6 = listen_on(AF_INET6);
	set_range(1000);
	return 0;
}

/* Processes that ended may stay in the cgroup for a moment. */
static inline void remove_cgroup(const char *path)
{
	for (int i = 0; i < 2000 && rmdir(path) < 0 && errno == EBUSY; i++)
		usleep(1000);
}

static inline int world_ends(void **state)
{
	td_kernel_step_hook = NULL;
	if (skip_reason[0])
		return 0;
	close(listener4);
	close(listener6);
	munmap(seen, 4096);
	run("umount " MOUNT "; mount -t bpf bpf " MOUNT);
	remove_cgroup(cgroup_path);
	/* What is in TIME_WAIT would be in the way of the next test. */
	if (unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0)
		fail_msg("no new network namespace: %s", strerror(errno));
	return 0;
}

/* ---- pools ------------------------------------------------------------------------------ */

static inline void put_source(struct td_kernel *k, uint32_t pool, uint32_t place, const char *text)
{
	struct tundish_egress *e = &td_kernel_egress(k)[pool];
	struct tundish_addr a = address(text);
	unsigned int family = !tundish_addr_is_v4(&a);

	e->source[place].address = a;
	e->source[place].flags = TUNDISH_SOURCE_LISTED | TUNDISH_SOURCE_PRESENT;
	e->order[family][e->n[family]++] = (uint8_t)place;
}

static inline void put_sources(struct td_kernel *k, uint32_t pool, unsigned int n)
{
	char text[32];

	for (unsigned int i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "10.9.0.%u", i + 1);
		put_source(k, pool, i, text);
	}
}

static inline void count_ports(struct td_kernel *k, unsigned int range)
{
	struct tundish_space space = {.index = 1, .first = FIRST, .usable = range};
	struct td_error e = {0};
	uint64_t cookie;

	set_range(range);
	space.last = (uint16_t)(FIRST + range - 1);
	assert_int_equal(td_kernel_netns_cookie(-1, &cookie), 0);
	if (td_kernel_ports_open(k, &e) < 0)
		fail_msg("td_kernel_ports_open: %s", e.text);
	assert_int_equal(td_kernel_put_space(k, cookie, &space), 0);
}

static inline void attach_pool(struct td_kernel *k, uint32_t pool, const char *path)
{
	struct tundish_egress *p = &td_kernel_egress(k)[pool];
	_cleanup_close_ int cgroup = open_cgroup(path);
	uint64_t cookie;
	struct td_error e = {0};

	assert_int_equal(td_kernel_netns_cookie(-1, &cookie), 0);
	p->netns = cookie;
	p->flags |= TUNDISH_EGRESS_ACTIVE;
	if (td_kernel_egress_attach(k, pool, cgroup, &e) < 0)
		fail_msg("td_kernel_egress_attach: %s", e.text);
	assert_true(td_kernel_egress_cgroup(k, pool) != 0);
}

/* A pool of so many IPv4 sources over a range of so many ports. */
static inline struct td_kernel *open_pool(unsigned int sources, unsigned int range)
{
	struct td_kernel *k = open_kernel(false);
	struct td_error e = {0};

	if (td_kernel_egress_open(k, &e) < 0)
		fail_msg("td_kernel_egress_open: %s", e.text);
	count_ports(k, range);
	put_sources(k, POOL, sources);
	attach_pool(k, POOL, cgroup_path);
	return k;
}

/* ---- clients ------------------------------------------------------------------------------ */

static inline void note_source(struct seen *s, int fd)
{
	struct sockaddr_in6 a6;
	struct sockaddr_in *a = (struct sockaddr_in *)&a6;
	socklen_t length = sizeof(a6);
	uint32_t n = 0;

	if (getsockname(fd, (struct sockaddr *)&a6, &length) < 0)
		return;
	if (a6.sin6_family == AF_INET && ntohl(a->sin_addr.s_addr) >> 8 == 0x0a0900)
		n = ntohl(a->sin_addr.s_addr) & 0xff;
	if (a6.sin6_family == AF_INET6 &&
	    (a6.sin6_addr.s6_addr[0] == 0xfd || IN6_IS_ADDR_V4MAPPED(&a6.sin6_addr)))
		n = a6.sin6_addr.s6_addr[15];
	if (n && n < TUNDISH_EGRESS_SOURCES)
		__atomic_fetch_add(&s->by[n], 1, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add(&s->other, 1, __ATOMIC_RELAXED);
}

static inline int connect_to(int fd, const char *to, uint16_t port)
{
	struct tundish_addr a = address(to);
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int family = 0;
	socklen_t length = sizeof(family);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
	if (family == AF_INET) {
		in.sin_addr.s_addr = a.word[3];
		return connect(fd, (struct sockaddr *)&in, sizeof(in));
	}
	memcpy(&in6.sin6_addr, &a, sizeof(a));
	return connect(fd, (struct sockaddr *)&in6, sizeof(in6));
}

/* One connection, closed by the client first, so that it leaves a TIME_WAIT. */
static inline bool once(struct seen *s, int family, const char *to)
{
	struct tundish_addr a = address(to);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), other;

	if (fd < 0 || connect_to(fd, to, PORT) < 0) {
		s->error = errno;
		__atomic_fetch_add(&s->failed, 1, __ATOMIC_RELAXED);
		if (fd >= 0)
			close(fd);
		return false;
	}
	__atomic_fetch_add(&s->opened, 1, __ATOMIC_RELAXED);
	note_source(s, fd);
	other = accept(tundish_addr_is_v4(&a) ? listener4 : listener6, NULL, NULL);
	close(fd);
	if (other >= 0)
		close(other);
	return true;
}

/* Runs `what` in a process of the cgroup; client_wait for its end. */
static inline pid_t client_start(const char *path, void (*what)(struct seen *s, void *context),
				 void *context)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		join(path);
		what(seen, context);
		_exit(0);
	}
	return pid;
}

static inline void client_wait(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline void client(void (*what)(struct seen *s, void *context), void *context)
{
	*seen = (struct seen){0};
	client_wait(client_start(cgroup_path, what, context));
}

struct load {
	int family;
	const char *to;
	uint32_t most; /* connections; it ends at the first that fails, too */
};

static inline void load(struct seen *s, void *context)
{
	const struct load *l = context;

	for (uint32_t i = 0; i < l->most; i++)
		if (!once(s, l->family, l->to))
			break;
}

static inline uint32_t left_alone(struct td_kernel *k, enum tundish_egress_left why)
{
	return (uint32_t)td_kernel_egress(k)[POOL].left[why];
}

#define WORLD(f) cmocka_unit_test_setup_teardown(f, world, world_ends)

#endif
