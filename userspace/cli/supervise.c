// SPDX-License-Identifier: GPL-2.0-only
/*
 * A server's instances, all with the same sockets. At most times there is one;
 * while it is replaced (SIGHUP) the new one runs first, and when it has stayed
 * for SETTLE_MS the former is told to end and may take its time for what it has
 * accepted. What has not been accepted stays in the sockets, which are held
 * here, so a restart loses nothing whichever of the two accepts.
 *
 *   new instance ends within SETTLE_MS   the former stays, as if nothing had been asked
 *   ends by itself with 0                so does this program
 *   ends otherwise                       started again at once, RESTARTS times in RESTARTS_MS
 *   SIGTERM, SIGINT, SIGQUIT             handed on; this program ends when all have
 *   SIGUSR1, SIGUSR2                     handed on
 *
 * An instance is a process group of its own: a signal goes to the program
 * alone, as it knows what to tell its children, and the final SIGKILL to all.
 * Where this program is killed the instances serve on.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/exec.h"

#define SETTLE_MS     1000
#define RESTARTS      5
#define RESTARTS_MS   10000
#define INSTANCES_MAX 16 /* a further replacement waits until a former one has ended */
#define NOT_FOUND     127
#define NOT_RUN	      126

struct instance {
	pid_t pid;
	bool leaving;	  /* was told to end */
	uint64_t kill_at; /* ms; 0: not */
};

struct supervisor {
	const struct cli_sockets *sockets;
	const char *name;
	char *const *argv;
	uint64_t stop_ms;
	sigset_t mask; /* as it was, for the instances */
	int signals;
	struct instance instance[INSTANCES_MAX];
	size_t n;
	pid_t newest;	    /* until settle_at passes it may turn out not to run */
	uint64_t settle_at; /* ms; 0: it has settled, or there is no other */
	bool replace;	    /* SIGHUP came */
	bool ending;	    /* nothing is started any more */
	int stop_signal;    /* why, where it was a signal */
	int status;	    /* of this program, at its end */
	uint64_t restart[RESTARTS];
	size_t n_restarts;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- start ---------------------------------------------------------------------------- */

/* In the child. Everything that is copied stands above where it is copied to. */
static int set_environment(const struct supervisor *s)
{
	size_t length = strlen(s->name) + 1, n = s->sockets->n;
	_cleanup_free_ char *names = malloc(n * length + 1);
	char number[24];

	if (!names)
		return -ENOMEM;
	names[0] = '\0';
	for (size_t i = 0; i < n; i++)
		sprintf(names + i * length - (i > 0), "%s%s", i ? ":" : "", s->name);
	snprintf(number, sizeof(number), "%zu", n);
	if (setenv("LISTEN_FDS", number, 1) < 0 || setenv("LISTEN_FDNAMES", names, 1) < 0)
		return -errno;
	snprintf(number, sizeof(number), "%d", getpid());
	return setenv("LISTEN_PID", number, 1) < 0 ? -errno : 0;
}

static void become(const struct supervisor *s, int report)
{
	int end = CLI_FIRST_DESCRIPTOR + (int)s->sockets->n, high[CLI_SOCKETS_MAX], code;

	setpgid(0, 0);
	report = fcntl(report, F_DUPFD_CLOEXEC, end);
	for (size_t i = 0; i < s->sockets->n; i++)
		high[i] = fcntl(s->sockets->fd[i], F_DUPFD_CLOEXEC, end);
	for (size_t i = 0; i < s->sockets->n; i++)
		if (dup2(high[i], CLI_FIRST_DESCRIPTOR + (int)i) < 0)
			goto fail;
	close_range((unsigned int)end, ~0u, CLOSE_RANGE_CLOEXEC);
	code = -set_environment(s);
	if (code == 0) {
		sigprocmask(SIG_SETMASK, &s->mask, NULL);
		execvp(s->argv[0], s->argv);
		goto fail;
	}
	errno = code;
fail:
	code = errno;
	if (write(report, &code, sizeof(code)) != sizeof(code))
		_exit(NOT_RUN);
	_exit(code == ENOENT ? NOT_FOUND : NOT_RUN);
}

/* A program may have shut a listener down, or made its queue shorter. */
static void listen_again(const struct cli_sockets *sockets)
{
	for (size_t i = 0; !sockets->udp && i < sockets->n; i++)
		listen(sockets->fd[i], sockets->backlog);
}

/* Returns 0, or the exit status that says why nothing was started, which has
 * been told then. */
static int start(struct supervisor *s)
{
	int report[2], code = 0;
	pid_t pid;
	ssize_t n;

	listen_again(s->sockets);
	if (pipe2(report, O_CLOEXEC) < 0)
		return cli_fail(NOT_RUN, "cannot start %s: %s", s->argv[0], strerror(errno));
	pid = fork();
	if (pid == 0) {
		close(report[0]);
		become(s, report[1]);
	}
	if (pid < 0)
		code = errno;
	close(report[1]);
	do
		n = pid < 0 ? 0 : read(report[0], &code, sizeof(code)); /* ends at exec */
	while (n < 0 && errno == EINTR);
	close(report[0]);
	if (code == 0) {
		s->instance[s->n++] = (struct instance){.pid = pid};
		s->newest = pid;
		return 0;
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (code == ENOENT)
		return cli_fail(NOT_FOUND,
				"command \"%s\" was not found; give its full path or look at PATH",
				s->argv[0]);
	return cli_fail(NOT_RUN, "cannot start %s: %s", s->argv[0], strerror(code));
}

/* ---- end ------------------------------------------------------------------------------- */

static void stop(struct supervisor *s, struct instance *i, int signal, uint64_t now)
{
	kill(i->pid, signal);
	kill(i->pid, SIGCONT); /* one that is stopped would not see it */
	if (!i->leaving)
		i->kill_at = now + s->stop_ms;
	i->leaving = true;
}

static void stop_others(struct supervisor *s, pid_t stays, uint64_t now)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->instance[i].pid != stays && !s->instance[i].leaving)
			stop(s, &s->instance[i], SIGTERM, now);
}

