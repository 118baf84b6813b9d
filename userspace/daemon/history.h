/* SPDX-License-Identifier: GPL-2.0-only */
/* The last hour, of each service and of all together: rings (core/history.h) that are fed by
 * the samples of rates.c, and what holds them. */
#ifndef TD_DAEMON_HISTORY_H
#define TD_DAEMON_HISTORY_H

#include "core/history.h"
#include "daemon/daemon.h"

struct td_histories {
	struct td_history *edge;
	/* By the service's number; `ring` NULL: there is none, or no memory for it. */
	struct td_service_history {
		char name[TUNDISH_NAME_LEN];
		bool workers; /* its delivery */
		struct td_history *ring;
		double sums[TD_HISTORY_OF_SERVICE]; /* of the sample that is under way */
	} * of;
	uint32_t services_max;
};

int td_histories_open(struct td_daemon *d);
void td_histories_close(struct td_daemon *d);
/* These services are in force: rings for those that are new, none for those that have gone. */
void td_histories_follow(struct td_daemon *d, const struct td_state *target);

/* One sample: begin, each backend with its rates, end. @seconds: since the last one; 0: there was
 * none, so no rates are known and nothing is kept. */
void td_histories_begin(struct td_daemon *d);
void td_histories_add(struct td_daemon *d, const struct tundish_backend *b,
		      const struct td_sample *s);
void td_histories_end(struct td_daemon *d, double seconds);

/* Seconds since the epoch, by the wall clock as it is now, when a ring's last point ended. */
double td_history_end_wall(const struct td_history *h);

#endif
