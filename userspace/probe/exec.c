// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs: an exit status of 0 is good, any other bad (where it is a weight, most are good), and
 * the last line of what it wrote is the reason.
 *
 * A program runs in a process group of its own, with nothing of the daemon's but its user (and
 * for root what it has kept of its capabilities; no_new_privs keeps that from growing), and its
 * output in a pipe. When it ends, or its time is up, the whole group is killed before its leader
 * is reaped: so long the number cannot be another's; what has left it is looked for afterwards
 * (strays.c). What it writes is read and thrown away but for the last line; one that writes more
 * than it may is not read any further, and so comes to a stand. One that hangs in the kernel (a
 * file server that is gone) outlives its killing: nothing waits for its end, but so long it counts
 * as one that runs, so that no more than a number of them can be there.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "core/address.h"
#include "core/checks.h"
#include "probe/private.h"

#define DEATH_MS  50   /* longest that the loop waits for the end of what was killed */
#define DEATHS_MS 1000 /* of all, where this is the last occasion */

/* ---- what it writes ----------------------------------------------------------------------- */

/* Keeps the last line that has something in it; `length` of it, 0 where the next byte begins
 * another one. */
static void keep_line(struct td_probe *b, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (data[i] == '\n' || data[i] == '\r') {
			b->connected = true; /* what follows begins anew */
			continue;
		}
		if (b->connected)
			b->length = 0;
		b->connected = false;
		if (b->length < TD_PROBE_LINE_BYTES - 1)
			b->answer[b->length++] = data[i] < ' ' || data[i] > '~' ? '?' : data[i];
	}
}

static void read_output(struct td_probe *b)
{
	struct td_prober *p = b->prober;

	for (unsigned int i = 0; i < 4 && b->watch.fd >= 0; i++) {
		ssize_t n = read(b->watch.fd, p->scratch, sizeof(p->scratch));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0) {
			b->taken += (size_t)n;
			keep_line(b, p->scratch, (size_t)n);
		}
		if (n > 0 && b->taken < TD_PROBE_OUTPUT_BYTES)
			continue;
		if (n > 0) /* the pipe stays, and full */
			epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, b->watch.fd, NULL);
		else
			td_fd_close(&b->watch.fd);
		return;
	}
}

static void on_output(struct td_watch *w, uint32_t events)
{
	struct td_probe *b = TD_OF(w, struct td_probe, watch);

	if (b->state == TD_PROBE_RUNNING)
		read_output(b);
}

/* ---- its end ------------------------------------------------------------------------------ */

static void judge(struct td_probe *b, const siginfo_t *si)
{
	const char *said = b->length ? b->answer : "";
	const char *colon = b->length ? ": " : "";
	uint16_t percent;

	b->answer[b->length] = '\0';
	if (si->si_code != CLD_EXITED)
		td_probe_end(b, TD_PROBE_BAD, "ended by signal %d%s%.100s", si->si_status, colon,
			     said);
	else if (b->dynamic_weight && td_check_weigh(si->si_status, &percent))
		td_probe_end(b, TD_PROBE_GOOD, "status %d%s%.120s", si->si_status, colon, said);
	else if (si->si_status == 127 && !b->length)
		td_probe_end(b, TD_PROBE_BAD, "status 127: it could not be run");
	else if (si->si_status)
		td_probe_end(b, TD_PROBE_BAD, "status %d%s%.120s", si->si_status, colon, said);
	else
		td_probe_end(b, TD_PROBE_GOOD, "status 0%s%.120s", colon, said);
}

