/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sweep of the flow tables: what time does to flows (include/tundish/flow.h),
 * which slots need not ask any more, and how many flows each backend has.
 *
 * Works on the tables as memory, shared with the data path, by compare-and-swap
 * alone; time is a parameter. So it runs on plain memory in tests.
 */
#ifndef TD_CORE_SWEEP_H
#define TD_CORE_SWEEP_H

#include <tundish/flow.h>

#include "lib/util.h"

struct td_sweep_tables {
	struct tundish_flow_bucket *flows;
	struct tundish_flow6_bucket *flows6;
	struct tundish_tuple_bucket *tuples;
	struct tundish_backend *backends;
	uint32_t flow_buckets, flow6_buckets, tuple_buckets;
	uint32_t backends_max, services_max;
	struct tundish_siphash_key secret;
	struct tundish_timeouts timeouts;
	struct tundish_maglev *(*row)(void *context, uint32_t service); /* NULL: none */
	void *context;
};

#define TD_CROWDED_MAX 16u

struct td_sweep_counts {
	uint64_t flows, flows6;	     /* entries in use */
	uint64_t tuples;	     /* entries in use, counted along */
	uint64_t aged, moved, wrong; /* removed: idle; of a disabled backend; of none */
	/* Tuples with most of the ports that their client can have there, from TD_INBOUND_LOW on. */
	struct tundish_tuple crowded[TD_CROWDED_MAX];
	uint32_t n_crowded;
};

struct td_sweep;

/* For tables with these numbers of backends and services. Returns NULL without memory. */
struct td_sweep *td_sweep_new(uint32_t backends_max, uint32_t services_max);
struct td_sweep *td_sweep_free(struct td_sweep *s); /* NULL is allowed; returns NULL */

/* Slots of the service have changed their owners (or may have, at the start of
 * a daemon): what asks there goes on asking for a pass that begins later. */
void td_sweep_owner_changed(struct td_sweep *s, uint32_t service, uint64_t now_ns);

/*
 * Goes on with the pass, over at most `buckets` buckets or one row. Returns
 * true where this ended a pass: then td_sweep_gone() is valid until the next
 * call, which begins another.
 */
bool td_sweep_slice(struct td_sweep *s, const struct td_sweep_tables *t, uint64_t now_ns,
		    uint32_t buckets);

/* Whether the backend was GONE, and out of its row, when the last complete pass
 * began, and the pass met no flow of it; nor has it connections of this host, which are
 * counted there alone and given back when they end. */
bool td_sweep_gone(const struct td_sweep *s, const struct td_sweep_tables *t, uint32_t backend);

/* A connection of this tuple is not active any more. @vip: as in tuples; tick: clock of flow.h */
void td_sweep_tuple_sub(const struct td_sweep_tables *t, const struct tundish_addr *client,
			uint32_t vip, __be16 port, uint32_t tick);

/* Of the last complete pass; `passes` counts them. */
const struct td_sweep_counts *td_sweep_counts(const struct td_sweep *s, uint64_t *ret_passes);

/* Slices of `buckets` that a pass takes, for pacing. */
uint32_t td_sweep_slices(const struct td_sweep_tables *t, uint32_t buckets);

#endif
