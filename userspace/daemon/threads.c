// SPDX-License-Identifier: GPL-2.0-only
/* Threads that help the event loop's with what is pure work. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "daemon/daemon.h"

#define NICE 5

int td_thread_start(pthread_t *ret, void *(*work)(void *), void *context)
{
	sigset_t all, former;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &former);
	r = pthread_create(ret, NULL, work, context);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	return -r;
}

void td_thread_gives_way(void)
{
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

/* ---- jobs ------------------------------------------------------------------------------ */

static void *work(void *context)
{
	struct td_job *j = context;
	uint64_t one = 1;

	td_thread_gives_way();
	j->work(j->context);
	if (write(j->done_fd, &one, sizeof(one)) < 0)
		return NULL; /* it is not full */
	return NULL;
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct td_job *j = userdata;
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0 || !j->works)
		return 0;
	pthread_join(j->thread, NULL);
	j->works = false;
	j->ended(j->d);
	return 0;
}

int td_job_open(struct td_job *j, struct td_daemon *d)
{
	j->d = d;
	j->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (j->done_fd < 0)
		return -errno;
	return sd_event_add_io(d->event, &j->done, j->done_fd, EPOLLIN, on_done, j);
}

int td_job_begin(struct td_job *j)
{
	int r = td_thread_start(&j->thread, work, j);

	j->works = r == 0;
	return r;
}

void td_job_close(struct td_job *j)
{
	if (j->works)
		pthread_join(j->thread, NULL);
	j->works = false;
	j->done = sd_event_source_unref(j->done);
	td_fd_close(&j->done_fd);
}
