/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections of this host's own programs to its VIPs. No packet of theirs passes
 * XDP on its way to a VIP, so connect(2) itself leads them to a backend, and where
 * there is none (UDP) sendmsg(2).
 */
#ifndef TUNDISH_OWN_H
#define TUNDISH_OWN_H

#include <tundish/addr.h>

/* ---- own: socket storage of those that were led to a backend ---------------------- */

enum tundish_own_flag {
	TUNDISH_OWN_COUNTED = 1 << 0,	/* active in the backend's counts */
	TUNDISH_OWN_CONNECTED = 1 << 1, /* connect(2) led it; what stands beside is of that */
	TUNDISH_OWN_PEERS = 1 << 2,	/* sendmsg(2) did; own_peers knows whereto */
	TUNDISH_OWN_OVER = 1 << 3,	/* the socket ends or goes elsewhere: not active any more */
};

struct tundish_own {
	struct tundish_addr vip; /* what the program asked for, and is told */
	struct tundish_addr backend_address;
	__u32 backend;
	__u32 flags; /* enum tundish_own_flag; each set in one atomic operation */
	__be16 port_be;
	__be16 backend_port_be;
};

/* ---- own_peers (not pinned): LRU hash, who was meant by a socket's datagrams ------- */

/* More than so many (socket, backend) pairs at once, and the oldest are told the
 * backend's address instead of the VIP's. */
#define TUNDISH_OWN_PEERS_MAX 16384u

struct tundish_own_peer_key {
	__u64 cookie; /* of the socket */
	struct tundish_addr address;
	__be16 port_be;
	__u16 reserved[3];
};

struct tundish_own_peer {
	struct tundish_addr vip;
	__be16 port_be;
	__u16 reserved;
};

_Static_assert(sizeof(struct tundish_own) == 44, "no holes");
_Static_assert(sizeof(struct tundish_own_peer_key) == 32, "no holes");
_Static_assert(sizeof(struct tundish_own_peer) == 20, "no holes");

#endif
