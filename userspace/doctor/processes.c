// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes concerned: those that hold a listener, and any that has used over 80% of the
 * files that it may open. Of each its name, systemd unit, descriptors, RLIMIT_NOFILE and the
 * memory limit of its cgroup (v2).
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "private.h"

#define COUNTED_MAX (4 << 20) /* descriptors of one process */

/* Who listens. All of /proc/PID/fd is gone through once, for all listeners. */
int td_doctor_holders(struct td_facts *f)
{
	_cleanup_free_ uint64_t *inodes = calloc(f->n_listeners + 1, sizeof(*inodes));
	_cleanup_free_ struct td_holder *holders = NULL;
	size_t n = 0, n_own;
	int r;

	if (!inodes)
		return -ENOMEM;
	for (size_t i = 0; i < f->n_listeners; i++)
		inodes[i] = f->listeners[i].inode;
	r = td_host_scan(inodes, f->n_listeners, &holders, &n);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		f->unseen |= TD_UNSEEN_PROCESSES;
	for (size_t i = 0; r == 0 && i < f->n_listeners; i++) {
		struct td_listen *l = &f->listeners[i];
		const struct td_holder *own = td_host_find(holders, n, l->inode, &n_own);

		if (!own) {
			/* The kernel's own (NFS) have no inode. */
			if (l->inode)
				f->unseen |= TD_UNSEEN_PROCESSES;
			continue;
		}
		l->pid = td_host_acceptor(own, n_own);
		if (!l->pid)
			l->pid = own[0].pid;
		snprintf(l->command, sizeof(l->command), "%s", own[0].command);
		for (size_t k = 0; k < n_own; k++) {
			struct td_process p = {
				.pid = own[k].pid,
				.listens = true,
				.files = -1,
				.memory = -1,
				.memory_max = -1,
				.memory_kills = -1,
			};
			size_t at = 0;

			while (at < f->n_processes && f->processes[at].pid != p.pid)
				at++;
			if (at < f->n_processes || at == TD_DOCTOR_PROCESSES_MAX)
				continue;
			if (td_grow(&f->processes, f->n_processes, sizeof(p)) < 0)
				return -ENOMEM;
			f->processes[f->n_processes++] = p;
		}
	}
	return 0;
}

/* Since 6.2 the directory's size is the number of descriptors; before it is 0. Else a negative
 * errno. */
static int64_t count_files(const char *path)
{
	struct stat st;
	int64_t n = 0;
	DIR *d;

	if (stat(path, &st) == 0 && st.st_size > 0)
		return st.st_size;
	d = opendir(path);
	if (!d)
		return -errno;
	while (n < COUNTED_MAX + 2 && readdir(d))
		n++;
	closedir(d);
	return TD_MAX(n - 2, 0); /* . and .. */
}

static void read_limits(const char *root, const char *pid, struct td_process *p)
{
	char name[64], text[4096], soft[32] = "", hard[32] = "";
	const char *at;

	snprintf(name, sizeof(name), "/proc/%s/limits", pid);
	td_doctor_file(root, name, text, sizeof(text));
	at = strstr(text, "Max open files");
	p->soft = p->hard = -1;
	if (!at || sscanf(at, "Max open files %31s %31s", soft, hard) != 2)
		return;
	p->soft = soft[0] == 'u' ? INT64_MAX : strtoll(soft, NULL, 10);
	p->hard = hard[0] == 'u' ? INT64_MAX : strtoll(hard, NULL, 10);
}

