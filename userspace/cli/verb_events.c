// SPDX-License-Identifier: GPL-2.0-only
/*
 * The daemon's acts, as they happen: asks for what came after the last one
 * seen, several times a second. With --json, one object a line while it
 * follows, and one array with --once. Filters are this program's: the daemon
 * remembers a thousand events, and those that are new are few.
 *
 * Who follows stays while the daemon is away, as it is restarted; the numbers of
 * events go on in the next one.
 */
#include <time.h>

#include "cli/cli.h"
#include "core/events.h"
#include "lib/suggest.h"

#define POLL_NS	    300000000L
#define DENIED_MOST 200u /* times in a row: a minute */

struct follow {
	const struct cli *c;
	const char *event, *object, *service; /* filters; NULL: any */
	char since[32];			      /* as events' times are written; "": any */
	bool once, away;
	unsigned int denied; /* for so many times the socket was not ours, while away */
	json_int_t last;     /* number of the last one seen */
};

/* ---- filters ------------------------------------------------------------------------- */

/* @word is NAME, or NAME and more after @mark: "ports-half" is of "ports", "web/b1" of "web". */
static bool is_of(const char *word, size_t length, const char *name, char mark)
{
	size_t n = strlen(name);

	return length >= n && memcmp(word, name, n) == 0 && (length == n || word[n] == mark);
}

/* Whether any of the names in @list, between commas, is the event's. */
static bool is_event(const char *event, const char *list)
{
	for (size_t n; *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (td_event_is(event, list, n))
			return true;
	}
	return false;
}

/* A name that no event has would be followed for ever, and nothing seen. */
static int check_names(const char *list)
{
	size_t n;

	do {
		char name[64], meant[TD_SUGGEST_TELL_BYTES];
		struct td_suggest suggest = {.given = name};
		bool known = false;

		n = strcspn(list, ",");
		snprintf(name, sizeof(name), "%.*s", (int)n, list);
		for (size_t i = 0; i < TD_EVENT_KINDS; i++) {
			known |= td_event_is(td_event_kinds[i].name, list, n);
			td_suggest_add(&suggest, td_event_kinds[i].name);
		}
		if (!known)
			return cli_fail(CLI_USAGE,
					"--event: there is no event \"%.40s\"; tundish(8) has all "
					"under EVENTS%s",
					name, td_suggest_tell(&suggest, meant, sizeof(meant)));
		list += n + (list[n] == ',');
	} while (*list);
	return CLI_DONE;
}

/* Objects are a word or more, of which one names the service: "backend web/b1", "web/w0". */
static bool is_service(const char *object, const char *service)
{
	while (*object) {
		size_t n = strcspn(object, " ,:");

		if (is_of(object, n, service, '/'))
			return true;
		object += n + (object[n] != '\0');
	}
	return false;
}

static const char *text_of(const json_t *event, const char *key)
{
	const char *text = json_string_value(json_object_get(event, key));

	return text ? text : "";
}

static bool is_wanted(const struct follow *f, const json_t *event)
{
	return (!f->event || is_event(text_of(event, "event"), f->event)) &&
	       (!f->object || strstr(text_of(event, "object"), f->object)) &&
	       (!f->service || is_service(text_of(event, "object"), f->service)) &&
	       strcmp(text_of(event, "time"), f->since) >= 0;
}

/* "10m" ago, "08:15" today, "2026-11-22", "2026-11-22 08:15[:30]" here, or with Z in UTC. */
static int read_since(const char *text, char *ret, size_t size)
{
	static const char *const forms[] = {
		"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
		"%Y-%m-%d",	     "%H:%M:%S",	  "%H:%M",
	};
	time_t now = time(NULL), at = -1;
	uint32_t seconds;
	struct tm tm;

	if (td_read_seconds(text, &seconds) == 0)
		at = now - (time_t)seconds;
	for (size_t i = 0; at == -1 && i < TD_ARRAY_SIZE(forms); i++) {
		const char *end;

		localtime_r(&now, &tm);
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		tm.tm_isdst = -1;
		end = strptime(text, forms[i], &tm);
		if (end && strcmp(end, "Z") == 0)
			at = timegm(&tm);
		else if (end && !*end)
			at = mktime(&tm);
	}
	if (at == -1 || !gmtime_r(&at, &tm))
		return -EINVAL;
	return strftime(ret, size, "%Y-%m-%dT%H:%M:%S", &tm) ? 0 : -EINVAL;
}

/* ---- output -------------------------------------------------------------------------- */

