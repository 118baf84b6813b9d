// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the daemon keeps once it runs: CAP_NET_ADMIN (addresses, neighbours,
 * attaching), CAP_NET_RAW (announcing VIPs), CAP_BPF and CAP_PERFMON (loading
 * programs for an interface that is added later); where there are worker groups
 * also CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH (a listener of another process, for
 * a moment, and who accepts on it); where there are egress pools CAP_SYS_PTRACE (which
 * network namespace a process that `trace --egress` names is in); where other network namespaces are watched also
 * CAP_SYS_ADMIN (to enter one), and CAP_SYS_PTRACE for those that are named by a
 * process. All else goes, and nothing
 * can be gained any more. Descriptors of maps work without any of them.
 */
#include <cap-ng.h>
#include <sys/prctl.h>

#include "daemon/daemon.h"

/* A kernel without seccomp is no reason not to run, but told. */
static int put_filter(struct td_daemon *d)
{
	int r = td_filter_put();

	if (r < 0) {
		snprintf(d->privileges, sizeof(d->privileges),
			 "the daemon could not limit its system calls: %s", strerror(-r));
		td_log(TD_LOG_WARNING, "%s", d->privileges);
	}
	return 0;
}

int td_privileges_drop(struct td_daemon *d, struct td_error *error)
{
	const bool others = d->config->ports.watch && d->config->ports.n_namespaces;
	const struct {
		unsigned int capability;
		bool needed;
	} kept[] = {
		{CAP_NET_ADMIN, true},
		{CAP_NET_RAW, true},
		{CAP_BPF, true},
		{CAP_PERFMON, true},
		{CAP_SYS_PTRACE, d->groups_on || others || d->config->n_egress},
		{CAP_DAC_READ_SEARCH, d->groups_on},
		{CAP_SYS_ADMIN, others},
	};
	const size_t n = TD_ARRAY_SIZE(kept);
	bool have[TD_ARRAY_SIZE(kept)], may_bound;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return td_fail(error, errno, "cannot give up new privileges: %s", strerror(errno));
	capng_get_caps_process();
	for (size_t i = 0; i < n; i++)
		have[i] = kept[i].needed &&
			  capng_have_capability(CAPNG_EFFECTIVE, kept[i].capability);
	may_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < n; i++)
		if (have[i])
			capng_update(CAPNG_ADD,
				     CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
				     kept[i].capability);
	if (capng_apply(may_bound ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0) {
		snprintf(d->privileges, sizeof(d->privileges),
			 "the daemon could not give up its capabilities");
		td_log(TD_LOG_WARNING, "%s", d->privileges);
	}
	return put_filter(d);
}
