// SPDX-License-Identifier: GPL-2.0-only
/*
 * The verifier takes tenths of a second, and on a busy or emulated processor many seconds, in which
 * the daemon is within one system call. Around each such call a thread waits for its end: after a
 * second, and then less and less often, it tells the log and systemd what is being done, and asks
 * systemd for patience. There is no such thread while privileges are dropped, which are a thread's own.
 */
#include <pthread.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "daemon/progress.h"
#include "kernel/work.h"

#define FIRST_S	 1u
#define MOST_S	 16u	    /* from one line to the next */
#define PATIENCE "60000000" /* usec, that systemd is asked for with each */

struct td_progress {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	pthread_t thread;
	bool watched; /* there is one */
	/* both threads', under the lock */
	bool over;
	/* written while there is no thread */
	uint64_t begun_ns;
	struct td_work now;

	struct td_work works[TD_WORKS_MAX];
	size_t n;
};

static void tell(const char *what, unsigned int seconds)
{
	td_log(TD_LOG_INFO, "%s, %u s", what, seconds);
	sd_notifyf(0, "STATUS=%c%s, %u s.\nEXTEND_TIMEOUT_USEC=" PATIENCE, what[0] - 'a' + 'A',
		   what + 1, seconds);
}

static void *watch(void *context)
{
	struct td_progress *p = context;
	unsigned int seconds = FIRST_S, step = FIRST_S;

	pthread_mutex_lock(&p->lock);
	while (!p->over) {
		uint64_t at = p->begun_ns + seconds * TD_NS_PER_S;
		struct timespec t = {(time_t)(at / TD_NS_PER_S), (long)(at % TD_NS_PER_S)};

		if (pthread_cond_timedwait(&p->ended, &p->lock, &t) != ETIMEDOUT || p->over)
			continue;
		tell(p->now.what, seconds);
		seconds += step;
		step = TD_MIN(2 * step, MOST_S);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void on_begins(void *context, const char *what)
{
	struct td_progress *p = ((struct td_daemon *)context)->progress;

	p->now = (struct td_work){0};
	snprintf(p->now.what, sizeof(p->now.what), "%s", what);
	p->begun_ns = td_now_ns();
	p->over = false;
	p->watched = td_thread_start(&p->thread, watch, p) == 0; /* else nobody tells */
}

static void on_ended(void *context, uint64_t instructions)
{
	struct td_daemon *d = context;
	struct td_progress *p = d->progress;
	struct td_load_progress load;

	if (p->watched) {
		pthread_mutex_lock(&p->lock);
		p->over = true;
		pthread_cond_signal(&p->ended);
		pthread_mutex_unlock(&p->lock);
		pthread_join(p->thread, NULL);
		p->watched = false;
	}
	p->now.took_ns = td_now_ns() - p->begun_ns;
	p->now.instructions = instructions;
	if (p->n == TD_WORKS_MAX)
		memmove(p->works, p->works + 1, --p->n * sizeof(*p->works));
	p->works[p->n++] = p->now;
	if (p->now.took_ns < FIRST_S * TD_NS_PER_S)
		return;
	/* who starts, or reloads, tells at its end */
	if (d->ready && !td_load_progress(d, &load))
		td_tell_services(d);
	if (instructions)
		td_event(d, "long-work", p->now.what, "it took %.1f s, for %llu instructions",
			 (double)p->now.took_ns / TD_NS_PER_S, (unsigned long long)instructions);
	else
		td_event(d, "long-work", p->now.what, "it took %.1f s",
			 (double)p->now.took_ns / TD_NS_PER_S);
}

const struct td_work *td_progress_works(const struct td_daemon *d, size_t *ret_n)
{
	*ret_n = d->progress->n;
	return d->progress->works;
}

int td_progress_open(struct td_daemon *d)
{
	struct td_work_watch w = {.begins = on_begins, .ended = on_ended, .context = d};
	struct td_progress *p = calloc(1, sizeof(*p));
	pthread_condattr_t attributes;

	if (!p)
		return -ENOMEM;
	d->progress = p;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&p->ended, &attributes);
	pthread_condattr_destroy(&attributes);
	td_work_watch(&w);
	return 0;
}

void td_progress_close(struct td_daemon *d)
{
	td_work_watch(NULL);
	free(d->progress);
	d->progress = NULL;
}
