// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables of packet in, verdict, packet out and counter change, run by the object
 * as it ships in this kernel.
 */
#include "bpf/cases_deliver.h"
#include "bpf/cases_hostile.h"
#include "bpf/cases_odd.h"
#include "bpf/cases_tunnel.h"

int main(void)
{
	const struct CMUnitTest tests[] = {CASES_DELIVER, CASES_ODD, CASES_ICMP,
					   CASES_TUNNEL,  CASES_GUE, CASES_HOSTILE};
	int r;

	if (world_open(1024, 1024) < 0)
		return 0;
	r = cmocka_run_group_tests_name("data path: packets", tests, NULL, NULL);
	rig_close();
	return r;
}
