/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of net/: local routes, by which this host takes packets for a whole
 * prefix. For owning VIPs, and for the events that say that one went.
 */
#ifndef TD_NET_OWN_H
#define TD_NET_OWN_H

#include "net/query.h"

/* `local PREFIX dev lo` in the table `local`, with protocol TD_NET_PROTO. Takes
 * away only what has that protocol. Returns the kernel's error. */
int td_own_route_change(struct td_net *n, bool add, const struct td_prefix *prefix);

/* Of a route that is there, or went. 1: one of ours, 0: not ours, -EBADMSG: no route. */
int td_own_route_parse(const struct nlmsghdr *h, struct td_prefix *ret);

/* All of ours, sorted (td_prefix_compare); the caller frees. */
int td_own_routes(struct td_net *n, struct td_prefix **ret, size_t *ret_n);

#endif
