// SPDX-License-Identifier: GPL-2.0-only
/*
 * The daemon's acts, as they happen: asks for what came after the last one
 * seen, several times a second. With --json, one object a line while it
 * follows, and one array with --once.
 */
#include <time.h>

#include "cli/cli.h"

#define POLL_NS 300000000L

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
		const char *text = json_string_value(json_object_get(event, keys[i]));

		if (!text || !text[0])
			continue;
		fputs(i == 2 ? ": " : " ", stdout);
		cli_put_escaped(stdout, text, CLI_KEEP_NONE);
	}
	fputc('\n', stdout);
}

/* Prints what is newer than *last, and moves it. */
static int step(const struct cli *c, bool once, json_int_t *last)
{
	json_int_t since = *last, seq;
	struct cli_target t = {0};
	json_t *events, *event;
	char number[24];
	size_t i;
	int r;

	snprintf(number, sizeof(number), "%lld", (long long)since);
	cli_target_word(&t, "events");
	cli_target_query(&t, "since", number);
	r = cli_ask(c, &t, NULL, &events);
	if (r != CLI_DONE)
		return r;
	if (c->json && once)
		cli_print_json(stdout, events);
	json_array_foreach (events, i, event) {
		seq = json_integer_value(json_object_get(event, "seq"));
		if (seq <= since && since > 0)
			continue;
		*last = TD_MAX(*last, seq);
		if (c->json && !once) {
			json_dumpf(event, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
			fputc('\n', stdout);
		} else if (!c->json) {
			print_event(event);
		}
	}
	json_decref(events);
	return CLI_DONE;
}

int cli_run_events(const struct cli *c)
{
	static const struct timespec pause = {.tv_nsec = POLL_NS};
	bool once = cli_option(c, "once");
	json_int_t last = 0;
	int r;

	for (;;) {
		r = step(c, once, &last);
		if (r != CLI_DONE || once)
			return r;
		if (fflush(stdout) != 0)
			return CLI_DONE; /* main tells that nobody takes it */
		nanosleep(&pause, NULL);
	}
}
