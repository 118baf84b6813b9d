/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Health checks that go the way of the traffic: what the programs of checks.bpf.c and the
 * daemon share. Nothing of it is pinned, for checks end with the daemon that makes them.
 */
#ifndef TUNDISH_CHECK_H
#define TUNDISH_CHECK_H

#include <tundish/addr.h>

enum tundish_check_flag {
	/* The stand-in is no address of the backend's, for its family is another one: the socket
	 * is bound to loopback, and its packets leave from there with the MAC addresses that
	 * the next hop has. */
	TUNDISH_CHECK_FAR = 1 << 0,
};

/* ---- check_ways: socket storage of the daemon's checks ------------------------------- */

struct tundish_check_way {
	struct tundish_addr vip;
	struct tundish_addr stand_in; /* where the socket is connected to */
	struct tundish_addr address;  /* of the backend, which the entry must still have */
	__u32 backend;
	/* The packets that are meant. The socket itself forgets its port before its last one. */
	__be16 port_be, local_port_be;
	__u16 protocol;
	__u16 flags; /* enum tundish_check_flag */
};

/* ---- check_peers: LRU hash, whose answers are to come from the stand-in ---------------- */

/* Of checks at once; beyond it the oldest are not answered. */
#define TUNDISH_CHECK_PEERS_MAX 16384u

struct tundish_check_key {
	struct tundish_addr vip, local;
	__be16 port_be, local_port_be;
	__u32 protocol;
};

struct tundish_check_peer {
	struct tundish_addr stand_in;
	__u32 flags;
};

/* ---- check_ports: array of one, which local ports checks have --------------------------- */

/* By port, in host byte order. A check's local port is no other socket's, so one bit is enough;
 * set by the first packet that goes the way, cleared by the daemon. */
struct tundish_check_ports {
	__u64 tcp[1024], udp[1024];
};

_Static_assert(sizeof(struct tundish_check_way) == 60, "no holes");
_Static_assert(sizeof(struct tundish_check_key) == 40, "no holes");
_Static_assert(sizeof(struct tundish_check_peer) == 20, "no holes");

#endif
