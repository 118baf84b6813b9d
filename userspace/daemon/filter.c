// SPDX-License-Identifier: GPL-2.0-only
/*
 * The seccomp filter that is put on once the daemon runs: the calls that the parts name
 * in their calls.c, and nothing else. What is missing above all: mounting, all
 * namespaces but entering a network's, tracing and other processes' memory, modules,
 * clocks, keys, io_uring, perf events, handles of files, device nodes.
 *
 * A call beyond it fails with ENOSYS and is logged by the kernel (audit, type 1326). It
 * does not end the daemon: after an update of libc or of a library some harmless call may
 * be new, and ENOSYS is what those take as "older kernel, do it the former way". With
 * TUNDISH_TEST_SECCOMP=kill it ends the process, so that tests find what is missing.
 *
 * The filter stays over execve(2): programs of health checks run under it, and so would
 * another build that the daemon executes in its own place, with the former one's list.
 */
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>

#include "daemon/daemon.h"
#include "lib/calls.h"

#define FILTERED "TUNDISH_FILTERED" /* for the next build in this process */
#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

static const char *const own_calls[] = {
	"execve",				      /* itself, on demand */
	"timerfd_settime", "signalfd4", "epoll_wait", /* sd-event */
	"umask",	   NULL,
};

static int allow(scmp_filter_ctx f, const char *name)
{
	int call = seccomp_syscall_resolve_name(name), r;

	/* Taken apart below: which namespaces. */
	if (call == __NR_SCMP_ERROR || !strcmp(name, "setns"))
		return 0;
	r = seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 0);
	return r == -EDOM ? 0 : r; /* not on this machine */
}

static int allow_all(scmp_filter_ctx f, bool kills)
{
	const char *const *const lists[] = {td_lib_calls,  td_kernel_calls,  td_net_calls,
					    td_host_calls, td_control_calls, own_calls};
	int r = 0;

	for (size_t i = 0; i < TD_ARRAY_SIZE(lists); i++)
		for (const char *const *name = lists[i]; *name && r >= 0; name++)
			r = allow(f, *name);
	/* No namespaces are made. clone3 hides its flags in memory: libc falls back. */
	r = r < 0 ? r
		  : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACES, 0));
	if (kills) /* as it is refused otherwise; libseccomp takes no rule that says the same */
		r = r < 0 ? r : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r < 0 ? r
		     : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(setns), 1,
					SCMP_A1(SCMP_CMP_EQ, CLONE_NEWNET));
}

int td_filter_put(void)
{
	const char *test = getenv("TUNDISH_TEST_SECCOMP");
	bool kills = test && !strcmp(test, "kill");
	scmp_filter_ctx f;
	int r;

	if (getenv(FILTERED) && prctl(PR_GET_SECCOMP) == 2)
		return 0;
	f = seccomp_init(kills ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(ENOSYS));
	if (!f)
		return -ENOMEM;
	r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, 1);
	seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: the list is long */
	r = r < 0 ? r : allow_all(f, kills);
	r = r < 0 ? r : seccomp_load(f);
	seccomp_release(f);
	if (r == 0)
		setenv(FILTERED, "1", 1);
	return r;
}