static void end(struct supervisor *s, int status, uint64_t now)
{
	s->ending = true;
	s->status = status;
	stop_others(s, 0, now);
}

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static const char *describe(int status, char *buffer, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(buffer, size, "by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(buffer, size, "with status %d", WEXITSTATUS(status));
	return buffer;
}

static bool may_restart(struct supervisor *s, uint64_t now)
{
	uint64_t *oldest = &s->restart[s->n_restarts % RESTARTS];

	if (s->n_restarts >= RESTARTS && now - *oldest < RESTARTS_MS)
		return false;
	*oldest = now;
	s->n_restarts++;
	return true;
}

/* The only one that was meant to run has ended. */
static void ended_by_itself(struct supervisor *s, int status, uint64_t now)
{
	char how[64];
	int r;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		end(s, CLI_DONE, now);
		return;
	}
	describe(status, how, sizeof(how));
	if (!may_restart(s, now)) {
		cli_fail(0, "%s ended %s, and had been started %d times within %d s: given up",
			 s->argv[0], how, RESTARTS, RESTARTS_MS / 1000);
		end(s, exit_status(status), now);
		return;
	}
	cli_fail(0, "%s ended %s and is started again", s->argv[0], how);
	r = start(s);
	if (r)
		end(s, r, now);
}

static bool others_run(const struct supervisor *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->instance[i].leaving)
			return true;
	return false;
}

static void ended(struct supervisor *s, size_t i, int status, uint64_t now)
{
	struct instance gone = s->instance[i];
	char how[64];

	s->instance[i] = s->instance[--s->n];
	if (s->ending) {
		/* told to end and ended, by that signal or as it pleases: the last says how */
		if (s->stop_signal)
			s->status = WIFSIGNALED(status) && WTERMSIG(status) == s->stop_signal
					    ? CLI_DONE
					    : exit_status(status);
		return;
	}
	if (gone.leaving)
		return;
	if (!others_run(s)) {
		s->settle_at = 0;
		ended_by_itself(s, status, now);
	} else if (gone.pid == s->newest) {
		s->settle_at = 0;
		cli_fail(0, "the new %s ended %s within %d ms of its start; the former one stays",
			 s->argv[0], describe(status, how, sizeof(how)), SETTLE_MS);
	}
}

