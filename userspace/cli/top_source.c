// SPDX-License-Identifier: GPL-2.0-only
/*
 * The daemon as `top` sees it: a thread asks for the status, and for the rows of what is looked
 * at, once in the interval and at once where another view is wanted or a command is given. A
 * daemon that is away or hangs delays nothing but news.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "cli/top.h"

#define SILENCE_S 5 /* of a daemon: then it is told to hang */

struct act {
	enum top_view view;
	char service[TOP_NAME], name[TOP_NAME], verb[16];
};

struct top_source {
	char control[512];
	unsigned int interval_s;
	int pipe[2];
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t poked;
	bool again; /* ask now */
	enum top_view view;
	char service[TOP_NAME];
	struct act act;
	bool acts, has_news;
	struct top_news news;
};

void top_news_done(struct top_news *n)
{
	json_decref(n->status);
	json_decref(n->rows);
	*n = (struct top_news){0};
}

/* NULL with a sentence, the daemon's own where it refused. */
static json_t *ask(const struct top_source *s, const struct cli_target *t, const char *body,
		   char *sentence, size_t size)
{
	struct cli_answer a = {0};
	struct td_error e = {0};
	const char *refusal;
	json_t *j;

	if (cli_send_within(s->control, t, body, SILENCE_S, &a, &e) < 0) {
		snprintf(sentence, size, "%s", e.text);
		return NULL;
	}
	j = json_loadb(a.body, a.length, JSON_DECODE_ANY, NULL);
	if (a.status >= 400 || !j) {
		refusal = json_string_value(json_object_get(j, "error"));
		if (refusal)
			snprintf(sentence, size, "%s", refusal);
		else
			snprintf(sentence, size,
				 "what answers on %.300s is no such daemon (HTTP %ld)", s->control,
				 a.status);
		json_decref(j);
		j = NULL;
	}
	cli_answer_done(&a);
	return j;
}

static const char *const words[TOP_VIEWS] = {"services", "backends", "workers"};

static void carry_out(const struct top_source *s, const struct act *a, struct top_news *n)
{
	struct cli_target t = {0};
	const char *state, *reason;
	json_t *answer;

	cli_target_word(&t, words[a->view]);
	cli_target_word(&t, a->service);
	cli_target_word(&t, a->name);
	cli_target_word(&t,
			a->view == TOP_WORKERS && !strcmp(a->verb, "enable") ? "undrain" : a->verb);
	answer = ask(s, &t, "", n->told, sizeof(n->told));
	if (!answer)
		return;
	state = json_string_value(json_object_get(answer, "state"));
	reason = json_string_value(json_object_get(answer, "reason"));
	snprintf(n->told, sizeof(n->told), "%.63s/%.63s: %.32s%s%.255s", a->service, a->name,
		 state ? state : a->verb, reason ? ": " : "", reason ? reason : "");
	json_decref(answer);
}

static void look(const struct top_source *s, struct top_news *n)
{
	struct cli_target t = {0}, r = {0};

	cli_target_word(&t, "status");
	n->status = ask(s, &t, NULL, n->trouble, sizeof(n->trouble));
	if (!n->status || n->view == TOP_SERVICES)
		return;
	cli_target_word(&r, words[n->view]);
	cli_target_word(&r, n->service);
	n->rows = ask(s, &r, NULL, n->trouble, sizeof(n->trouble));
}

static void wait_for_turn(struct top_source *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += s->interval_s;
	while (!s->again && !s->acts)
		if (pthread_cond_timedwait(&s->poked, &s->lock, &until) == ETIMEDOUT)
			break;
	s->again = false;
}

static void *work(void *context)
{
	struct top_source *s = context;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct top_news n = {.view = s->view};
		struct act act = s->act;
		bool acts = s->acts;

		s->acts = false;
		snprintf(n.service, sizeof(n.service), "%s", s->service);
		pthread_mutex_unlock(&s->lock);

		if (acts)
			carry_out(s, &act, &n);
		look(s, &n);

		pthread_mutex_lock(&s->lock);
		if (!n.told[0] && s->has_news) /* not read yet, and to be told all the same */
			snprintf(n.told, sizeof(n.told), "%s", s->news.told);
		top_news_done(&s->news);
		s->news = n;
		s->has_news = true;
		if (write(s->pipe[1], "", 1) < 0 && errno != EAGAIN)
			break;
		wait_for_turn(s);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int top_source_start(const char *control, unsigned int interval_s, struct top_source **ret,
		     struct td_error *error)
{
	struct top_source *s = calloc(1, sizeof(*s));
	pthread_condattr_t monotonic;
	sigset_t all, former;
	pthread_t thread;
	int r;

	if (!s || pipe2(s->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(s);
		return td_fail(error, ENOMEM, "out of memory or descriptors");
	}
	snprintf(s->control, sizeof(s->control), "%s", control);
	s->interval_s = interval_s;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->poked, &monotonic);
	pthread_condattr_destroy(&monotonic);
	/* The terminal's signals are the first thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &former);
	r = pthread_create(&thread, NULL, work, s);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	if (r) {
		free(s);
		return td_fail(error, r, "cannot start a thread: %s", strerror(r));
	}
	pthread_detach(thread); /* it may be waiting for a daemon when the program ends */
	*ret = s;
	return 0;
}

int top_source_fd(const struct top_source *s)
{
	return s->pipe[0];
}

bool top_source_take(struct top_source *s, struct top_news *ret)
{
	char drain[64];
	bool has;

	while (read(s->pipe[0], drain, sizeof(drain)) > 0)
		;
	pthread_mutex_lock(&s->lock);
	has = s->has_news;
	if (has) {
		*ret = s->news;
		s->news = (struct top_news){0};
		s->has_news = false;
	}
	pthread_mutex_unlock(&s->lock);
	return has;
}

void top_source_watch(struct top_source *s, enum top_view view, const char *service)
{
	pthread_mutex_lock(&s->lock);
	s->view = view;
	snprintf(s->service, sizeof(s->service), "%s", service);
	s->again = true;
	pthread_cond_signal(&s->poked);
	pthread_mutex_unlock(&s->lock);
}

void top_source_act(struct top_source *s, enum top_view view, const char *service, const char *name,
		    const char *verb)
{
	pthread_mutex_lock(&s->lock);
	s->act.view = view;
	snprintf(s->act.service, sizeof(s->act.service), "%s", service);
	snprintf(s->act.name, sizeof(s->act.name), "%s", name);
	snprintf(s->act.verb, sizeof(s->act.verb), "%s", verb);
	s->acts = true;
	pthread_cond_signal(&s->poked);
	pthread_mutex_unlock(&s->lock);
}
