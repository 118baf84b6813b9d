/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The system calls that a part makes once the daemon runs, by name, with why. Each part
 * has its own list, in its calls.c; daemon/filter.c makes one filter of all.
 */
#ifndef TD_CALLS_H
#define TD_CALLS_H

#include <stddef.h>

/* Each ends with NULL. Names that a machine does not know are passed over. */
extern const char *const td_lib_calls[];
extern const char *const td_kernel_calls[];
extern const char *const td_net_calls[];
extern const char *const td_host_calls[];
extern const char *const td_control_calls[];

#endif
