// SPDX-License-Identifier: GPL-2.0-only
#include "lib/calls.h"

const char *const td_host_calls[] = {
	"pidfd_open",  /* whose listeners they are ... */
	"pidfd_getfd", /* ... and one of them, for a moment */
	"setns",       /* sysctls of another network namespace */
	NULL,
};
