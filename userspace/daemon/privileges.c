// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the daemon keeps once it runs: CAP_NET_ADMIN (addresses, neighbours,
 * attaching), CAP_NET_RAW (announcing VIPs), CAP_BPF and CAP_PERFMON (loading
 * programs for an interface that is added later). All else goes, and nothing
 * can be gained any more. Descriptors of maps work without any of them.
 */
#include <cap-ng.h>
#include <sys/prctl.h>

#include "daemon/daemon.h"

int td_privileges_drop(struct td_daemon *d, struct td_error *error)
{
	static const unsigned int kept[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON};
	bool have[TD_ARRAY_SIZE(kept)], may_bound;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return td_fail(error, errno, "cannot give up new privileges: %s", strerror(errno));
	capng_get_caps_process();
	for (size_t i = 0; i < TD_ARRAY_SIZE(kept); i++)
		have[i] = capng_have_capability(CAPNG_EFFECTIVE, kept[i]);
	may_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < TD_ARRAY_SIZE(kept); i++)
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