static void on_exit_of(struct td_watch *w, uint32_t events)
{
	struct td_probe *b = TD_OF(w, struct td_probe, process);
	siginfo_t si = {0};

	if (b->state != TD_PROBE_RUNNING ||
	    waitid(P_PID, (id_t)b->pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || !si.si_pid)
		return;
	if (b->taken < TD_PROBE_OUTPUT_BYTES)
		read_output(b);
	b->exit_status = si.si_code == CLD_EXITED ? si.si_status : -1;
	judge(b, &si); /* stop() reaps it */
}

struct td_dying {
	struct td_watch watch;
	struct td_prober *prober;
	struct td_dying *next;
	int pid;
};

static bool is_reaped(int pid)
{
	return waitpid(pid, NULL, WNOHANG) != 0;
}

static void forget_dying(struct td_dying **at)
{
	struct td_dying *g = *at;

	*at = g->next;
	g->prober->programs.running--;
	close(g->watch.fd);
	free(g);
}

static void on_death(struct td_watch *w, uint32_t events)
{
	struct td_dying *g = TD_OF(w, struct td_dying, watch), **at = &g->prober->dying;

	if (!is_reaped(g->pid))
		return;
	while (*at != g)
		at = &(*at)->next;
	forget_dying(at);
}

/* It has been killed: its end is waited for elsewhere, and its turn is over then. */
static bool leave_to_die(struct td_probe *b)
{
	struct td_dying *g = malloc(sizeof(*g));
	struct epoll_event e = {.events = EPOLLIN};

	if (!g)
		return false;
	*g = (struct td_dying){
		.watch = {.ready = on_death, .fd = b->process.fd},
		.prober = b->prober,
		.next = b->prober->dying,
		.pid = b->pid,
	};
	e.data.ptr = &g->watch;
	if (epoll_ctl(b->prober->epoll_fd, EPOLL_CTL_MOD, b->process.fd, &e) < 0) {
		free(g);
		return false;
	}
	b->prober->dying = g;
	b->prober->programs.running++;
	b->process.fd = -1;
	return true;
}

void td_exec_wait(struct td_prober *p)
{
	uint64_t end = td_probe_now() + DEATHS_MS * 1000000ull;

	while (p->dying && td_probe_now() < end) {
		struct pollfd one = {.fd = p->dying->watch.fd, .events = POLLIN};

		poll(&one, 1, DEATH_MS);
		on_death(&p->dying->watch, POLLIN);
	}
}

bool td_exec_is_dying(const struct td_prober *p, int pid)
{
	for (const struct td_dying *g = p->dying; g; g = g->next)
		if (g->pid == pid)
			return true;
	return false;
}

void td_exec_close(struct td_prober *p)
{
	while (p->dying)
		forget_dying(&p->dying);
}

/* Most die at once. */
static void reap(struct td_probe *b)
{
	struct pollfd end = {.fd = b->process.fd, .events = POLLIN};

	if (end.fd >= 0)
		poll(&end, 1, DEATH_MS);
	if (is_reaped(b->pid) || leave_to_die(b))
		return;
	while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void stop(struct td_probe *b)
{
	if (b->pid > 0) {
		kill(-b->pid, SIGKILL);
		reap(b);
		td_ring_remove(&b->queue);
		td_strays_expect(b->prober);
	}
	b->pid = 0;
	td_fd_close(&b->watch.fd);
	td_fd_close(&b->process.fd);
	free(b->answer);
	b->answer = NULL;
}

/* ---- its beginning -------------------------------------------------------------------------- */

static int spawn(struct td_probe *b, int output)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	pid_t pid;
	int r;

	r = posix_spawn_file_actions_init(&files);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r) {
		posix_spawn_file_actions_destroy(&files);
		return -r;
	}
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	r = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	r = r ?: posix_spawn_file_actions_adddup2(&files, output, 1);
	r = r ?: posix_spawn_file_actions_adddup2(&files, output, 2);
	r = r ?: posix_spawn_file_actions_addclosefrom_np(&files, 3);
	r = r ?: posix_spawn_file_actions_addchdir_np(&files, "/");
	r = r ?: posix_spawn(&pid, b->command[0], &files, &attributes, b->command, b->environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	if (r)
		return -r;
	b->pid = pid;
	td_ring_append(&b->prober->under_way, &b->queue);
	return 0;
}

static int start(struct td_probe *b)
{
	int ends[2], r;

	b->connected = false;
	b->answer = malloc(TD_PROBE_LINE_BYTES);
	if (!b->answer)
		return -ENOMEM;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	b->watch = (struct td_watch){.ready = on_output, .fd = ends[0]};
	r = spawn(b, ends[1]);
	close(ends[1]);
	if (r == -ENOENT || r == -EACCES || r == -ENOEXEC || r == -ENOTDIR) {
		td_probe_end(b, TD_PROBE_UNABLE, "%.60s cannot be run: %s", b->command[0],
			     strerror(-r));
		return 0;
	}
	if (r < 0)
		return r;
	b->process = (struct td_watch){.ready = on_exit_of,
				       .fd = (int)syscall(SYS_pidfd_open, b->pid, 0)};
	if (b->process.fd < 0)
		return -errno;
	fcntl(b->process.fd, F_SETFD, FD_CLOEXEC);
	r = td_watch_add(b->prober, &b->watch, EPOLLIN);
	return r < 0 ? r : td_watch_add(b->prober, &b->process, EPOLLIN);
}

const struct td_kind td_kind_exec = {.start = start, .stop = stop, .program = true};

int td_exec_new(struct td_probe *b, const struct td_probe_spec *s)
{
	char address[TD_ADDRESS_TEXT];
	bool all = true;

	b->command = calloc(s->n_command + 1, sizeof(char *));
	b->environment = calloc(6, sizeof(char *));
	if (!b->command || !b->environment)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_command; i++)
		all &= (b->command[i] = strdup(s->command[i])) != NULL;
	td_address_print(&s->address, address);
	b->environment[0] = strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
				   "/sbin:/bin");
	all &= b->environment[0] &&
	       asprintf(&b->environment[1], "TUNDISH_ADDRESS=%s", address) >= 0 &&
	       asprintf(&b->environment[2], "TUNDISH_PORT=%u", s->port) >= 0 &&
	       asprintf(&b->environment[3], "TUNDISH_SERVICE=%s", s->service ?: "") >= 0 &&
	       asprintf(&b->environment[4], "TUNDISH_BACKEND=%s", s->backend ?: "") >= 0;
	return all ? 0 : -ENOMEM;
}

static void free_words(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}

void td_exec_free(struct td_probe *b)
{
	free_words(b->command);
	free_words(b->environment);
}
