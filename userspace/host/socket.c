// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets of another process, by pidfd_getfd(2). The pidfd is opened before
 * /proc/PID is looked at: where the process ends and another gets its number,
 * the pidfd still means the first, and says ESRCH. What was got is checked to be
 * the socket meant, as a descriptor's number may have changed hands meanwhile.
 *
 * A listener that is held open here would outlive its program and swallow
 * connections, so each is held for as short as can be.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "private.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

struct process {
	pid_t pid;
	int pidfd;
	struct td_descriptors descriptors;
	char command[TD_HOST_COMMAND];
};

static void process_done(struct process *p)
{
	td_closep(&p->pidfd);
	td_descriptors_done(&p->descriptors);
}

static int no_process(pid_t pid, struct td_error *e)
{
	return td_fail(e, ESRCH,
		       "there is no process %d; `ss -ltnp` shows who listens on which address",
		       pid);
}

static int tell(const struct process *p, int code, struct td_error *e)
{
	const char *name = p->command[0] ? p->command : "?";

	switch (code) {
	case ESRCH: return no_process(p->pid, e);
	case EPERM:
	case EACCES:
		return td_fail(e, EPERM,
			       "no permission to take a socket of process %d (%s): that needs "
			       "CAP_SYS_PTRACE, and CAP_DAC_READ_SEARCH for another user's; run it "
			       "as root",
			       p->pid, name);
	case EMFILE:
	case ENFILE:
		return td_fail(e, code,
			       "no descriptor is left to take a socket of process %d (%s) into; "
			       "raise the limit of open files (ulimit -n)",
			       p->pid, name);
	default:
		return td_fail(e, code, "cannot take a socket of process %d (%s): %s", p->pid, name,
			       strerror(code));
	}
}

static bool has_ended(const struct process *p)
{
	struct pollfd poll_fd = {.fd = p->pidfd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1; /* a zombie has ended too */
}

static int process_open(pid_t pid, struct process *ret, struct td_error *e)
{
	struct process p = {.pid = pid, .pidfd = -1};
	int r;

	if (pid <= 0)
		return no_process(pid, e);
	p.pidfd = pidfd_open(pid, 0);
	if (p.pidfd < 0) {
		r = errno;
		/* a thread's number: EINVAL, ENOENT since 6.9 */
		if (r == EINVAL || r == ENOENT)
			return td_fail(e, ESRCH,
				       "%d is a thread, not a process; name the process that it "
				       "belongs to",
				       pid);
		return tell(&p, r, e);
	}
	td_host_command(pid, p.command, sizeof(p.command));
	r = td_descriptors_open(AT_FDCWD, pid, &p.descriptors);
	if (r < 0) {
		close(p.pidfd);
		return tell(&p, -r, e);
	}
	*ret = p;
	return 0;
}

static bool is_socket(int fd, uint64_t inode)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == inode;
}

/* Returns 1 with the socket, 0 where the descriptor is something else by now. */
static int take(const struct process *p, const struct td_descriptor *d, int *ret_fd,
		struct td_error *e)
{
	int fd = pidfd_getfd(p->pidfd, d->fd, 0);

	if (fd < 0)
		return errno == EBADF ? 0 : tell(p, errno, e);
	if (!is_socket(fd, d->inode)) {
		close(fd);
		return 0;
	}
	*ret_fd = fd;
	return 1;
}

int td_host_get_socket(pid_t pid, uint64_t inode, int *ret_fd, struct td_error *error)
{
	_cleanup_(process_done) struct process p = {.pidfd = -1};
	struct td_descriptor d;
	int r;

	r = process_open(pid, &p, error);
	if (r < 0)
		return r;
	while (td_descriptors_next(&p.descriptors, &d)) {
		if (d.kind != TD_DESCRIPTOR_SOCKET || d.inode != inode)
			continue;
		r = take(&p, &d, ret_fd, error);
		if (r != 0)
			return TD_MIN(r, 0);
	}
	if (has_ended(&p))
		return no_process(pid, error);
	return td_fail(error, ENOENT,
		       "process %d (%s) has no socket with inode %llu any more; list its "
		       "listeners again",
		       pid, p.command, (unsigned long long)inode);
}

/* ---- listeners --------------------------------------------------------------------- */

static int get(int fd, int level, int name)
{
	socklen_t length = sizeof(int);
	int value = 0;

	return getsockopt(fd, level, name, &value, &length) < 0 ? -errno : value;
}

