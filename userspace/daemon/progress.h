/* SPDX-License-Identifier: GPL-2.0-only */
/* Work that keeps the daemon for more than a second: told while it is done, and how long it took. */
#ifndef TD_DAEMON_PROGRESS_H
#define TD_DAEMON_PROGRESS_H

#include "daemon/daemon.h"

#define TD_WORKS_MAX 16 /* that are remembered, the last ones */

struct td_work {
	char what[80]; /* "verifying tundish_xdp" */
	uint64_t took_ns, instructions;
};

int td_progress_open(struct td_daemon *d);
void td_progress_close(struct td_daemon *d);
/* The last ones, the oldest first; *ret_n: how many. */
const struct td_work *td_progress_works(const struct td_daemon *d, size_t *ret_n);

#endif
