// SPDX-License-Identifier: GPL-2.0-only
/*
 * One look at the host: files first, then what only the kernel itself can tell. All of it
 * is bounded, and nothing that fails keeps the rest from being read.
 */
#include <time.h>

#include "private.h"

void td_facts_init(struct td_facts *f)
{
	*f = (struct td_facts){.page_bytes = sysconf(_SC_PAGESIZE)};
	for (size_t i = 0; i < TD_SYSCTL_N; i++)
		f->sysctl[i] = -1;
	for (size_t i = 0; i < TD_COUNTER_N; i++)
		f->counter[i] = -1;
}

void td_facts_done(struct td_facts *f)
{
	free(f->cpus);
	free(f->nics);
	free(f->listeners);
	free(f->processes);
	td_facts_init(f);
}

int td_facts_read(const char *root, bool whole, struct td_facts *ret)
{
	_cleanup_(td_facts_done) struct td_facts f;
	bool here = root[0] == '\0';
	struct timespec t;
	int r;

	td_facts_init(&f);
	clock_gettime(CLOCK_MONOTONIC, &t);
	f.at_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	r = td_doctor_files(root, &f);
	if (r == 0 && here)
		r = td_doctor_nics(&f);
	if (r == 0 && here)
		r = td_doctor_listeners(&f);
	if (r == 0 && here && whole)
		r = td_doctor_holders(&f);
	if (r == 0 && whole)
		r = td_doctor_processes(root, &f);
	if (r < 0)
		return r;
	*ret = f;
	td_facts_init(&f);
	return 0;
}

void td_doctor_harmless(char *name)
{
	for (; *name; name++)
		if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
		      (*name >= '0' && *name <= '9') || strchr("_.@:-", *name)))
			*name = '?';
}
