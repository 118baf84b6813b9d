/* SPDX-License-Identifier: GPL-2.0-only */
/* Between exec.c, which makes a group's sockets, and supervise.c, which runs a
 * server with them. */
#ifndef TD_CLI_EXEC_H
#define TD_CLI_EXEC_H

#include "lib/util.h"

#define CLI_SOCKETS_MAX	     1024
#define CLI_FIRST_DESCRIPTOR 3 /* SD_LISTEN_FDS_START, sd_listen_fds(3) */

struct cli_sockets {
	int fd[CLI_SOCKETS_MAX]; /* listening, close-on-exec */
	size_t n;
	int backlog;
	bool udp; /* then they are bound, and that is all */
};

void cli_sockets_done(struct cli_sockets *s);

/*
 * Adds `workers` SO_REUSEPORT listeners on `listen`, "ADDRESS:PORT". "[::]"
 * takes IPv4 too. Returns 0, or a negative errno with a sentence; none is added
 * then.
 */
int cli_sockets_add(struct cli_sockets *s, const char *listen, size_t workers,
		    struct td_error *error);

/* net.core.somaxconn, what the kernel cuts a queue's length to. */
int cli_somaxconn(void);

/*
 * Runs argv (ended by NULL) with the sockets as sd_listen_fds(3) says, until it
 * is done; see supervise.c. `name` is what LISTEN_FDNAMES calls each. Returns
 * the exit status for this program.
 */
int cli_supervise(const struct cli_sockets *sockets, const char *name, char *const argv[],
		  unsigned int stop_timeout_s);

#endif
