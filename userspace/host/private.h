/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of host/ share: /proc/PID/fd as a sequence of descriptors. */
#ifndef TD_HOST_PRIVATE_H
#define TD_HOST_PRIVATE_H

#include <dirent.h>

#include "host/host.h"

struct td_descriptors {
	DIR *directory;
	unsigned int seen;
	bool hidden; /* some are not shown to this process */
};

enum td_descriptor_kind {
	TD_DESCRIPTOR_OTHER,
	TD_DESCRIPTOR_SOCKET,
	TD_DESCRIPTOR_EPOLL,
};

struct td_descriptor {
	int fd;
	enum td_descriptor_kind kind;
	uint64_t inode; /* of a socket */
};

/* `proc_fd`: of /proc, or AT_FDCWD. Returns 0, -ESRCH, -EPERM or another errno. */
int td_descriptors_open(int proc_fd, pid_t pid, struct td_descriptors *ret);

/* False at the end, at the bound, and when the process has ended. */
bool td_descriptors_next(struct td_descriptors *d, struct td_descriptor *ret);

static inline void td_descriptors_done(struct td_descriptors *d)
{
	if (d->directory)
		closedir(d->directory);
	d->directory = NULL;
}

/* Reads at most size - 1 bytes of /proc/PID/NAME and ends them with NUL. Returns 0
 * or a negative errno, `buffer` "" then. */
int td_proc_read(pid_t pid, const char *name, char *buffer, size_t size);

/* "77" is 77; -1: no process id. */
pid_t td_proc_pid(const char *name);

#endif
