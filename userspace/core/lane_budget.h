/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arithmetic of a lane's source ports (include/tundish/lane.h), in the same figures as
 * budget.h has of this host's own. A pass of the sweep is what a scan is there; but what is
 * used is known at any time, exactly, and so is how much of it is at rest.
 *
 * At rest is a port whose connection is over: RESTING, RESET, and TIME_WAIT at the server.
 * A new connection gets it where there is no free one, so it does not count as taken; but
 * for TIME_WAIT where the service says `early_reuse: off`.
 */
#ifndef TD_CORE_LANE_BUDGET_H
#define TD_CORE_LANE_BUDGET_H

#include "core/budget.h"
#include "core/nat_sweep.h"

/* A lane at one moment. */
struct td_lane {
	struct tundish_port_key key; /* `remote_port_be` 0: all ports of the server */
	uint32_t used, usable, yielding;
	uint64_t opened, refused, entered;
	uint64_t tw[TUNDISH_TW_SLOTS];
	struct td_nat_lane_counts counts; /* of the last pass */
	bool early;			  /* a TIME_WAIT may be cut short */
	uint32_t time_wait_s;		  /* how long one lasts */
};

/* Copies what the data path changes meanwhile; the last three are the caller's. */
void td_lane_read(const struct tundish_lane *l, struct td_lane *ret);

/* As an entry of `ports`, for td_budget_scanned() and td_budget_look(): right after `pass`
 * has ended, what that pass counted. @p: as it was before, all zero at first. */
void td_lane_ports(const struct td_lane *l, uint64_t pass, struct tundish_ports *p);

/* As td_budget_picture(), of the same lane. `reusable` are those at rest. */
void td_lane_picture(const struct td_budget *b, const struct td_lane *l,
		     const struct tundish_ports *p, uint64_t now_ns, struct td_picture *ret);

#endif
