// SPDX-License-Identifier: GPL-2.0-only
/*
 * The daemon executes itself anew, on SIGUSR2 or by command: an upgrade without an end. The
 * program that lies now where this one was started from takes over this process, its number,
 * and what must not close in between: the listening sockets, so that no request is refused, and
 * the sockets that swallow what is for an empty group. All else it finds in the pinned maps, as
 * after a crash; the data path notices nothing.
 *
 * Whether the new program can is asked of itself first, in a process of its own: --check reads
 * the file and looks whether the pinned maps are of a layout that it knows. Where it says no, or
 * nothing in time, this one goes on.
 */
#include <cap-ng.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

#include "daemon/daemon.h"

#define HANDED_OVER "TUNDISH_HANDED_OVER"
#define ASKS	    "check"
#define CHECK_MS    20000

/* ---- what is handed over ----------------------------------------------------------- */

/* Those of libraries too, which do not all close themselves. */
static void keep_none_open(void)
{
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
}

static void keep_open(int fd, bool open)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, open ? 0 : FD_CLOEXEC);
}

static void hand_over(struct td_daemon *d, const struct td_control_former *f, bool over)
{
	char text[200];

	if (over)
		keep_none_open();
	keep_open(f->socket_fd, over);
	keep_open(f->metrics_fd, over);
	keep_open(d->sink_fd[0], over);
	keep_open(d->sink_fd[1], over);
	snprintf(text, sizeof(text), "%d %d %d %d %d %s", (int)getpid(), f->socket_fd,
		 f->metrics_fd, d->sink_fd[0], d->sink_fd[1], f->metrics_address);
	if (over)
		setenv(HANDED_OVER, text, 1);
	else
		unsetenv(HANDED_OVER);
}

bool td_reexec_asks(void)
{
	const char *text = getenv(HANDED_OVER);

	return text && !strcmp(text, ASKS);
}

bool td_reexec_former(struct td_daemon *d, struct td_control_former *ret)
{
	const char *text = getenv(HANDED_OVER);
	struct td_control_former f = {.socket_fd = -1, .metrics_fd = -1};
	int pid, sink[2] = {-1, -1};
	int n = text ? sscanf(text, "%d %d %d %d %d %63s", &pid, &f.socket_fd, &f.metrics_fd,
			      &sink[0], &sink[1], f.metrics_address)
		     : 0;

	unsetenv(HANDED_OVER);
	while (waitpid(-1, NULL, WNOHANG) > 0) /* what has died late */
		;
	if (n < 5 || pid != getpid()) /* a child of one that was handed over to */
		return false;
	keep_open(f.socket_fd, false);
	keep_open(f.metrics_fd, false);
	for (size_t i = 0; i < TD_ARRAY_SIZE(sink); i++) {
		keep_open(sink[i], false);
		d->sink_fd[i] = sink[i];
	}
	*ret = f;
	return true;
}

/* Root's programs have what is in the bounding set; those of another user what is ambient. */
static void keep_capabilities(void)
{
	capng_get_caps_process();
	for (unsigned int c = 0; c <= CAP_LAST_CAP; c++)
		if (capng_have_capability(CAPNG_PERMITTED, c))
			capng_update(CAPNG_ADD, CAPNG_INHERITABLE, c);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return;
	for (unsigned int c = 0; c <= CAP_LAST_CAP; c++)
		if (capng_have_capability(CAPNG_PERMITTED, c))
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0);
}

/* ---- asking the new program ----------------------------------------------------------- */

void td_reexec_remember(struct td_daemon *d, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", d->program, sizeof(d->program) - 1);

	d->program[n < 0 ? 0 : n] = '\0';
	d->argv = argv;
}

static pid_t ask(struct td_daemon *d, int out)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	setenv(HANDED_OVER, ASKS, 1);
	keep_none_open();
	if (dup2(out, STDERR_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
		execl(d->program, d->program, "--check", "--config", d->options.config, "--pin",
		      d->options.pin, (char *)NULL);
	dprintf(STDERR_FILENO, "%s\n", strerror(errno));
	_exit(127);
}

/* The last line that it says, until its end or for so long. */
static void listen_to(int fd, char *text, size_t size)
{
	uint64_t end = td_now_ns() + CHECK_MS * TD_NS_PER_MS, now;
	size_t used = 0;
	ssize_t n;

	while ((now = td_now_ns()) < end) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, (int)((end - now) / TD_NS_PER_MS) + 1) <= 0)
			break;
		if (used == size - 1) /* the end of it is what counts */
			used = 0;
		n = read(fd, text + used, size - 1 - used);
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	while (used && (text[used - 1] == '\n' || text[used - 1] == ' '))
		used--;
	text[used] = '\0';
}

static int check(struct td_daemon *d, struct td_error *error)
{
	char text[300] = "", *last;
	int pipes[2], status = 0;
	pid_t pid;

	if (!d->program[0] || access(d->program, X_OK) < 0)
		return td_fail(error, ENOENT, "there is no program %s to go on with: %s",
			       d->program, strerror(errno));
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return td_fail(error, errno, "cannot ask %s: %s", d->program, strerror(errno));
	pid = ask(d, pipes[1]);
	close(pipes[1]);
	if (pid < 0) {
		close(pipes[0]);
		return td_fail(error, errno, "cannot ask %s: %s", d->program, strerror(errno));
	}
	listen_to(pipes[0], text, sizeof(text));
	close(pipes[0]);
	kill(pid, SIGKILL); /* it has ended, or had its time */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	last = strrchr(text, '\n');
	last = last ? last + 1 : text;
	if (WIFEXITED(status) && WEXITSTATUS(status) == TD_EXIT_OTHER_BUILD &&
	    !td_kernel_may_replace(d->kernel))
		return td_fail(
			error, EPERM,
			"%s brings other programs, and beside XDP programs of others they are "
			"only replaced by a daemon that begins anew: restart it instead",
			d->program);
	if (WIFEXITED(status) &&
	    (!WEXITSTATUS(status) || WEXITSTATUS(status) == TD_EXIT_OTHER_BUILD))
		return 0;
	return td_fail(error, ECANCELED, "%s --check refuses: %s; this daemon goes on", d->program,
		       last[0] ? last : "it said nothing in time");
}

/* ---- the step ------------------------------------------------------------------------- */

int td_reexec_check(struct td_daemon *d, struct td_error *error)
{
	int r = check(d, error);

	if (r < 0)
		td_event(d, "reexec-refused", d->program, "%s", error->text);
	return r;
}

/* Returns only where it failed. */
static void step(struct td_daemon *d, const struct td_control_former *f)
{
	hand_over(d, f, true);
	keep_capabilities();
	/* Signals are blocked, so those that come meanwhile wait for the new program. */
	execv(d->program, d->argv);
	hand_over(d, f, false);
}

void td_reexec(struct td_daemon *d)
{
	struct td_control_former f;
	struct td_error e = {0};

	td_event(d, "reexec", d->program, "another program takes over this process");
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)td_now_ns() / 1000);
	td_checks_stop_programs(d);
	d->leaves = true;
	td_capture_end(d, "another program takes over the daemon");
	td_control_hand_over(d->control, &f);
	step(d, &f);
	d->leaves = false;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* for no program of a check */
	td_event(d, "reexec-refused", d->program, "%s; this daemon goes on", strerror(errno));
	if (td_control_take_back(d->control, &f, &e) < 0)
		td_log(TD_LOG_ERROR, "%s", e.text);
	sd_notify(0, "READY=1");
}
