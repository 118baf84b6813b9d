/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Server ids in the connection ids of QUIC (draft-ietf-quic-load-balancers-21, not
 * encrypted). A server writes its id into each connection id that it gives its clients:
 *
 *   octet 0    three bits that say which configuration the id is made by, 0 to 6, and
 *              five bits of its length or of nothing
 *   octet 1    the server id, of 1 to 15 octets, then at least four octets of its own
 */
#ifndef TUNDISH_QUIC_H
#define TUNDISH_QUIC_H

#include <linux/types.h>

#define TUNDISH_SERVER_ID_MAX	 15u
#define TUNDISH_QUIC_CONFIG_MAX	 6u /* 7 says that the id names no server */
#define TUNDISH_QUIC_NONCE_LEAST 4u

struct tundish_server_id {
	__u8 length; /* 0: none */
	__u8 bytes[TUNDISH_SERVER_ID_MAX];
};

/* ---- quic_ids: hash, server id -> backend id ----------------------------------- */

struct tundish_quic_key {
	__u32 service;
	struct tundish_server_id id;
};

/* A backend that takes another's place under its id is there before the other goes. */
#define TUNDISH_QUIC_IDS_OF(backends) (2 * (__u32)(backends))

_Static_assert(sizeof(struct tundish_quic_key) == 20, "no holes in a key");

#endif