static void reap(struct supervisor *s, uint64_t now)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < s->n; i++)
			if (s->instance[i].pid == pid) {
				ended(s, i, status, now);
				break;
			}
}

/* ---- signals and times --------------------------------------------------------------------- */

static void read_signals(struct supervisor *s, uint64_t now)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		int signal = (int)info.ssi_signo;

		switch (signal) {
		case SIGCHLD: break; /* several may be one */
		case SIGHUP: s->replace = true; break;
		case SIGUSR1:
		case SIGUSR2:
			for (size_t i = 0; i < s->n; i++)
				kill(s->instance[i].pid, signal);
			break;
		default:
			if (!s->ending)
				s->stop_signal = signal;
			s->ending = true;
			for (size_t i = 0; i < s->n; i++)
				stop(s, &s->instance[i], signal, now);
		}
	}
}

static void act(struct supervisor *s, uint64_t now)
{
	if (s->settle_at && now >= s->settle_at) {
		s->settle_at = 0;
		stop_others(s, s->newest, now);
	}
	if (s->replace && !s->ending && !s->settle_at && s->n < INSTANCES_MAX) {
		s->replace = false;
		if (start(s) == 0)
			s->settle_at = now + SETTLE_MS;
		else
			cli_fail(0, "the %s that runs stays", s->argv[0]);
	}
	for (size_t i = 0; i < s->n; i++) {
		struct instance *it = &s->instance[i];

		if (!it->kill_at || now < it->kill_at)
			continue;
		it->kill_at = 0;
		cli_fail(0, "%s (process %d) did not end within %llu s and is killed", s->argv[0],
			 it->pid, (unsigned long long)s->stop_ms / 1000);
		kill(-it->pid, SIGKILL);
		kill(it->pid, SIGKILL); /* it may have left its group */
	}
}

static int time_left(const struct supervisor *s, uint64_t now)
{
	uint64_t next = s->settle_at ? s->settle_at : UINT64_MAX;

	for (size_t i = 0; i < s->n; i++)
		if (s->instance[i].kill_at)
			next = TD_MIN(next, s->instance[i].kill_at);
	if (next == UINT64_MAX)
		return -1;
	return next <= now ? 0 : (int)TD_MIN(next - now, (uint64_t)3600000);
}

static int open_signals(struct supervisor *s)
{
	static const int wanted[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < TD_ARRAY_SIZE(wanted); i++)
		sigaddset(&set, wanted[i]);
	signal(SIGCHLD, SIG_DFL); /* inherited as ignored it would leave nothing to wait for */
	sigprocmask(SIG_BLOCK, &set, &s->mask);
	for (size_t i = 0; i < TD_ARRAY_SIZE(wanted); i++)
		sigdelset(&s->mask, wanted[i]);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? -errno : 0;
}

int cli_supervise(const struct cli_sockets *sockets, const char *name, char *const argv[],
		  unsigned int stop_timeout_s)
{
	struct supervisor s = {.sockets = sockets,
			       .name = name,
			       .argv = argv,
			       .stop_ms = (uint64_t)stop_timeout_s * 1000,
			       .signals = -1};
	int r;

	fflush(stdout); /* or an instance would write it too */
	r = open_signals(&s);
	if (r < 0)
		return cli_fail(CLI_FAILED, "cannot watch for signals: %s", strerror(-r));
	s.status = start(&s);
	while (s.n > 0) {
		struct pollfd p = {.fd = s.signals, .events = POLLIN};

		poll(&p, 1, time_left(&s, now_ms()));
		read_signals(&s, now_ms());
		reap(&s, now_ms());
		act(&s, now_ms());
	}
	close(s.signals);
	return s.status;
}
