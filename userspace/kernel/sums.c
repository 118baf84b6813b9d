// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each CPU counts by itself, added up.
 */
#include <bpf/bpf.h>

#include "kernel/private.h"

/* Adds up the per-CPU copies of an element that is made of 64-bit words. */
static int sum(struct td_kernel *k, enum td_map m, uint32_t index, uint64_t *ret, size_t words)
{
	_cleanup_free_ uint64_t *copies = calloc((size_t)k->n_cpus * words, sizeof(*copies));

	if (!copies)
		return -ENOMEM;
	if (bpf_map_lookup_elem(k->map_fd[m], &index, copies) < 0)
		return -errno;
	memset(ret, 0, words * sizeof(*ret));
	for (size_t cpu = 0; cpu < (size_t)k->n_cpus; cpu++)
		for (size_t w = 0; w < words; w++)
			ret[w] += copies[cpu * words + w];
	return 0;
}

int td_kernel_counters(struct td_kernel *k, struct tundish_counters *ret)
{
	uint64_t words[TUNDISH_COUNTER_MAX];
	int r;

	_Static_assert(sizeof(words) == sizeof(*ret), "counters are 64-bit words");
	r = sum(k, TD_MAP_counters, 0, words, TUNDISH_COUNTER_MAX);
	if (r == 0)
		memcpy(ret, words, sizeof(words));
	return r;
}

int td_kernel_traffic(struct td_kernel *k, uint32_t backend, struct tundish_traffic *ret)
{
	uint64_t words[sizeof(*ret) / sizeof(uint64_t)];
	int r = sum(k, TD_MAP_traffic, backend, words, TD_ARRAY_SIZE(words));

	if (r == 0)
		memcpy(ret, words, sizeof(words));
	return r;
}

/* A system call for each of 131,072 backends would be a tenth of a CPU each second. */
#define BATCH 1024u

int td_kernel_traffic_all(struct td_kernel *k, struct tundish_traffic *ret)
{
	const size_t n_cpus = (size_t)k->n_cpus;
	const uint32_t n = k->settings.backends_max;
	_cleanup_free_ struct tundish_traffic *copies = calloc(BATCH * n_cpus, sizeof(*copies));
	_cleanup_free_ uint32_t *keys = calloc(BATCH, sizeof(*keys));
	uint32_t at = 0, done = 0;

	if (!copies || !keys)
		return -ENOMEM;
	while (done < n) {
		uint32_t count = TD_MIN(BATCH, n - done);

		if (bpf_map_lookup_batch(k->map_fd[TD_MAP_traffic], done ? &at : NULL, &at, keys,
					 copies, &count, NULL) < 0 &&
		    errno != ENOENT) /* that was the end */
			return -errno;
		if (!count)
			break;
		for (uint32_t i = 0; i < count; i++) {
			struct tundish_traffic sum = {0};

			for (size_t cpu = 0; cpu < n_cpus; cpu++) {
				sum.packets += copies[i * n_cpus + cpu].packets;
				sum.bytes += copies[i * n_cpus + cpu].bytes;
			}
			if (keys[i] < n)
				ret[keys[i]] = sum;
		}
		done += count;
	}
	return 0;
}
