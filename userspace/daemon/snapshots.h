/* SPDX-License-Identifier: GPL-2.0-only */
/* What api/ keeps in the daemon between requests: snapshots of metrics that somebody reads (api/snapshot.h). */
#ifndef TD_DAEMON_SNAPSHOTS_H
#define TD_DAEMON_SNAPSHOTS_H

#define TD_SNAPSHOTS_MAX 3

struct td_snapshot;

struct td_snapshots {
	struct td_snapshot *of[TD_SNAPSHOTS_MAX]; /* NULL: no one */
};

#endif
