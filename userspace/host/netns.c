// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/sys/net and /proc/thread-self/net show the namespace of whoever asks, so
 * another one is entered first. The way back is opened before the way there is taken;
 * should it fail all the same nothing that this process does would be right any more,
 * so it ends.
 */
#include <fcntl.h>
#include <linux/types.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "host/netns.h"

#define NS_GET_NSTYPE _IO(0xb7, 0x3) /* ioctl_ns(2) */

int td_host_netns_open(const char *path, int *ret_fd, struct td_error *error)
{
	/* O_NONBLOCK: it might be a fifo. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = errno;

	if (fd < 0)
		return td_fail(error, r, "cannot open network namespace %.100s: %s", path,
			       strerror(r));
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return td_fail(error, EINVAL,
			       "%.100s is not a network namespace; give one as "
			       "/run/netns/NAME or /proc/PID/ns/net",
			       path);
	*ret_fd = TD_TAKE_FD(fd);
	return 0;
}

int td_host_netns_check(const char *path, int fd, struct td_error *error)
{
	_cleanup_close_ int now = -1;
	struct stat was, is;
	int r = td_host_netns_open(path, &now, error);

	if (r < 0)
		return r;
	if (fstat(fd, &was) < 0 || fstat(now, &is) < 0)
		return td_fail(error, errno, "cannot look at network namespace %.100s: %s", path,
			       strerror(errno));
	/* A number is not used again while a descriptor holds its namespace. */
	if (was.st_dev != is.st_dev || was.st_ino != is.st_ino)
		return td_fail(error, ESTALE,
			       "another network namespace stands at %.100s now; it is watched from "
			       "the next scan on",
			       path);
	return 0;
}

int td_host_ports_parse(const char *text, uint64_t ret[TD_NETNS_PORT_WORDS])
{
	uint64_t bits[TD_NETNS_PORT_WORDS] = {0};
	unsigned long first, last;
	char *end;

	while (*text && *text != '\n') {
		first = last = strtoul(text, &end, 10);
		if (end == text || *text < '0' || *text > '9')
			return -EINVAL;
		if (*end == '-') {
			text = end + 1;
			last = strtoul(text, &end, 10);
			if (end == text || *text < '0' || *text > '9')
				return -EINVAL;
		}
		if (first > last || last > UINT16_MAX)
			return -EINVAL;
		for (unsigned long port = first; port <= last; port++)
			bits[port / 64] |= 1ull << port % 64;
		if (*end == ',')
			end++;
		else if (*end && *end != '\n')
			return -EINVAL;
		text = end;
	}
	memcpy(ret, bits, sizeof(bits));
	return 0;
}

/* ---- files ------------------------------------------------------------------------ */

/* All of a file that the kernel makes up while it is read; the caller frees. */
static char *read_all(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t length = 0, room = 4096;
	ssize_t n;

	if (fd < 0)
		return NULL;
	for (; room <= 1 << 20; room *= 2) { /* all ports in turn are 400 kB */
		char *more = realloc(text, room);

		if (!more)
			return NULL;
		text = more;
		/* A sysctl gives all at once or nothing, and only to a read from its start. */
		n = pread(fd, text, room - 1, 0);
		if (n < 0)
			return NULL;
		length = (size_t)n;
		if (length < room - 1)
			break;
	}
	text[length] = '\0';
	return TD_TAKE_PTR(text);
}

static int read_pair(const char *name, unsigned long *a, unsigned long *b)
{
	_cleanup_free_ char *text = NULL;
	char path[96], *end;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	text = read_all(path);
	if (!text)
		return -errno;
	*a = strtoul(text, &end, 10);
	if (end == text)
		return -EINVAL;
	if (b)
		*b = strtoul(end, NULL, 10);
	return 0;
}

