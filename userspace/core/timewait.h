/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether the sockets in TIME_WAIT are a cause or a symptom of anything here, in one
 * sentence. Pure.
 *
 * TIME_WAIT is a defence: the end that closes first keeps the pair of addresses and ports
 * for 60 s, so that late segments hurt no new connection. What it costs is some 0.3 KB each,
 * and, at the end that opened the connection, its source port. No setting shortens it
 * (tcp_fin_timeout is another state's), and fewer buckets skip it, which is unsafe.
 */
#ifndef TD_CORE_TIMEWAIT_H
#define TD_CORE_TIMEWAIT_H

#include "lib/util.h"

struct td_timewait {
	uint64_t sockets, limit;
	uint64_t overflowed_lately; /* connections that skipped it within the last minutes */
	double entered_rate;
	/* The tuple that has used most. */
	const char *tuple; /* "10.0.0.1 to 10.0.0.5:80"; NULL: none */
	uint32_t used, usable, in_time_wait;
	double utilization;
	bool refused; /* it was lately refused a port */
	/* Of all in TIME_WAIT, those of outbound connections. */
	uint64_t outbound;
};

enum td_timewait_verdict {
	TD_TIMEWAIT_FINE,
	TD_TIMEWAIT_SYMPTOM, /* ports are short, for another reason */
	TD_TIMEWAIT_CAUSE,
};

/* Writes the sentence, and says which it is. */
enum td_timewait_verdict td_timewait_judge(const struct td_timewait *t, char *buffer, size_t size);

#endif
