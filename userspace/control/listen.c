// SPDX-License-Identifier: GPL-2.0-only
/*
 * Listening sockets.
 *
 * A daemon that was killed leaves its socket file behind. Whether one is stale
 * is found by connecting: refused means that nobody holds it. Anything else
 * than a stale socket is never removed. The mode is set on the descriptor
 * before bind(), so there is no moment in which others may connect, and again
 * on the file, for the process's umask.
 */
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "control/private.h"

#define BACKLOG	    128
#define SOCKET_MODE 0660

static int make_parents(const char *path, struct td_error *error)
{
	_cleanup_free_ char *copy = strdup(path);
	char *slash;

	if (!copy)
		return -ENOMEM;
	for (slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return td_fail(error, errno,
				       "cannot make the directory %s of the control socket: %s",
				       copy, strerror(errno));
		*slash = '/';
	}
	return 0;
}

/* 0: nothing is in the way (any more). */
static int remove_stale(const char *path, const struct sockaddr_un *address, struct td_error *error)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return td_fail(error, errno, "control socket %s: %s", path, strerror(errno));
	}
	if (!S_ISSOCK(st.st_mode))
		return td_fail(error, EEXIST,
			       "control socket %s: a file that is no socket is there; remove it or "
			       "name another place with --control",
			       path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return td_fail(error, errno, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return td_fail(error, EADDRINUSE,
			       "control socket %s: another daemon answers there; stop it or name "
			       "another place with --control",
			       path);
	if (errno == ENOENT)
		return 0;
	if (errno != ECONNREFUSED)
		return td_fail(error, errno, "control socket %s: %s", path, strerror(errno));
	if (unlink(path) < 0 && errno != ENOENT)
		return td_fail(error, errno, "cannot remove the stale control socket %s: %s", path,
			       strerror(errno));
	return 0;
}

int td_listen_unix(const char *path, struct td_file_id *ret_id, struct td_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (!path[0] || strlen(path) >= sizeof(address.sun_path))
		return td_fail(error, ENAMETOOLONG,
			       "control socket \"%s\": a socket's path has 1 to %zu bytes", path,
			       sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path));

	r = make_parents(path, error);
	if (r < 0)
		return r;
	r = remove_stale(path, &address, error);
	if (r < 0)
		return r;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return td_fail(error, errno, "cannot make a socket: %s", strerror(errno));
	if (fchmod(fd, SOCKET_MODE) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return td_fail(error, errno, "cannot bind the control socket %s: %s", path,
			       strerror(errno));
	if (chmod(path, SOCKET_MODE) < 0 || lstat(path, &st) < 0 || listen(fd, BACKLOG) < 0) {
		r = -errno;
		unlink(path);
		return td_fail(error, -r, "cannot listen on the control socket %s: %s", path,
			       strerror(-r));
	}
	*ret_id = (struct td_file_id){.device = st.st_dev, .inode = st.st_ino};
	return TD_TAKE_FD(fd);
}

bool td_is_unix(int fd, const char *path, struct td_file_id *ret_id)
{
	struct sockaddr_un address = {0};
	socklen_t length = sizeof(address), size = sizeof(int);
	int listens = 0;
	struct stat st;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0 ||
	    address.sun_family != AF_UNIX ||
	    strncmp(address.sun_path, path, sizeof(address.sun_path)) || lstat(path, &st) < 0 ||
	    !S_ISSOCK(st.st_mode))
		return false;
	*ret_id = (struct td_file_id){.device = st.st_dev, .inode = st.st_ino};
	return true;
}

void td_unlink_unix(const char *path, const struct td_file_id *id)
{
	struct stat st;

	if (lstat(path, &st) == 0 && st.st_dev == id->device && st.st_ino == id->inode)
		unlink(path);
}

int td_chgrp_unix(const char *path, const struct td_file_id *id, gid_t group,
		  struct td_error *error)
{
	struct stat st;

	if (lstat(path, &st) < 0 || st.st_dev != id->device || st.st_ino != id->inode)
		return td_fail(error, ENOENT, "control socket %s: it is not there any more", path);
	if (st.st_gid != group && lchown(path, (uid_t)-1, group) < 0)
		return td_fail(error, errno, "cannot give the control socket %s to its group: %s%s",
			       path, strerror(errno),
			       errno == EPERM ? "; a restart does, before CAP_CHOWN is given up"
					      : "");
	return 0;
}

/* "ADDR:PORT" or "[ADDR]:PORT", numbers only: no resolver is ever asked. */
static int parse_tcp(const char *text, struct sockaddr_storage *ret, socklen_t *ret_length)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found;
	char host[64];
	const char *colon = strrchr(text, ':');
	size_t length;
	int port;

	if (!colon || colon == text)
		return -EINVAL;
	length = colon - text;
	if (text[0] == '[') {
		if (length < 3 || text[length - 1] != ']')
			return -EINVAL;
		text++;
		length -= 2;
		hints.ai_family = AF_INET6;
	} else {
		hints.ai_family = AF_INET;
	}
	if (length >= sizeof(host) || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
	    strlen(colon + 1) > 5)
		return -EINVAL;
	port = atoi(colon + 1);
	if (!colon[1] || port > 65535)
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return -EINVAL;
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	*ret_length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

int td_listen_tcp(const char *address, struct td_error *error)
{
	struct sockaddr_storage sa = {0};
	_cleanup_close_ int fd = -1;
	socklen_t length;
	int one = 1, zero = 0;

	if (parse_tcp(address, &sa, &length) < 0)
		return td_fail(error, EINVAL,
			       "metrics address \"%s\": expected ADDR:PORT, as 127.0.0.1:9799 or "
			       "[::1]:9799, or off",
			       address);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return td_fail(error, errno, "cannot make a socket for metrics on %s: %s", address,
			       strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (sa.ss_family == AF_INET6) /* [::] takes IPv4 too, whatever the sysctl says */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (struct sockaddr *)&sa, length) < 0 || listen(fd, BACKLOG) < 0)
		return td_fail(error, errno,
			       "cannot listen for metrics on %s: %s; name another address with "
			       "metrics.listen or --metrics",
			       address, strerror(errno));
	return TD_TAKE_FD(fd);
}