/* Of "TCP: inuse 1 orphan 0 tw 42 ..." the number behind the word. */
static uint64_t field(const char *line, const char *word)
{
	char pattern[32];
	const char *at;

	snprintf(pattern, sizeof(pattern), " %s ", word);
	at = line ? strstr(line, pattern) : NULL;
	return at ? strtoull(at + strlen(pattern), NULL, 10) : 0;
}

/* netstat: a line of names, and one of numbers in the same order. */
static void read_netstat(struct td_netns_facts *f)
{
	_cleanup_free_ char *text = read_all("/proc/thread-self/net/netstat");
	const struct {
		const char *name;
		uint64_t *value;
	} wanted[] = {
		{"TW", &f->tw_entered},
		{"TWRecycled", &f->tw_recycled},
		{"TWKilled", &f->tw_killed},
		{"TCPTimeWaitOverflow", &f->tw_overflow},
	};
	char *names = text ? strstr(text, "TcpExt:") : NULL;
	char *values = names ? strstr(names + 1, "TcpExt:") : NULL;
	char *next_name = NULL, *next_value = NULL, *name, *value;

	if (!values)
		return;
	values[strcspn(values, "\n")] = values[-1] = '\0';
	name = strtok_r(names, " ", &next_name);
	value = strtok_r(values, " ", &next_value);
	for (; name && value;
	     name = strtok_r(NULL, " ", &next_name), value = strtok_r(NULL, " ", &next_value))
		for (size_t i = 0; i < TD_ARRAY_SIZE(wanted); i++)
			if (!strcmp(name, wanted[i].name))
				*wanted[i].value = strtoull(value, NULL, 10);
}

static int read_here(struct td_netns_facts *f)
{
	_cleanup_free_ char *reserved = NULL, *sockstat = NULL;
	unsigned long a = 0, b = 0;
	char *tcp;
	int r;

	r = read_pair("ip_local_port_range", &a, &b);
	if (r < 0)
		return r;
	if (!a || a > b || b > UINT16_MAX)
		return -EINVAL;
	f->first = (uint16_t)a;
	f->last = (uint16_t)b;
	reserved = read_all("/proc/sys/net/ipv4/ip_local_reserved_ports");
	r = reserved ? td_host_ports_parse(reserved, f->reserved) : -errno;
	if (r < 0)
		return r;
	f->tw_reuse = read_pair("tcp_tw_reuse", &a, NULL) == 0 ? (uint8_t)TD_MIN(a, 255u) : 0;
	f->tw_reuse_delay_ms = read_pair("tcp_tw_reuse_delay", &a, NULL) == 0 ? (uint32_t)a : 1000;
	f->tw_limit = read_pair("tcp_max_tw_buckets", &a, NULL) == 0 ? (uint32_t)a : 0;
	sockstat = read_all("/proc/thread-self/net/sockstat");
	tcp = sockstat ? strstr(sockstat, "TCP:") : NULL;
	if (tcp)
		tcp[strcspn(tcp, "\n")] = '\0';
	f->tw = (uint32_t)field(tcp, "tw");
	read_netstat(f);
	return 0;
}

int td_host_netns_read(int fd, struct td_netns_facts *ret, struct td_error *error)
{
	struct td_netns_facts facts = {0};
	_cleanup_close_ int back = -1;
	int r;

	if (fd >= 0) {
		back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		if (back < 0 || setns(fd, CLONE_NEWNET) < 0) {
			r = errno;
			return td_fail(error, r, "cannot enter a network namespace: %s%s",
				       strerror(r),
				       r == EPERM ? "; it takes CAP_SYS_ADMIN, which tundishd "
						    "keeps where its file names namespaces when "
						    "it starts"
						  : "");
		}
	}
	r = read_here(&facts);
	if (fd >= 0 && setns(back, CLONE_NEWNET) < 0)
		abort();
	if (r < 0)
		return td_fail(error, -r,
			       "cannot read the settings of source ports in "
			       "/proc/sys/net/ipv4: %s",
			       strerror(-r));
	*ret = facts;
	return 0;
}
