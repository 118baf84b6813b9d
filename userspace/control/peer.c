// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is at the other end of the control socket, as the kernel says it: the user and
 * the groups of the process that connected, at that moment. Numbers only; no database
 * of users is asked, which might wait for a server elsewhere.
 */
#include <sys/socket.h>

#include "control/private.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

int td_peer_read(int fd, struct td_peer *ret)
{
	_cleanup_free_ gid_t *groups = NULL;
	struct ucred c;
	socklen_t length = sizeof(c);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &length) < 0)
		return -errno;
	length = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &length) < 0 && errno != ERANGE)
		return -errno;
	if (length) {
		groups = malloc(length);
		if (!groups)
			return -ENOMEM;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0)
			return -errno;
	}
	*ret = (struct td_peer){
		.uid = c.uid,
		.gid = c.gid,
		.pid = c.pid,
		.n_groups = length / sizeof(*groups),
	};
	ret->groups = TD_TAKE_PTR(groups);
	return 0;
}

void td_peer_done(struct td_peer *p)
{
	free(p->groups);
	*p = (struct td_peer){0};
}

bool td_peer_in(const struct td_peer *p, gid_t group)
{
	bool in = p->gid == group;

	for (size_t i = 0; i < p->n_groups && !in; i++)
		in = p->groups[i] == group;
	return in;
}
