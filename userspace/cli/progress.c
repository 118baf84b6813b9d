// SPDX-License-Identifier: GPL-2.0-only
/*
 * What somebody at a terminal sees while a command waits for the daemon: from the first second on one line
 * on standard error, how far the reload or the apply is that it waits for, gone when the answer is there. It
 * is asked of the daemon beside the command's own request.
 */
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

#define FIRST_MS  1000u
#define AGAIN_MS  900u /* libcurl asks about each second */
#define SILENCE_S 1L   /* the daemon may be within one long step */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void cli_reload_text(const json_t *o, char *buffer, size_t size)
{
	const char *what = json_string_value(json_object_get(o, "what")) ?: "reload";
	const char *phase = json_string_value(json_object_get(o, "phase")) ?: "";
	const char *doing = strcmp(what, "apply") ? "reloading" : "applying";
	double steps = json_number_value(json_object_get(o, "steps"));
	char since[24];

	cli_seconds(json_number_value(json_object_get(o, "seconds")), since, sizeof(since));
	if (steps > 0)
		snprintf(buffer, size, "%s: %.0f of %.0f steps, %s", doing,
			 json_number_value(json_object_get(o, "steps_done")), steps, since);
	else
		snprintf(buffer, size, "%s: %s, %s", doing,
			 strcmp(phase, "reading") ? "planning the steps" : "reading the file",
			 since);
}

/* In place of what was there; so much as fits, or it would go on in the next line. */
static void show(struct cli_progress *p, const char *text)
{
	struct winsize w;
	size_t n = strlen(text), room = 80;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col)
		room = w.ws_col;
	n = TD_MIN(n, room - 1);
	fprintf(stderr, "\r%.*s", (int)n, text);
	if (p->shown > n)
		fprintf(stderr, "%*s\r%.*s", (int)(TD_MIN(p->shown, room - 1) - n), "", (int)n,
			text);
	fflush(stderr);
	p->shown = n;
}

static bool tick(void *context)
{
	struct cli_progress *p = context;
	_cleanup_(cli_answer_done) struct cli_answer a = {0};
	uint64_t now = now_ms();
	struct cli_target t = {0};
	char text[160], since[24];
	json_t *o = NULL;

	if (now - p->begun_ms < FIRST_MS || (p->told_ms && now - p->told_ms < AGAIN_MS))
		return true;
	cli_target_word(&t, "reload");
	if (cli_send_within(p->control, &t, NULL, SILENCE_S, &a, NULL) == 0 && a.status == 200)
		o = json_loadb(a.body, a.length, 0, NULL);
	now = now_ms();
	if (json_object_get(o, "phase")) {
		cli_reload_text(o, text, sizeof(text));
	} else {
		cli_seconds((double)(now - p->begun_ms) / 1000, since, sizeof(since));
		snprintf(text, sizeof(text), "waiting for the daemon, %s", since);
	}
	json_decref(o);
	show(p, text);
	p->told_ms = now;
	return true;
}

struct cli_stream cli_progress_begin(struct cli_progress *p, const struct cli *c)
{
	*p = (struct cli_progress){.control = c->control, .begun_ms = now_ms()};
	return (struct cli_stream){.tick = tick, .context = p};
}

void cli_progress_end(struct cli_progress *p)
{
	if (p->shown)
		show(p, "");
}
