// SPDX-License-Identifier: GPL-2.0-only
/* See timewait.h. From what hurts most to what does not hurt at all. */
#include "core/timewait.h"

#define HALF 0.5
#define NEAR 0.8
#define KB   0.3 /* of a socket in TIME_WAIT */

static enum td_timewait_verdict of_tuple(const struct td_timewait *t, char *buffer, size_t size)
{
	const char *state = t->refused ? "found no port" : "has used more than half of its ports";

	if (2 * t->in_time_wait >= t->used && t->used) {
		snprintf(buffer, size,
			 "a cause: %s %s, and %u of the %u that it uses (of %u) are in TIME_WAIT, "
			 "because this host closes first there; let the other end close, keep "
			 "connections alive, or add source addresses",
			 t->tuple, state, t->in_time_wait, t->used, t->usable);
		return TD_TIMEWAIT_CAUSE;
	}
	snprintf(
		buffer, size,
		"not the cause: %s %s, but only %u of the %u that it uses (of %u) are in TIME_WAIT, "
		"the others are open connections; use fewer, or add source addresses",
		t->tuple, state, t->in_time_wait, t->used, t->usable);
	return TD_TIMEWAIT_SYMPTOM;
}

enum td_timewait_verdict td_timewait_judge(const struct td_timewait *t, char *buffer, size_t size)
{
	if (t->overflowed_lately) {
		snprintf(buffer, size,
			 "a cause: the limit of %llu is reached and connections end without "
			 "TIME_WAIT, which lets late segments into new ones; raise "
			 "net.ipv4.tcp_max_tw_buckets, %.0f a second need %.0f",
			 (unsigned long long)t->limit, t->entered_rate,
			 t->entered_rate * 60 * 1.5 > (double)t->limit ? t->entered_rate * 60 * 1.5
								       : (double)t->limit * 2);
		return TD_TIMEWAIT_CAUSE;
	}
	if (t->tuple && (t->refused || t->utilization >= HALF))
		return of_tuple(t, buffer, size);
	if (t->limit && (double)t->sockets >= NEAR * (double)t->limit) {
		snprintf(buffer, size,
			 "not a problem yet: %llu of at most %llu; at the limit connections end "
			 "without TIME_WAIT, which is unsafe, so raise net.ipv4.tcp_max_tw_buckets",
			 (unsigned long long)t->sockets, (unsigned long long)t->limit);
		return TD_TIMEWAIT_SYMPTOM;
	}
	if (!t->sockets) {
		snprintf(buffer, size, "not a problem: there are none");
		return TD_TIMEWAIT_FINE;
	}
	if (t->tuple && t->in_time_wait && t->utilization >= 0.01)
		snprintf(
			buffer, size,
			"not a problem: they hold about %.1f MB of memory, and no tuple has used "
			"more than %.0f%% of its source ports (%s); TIME_WAIT is a defence, nothing "
			"should be changed",
			(double)t->sockets * KB / 1000, t->utilization * 100, t->tuple);
	else
		snprintf(
			buffer, size,
			"not a problem: they hold about %.1f MB of memory and hardly a source port; "
			"TIME_WAIT is a defence, nothing should be changed",
			(double)t->sockets * KB / 1000);
	return TD_TIMEWAIT_FINE;
}
