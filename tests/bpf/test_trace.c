// SPDX-License-Identifier: GPL-2.0-only
/* The tracing twin in this kernel. */
#include "bpf/cases_trace.h"

int main(void)
{
	const struct CMUnitTest tests[] = {CASES_TRACE};
	int r;

	if (world_open(64, 64) < 0)
		return 0;
	r = cmocka_run_group_tests_name("data path: trace", tests, NULL, NULL);
	rig_close();
	return r;
}
