// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program that hands on what waits at a listener that closes. It is on the SO_REUSEPORT group
 * itself, not pinned: on each group by a descriptor of one of its listeners, taken for a moment.
 * There it stays for as long as the group does, with the maps that it uses; so it is taken off
 * where a group goes from the file, and before an unload.
 */
#include "daemon/daemon.h"
#include "host/host.h"

void td_migrate_put(struct td_daemon *d, struct tundish_worker *w, pid_t pid)
{
	struct td_error e = {0};
	int fd = -1, r;

	r = td_host_get_socket(pid, w->inode, &fd, &e);
	if (r == 0) {
		r = td_kernel_attach_migrate(d->kernel, fd);
		close(fd);
		if (r == -EINVAL) /* no SO_REUSEPORT: it has no siblings to move anything to */
			r = 0;
		else if (r == 0)
			__atomic_fetch_or(&w->flags, TUNDISH_WORKER_MIGRATE, __ATOMIC_RELAXED);
	}
	if (r < 0 && r != -ESRCH && r != -ENOENT)
		snprintf(d->groups_trouble, sizeof(d->groups_trouble), "%.255s",
			 e.text[0] ? e.text : strerror(-r));
	else if (r == 0)
		d->groups_trouble[0] = '\0';
}

/* What waits in a UDP socket ends with it. */
bool td_migrates(const struct tundish_worker *w)
{
	return w->flags & (TUNDISH_WORKER_MIGRATE | TUNDISH_WORKER_UDP);
}

void td_migrate_off(struct td_daemon *d, uint32_t first, uint32_t size)
{
	struct tundish_worker *all = td_kernel_workers(d->kernel);
	_cleanup_free_ uint64_t *inodes = NULL;
	size_t n = 0;

	inodes = calloc(size + 1, sizeof(*inodes));
	for (uint32_t i = first; inodes && i < first + size; i++)
		if (all[i].cookie && all[i].inode && all[i].flags & TUNDISH_WORKER_MIGRATE)
			inodes[n++] = all[i].inode;
	td_host_release_groups(inodes, n);
}