static int get64(int fd, int name, uint64_t *ret)
{
	socklen_t length = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, name, ret, &length) < 0 ? -errno : 0;
}

static bool listens(int fd)
{
	int domain = get(fd, SOL_SOCKET, SO_DOMAIN), protocol = get(fd, SOL_SOCKET, SO_PROTOCOL);

	return (domain == AF_INET || domain == AF_INET6) &&
	       (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP) &&
	       get(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
}

static int read_name(int fd, struct td_host_listener *l)
{
	struct sockaddr_storage name;
	const struct sockaddr_in *v4 = (const void *)&name;
	const struct sockaddr_in6 *v6 = (const void *)&name;
	socklen_t length = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &length) < 0)
		return -errno;
	l->v6 = name.ss_family == AF_INET6;
	if (l->v6) {
		memcpy(&l->address, &v6->sin6_addr, sizeof(l->address));
		l->port = ntohs(v6->sin6_port);
		l->v6only = get(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1;
	} else {
		l->address = tundish_addr_v4(v4->sin_addr.s_addr);
		l->port = ntohs(v4->sin_port);
	}
	return 0;
}

static int read_listener(int fd, uint64_t our_netns, struct td_host_listener *l)
{
	uint64_t netns;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	l->uid = st.st_uid;
	l->reuseport = get(fd, SOL_SOCKET, SO_REUSEPORT) == 1;
	l->mptcp = get(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_MPTCP;
	r = get64(fd, SO_COOKIE, &l->cookie);
	if (r == 0)
		r = get64(fd, SO_NETNS_COOKIE, &netns);
	if (r < 0)
		return r;
	l->same_netns = netns == our_netns;
	return read_name(fd, l);
}

static int our_netns(uint64_t *ret)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : get64(fd, SO_NETNS_COOKIE, ret);
}

static int compare(const void *a, const void *b)
{
	const struct td_host_listener *x = a, *y = b;

	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

/* Of one socket under several descriptors the lowest stays. */
static size_t sort_unique(struct td_host_listener *l, size_t n)
{
	size_t unique = 0;

	if (n > 0)
		qsort(l, n, sizeof(*l), compare);
	for (size_t i = 0; i < n; i++)
		if (unique == 0 || l[i].inode != l[unique - 1].inode)
			l[unique++] = l[i];
	return unique;
}

int td_host_listeners(pid_t pid, struct td_host_listener **ret, size_t *ret_n,
		      struct td_error *error)
{
	_cleanup_(process_done) struct process p = {.pidfd = -1};
	_cleanup_free_ struct td_host_listener *all = NULL;
	struct td_descriptor d;
	uint64_t netns = 0;
	size_t n = 0;
	int r;

	r = process_open(pid, &p, error);
	if (r < 0)
		return r;
	r = our_netns(&netns);
	if (r < 0)
		return tell(&p, -r, error);
	while (td_descriptors_next(&p.descriptors, &d)) {
		struct td_host_listener l = {.fd = d.fd, .inode = d.inode};
		_cleanup_close_ int fd = -1;

		if (d.kind != TD_DESCRIPTOR_SOCKET)
			continue;
		r = take(&p, &d, &fd, error);
		if (r < 0)
			return r;
		if (r == 0 || !listens(fd))
			continue;
		r = read_listener(fd, netns, &l);
		if (r == 0)
			r = td_grow(&all, n, sizeof(*all));
		if (r < 0)
			return tell(&p, -r, error);
		all[n++] = l;
	}
	if (n == 0 && has_ended(&p))
		return no_process(pid, error);
	if (n == 0 && p.descriptors.hidden)
		return tell(&p, EPERM, error);
	n = sort_unique(all, n);
	*ret = TD_TAKE_PTR(all);
	*ret_n = n;
	return 0;
}

void td_host_release_groups(const uint64_t *inodes, size_t n)
{
	_cleanup_free_ struct td_holder *holders = NULL;
	size_t n_holders = 0;

	if (!n || td_host_scan(inodes, n, &holders, &n_holders) < 0)
		return;
	for (size_t i = 0; i < n_holders; i++) {
		_cleanup_close_ int fd = -1;
		int none = 0;

		if (i && holders[i].inode == holders[i - 1].inode)
			continue;
		if (td_host_get_socket(holders[i].pid, holders[i].inode, &fd, NULL) == 0)
			setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &none, sizeof(none));
	}
}
