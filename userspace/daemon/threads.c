// SPDX-License-Identifier: GPL-2.0-only
/* Threads that help the event loop's with what is pure work. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
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
