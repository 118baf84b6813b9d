/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections of this host's own programs to its VIPs. No packet of theirs passes
 * XDP on its way to a VIP, so connect(2) itself leads them to a backend.
 */
#ifndef TUNDISH_OWN_H
#define TUNDISH_OWN_H

#include <tundish/addr.h>

/* ---- own: socket storage of those that were led to a backend ---------------------- */

enum tundish_own_flag {
	TUNDISH_OWN_COUNTED = 1 << 0, /* active in the backend's counts */
};

struct tundish_own {
	struct tundish_addr vip; /* what the program asked for, and is told */
	struct tundish_addr backend_address;
	__u32 backend;
	__be16 port_be;
	__u16 flags; /* enum tundish_own_flag */
};

_Static_assert(sizeof(struct tundish_own) == 40, "no holes");

#endif