/* The name may hold anything, so the state is behind the last ")". */
static void read_name(const char *root, const char *pid, struct td_process *p)
{
	char name[64], text[512], *end;
	const char *begin;

	snprintf(name, sizeof(name), "/proc/%s/stat", pid);
	td_doctor_file(root, name, text, sizeof(text));
	begin = strchr(text, '(');
	end = strrchr(text, ')');
	if (!begin || !end || end < begin)
		return;
	p->stopped = end[1] == ' ' && end[2] == 'T'; /* 't' is a tracer's, for a moment */
	*end = '\0';
	snprintf(p->command, sizeof(p->command), "%s", begin + 1);
	for (char *c = p->command; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static int64_t cgroup_number(const char *root, const char *group, const char *name)
{
	char path[400], text[64];

	snprintf(path, sizeof(path), "/sys/fs/cgroup%.300s/%s", group, name);
	if (td_doctor_file(root, path, text, sizeof(text)) <= 0 || text[0] < '0' || text[0] > '9')
		return -1;
	return strtoll(text, NULL, 10);
}

/* "0::/system.slice/nginx.service": the unit is the last part that ends so, and a limit may
 * stand at the group or at any above it. */
static void read_cgroup(const char *root, const char *pid, struct td_process *p)
{
	char name[64], text[4096], events[512], path[400], *group, *slash, *at;

	snprintf(name, sizeof(name), "/proc/%s/cgroup", pid);
	td_doctor_file(root, name, text, sizeof(text));
	group = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!group)
		return;
	group += *group == '\n' ? 4 : 3;
	group[strcspn(group, "\n")] = '\0';
	while ((slash = strrchr(group, '/'))) {
		size_t length = strlen(slash + 1);

		if (!p->unit[0] && length > 8 && length < sizeof(p->unit) &&
		    strcmp(slash + 1 + length - 8, ".service") == 0) {
			snprintf(p->unit, sizeof(p->unit), "%s", slash + 1);
			td_doctor_harmless(p->unit);
		}
		if (p->memory_max < 0 && slash[1]) {
			p->memory_max = cgroup_number(root, group, "memory.max");
			p->memory = cgroup_number(root, group, "memory.current");
			snprintf(path, sizeof(path), "/sys/fs/cgroup%.300s/memory.events", group);
			if (p->memory_max >= 0 &&
			    td_doctor_file(root, path, events, sizeof(events)) > 0 &&
			    (at = strstr(events, "oom_kill ")))
				p->memory_kills = strtoll(at + 9, NULL, 10);
		}
		*slash = '\0';
	}
}

static int read_process(const char *root, const char *pid, struct td_facts *f)
{
	struct td_process p = {.files = -1, .memory = -1, .memory_max = -1, .memory_kills = -1};
	pid_t number = (pid_t)strtol(pid, NULL, 10);
	char path[512];
	size_t at = 0;

	while (at < f->n_processes && f->processes[at].pid != number)
		at++;
	if (at < f->n_processes)
		p = f->processes[at];
	p.pid = number;
	snprintf(path, sizeof(path), "%s/proc/%s/fd", root, pid);
	p.files = count_files(path);
	if (p.files == -EACCES || p.files == -EPERM)
		f->unseen |= TD_UNSEEN_PROCESSES;
	p.files = TD_MAX(p.files, -1);
	if (p.files <= 0 && !p.listens)
		return 0; /* not ours to see, a kernel thread, or gone */
	read_limits(root, pid, &p);
	if (!p.listens && (p.soft < 0 || p.files <= p.soft / 5 * 4))
		return 0;
	read_name(root, pid, &p);
	read_cgroup(root, pid, &p);
	if (at == f->n_processes) {
		if (at == TD_DOCTOR_PROCESSES_MAX)
			return 0;
		if (td_grow(&f->processes, f->n_processes, sizeof(p)) < 0)
			return -ENOMEM;
		f->n_processes++;
	}
	f->processes[at] = p;
	return 0;
}

int td_doctor_processes(const char *root, struct td_facts *f)
{
	const struct dirent *entry;
	char path[512];
	DIR *proc;
	int r = 0;

	snprintf(path, sizeof(path), "%s/proc", root);
	proc = opendir(path);
	if (!proc) {
		f->unseen |= TD_UNSEEN_PROCESSES;
		return 0;
	}
	while (r == 0 && (entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    strspn(entry->d_name, "0123456789") == strlen(entry->d_name) &&
		    strlen(entry->d_name) < 11)
			r = read_process(root, entry->d_name, f);
	closedir(proc);
	return r;
}
