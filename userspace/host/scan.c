// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who holds, and who polls. One pass over all processes' descriptors for any
 * number of sockets; only of a process that holds one of them is more read: its
 * name, its user, and its epoll sets (fdinfo), for holding says little: nginx's
 * master and each of its workers hold the listeners of all, and each worker
 * polls its own alone.
 *
 * The kernel prints an epoll set in one go and keeps its process from polling
 * meanwhile (about 1 us for each member), so a set is not read where the process
 * has more than EPOLL_DESCRIPTORS_MAX descriptors: who accepts there is left open.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "private.h"

#define EPOLL_SETS_MAX	      256
#define EPOLL_DESCRIPTORS_MAX 8192

struct scan {
	uint64_t *inodes; /* ascending, each once */
	size_t *row;	  /* of each: where the last process that holds it stands */
	size_t n_inodes;
	struct td_holder *holders;
	size_t n;
	unsigned int sockfs; /* its device, as fdinfo writes it */
};

static void scan_done(struct scan *s)
{
	free(s->inodes);
	free(s->row);
	free(s->holders);
}

static int compare_inodes(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int compare_holders(const void *a, const void *b)
{
	const struct td_holder *x = a, *y = b;

	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* Other file systems count their inodes for themselves, so a fifo may have a
 * socket's number: sockets are told by their device. */
static int sockfs_device(unsigned int *ret)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret = major(st.st_dev) << 20 | minor(st.st_dev);
	return 0;
}

static int scan_begin(struct scan *s, const uint64_t *inodes, size_t n)
{
	size_t unique = 0;
	int r;

	s->inodes = calloc(n, sizeof(*s->inodes));
	s->row = calloc(n, sizeof(*s->row));
	if (!s->inodes || !s->row)
		return -ENOMEM;
	r = sockfs_device(&s->sockfs);
	if (r < 0)
		return r;
	memcpy(s->inodes, inodes, n * sizeof(*inodes));
	qsort(s->inodes, n, sizeof(*inodes), compare_inodes);
	for (size_t i = 0; i < n; i++)
		if (unique == 0 || s->inodes[i] != s->inodes[unique - 1])
			s->inodes[unique++] = s->inodes[i];
	s->n_inodes = unique;
	return 0;
}

/* The row of this process for a socket; NULL: none yet, or not looked for (then
 * *ret_i is n_inodes). */
static struct td_holder *find_row(struct scan *s, uint64_t inode, pid_t pid, size_t *ret_i)
{
	const uint64_t *found =
		bsearch(&inode, s->inodes, s->n_inodes, sizeof(inode), compare_inodes);
	struct td_holder *h;

	*ret_i = found ? (size_t)(found - s->inodes) : s->n_inodes;
	if (!found || s->row[*ret_i] >= s->n)
		return NULL;
	h = &s->holders[s->row[*ret_i]];
	return h->inode == inode && h->pid == pid ? h : NULL;
}

static int note_socket(struct scan *s, pid_t pid, const struct td_descriptor *d)
{
	struct td_holder *h;
	size_t i;
	int r;

	h = find_row(s, d->inode, pid, &i);
	if (h || i == s->n_inodes) {
		if (h && d->fd < h->fd)
			h->fd = d->fd;
		return 0;
	}
	if (s->n == TD_HOST_HOLDERS_MAX)
		return -ENOSPC;
	r = td_grow(&s->holders, s->n, sizeof(*s->holders));
	if (r < 0)
		return r;
	s->row[i] = s->n;
	s->holders[s->n++] = (struct td_holder){.inode = d->inode, .pid = pid, .fd = d->fd};
	return 0;
}

/* Lines of a set: "tfd: 5 events: 1 data: 5  pos:0 ino:5bc7 sdev:8" */
static void note_polled(struct scan *s, pid_t pid, int epoll_fd)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[256];
	struct td_holder *h;
	unsigned long inode;
	unsigned int device;
	const char *at;
	size_t i;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, epoll_fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "tfd:", 4) != 0)
			continue;
		at = strstr(line, " ino:");
		if (!at || sscanf(at, " ino:%lx sdev:%x", &inode, &device) != 2)
			continue;
		if (device != s->sockfs)
			continue;
		h = find_row(s, inode, pid, &i);
		if (h)
			h->polls = true;
	}
}

