/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which ports a lane has: those of its range that nobody else needs. In the lane's bits
 * (include/tundish/lane.h) a port that it does not have is taken, for nobody. Which of
 * the taken ones these are is known to the daemon alone, as `blocked` here.
 *
 * Works on the tables as memory, shared with the data path, by atomic operations.
 */
#ifndef TD_CORE_LANES_H
#define TD_CORE_LANES_H

#include <tundish/lane.h>
#include <tundish/nat.h>

#include "core/config.h"

struct td_port_bits {
	uint64_t word[TUNDISH_LANE_WORDS];
};

#define TD_PORTS_FIRST 1024u /* of `auto` */

void td_port_bits_set(struct td_port_bits *b, uint32_t first, uint32_t last, bool on);
bool td_port_bits_get(const struct td_port_bits *b, uint32_t port);
uint32_t td_port_bits_count(const struct td_port_bits *b);

/*
 * What a lane shall not have. `ports`: its range, or auto; `local`: ports that this host's own
 * sockets get, or that are reserved for others; of auto those go, where the lane is
 * shared, and what services claim on the lane's source (with that protocol).
 */
void td_lane_wanted(const struct tundish_lane *l, const struct td_range_conf *ports,
		    const struct td_port_bits *local, const struct td_config *config,
		    struct td_port_bits *ret_blocked);

/*
 * Brings the lane there: ports that are to be free become so at once, others as soon
 * as no connection uses them. Returns how many are still in use: to be called again.
 * `*blocked`: what it does not have now.
 */
uint32_t td_lane_fit(struct tundish_lane *l, struct tundish_lane_ports *p,
		     struct td_port_bits *blocked, const struct td_port_bits *wanted);

/* Whether, and which, ports of the lane are kept from this host's own sockets. */
bool td_lane_kept(const struct tundish_lane *l, struct td_range_conf *ret);

/* Ports that records of a lane name, for all lanes in one pass: lanes[i] may be NULL. */
void td_lanes_named(const struct tundish_nat *nat, size_t n, struct td_port_bits *const *lanes,
		    uint32_t lanes_max);

#endif
