/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers of the kernel that are the same in each rig of this directory.
 */
#ifndef TESTS_NATIVE_HELPERS_H
#define TESTS_NATIVE_HELPERS_H

#include <stdint.h>
#include <string.h>

#include <bpf/bpf_helpers.h>

static __thread uint32_t rig_random = 7; /* the same draws in each run */

__u32 bpf_get_prandom_u32(void)
{
	rig_random ^= rig_random << 13;
	rig_random ^= rig_random >> 17;
	rig_random ^= rig_random << 5;
	return rig_random;
}

long bpf_loop(__u32 n, void *callback, void *context, __u64 flags)
{
	long (*call)(__u32, void *);

	memcpy(&call, &callback, sizeof(call));
	for (uint32_t i = 0; i < n; i++)
		if (call(i, context))
			return i + 1;
	return n;
}

#endif
