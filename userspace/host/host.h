/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes of this host and the sockets that they hold: who accepts on a
 * listener, and a descriptor of another process's socket.
 *
 * All of it is a look at /proc, whose processes come and go meanwhile and whose
 * names hold anything. What vanishes is passed over. What this process may not
 * see (another user's, without CAP_SYS_PTRACE) is passed over by a scan, and
 * told as an error where one process was asked for. Nothing is kept between calls.
 *
 * Bounds: of each process the first TD_HOST_DESCRIPTORS_MAX descriptors, in
 * ascending order, are looked at; a scan finds at most TD_HOST_HOLDERS_MAX.
 */
#ifndef TD_HOST_H
#define TD_HOST_H

#include <sys/types.h>

#include "core/address.h"
#include "lib/util.h"

#define TD_HOST_COMMAND		16 /* as the kernel cuts it, with the NUL */
#define TD_HOST_DESCRIPTORS_MAX 65536u
#define TD_HOST_HOLDERS_MAX	262144u

/* A process that has a descriptor of a socket: one for each (socket, process). */
struct td_holder {
	uint64_t inode;
	pid_t pid;
	uid_t uid;  /* effective, of the process; (uid_t)-1: it ended meanwhile */
	int fd;	    /* in that process, the lowest */
	bool polls; /* an epoll set of the process has the socket: it accepts on it */
	char command[TD_HOST_COMMAND]; /* printable */
};

/*
 * Who holds the sockets with these inodes (as in "socket:[INODE]"; any order,
 * repetitions do no harm), by one pass over /proc/PID/fd of all processes. *ret
 * is ascending by (inode, pid), is the caller's to free, and is NULL where
 * *ret_n is 0. Costs about 1 us for each descriptor that there is. Returns 0,
 * -ENOMEM, -ENOSPC beyond the bound, or what opening /proc gave.
 */
int td_host_scan(const uint64_t *inodes, size_t n, struct td_holder **ret, size_t *ret_n);

/* The same for one. */
int td_host_holders(uint64_t inode, struct td_holder **ret, size_t *ret_n);

/* Of a scan's result the part about one inode: its start, and how many in *ret_n. */
const struct td_holder *td_host_find(const struct td_holder *holders, size_t n, uint64_t inode,
				     size_t *ret_n);

/*
 * Who accepts, among the holders of one socket: the only one that polls it;
 * where none polls, the only one that holds it; else 0 (several may, and only
 * an accept tells which).
 */
pid_t td_host_acceptor(const struct td_holder *holders, size_t n);

/*
 * A descriptor (close-on-exec) of the socket with that inode, from the process
 * that holds it. CLOSE IT AT ONCE when it has been used: as long as it is open
 * the socket outlives its program, listens on, and swallows connections that
 * nobody accepts. Returns 0 or with a sentence -ESRCH (the process is not there
 * or ended meanwhile), -ENOENT (it has no such socket), -EPERM, or another.
 */
int td_host_get_socket(pid_t pid, uint64_t inode, int *ret_fd, struct td_error *error);

/*
 * Takes the program of SO_ATTACH_REUSEPORT_EBPF off the groups of the sockets with these inodes, for
 * it would stay as long as they do. One pass over all processes; what cannot be had is passed over.
 */
void td_host_release_groups(const uint64_t *inodes, size_t n);

struct td_host_listener {
	int fd;	   /* in that process, the lowest */
	uid_t uid; /* of the socket */
	uint64_t inode;
	uint64_t cookie;	     /* SO_COOKIE */
	struct tundish_addr address; /* an IPv4 socket's is IPv4-mapped; "[::]" is all zero */
	uint16_t port;		     /* host byte order */
	bool v6;		     /* an IPv6 socket */
	bool v6only;		     /* that takes no IPv4 */
	bool reuseport;
	bool mptcp;	 /* cannot be steered */
	bool same_netns; /* in the network namespace of this process */
};

/*
 * The TCP listeners that a process holds, each once, ascending by inode. Each
 * socket of it is opened here for a moment and closed again. *ret is the
 * caller's to free, NULL where *ret_n is 0. Errors as td_host_get_socket.
 */
int td_host_listeners(pid_t pid, struct td_host_listener **ret, size_t *ret_n,
		      struct td_error *error);

/*
 * The cgroup of the v2 tree that a process is in, as a path from that tree's root on
 * ("/", "/app"). Returns 0 or with a sentence -ESRCH, -ENOENT, -ENAMETOOLONG.
 */
int td_host_cgroup(pid_t pid, char *buffer, size_t size, struct td_error *error);

/* The process's name with whatever is not printable ASCII as '?'. Returns 0, or
 * -ESRCH, `buffer` "" then. */
int td_host_command(pid_t pid, char *buffer, size_t size);

#endif