static void print_time(const json_t *time)
{
	char text[32];
	struct tm tm;
	time_t t;

	if (json_is_string(time)) {
		cli_put_escaped(stdout, json_string_value(time), CLI_KEEP_NONE);
		return;
	}
	t = (time_t)json_number_value(time);
	if (!localtime_r(&t, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(text, sizeof(text), "-");
	fputs(text, stdout);
}

static void print_event(const json_t *event)
{
	static const char *const keys[] = {"event", "object", "reason"};

	print_time(json_object_get(event, "time"));
	for (size_t i = 0; i < TD_ARRAY_SIZE(keys); i++) {
		const char *text = text_of(event, keys[i]);

		if (!text[0])
			continue;
		fputs(i == 2 ? ": " : " ", stdout);
		cli_put_escaped(stdout, text, CLI_KEEP_NONE);
	}
	fputc('\n', stdout);
}

/* Who follows is told where the daemon forgot some before they were read; the first ones that a
 * daemon has begin with its start. */
static void tell_gap(const struct follow *f, const json_t *event, json_int_t seq)
{
	if (f->last > 0 && seq > f->last + 1 && strcmp(text_of(event, "event"), "start") != 0)
		fputs("tundish: some events came faster than they were read; the log has them\n",
		      stderr);
}

/* Prints what is newer than f->last and wanted, and moves it. */
static void print_events(struct follow *f, json_t *events)
{
	json_t *kept = json_array(), *event;
	json_int_t since, seq;
	size_t i;

	event = json_array_get(events, json_array_size(events) - 1);
	if (event && json_integer_value(json_object_get(event, "seq")) < f->last)
		f->last = 0; /* of a daemon that began when the clock had been set back */
	since = f->last;
	json_array_foreach (events, i, event) {
		seq = json_integer_value(json_object_get(event, "seq"));
		if (seq <= since && since > 0)
			continue;
		if (i == 0)
			tell_gap(f, event, seq);
		f->last = TD_MAX(f->last, seq);
		if (!is_wanted(f, event))
			continue;
		if (f->c->json && f->once) {
			json_array_append(kept, event);
		} else if (f->c->json) {
			json_dumpf(event, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
			fputc('\n', stdout);
		} else {
			print_event(event);
		}
	}
	if (f->c->json && f->once)
		cli_print_json(stdout, kept);
	json_decref(kept);
}

/* ---- the daemon ---------------------------------------------------------------------- */

/* Whether the daemon answers, asked without a word; or one has answered others alone for so long that it is
 * worth one: a daemon that begins gives its socket to its group a moment later. */
static bool is_there(struct follow *f)
{
	struct cli_target t = {0};
	struct cli_answer a = {0};
	int r;

	cli_target_word(&t, "events");
	cli_target_query(&t, "since", "9007199254740991"); /* beyond all: an answer without any */
	r = cli_send_within(f->c->control, &t, NULL, 5, &a, NULL);
	if (r == 0 && a.status >= 500)
		r = -EAGAIN;
	cli_answer_done(&a);
	f->denied = r == -EACCES ? f->denied + 1 : 0;
	return r == 0 || f->denied > DENIED_MOST;
}

static int step(struct follow *f)
{
	bool returns = f->away;
	struct cli_target t = {0};
	char number[24];
	json_t *events;
	int r;

	if (returns && !is_there(f))
		return CLI_DONE;
	snprintf(number, sizeof(number), "%lld", returns ? 0 : (long long)f->last);
	f->away = false;
	cli_target_word(&t, "events");
	cli_target_query(&t, "since", number);
	r = cli_ask(f->c, &t, NULL, CLI_ROWS, "event", &events);
	/* That was told; what the daemon does next is followed again. It may have ended within its
	 * answer; one that is there and answers wrongly twice is no daemon that restarts. */
	if (r != CLI_DONE && f->last > 0 && !f->once && (r == CLI_NO_DAEMON || !returns)) {
		f->away = true;
		return CLI_DONE;
	}
	if (r != CLI_DONE)
		return r;
	print_events(f, events);
	json_decref(events);
	return CLI_DONE;
}

int cli_run_events(const struct cli *c)
{
	static const struct timespec pause = {.tv_nsec = POLL_NS};
	const char *since = cli_option(c, "since");
	struct follow f = {
		.c = c,
		.event = cli_option(c, "event"),
		.object = cli_option(c, "object"),
		.service = cli_option(c, "service"),
		.once = cli_option(c, "once"),
	};
	int r;

	if (since && read_since(since, f.since, sizeof(f.since)) < 0)
		return cli_fail(CLI_USAGE,
				"--since \"%.40s\" is no time; valid: 10m, 2h, 08:15, "
				"2026-01-31, \"2026-01-31 08:15\"",
				since);
	r = f.event ? check_names(f.event) : CLI_DONE;
	if (r != CLI_DONE)
		return r;
	for (;;) {
		r = step(&f);
		if (r != CLI_DONE || f.once)
			return r;
		if (fflush(stdout) != 0)
			return CLI_DONE; /* main tells that nobody takes it */
		nanosleep(&pause, NULL);
	}
}
