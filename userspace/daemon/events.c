// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the daemon did, each act with its reason: a ring that `tundish events`
 * reads, and one line of log. Only the log knows the wall clock.
 *
 * Where standard error is the journal an event goes there once, with its parts as
 * fields: `journalctl EVENT=health`, or by MESSAGE_ID for all of them.
 */
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define SD_JOURNAL_SUPPRESS_LOCATION /* the field is the operator's, not the code's */
#include <systemd/sd-journal.h>

#include "daemon/daemon.h"

uint64_t td_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * TD_NS_PER_S + t.tv_nsec;
}

/* The variable says which file the journal is, for it is handed on to programs whose
 * standard error is another one (systemd.exec(5)). */
static bool to_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return text && sscanf(text, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* Names come from outside: one line stays one. */
static void one_line(char *line)
{
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

void td_log(enum td_log_level level, const char *format, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	one_line(line);
	if (to_journal())
		fprintf(stderr, "<%d>%s\n", level, line);
	else
		fprintf(stderr, "tundishd: %s\n", line);
}

/* The event as fields. Returns whether the journal took it. */
static bool journal(const struct td_event *e)
{
	static const char *const names[] = {"MESSAGE=", "EVENT=", "OBJECT=", "REASON="};
	char line[TD_ARRAY_SIZE(names)][512];
	struct iovec fields[TD_ARRAY_SIZE(names) + 2];
	char priority[16], id[] = "MESSAGE_ID=" TD_EVENT_MESSAGE_ID;
	size_t n = 0;

	snprintf(line[0], sizeof(line[0]), "%s%s %s: %s", names[0], e->event, e->object, e->reason);
	snprintf(line[1], sizeof(line[1]), "%s%s", names[1], e->event);
	snprintf(line[2], sizeof(line[2]), "%s%s", names[2], e->object);
	snprintf(line[3], sizeof(line[3]), "%s%s", names[3], e->reason);
	for (; n < TD_ARRAY_SIZE(names); n++) {
		one_line(line[n]);
		fields[n] = (struct iovec){line[n], strlen(line[n])};
	}
	snprintf(priority, sizeof(priority), "PRIORITY=%d", (int)e->level);
	fields[n++] = (struct iovec){priority, strlen(priority)};
	fields[n++] = (struct iovec){id, strlen(id)};
	return sd_journal_sendv(fields, (int)n) == 0;
}

/* The first number of a daemon that begins now: beyond those of the daemons before it, so that
 * who follows sees one row of events over restarts. */
static uint64_t first_number(const struct timespec *now)
{
	return (uint64_t)now->tv_sec * 1000000 + (uint64_t)now->tv_nsec / 1000;
}

static void put(struct td_daemon *d, enum td_log_level most, const char *event, const char *object,
		const char *format, va_list ap)
{
	struct td_event *e = &d->events[d->n_events % TD_EVENTS_MAX];
	const struct td_event_kind *kind = td_event_kind(event);
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (!d->n_events)
		d->events_before = first_number(&t);
	*e = (struct td_event){
		.seq = d->events_before + ++d->n_events,
		.time_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000,
		.level = TD_MIN(kind ? kind->level : TD_LOG_WARNING, most),
	};
	snprintf(e->event, sizeof(e->event), "%s", event);
	snprintf(e->object, sizeof(e->object), "%s", object);
	vsnprintf(e->reason, sizeof(e->reason), format, ap);
	/* a path has any bytes, and a long one was cut somewhere */
	json_decref(td_json_of_text(e->object));
	json_decref(td_json_of_text(e->reason));
	if (!to_journal() || !journal(e))
		td_log(e->level, "%s %s: %s", e->event, e->object, e->reason);
}

void td_event(struct td_daemon *d, const char *event, const char *object, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	put(d, TD_LOG_INFO, event, object, format, ap);
	va_end(ap);
}

void td_event_bad(struct td_daemon *d, const char *event, const char *object, const char *format,
		  ...)
{
	va_list ap;

	va_start(ap, format);
	put(d, TD_LOG_WARNING, event, object, format, ap);
	va_end(ap);
}

json_t *td_events_json(const struct td_daemon *d, uint64_t since)
{
	json_t *list = json_array();
	uint64_t first = d->n_events > TD_EVENTS_MAX ? d->n_events - TD_EVENTS_MAX : 0;

	since = since > d->events_before ? since - d->events_before : 0;
	for (uint64_t i = TD_MAX(first, since); i < d->n_events; i++) {
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
				      json_pack("{s:I s:s s:s s:s s:s s:s}", "seq",
						(json_int_t)e->seq, "time", when, "event", e->event,
						"object", e->object, "reason", e->reason,
						"priority", td_log_level_name(e->level)));
	}
	return list;
}
