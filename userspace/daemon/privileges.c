// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the daemon keeps once it runs: CAP_NET_ADMIN (addresses, neighbours,
 * attaching), CAP_NET_RAW (announcing VIPs), CAP_BPF and CAP_PERFMON (loading
 * programs for an interface that is added later); where there are worker groups
 * also CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH (a listener of another process, for
 * a moment, and who accepts on it). All else goes, and nothing
 * can be gained any more. Descriptors of maps work without any of them.
 */
#include <cap-ng.h>
#include <sys/prctl.h>

#include "daemon/daemon.h"

int td_privileges_drop(struct td_daemon *d, struct td_error *error)
{
	static const unsigned int kept[] = {CAP_NET_ADMIN, CAP_NET_RAW,	   CAP_BPF,
					    CAP_PERFMON,   CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH};
	/* The last two only for who has worker groups. */
	const size_t n = d->groups_on ? TD_ARRAY_SIZE(kept) : TD_ARRAY_SIZE(kept) - 2;
	bool have[TD_ARRAY_SIZE(kept)], may_bound;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return td_fail(error, errno, "cannot give up new privileges: %s", strerror(errno));
	capng_get_caps_process();
	for (size_t i = 0; i < n; i++)
		have[i] = capng_have_capability(CAPNG_EFFECTIVE, kept[i]);
	may_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < n; i++)
		if (have[i])
			capng_update(CAPNG_ADD,
				     CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
				     kept[i]);
	if (capng_apply(may_bound ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0) {
		snprintf(d->privileges, sizeof(d->privileges),
			 "the daemon could not give up its capabilities");
		td_log(TD_LOG_WARNING, "%s", d->privileges);
	}
	return 0;
}
