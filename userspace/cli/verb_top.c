// SPDX-License-Identifier: GPL-2.0-only
/*
 * `tundish top`: what `status` and the lists tell, live. The first answer is asked for before
 * the screen is taken, so that what stands in the way is a sentence and an exit status; from then
 * on a daemon that goes away is told on the screen until it is back.
 */
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "cli/top.h"

#define TICK_MS 1000 /* the screen's clock; news and keys come in between */

uint64_t top_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void count_drops(struct top *t)
{
	uint64_t now = top_now_ns();
	const char *reason;
	double sum = 0;
	json_t *value;

	json_object_foreach (json_object_get(t->status, "drops"), reason, value)
		sum += json_number_value(value);
	t->drops_per_s = t->drops_ns && now > t->drops_ns && sum >= t->drops
				 ? (sum - t->drops) * 1e9 / (double)(now - t->drops_ns)
				 : 0;
	t->drops = sum;
	t->drops_ns = now;
}

static void hear(struct top *t, struct top_news *n)
{
	if (n->told[0])
		snprintf(t->told, sizeof(t->told), "%s", n->told);
	snprintf(t->trouble, sizeof(t->trouble), "%s", n->trouble);
	if (json_is_object(n->status)) {
		json_decref(t->status);
		t->status = json_incref(n->status);
		t->heard_ns = top_now_ns();
		count_drops(t);
	} else if (n->status) {
		snprintf(t->trouble, sizeof(t->trouble),
			 "the daemon's status is none that this version knows");
	}
	/* Rows of a view that was left meanwhile are of no use. */
	if (n->view == t->view && t->view != TOP_SERVICES && json_is_array(n->rows) &&
	    strcmp(n->service, t->service) == 0) {
		json_decref(t->list);
		t->list = json_incref(n->rows);
	}
	top_news_done(n);
	top_rebuild(t);
}

static void run(struct top *t)
{
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
			      {.fd = top_source_fd(t->source), .events = POLLIN}};
	struct top_news news = {0};
	bool is_code;
	int key;

	while (!t->quit) {
		top_draw(t);
		if (poll(p, TD_ARRAY_SIZE(p), TICK_MS) < 0 && errno != EINTR)
			return;
		if (p[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			return; /* nobody is at the terminal any more */
		while (!t->quit && top_read_key(&key, &is_code))
			top_key(t, key, is_code);
		if (top_source_take(t->source, &news))
			hear(t, &news);
	}
}

int cli_run_top(const struct cli *c)
{
	const char *interval = cli_option(c, "interval");
	unsigned long seconds = interval ? strtoul(interval, NULL, 10) : 1;
	struct cli_target target = {0};
	struct td_error error = {0};
	struct top t = {.c = c, .heard_ns = top_now_ns()};
	int r;

	if (c->json)
		return cli_fail(CLI_USAGE,
				"top is for people; `tundish --json status` has the same as JSON");
	if (seconds < 1 || seconds > 3600)
		return cli_fail(CLI_USAGE, "--interval: %lu s is not in 1 to 3600", seconds);
	cli_target_word(&target, "status");
	r = cli_ask(c, &target, NULL, CLI_OBJECT, "services", &t.status);
	if (r != CLI_DONE)
		return r;
	for (size_t i = 0; i < TOP_VIEWS; i++)
		t.order[i].column = -1;
	r = top_screen_open(&error);
	if (r == 0) {
		r = top_source_start(c->control, (unsigned int)seconds, &t.source, &error);
		if (r == 0) {
			top_rebuild(&t);
			run(&t);
		}
		top_screen_close();
	}
	top_rows_done(&t.rows);
	json_decref(t.status);
	json_decref(t.list);
	return r < 0 ? cli_fail(CLI_FAILED, "%s", error.text) : CLI_DONE;
}
