// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc, read as what it is: text about something that may be gone by the next
 * call. A name is never trusted to have the form that it should have.
 */
#include <fcntl.h>
#include <limits.h>

#include "private.h"

pid_t td_proc_pid(const char *name)
{
	unsigned long n = 0;

	if (*name < '1' || *name > '9')
		return -1;
	for (; *name; name++) {
		if (*name < '0' || *name > '9')
			return -1;
		n = n * 10 + (unsigned long)(*name - '0');
		if (n > INT_MAX)
			return -1;
	}
	return (pid_t)n;
}

/* The kernel says ENOENT, or ESRCH where it got as far as the process. */
static int process_error(int code)
{
	return code == ENOENT ? -ESRCH : code == EACCES ? -EPERM : -code;
}

int td_descriptors_open(int proc_fd, pid_t pid, struct td_descriptors *ret)
{
	_cleanup_close_ int fd = -1;
	char path[48];
	DIR *directory;

	snprintf(path, sizeof(path), "%s%d/fd", proc_fd == AT_FDCWD ? "/proc/" : "", pid);
	fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return process_error(errno);
	directory = fdopendir(fd);
	if (!directory)
		return -errno;
	fd = -1; /* the directory has it */
	*ret = (struct td_descriptors){.directory = directory};
	return 0;
}

/* "socket:[INODE]" and "anon_inode:[eventpoll]" are what the kernel makes up for things
 * without a name; a file's link begins with a slash, so none can look like them. */
static void classify(const char *link, struct td_descriptor *d)
{
	static const char socket[] = "socket:[";
	char *end;

	if (strcmp(link, "anon_inode:[eventpoll]") == 0) {
		d->kind = TD_DESCRIPTOR_EPOLL;
	} else if (strncmp(link, socket, sizeof(socket) - 1) == 0) {
		d->inode = strtoull(link + sizeof(socket) - 1, &end, 10);
		if (strcmp(end, "]") == 0)
			d->kind = TD_DESCRIPTOR_SOCKET;
	}
}

bool td_descriptors_next(struct td_descriptors *d, struct td_descriptor *ret)
{
	const struct dirent *entry;
	char link[64]; /* what is longer is cut, and is neither */
	ssize_t n;
	pid_t fd;

	while (d->seen < TD_HOST_DESCRIPTORS_MAX && (entry = readdir(d->directory))) {
		fd = strcmp(entry->d_name, "0") == 0 ? 0 : td_proc_pid(entry->d_name);
		if (fd < 0)
			continue;
		d->seen++;
		n = readlinkat(dirfd(d->directory), entry->d_name, link, sizeof(link) - 1);
		if (n < 0) { /* closed meanwhile, or not ours to see */
			d->hidden = d->hidden || errno == EACCES || errno == EPERM;
			continue;
		}
		link[n] = '\0';
		*ret = (struct td_descriptor){.fd = fd};
		classify(link, ret);
		return true;
	}
	return false;
}

int td_proc_read(pid_t pid, const char *name, char *buffer, size_t size)
{
	_cleanup_close_ int fd = -1;
	size_t length = 0;
	char path[64];
	ssize_t n;

	buffer[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return process_error(errno);
	while (length + 1 < size) {
		n = read(fd, buffer + length, size - 1 - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			n = -errno;
			buffer[0] = '\0';
			return process_error((int)-n);
		}
		if (n == 0)
			break;
		length += (size_t)n;
	}
	buffer[length] = '\0';
	return 0;
}

int td_host_command(pid_t pid, char *buffer, size_t size)
{
	char text[80]; /* a kernel thread's is longer than a process's */
	size_t n;
	int r;

	buffer[0] = '\0';
	r = td_proc_read(pid, "comm", text, sizeof(text));
	if (r < 0)
		return -ESRCH;
	n = strlen(text);
	if (n && text[n - 1] == '\n')
		text[--n] = '\0';
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	snprintf(buffer, size, "%.*s", (int)TD_MIN(n, size - 1), text);
	return 0;
}
