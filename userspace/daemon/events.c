// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the daemon did, each act with its reason: a ring that `tundish events`
 * reads, and one line of log. Only the log knows the wall clock.
 */
#include <time.h>

#include "daemon/daemon.h"

uint64_t td_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * TD_NS_PER_S + t.tv_nsec;
}

void td_log(enum td_log_level level, const char *format, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (char *c = line; *c; c++) /* names come from outside: one line stays one */
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (getenv("JOURNAL_STREAM"))
		fprintf(stderr, "<%d>%s\n", level, line);
	else
		fprintf(stderr, "tundishd: %s\n", line);
}

void td_event(struct td_daemon *d, const char *event, const char *object, const char *format, ...)
{
	struct td_event *e = &d->events[d->next_event % TD_EVENTS_MAX];
	struct timespec t;
	va_list ap;

	clock_gettime(CLOCK_REALTIME, &t);
	*e = (struct td_event){
		.seq = ++d->next_event,
		.time_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000,
	};
	snprintf(e->event, sizeof(e->event), "%s", event);
	snprintf(e->object, sizeof(e->object), "%s", object);
	va_start(ap, format);
	vsnprintf(e->reason, sizeof(e->reason), format, ap);
	va_end(ap);
	td_log(TD_LOG_INFO, "%s %s: %s", e->event, e->object, e->reason);
}

json_t *td_events_json(const struct td_daemon *d, uint64_t since)
{
	json_t *list = json_array();
	uint64_t first = d->next_event > TD_EVENTS_MAX ? d->next_event - TD_EVENTS_MAX : 0;

	for (uint64_t i = TD_MAX(first, since); i < d->next_event; i++) {
		const struct td_event *e = &d->events[i % TD_EVENTS_MAX];
		char when[40] = "";
		time_t seconds = e->time_ms / 1000;
		struct tm tm;
		size_t n;

		if (gmtime_r(&seconds, &tm)) {
			n = strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
			snprintf(when + n, sizeof(when) - n, ".%03uZ",
				 (unsigned int)(e->time_ms % 1000));
		}
		json_array_append_new(list,
				      json_pack("{s:I s:s s:s s:s s:s}", "seq", (json_int_t)e->seq,
						"time", when, "event", e->event, "object",
						e->object, "reason", e->reason));
	}
	return list;
}
