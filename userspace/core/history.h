/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The last hour in points of ten seconds, for small plots: a ring for each service, and one for
 * all together. Pure; who calls has the clock.
 *
 * Points are numbered by the clock (its seconds / 10), so rings that are fed at the same times
 * have the same points, and a time in which nobody fed them has points without a value, not
 * zeroes.
 */
#ifndef TD_CORE_HISTORY_H
#define TD_CORE_HISTORY_H

#include "lib/util.h"

#define TD_HISTORY_POINTS  360u
#define TD_HISTORY_STEP_S  10u
#define TD_HISTORY_STEP_NS (TD_HISTORY_STEP_S * 1000000000ull)

/* X(name in answers, kind): of a RATE a point is the mean of its samples, of a GAUGE the last one.
 * A service has the first TD_HISTORY_OF_SERVICE, all together have each. */
#define TD_HISTORY_SERIES(X)                                                                       \
	X(connections_rate, RATE)                                                                  \
	X(packets_rate, RATE)                                                                      \
	X(bytes_rate, RATE)                                                                        \
	X(connections_active, GAUGE)                                                               \
	X(up, GAUGE)                                                                               \
	X(drops_rate, RATE)                                                                        \
	X(time_wait, GAUGE)                                                                        \
	X(port_utilization, GAUGE)

enum td_history_series {
#define X(name, kind) TD_HISTORY_##name,
	TD_HISTORY_SERIES(X)
#undef X
		TD_HISTORY_N
};
#define TD_HISTORY_OF_SERVICE ((unsigned int)TD_HISTORY_drops_rate)

struct td_history {
	unsigned int n_series;
	uint64_t first,
		now; /* number of the first point, and of that which is under way; 0: none */
	struct {
		double sum, last;
		unsigned int samples;
	} under_way[TD_HISTORY_N];
	float points[]; /* [TD_HISTORY_POINTS][n_series]; NaN: not sampled */
};

/* Bytes of memory that one takes. */
size_t td_history_bytes(unsigned int n_series);
/* One without points, to free(); NULL: no memory. */
struct td_history *td_history_new(unsigned int n_series);
/*
 * @now_ns: of a clock that does not go back, and goes on while the host sleeps; a sample of an
 *          earlier point is left out
 * @values: [n_series]; NaN: not known, which leaves the point as it is
 */
void td_history_sample(struct td_history *h, uint64_t now_ns, const double *values);
/* Points that have ended, the oldest first, of which there may be none. Returns how many. */
size_t td_history_read(const struct td_history *h, enum td_history_series series,
		       float ret[TD_HISTORY_POINTS]);
/* When the last of them ended, by the clock of the samples. */
uint64_t td_history_end_ns(const struct td_history *h);
const char *td_history_name(enum td_history_series series);
/* To three significant digits: 12345 is 12300, 0.012345 is 0.0123. */
double td_history_rounded(double value);

#endif
