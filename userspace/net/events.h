/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of net/: which neighbours' events are worth a word. */
#ifndef TD_NET_EVENTS_H
#define TD_NET_EVENTS_H

#include "net/query.h"

int td_events_init(struct td_net *n); /* 0 or -ENOMEM */
void td_events_done(struct td_net *n);

uint32_t td_events_hash(unsigned int ifindex, const struct tundish_addr *a);

/* From now on changes of this neighbour count. Call it before reading it. */
void td_events_ask(struct td_net *n, unsigned int ifindex, const struct tundish_addr *a);

/* Whether this message of the neighbour tells anything that the last one did not. */
bool td_events_neigh_changed(struct td_net *n, const struct td_neigh *g, bool gone);

#endif
