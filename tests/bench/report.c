// SPDX-License-Identifier: GPL-2.0-only
/* Rows of results, and the few things about time and CPUs that all measuring programs need. */
#include <sched.h>
#include <time.h>

#include "bench.h"

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void number(const char *key, double x, bool known)
{
	if (known)
		printf(", \"%s\": %.*f", key, x && x < 10 && x > -10 ? 4 : 2, x);
	else
		printf(", \"%s\": null", key);
}

void report(struct row r)
{
	static const char *const met[] = {"null", "true", "false"};

	printf("{\"name\": \"%s\"", r.name);
	number("value", r.value, true);
	printf(", \"unit\": \"%s\"", r.unit);
	number("baseline", r.baseline, r.baseline != 0);
	number("ratio", r.baseline != 0 ? r.value / r.baseline : 0, r.baseline != 0);
	if (r.goal)
		printf(", \"goal\": \"%s\"", r.goal);
	else
		printf(", \"goal\": null");
	printf(", \"met\": %s}\n", met[r.met]);
	fflush(stdout);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void pin_cpu(void)
{
	const char *wanted = getenv("BENCH_CPU");
	cpu_set_t set;
	int cpu = -1;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		die("cannot read the CPU affinity: %s", strerror(errno));
	if (wanted)
		cpu = atoi(wanted);
	else
		for (int i = 0; i < CPU_SETSIZE; i++)
			if (CPU_ISSET(i, &set))
				cpu = i;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("cannot run on CPU %d: %s", cpu, strerror(errno));
}
