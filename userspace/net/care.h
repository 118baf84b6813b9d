/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of net/: neighbours that the kernel keeps resolved for us. */
#ifndef TD_NET_CARE_H
#define TD_NET_CARE_H

#include "net/events.h"

void td_care_done(struct td_net *n);

/* This neighbour has been asked for, and is needed. */
void td_care_note(struct td_net *n, unsigned int ifindex, const struct tundish_addr *a);

#endif
