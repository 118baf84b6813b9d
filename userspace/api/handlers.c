// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a request to whoever answers it. What runs here runs in the event loop:
 * an answer is made at once, or later, and nothing waits.
 */
#include "api/api.h"
#include "lib/suggest.h"

struct route {
	const char *method, *word;
	size_t words_min, words_max;
	void (*answer)(struct td_daemon *d, const struct td_request *q, struct td_reply *reply);
};

static void answer_workers(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	td_answer_workers(d, q->n_words > 1 ? q->word[1] : NULL, reply);
}

static void answer_egress(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	td_answer_egress(d, q->n_words > 1 ? q->word[1] : NULL, reply);
}

static void answer_events(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	const char *since = q->query(q, "since");
	char *end = NULL;
	unsigned long long n = since ? strtoull(since, &end, 10) : 0;

	if (since && (!*since || *end))
		td_reply_error(reply, 400, 2, "since: \"%.40s\" is not a number", since);
	else
		reply->json = td_events_json(d, n);
}

static void answer_reload(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	if (!strcmp(q->method, "POST"))
		td_load_answer(d, q, reply);
	else
		reply->json = td_reload_json(d) ?: json_object();
}

static int on_leave(sd_event_source *source, uint64_t usec, void *userdata)
{
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static void answer_unload(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	struct td_error e = {0};
	uint64_t now;

	if (td_daemon_unload(d, &e) < 0)
		td_reply_error(reply, 500, 1, "%s", e.text[0] ? e.text : "unloading failed");
	else
		reply->json = json_object();
	/* Not at once: the answer has to leave first. */
	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	sd_event_add_time(d->event, NULL, CLOCK_MONOTONIC, now + 200000, 1000, on_leave, d);
}

static int on_reexec(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;

	if (d->kernel) /* else it was unloaded meanwhile, and shall not begin again */
		td_reexec(d);
	return 0;
}

static void answer_daemon(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	struct td_error e = {0};
	uint64_t now;

	if (strcmp(q->word[1], "reexec")) {
		td_reply_error(reply, 404, 2, "there is no /v1/daemon/%.40s; there is: reexec",
			       q->word[1]);
		return;
	}
	if (td_reexec_check(d, &e) < 0) {
		td_reply_error(reply, 409, 1, "%s", e.text);
		return;
	}
	reply->json = json_pack("{s:s}", "program", d->program);
	/* Not at once: the answer has to leave first. */
	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	sd_event_add_time(d->event, NULL, CLOCK_MONOTONIC, now + 50000, 1000, on_reexec, d);
}

static const struct route routes[] = {
	{"GET", "status", 1, 1, td_answer_status},
	{"GET", "services", 1, 2, td_answer_services},
	{"GET", "backends", 1, 2, td_answer_backends},
	{"POST", "backends", 4, 4, td_answer_command},
	{"GET", "workers", 1, 2, answer_workers},
	{"POST", "workers", 3, 4, td_answer_worker_command},
	{"GET", "egress", 1, 2, answer_egress},
	{"GET", "flows", 1, 2, td_answer_flows},
	{"GET", "tuples", 1, 1, td_answer_tuples},
	{"GET", "ports", 1, 2, td_answer_ports},
	{"GET", "timewait", 1, 1, td_answer_timewait},
	{"GET", "config", 1, 1, td_answer_config},
	{"POST", "config", 2, 2, td_answer_config},
	{"GET", "trace", 1, 1, td_answer_trace},
	{"POST", "trace", 1, 1, td_answer_trace},
	{"GET", "events", 1, 1, answer_events},
	{"GET", "history", 1, 1, td_answer_history},
	{"GET", "doctor", 1, 1, td_answer_doctor},
	{"POST", "capture", 1, 2, td_answer_capture},
	{"GET", "metrics", 1, 1, td_answer_metrics},
	{"GET", "reload", 1, 1, answer_reload},
	{"POST", "reload", 1, 1, answer_reload},
	{"POST", "daemon", 2, 2, answer_daemon},
	{"POST", "unload", 1, 1, answer_unload},
};

void td_handle(void *context, const struct td_request *q, struct td_reply *reply)
{
	struct td_daemon *d = context;
	bool known = false, change;
	uint64_t begun = td_now_ns();
	struct td_suggest suggest = {.given = q->n_words ? q->word[0] : NULL};
	char meant[TD_SUGGEST_TELL_BYTES];

	if (!q->n_words) {
		td_answer_page(q, reply);
		return;
	}
	if (!q->peer && !td_page_allows(q, reply))
		return;
	if (!d->kernel || !d->ready) {
		td_reply_error(reply, 503, 1,
			       d->kernel ? "the daemon is still starting"
					 : "the data path is unloaded");
		return;
	}
	for (size_t i = 0; q->n_words && i < TD_ARRAY_SIZE(routes); i++) {
		const struct route *r = &routes[i];

		td_suggest_add(&suggest, r->word);
		if (strcmp(r->word, q->word[0]))
			continue;
		known = true;
		if (strcmp(r->method, q->method) || q->n_words < r->words_min ||
		    q->n_words > r->words_max)
			continue;
		/* Every POST changes something, but those that come with a configuration: a
		 * trace does not apply it, and who may is asked where one is. */
		change = strcmp(r->method, "GET") && r->answer != td_answer_config &&
			 r->answer != td_answer_trace;
		/* In the midst of a reload, which the request would see half of, or undo. */
		if (d->breathes && strcmp(r->method, "GET")) {
			reply->later = true;
			return;
		}
		/* One that was allowed to apply is answered, whatever rights it has left to itself. */
		if (td_offer_answer(d, q, reply))
			return;
		/* What has been read for a request is kept for a second, which who rests may miss. */
		if (td_rights_ask(d, q, change, reply) &&
		    (td_offer_is_read(d, q) || td_share_ask(d, q, reply))) {
			r->answer(d, q, reply);
			td_share_took(td_share_of(d, q), begun);
		}
		return;
	}
	if (known)
		td_reply_error(reply, 405, 2, "/v1/%s does not take this", q->word[0]);
	else
		td_reply_error(reply, 404, 2, "there is no /v1/%.63s%s",
			       q->n_words ? q->word[0] : "",
			       td_suggest_tell(&suggest, meant, sizeof(meant)));
}
