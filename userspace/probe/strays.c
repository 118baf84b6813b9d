// SPDX-License-Identifier: GPL-2.0-only
/*
 * What programs leave behind outside of their process group: daemons, for one.
 *
 * This process is a "child subreaper" (PR_SET_CHILD_SUBREAPER): whose parent ends comes to it
 * rather than to init. So all that is its child, and is neither a program under way nor in the
 * group of one, is left over from a check that has ended, or has left its check on purpose.
 * Either way nobody waits for it: it is killed, and reaped. What such a one leaves behind comes
 * here too, so it is looked again until nobody is found; a bounded number at a time.
 *
 * That holds only where the process has no other children, which the prober is told.
 */
#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe/private.h"

#define LOOK_NS 20000000ull
#define SLOW_NS 1000000000ull /* where somebody does not die */
#define LOOKS	3	      /* without a find, before it is thought to be over */
#define AT_ONCE 256	      /* ended by one look */
#define AT_END	200	      /* looks of td_strays_end */

void td_strays_open(struct td_prober *p)
{
	td_ring_init(&p->under_way);
	if (p->options.owns_children)
		prctl(PR_SET_CHILD_SUBREAPER, 1ul, 0ul, 0ul, 0ul);
	td_strays_expect(p); /* of a former program in this process */
}

void td_strays_expect(struct td_prober *p)
{
	if (!p->options.owns_children)
		return;
	p->looks = LOOKS;
	p->look_wait_ns = LOOK_NS;
	if (!p->look_ns)
		p->look_ns = td_probe_now();
}

/* Whether a program of this number has not ended. */
static bool is_under_way(const struct td_prober *p, pid_t pid)
{
	for (const struct td_ring *r = p->under_way.next; r != &p->under_way; r = r->next)
		if (TD_OF(r, struct td_probe, queue)->pid == pid)
			return true;
	return false;
}

/* Returns how many are left of this thread's children that should not be. */
static unsigned int end_children(const struct td_prober *p, const char *task)
{
	_cleanup_fclose_ FILE *in = NULL;
	unsigned int found = 0;
	char path[64];
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%.16s/children", task);
	in = fopen(path, "re"); /* a kernel without it has no such order */
	while (in && found < AT_ONCE && fscanf(in, "%d", &pid) == 1) {
		if (is_under_way(p, pid) || td_exec_is_dying(p, pid))
			continue; /* exec.c reaps it */
		if (!is_under_way(p, getpgid(pid))) {
			kill(pid, SIGKILL);
			found++;
		}
		waitpid(pid, NULL, WNOHANG);
	}
	return found;
}

static unsigned int look(const struct td_prober *p)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *e;
	unsigned int found = 0;

	if (!tasks)
		return 0;
	while ((e = readdir(tasks)))
		if (e->d_name[0] != '.')
			found += end_children(p, e->d_name);
	closedir(tasks);
	return found;
}

void td_strays_look(struct td_prober *p)
{
	uint64_t now = td_probe_now();

	if (!p->look_ns || p->look_ns > now)
		return;
	p->looks = look(p) ? LOOKS : p->looks - 1;
	p->look_ns = p->looks ? now + p->look_wait_ns : 0;
	p->look_wait_ns = TD_MIN(2 * p->look_wait_ns, SLOW_NS);
}

void td_strays_end(struct td_prober *p)
{
	for (unsigned int i = 0; p->options.owns_children && i < AT_END && look(p); i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void td_strays_close(struct td_prober *p)
{
	if (!p->options.owns_children)
		return;
	td_strays_end(p);
	prctl(PR_SET_CHILD_SUBREAPER, 0ul, 0ul, 0ul, 0ul);
}
