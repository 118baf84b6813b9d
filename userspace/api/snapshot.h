/* SPDX-License-Identifier: GPL-2.0-only */
/* Snapshots of metrics and who reads them. Few of them, however many readers there are. Pure. */
#ifndef TD_API_SNAPSHOT_H
#define TD_API_SNAPSHOT_H

#include <sys/types.h>

#include "api/exposition.h"
#include "daemon/snapshots.h"

#define TD_SNAPSHOT_FRESH_NS                                                                       \
	1000000000ull /* that old it is read by who comes, where somebody reads it */
#define TD_SNAPSHOT_SLOW_NS                                                                        \
	15000000000ull /* from then on its readers are cut off where there is need */

struct td_snapshot_reader {
	struct td_snapshots *all;
	struct td_snapshot *of; /* NULL: it is through */
	enum td_metrics_form form;
	struct td_exposition_cursor at;
	char *text; /* TD_EXPOSITION_LINE_MAX and more, of which [begin, end) is to be read yet */
	size_t begin, end;
};

/* Whether who comes now has to bring a new one. */
bool td_snapshot_is_wanted(const struct td_snapshots *all, uint64_t now_ns);
/* Who comes; @fresh: what was wanted, taken in any case. 0 or -ENOMEM. */
int td_snapshot_enter(struct td_snapshots *all, struct td_exposition *fresh,
		      enum td_metrics_form form, uint64_t now_ns, struct td_snapshot_reader *ret);
/* 0: that was all; -ECONNABORTED: it is cut off. */
ssize_t td_snapshot_read(struct td_snapshot_reader *r, char *buffer, size_t size);
void td_snapshot_leave(struct td_snapshot_reader *r);

#endif
