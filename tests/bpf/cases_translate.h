/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Translated connections, packet by packet: all tables of them, as both tiers run them.
 */
#ifndef TESTS_CASES_TRANSLATE_H
#define TESTS_CASES_TRANSLATE_H

#include "bpf/cases_nat_fragment.h"
#include "bpf/cases_nat_hostile.h"
#include "bpf/cases_nat_life.h"

static inline int run_translate_cases(void)
{
	const struct CMUnitTest tests[] = {CASES_NAT, CASES_NAT_FORMS, CASES_NAT_FRAGMENT,
					   CASES_NAT_HOSTILE, CASES_NAT_LIFE};
	int r;

	if (world_open(1024, 1024) < 0)
		return 0;
	nat_world();
	r = cmocka_run_group_tests_name("data path: translated connections", tests, NULL, NULL);
	rig_close();
	return r;
}

#endif
