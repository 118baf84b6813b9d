// SPDX-License-Identifier: GPL-2.0-only
/* Lives of flows, and full tables, in this kernel. */
#include "bpf/cases_quic.h"

int main(void)
{
	const struct CMUnitTest flows[] = {CASES_FLOW, CASES_UDP, CASES_FRAGMENT, CASES_QUIC},
				full[] = {CASES_FULL, CASES_UDP_FULL};
	int r;

	if (world_open(256, 256) < 0)
		return 0;
	r = cmocka_run_group_tests_name("data path: flows", flows, NULL, NULL);
	rig_close();
	return r + cmocka_run_group_tests_name("data path: full tables", full, NULL, NULL);
}
