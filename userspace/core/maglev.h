/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Weighted Maglev (Eisenbud et al., "Maglev: A Fast and Reliable Software
 * Network Load Balancer", NSDI 2016, section 3.4). A function of the members
 * alone: no host, no order, no history, so every edge host with the same
 * configuration gives a connection to the same backend.
 */
#ifndef TD_CORE_MAGLEV_H
#define TD_CORE_MAGLEV_H

#include <tundish/maps.h>

#include "lib/util.h"

struct td_maglev_member {
	struct tundish_addr address; /* what its permutation is made from */
	uint32_t backend;	     /* what stands in the slots; not 0 */
	uint32_t weight;	     /* 0: gets none */
};

/*
 * Fills ret_slots[TUNDISH_MAGLEV_SLOTS] with backend indices; all 0 where no
 * member has a weight. Members may come in any order. Returns 0, -ENOMEM, or
 * -EINVAL where two members have the same address.
 */
int td_maglev_fill(const struct td_maglev_member *members, size_t n, uint32_t *ret_slots);

#endif