static uid_t effective_uid(pid_t pid)
{
	char status[1024]; /* Uid is among the first lines */
	unsigned int real, effective;
	const char *at;

	if (td_proc_read(pid, "status", status, sizeof(status)) < 0)
		return (uid_t)-1;
	at = strstr(status, "\nUid:"); /* a newline in the name is written as \n */
	if (!at || sscanf(at, "\nUid:%u%u", &real, &effective) != 2)
		return (uid_t)-1;
	return effective;
}

static void describe(struct scan *s, size_t first, pid_t pid)
{
	char command[TD_HOST_COMMAND];
	uid_t uid = effective_uid(pid);

	td_host_command(pid, command, sizeof(command));
	for (size_t i = first; i < s->n; i++) {
		memcpy(s->holders[i].command, command, sizeof(command));
		s->holders[i].uid = uid;
	}
}

static int scan_process(struct scan *s, int proc_fd, pid_t pid)
{
	_cleanup_(td_descriptors_done) struct td_descriptors descriptors = {0};
	int sets[EPOLL_SETS_MAX], n_sets = 0, r;
	struct td_descriptor d;
	size_t first = s->n;

	if (td_descriptors_open(proc_fd, pid, &descriptors) < 0)
		return 0; /* gone, or not ours to see */
	while (td_descriptors_next(&descriptors, &d)) {
		if (d.kind == TD_DESCRIPTOR_EPOLL && n_sets < EPOLL_SETS_MAX)
			sets[n_sets++] = d.fd;
		if (d.kind != TD_DESCRIPTOR_SOCKET)
			continue;
		r = note_socket(s, pid, &d);
		if (r < 0)
			return r;
	}
	if (s->n == first)
		return 0;
	describe(s, first, pid);
	for (int i = 0; i < n_sets && descriptors.seen <= EPOLL_DESCRIPTORS_MAX; i++)
		note_polled(s, pid, sets[i]);
	return 0;
}

int td_host_scan(const uint64_t *inodes, size_t n, struct td_holder **ret, size_t *ret_n)
{
	_cleanup_(scan_done) struct scan s = {0};
	const struct dirent *entry;
	DIR *proc;
	int r = 0;

	if (n > 0) {
		r = scan_begin(&s, inodes, n);
		if (r < 0)
			return r;
		proc = opendir("/proc");
		if (!proc)
			return -errno;
		while (r == 0 && (entry = readdir(proc))) {
			pid_t pid = td_proc_pid(entry->d_name);

			if (pid > 0)
				r = scan_process(&s, dirfd(proc), pid);
		}
		closedir(proc);
		if (r < 0)
			return r;
	}
	if (s.n > 0)
		qsort(s.holders, s.n, sizeof(*s.holders), compare_holders);
	*ret = TD_TAKE_PTR(s.holders);
	*ret_n = s.n;
	return 0;
}

int td_host_holders(uint64_t inode, struct td_holder **ret, size_t *ret_n)
{
	return td_host_scan(&inode, 1, ret, ret_n);
}

const struct td_holder *td_host_find(const struct td_holder *holders, size_t n, uint64_t inode,
				     size_t *ret_n)
{
	size_t low = 0, high = n, end;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (holders[middle].inode < inode)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < n && holders[end].inode == inode;)
		end++;
	*ret_n = end - low;
	return end > low ? &holders[low] : NULL;
}

pid_t td_host_acceptor(const struct td_holder *holders, size_t n)
{
	size_t n_polls = 0;
	pid_t pid = 0;

	for (size_t i = 0; i < n; i++)
		if (holders[i].polls) {
			n_polls++;
			pid = holders[i].pid;
		}
	if (n_polls == 0 && n == 1)
		return holders[0].pid;
	return n_polls == 1 ? pid : 0;
}
