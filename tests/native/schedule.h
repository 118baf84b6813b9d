/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads that take turns: only one runs, and at each access to memory that CPUs share
 * (steps.h) a die decides who goes on. The orders are the same in each run.
 */
#ifndef TESTS_SCHEDULE_H
#define TESTS_SCHEDULE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { THREADS = 3 };

static struct {
	void (*job)(int thread);
	pthread_t threads[THREADS];
	bool on, quit;
	int alive;
	bool done[THREADS];
	sem_t go[THREADS], finished;
	uint32_t dice;
	uint32_t one_in; /* a change of CPU at one step in so many */
} schedule;

static __thread int self = -1;

static uint32_t roll(void)
{
	schedule.dice ^= schedule.dice << 13;
	schedule.dice ^= schedule.dice >> 17;
	schedule.dice ^= schedule.dice << 5;
	return schedule.dice;
}

static int someone(void)
{
	int i = (int)(roll() >> 8) % THREADS;

	while (schedule.done[i])
		i = (i + 1) % THREADS;
	return i;
}

static void rig_step(void)
{
	int next;

	if (self < 0 || !schedule.on || (roll() >> 8) % schedule.one_in)
		return;
	next = someone();
	if (next == self)
		return;
	sem_post(&schedule.go[next]);
	sem_wait(&schedule.go[self]);
}

static void *schedule_thread(void *arg)
{
	self = (int)(intptr_t)arg;
	for (;;) {
		sem_wait(&schedule.go[self]);
		if (schedule.quit)
			return NULL;
		schedule.job(self);
		schedule.done[self] = true;
		if (--schedule.alive)
			sem_post(&schedule.go[someone()]);
		else
			sem_post(&schedule.finished);
	}
}

static void schedule_open(void (*job)(int thread))
{
	schedule.job = job;
	schedule.quit = false;
	sem_init(&schedule.finished, 0, 0);
	for (int i = 0; i < THREADS; i++) {
		sem_init(&schedule.go[i], 0, 0);
		pthread_create(&schedule.threads[i], NULL, schedule_thread, (void *)(intptr_t)i);
	}
}

static void schedule_close(void)
{
	schedule.quit = true;
	for (int i = 0; i < THREADS; i++) {
		sem_post(&schedule.go[i]);
		pthread_join(schedule.threads[i], NULL);
	}
}

/* The order of the next run. */
static void schedule_seed(uint32_t seed)
{
	schedule.dice = seed * 2654435761u | 1;
	for (int i = 0; i < 10; i++)
		roll();
	schedule.one_in = 1 + roll() % 8;
}

/* Each thread does its job once. */
static void schedule_run(void)
{
	schedule.alive = THREADS;
	for (int i = 0; i < THREADS; i++)
		schedule.done[i] = false;
	schedule.on = true;
	sem_post(&schedule.go[someone()]);
	sem_wait(&schedule.finished);
	schedule.on = false;
}

static uint32_t number(const char *name, uint32_t otherwise)
{
	const char *s = getenv(name);

	return s ? (uint32_t)strtoul(s, NULL, 0) : otherwise;
}

#endif
