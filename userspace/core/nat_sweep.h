/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sweep of translated connections: what time does to them
 * (include/tundish/nat_state.h), how many each lane and backend has, and the audit:
 * what a daemon that died while it ended a connection has left.
 *
 * As core/sweep.h: works on the tables as memory, shared with the data path, by
 * compare-and-swap alone; time is a parameter.
 */
#ifndef TD_CORE_NAT_SWEEP_H
#define TD_CORE_NAT_SWEEP_H

#include <tundish/lane.h>
#include <tundish/maps.h>
#include <tundish/nat_state.h>

#include "lib/util.h"

struct td_nat_tables {
	struct tundish_nat *nat;
	struct tundish_nat_bucket *out, *back; /* the halves of nat_tags */
	struct tundish_lane *lanes;
	struct tundish_lane_ports *lane_ports;
	const struct tundish_fan *fans; /* by backend */
	struct tundish_backend *backends;
	struct tundish_nat_settings settings; /* a copy */
	uint32_t lanes_max, lane_ports_max, backends_max, services_max;
	/* A connection of this tuple is not active any more; of UDP with TUNDISH_TUPLE_UDP. */
	void (*tuple_sub)(void *context, const struct tundish_addr *client, uint32_t vip,
			  __be16 port, uint32_t tick);
	/* Ports of a lane that are taken for nobody, TUNDISH_LANE_WORDS words; NULL: none. */
	const uint64_t *(*reserved)(void *context, uint32_t lane);
	void *context;
};

struct td_nat_lane_counts {
	uint32_t state[TUNDISH_NAT_STATE_MAX];
	uint32_t leaving[TUNDISH_LEAVING_STEPS]; /* TIME_WAITs that end in 0-10 s, 10-20 s, ... */
	uint32_t waiting;			 /* SYNs that nobody has answered for 3 s */
	uint32_t unanswered;			 /* the lane's, when the pass ended */
};

struct td_nat_counts {
	uint64_t records;
	uint64_t aged, wrong;		     /* ended: idle; of a backend that is no more */
	uint64_t tags, ports, counts, marks; /* put right by the audit */
};

struct td_nat_sweep;

/* Returns NULL without memory. */
struct td_nat_sweep *td_nat_sweep_new(const struct td_nat_tables *t);
struct td_nat_sweep *td_nat_sweep_free(struct td_nat_sweep *s); /* NULL is allowed; returns NULL */

/* Goes on with the pass, over at most `buckets` buckets, a lane counting as one. Returns
 * true where this ended a pass: then what is below is of that one until the next ends. */
bool td_nat_sweep_slice(struct td_nat_sweep *s, const struct td_nat_tables *t, uint64_t now_ns,
			uint32_t buckets);
uint32_t td_nat_sweep_slices(const struct td_nat_tables *t, uint32_t buckets);

const struct td_nat_counts *td_nat_sweep_counts(const struct td_nat_sweep *s, uint64_t *ret_passes);
const struct td_nat_lane_counts *td_nat_sweep_lane(const struct td_nat_sweep *s, uint32_t lane);
/* Connections of a backend; those of a service by state, NULL: there is no such service; and
 * whether any names a return hop. */
uint32_t td_nat_sweep_backend(const struct td_nat_sweep *s, uint32_t backend);
const uint32_t *td_nat_sweep_service(const struct td_nat_sweep *s, uint32_t service);
bool td_nat_sweep_hop(const struct td_nat_sweep *s, uint32_t hop);
/* As td_sweep_gone(): the backend was GONE, and out of its row, when the last complete pass
 * began, is so still, and the pass met no connection of it. */
bool td_nat_sweep_gone(const struct td_nat_sweep *s, const struct td_nat_tables *t,
		       uint32_t backend);

#endif
