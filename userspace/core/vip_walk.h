/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who has which port of a VIP, where VIPs may lie in one another: claims on an
 * address win over those on a prefix around it, those on a longer prefix over
 * those on a shorter one. The data path takes the first VIP that it finds and
 * asks no further, so each VIP's ranges hold those of the prefixes around it too.
 */
#ifndef TD_CORE_VIP_WALK_H
#define TD_CORE_VIP_WALK_H

#include "core/address.h"
#include "core/config.h"

/* A service on a VIP. */
struct td_vip_use {
	struct td_prefix vip;
	uint32_t service; /* index in the configuration */
	uint32_t index;	  /* in the service's VIPs */
};

/* All of them, by VIP (td_prefix_compare), then service; the caller frees. 0 or -ENOMEM. */
int td_vip_uses(const struct td_config *config, struct td_vip_use **ret, size_t *ret_n);

/* Walks along them; starts as {.config =, .uses =, .n_uses =}. */
struct td_vip_walk {
	const struct td_config *config;
	const struct td_vip_use *uses;
	size_t n_uses;
	size_t next;
	size_t depth;
	struct td_vip_level {
		size_t first, end; /* uses of one VIP */
		int n;		   /* of its ranges; 0: not made yet */
		struct tundish_port_range ranges[TUNDISH_RANGES_MAX];
	} around[TD_PREFIX_ALL + 1]; /* those that lie around the place, widest first */
};

/*
 * Goes on to a VIP, which comes after the one before, and gives its ranges,
 * disjoint and ascending by (protocol, first): the more specific VIP wins, on
 * one VIP a single port over a range, a narrower range over a wider one, any
 * port over nothing. `service` of a range is an index in the configuration.
 * Returns their number, -ENOSPC over TUNDISH_RANGES_MAX, or -ENOMEM.
 */
int td_vip_walk(struct td_vip_walk *w, const struct td_prefix *vip,
		struct tundish_port_range ret[TUNDISH_RANGES_MAX]);

#endif
