// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rows of a plan, made ahead by a few threads while the event loop's thread writes those
 * that are done (apply.c). What they do is pure: the plan is only read meanwhile, and a row
 * follows from its members alone (core/maglev.h). Memory is bounded: so many rows at most are
 * ahead of the one that is written.
 *
 * Threads are a help, and never needed: a row that none has begun is made by who asks for it.
 * They give way to all else on this host.
 */
#include <pthread.h>
#include <sched.h>

#include "core/row.h"
#include "daemon/daemon.h"

#define AHEAD	    16u /* rows that are there at a time */
#define THREADS_MAX 4u
#define WORTH_IT    8u /* rows: below, a thread costs more than it helps */
#define WAIT_NS	    (20 * TD_NS_PER_MS)

struct row {
	uint32_t owners[TUNDISH_MAGLEV_SLOTS];
	int result;
	bool done;
};

struct td_rows {
	const struct td_plan *plan;
	const struct td_members *of;
	size_t *steps; /* of the plan: those that set a row */
	size_t n;
	struct row *rows; /* [AHEAD], job i's is i % AHEAD */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* of the four below, or of a row */
	size_t begun, given;	/* jobs; `given` is the one that is asked for */
	bool ends;

	pthread_t threads[THREADS_MAX];
	unsigned int n_threads;
};

/* Under the lock, which it gives up meanwhile. */
static void make_next(struct td_rows *r)
{
	size_t job = r->begun++;
	struct row *row = &r->rows[job % AHEAD];
	int result;

	row->done = false;
	pthread_mutex_unlock(&r->lock);
	result = td_row_make(&r->plan->target, r->of, r->plan->steps[r->steps[job]].id, 0,
			     row->owners);
	pthread_mutex_lock(&r->lock);
	row->result = result;
	row->done = true;
	pthread_cond_broadcast(&r->changed);
}

static void *work(void *context)
{
	struct td_rows *r = context;

	td_thread_gives_way();
	pthread_mutex_lock(&r->lock);
	while (!r->ends && r->begun < r->n) {
		if (r->begun < r->given + AHEAD)
			make_next(r);
		else
			pthread_cond_wait(&r->changed, &r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

static void start_threads(struct td_rows *r)
{
	unsigned int wanted = THREADS_MAX;
	cpu_set_t cpus;

	if (r->n < WORTH_IT)
		return;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		wanted = TD_MIN((unsigned int)CPU_COUNT(&cpus), THREADS_MAX);
	while (r->n_threads < wanted && td_thread_start(&r->threads[r->n_threads], work, r) == 0)
		r->n_threads++;
}

struct td_rows *td_rows_start(const struct td_plan *plan, const struct td_members *of)
{
	struct td_rows *r = calloc(1, sizeof(*r));
	pthread_condattr_t monotonic;

	if (!r)
		return NULL;
	r->plan = plan;
	r->of = of;
	r->steps = calloc(plan->n_steps + 1, sizeof(*r->steps));
	for (size_t i = 0; r->steps && i < plan->n_steps; i++)
		if (plan->steps[i].kind == TD_STEP_ROW_SET &&
		    plan->steps[i].id < TUNDISH_SERVICES_MAX)
			r->steps[r->n++] = i;
	r->rows = calloc(TD_MIN(r->n, AHEAD) + 1, sizeof(*r->rows));
	if (!r->steps || !r->rows) {
		free(r->steps);
		free(r->rows);
		free(r);
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	start_threads(r);
	return r;
}

static void wait_a_moment(struct td_rows *r)
{
	uint64_t until = td_now_ns() + WAIT_NS;
	struct timespec t = {(time_t)(until / TD_NS_PER_S), (long)(until % TD_NS_PER_S)};

	pthread_cond_timedwait(&r->changed, &r->lock, &t);
}

int td_rows_get(struct td_rows *r, struct td_daemon *d, size_t step, const uint32_t **ret)
{
	struct row *row;
	int result;

	pthread_mutex_lock(&r->lock);
	while (r->given < r->n && r->steps[r->given] != step)
		r->given++;
	if (r->given == r->n) {
		pthread_mutex_unlock(&r->lock);
		return -EINVAL;
	}
	row = &r->rows[r->given % AHEAD];
	if (r->begun < r->given) /* steps were left out */
		r->begun = r->given;
	pthread_cond_broadcast(&r->changed);
	/* The first round makes it, where nobody has begun; whoever waits helps. */
	while (r->begun == r->given || !row->done) {
		if (r->begun < r->n && r->begun < r->given + AHEAD)
			make_next(r);
		else
			wait_a_moment(r);
		pthread_mutex_unlock(&r->lock);
		td_breathe(d);
		pthread_mutex_lock(&r->lock);
	}
	result = row->result;
	pthread_mutex_unlock(&r->lock);
	*ret = row->owners;
	return result;
}

struct td_rows *td_rows_end(struct td_rows *r)
{
	if (!r)
		return NULL;
	pthread_mutex_lock(&r->lock);
	r->ends = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	for (unsigned int i = 0; i < r->n_threads; i++)
		pthread_join(r->threads[i], NULL);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r->steps);
	free(r->rows);
	free(r);
	return NULL;
}
