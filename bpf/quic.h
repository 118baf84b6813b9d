/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QUIC: which server a packet names in its connection id, so that a client stays with it
 * whose address or port changes. See include/tundish/quic.h for the form of the ids.
 *
 * Of the packet only what RFC 8999 promises for all versions is read, and the kind of
 * long headers of the two versions that there are: the ids of Handshake packets are the
 * server's own, as are those of short headers, while the first packets of a connection
 * have one that the client has drawn.
 */
#ifndef TUNDISH_QUIC_BPF_H
#define TUNDISH_QUIC_BPF_H

#include <linux/in.h>

#include <bpf/bpf_endian.h>

#include "verdict.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct tundish_quic_key);
	__type(value, __u32);
} quic_ids SEC(".maps");

/* In the answer beside the backend: the id is the server's own, and decides whatever flow
 * the packet is of. Without it the id may be the client's, and only a packet of no known
 * flow goes by it. */
#define QUIC_DECIDES (1u << 31)

#define QUIC_LONG 0x80u
#define QUIC_KIND 0x30u

/* Handshake packets by the first byte and the version (RFC 9000, 17.2.4; RFC 9369, 3.2). */
static __always_inline int quic_is_handshake(__u32 first, __u32 version)
{
	return (version == 1 && (first & QUIC_KIND) == 0x20) ||
	       (version == 0x6b3343cf && (first & QUIC_KIND) == 0x30);
}

static __always_inline int quic_same_id(const struct tundish_server_id *a,
					const struct tundish_server_id *b)
{
	__u64 x[2], y[2];

	__builtin_memcpy(x, a, sizeof(x));
	__builtin_memcpy(y, b, sizeof(y));
	return x[0] == y[0] && x[1] == y[1];
}

/* The backend that a packet from `at` to `end` in the frame names, 0: none. */
CHECKED_ALONE __u32 quic_ask(struct xdp_md *ctx, __u32 at, __u32 end, __u32 service, __u32 dry)
{
	struct tundish_quic_key key = {.service = service};
	__u32 length, config, decides = QUIC_DECIDES, *found;
	struct tundish_service *s;
	struct tundish_backend *b;
	__u8 h[7];

	s = bpf_map_lookup_elem(&services, &service);
	if (!s || !ctx)
		return 0;
	length = READ_ONCE(s->server_id_length);
	config = READ_ONCE(s->quic_config);
	if (!length || length > TUNDISH_SERVER_ID_MAX)
		return 0;
	/* the shortest header and id are no shorter than this */
	if (at + sizeof(h) > end || bpf_xdp_load_bytes(ctx, at, h, sizeof(h)))
		goto unroutable;
	if (h[0] & QUIC_LONG) {
		__u32 version = (__u32)h[1] << 24 | (__u32)h[2] << 16 | (__u32)h[3] << 8 | h[4];

		if (!quic_is_handshake(h[0], version))
			decides = 0;
		at += 6;
		if (end > at + h[5])
			end = at + h[5];
	} else {
		at += 1;
	}
	if (at + 1 + length + TUNDISH_QUIC_NONCE_LEAST > end)
		goto unroutable;
	/* The first octet comes to where the length stands. How many they are 6.1 believes
	 * of no comparison with zero. */
	forget(length);
	length &= TUNDISH_SERVER_ID_MAX;
	if (bpf_xdp_load_bytes(ctx, at, &key.id, 1 + length) || key.id.length >> 5 != config)
		goto unroutable;
	key.id.length = (__u8)length;
	found = bpf_map_lookup_elem(&quic_ids, &key);
	if (!found)
		goto unroutable;
	length = *found;
	b = bpf_map_lookup_elem(&backends, &length);
	/* An entry may be older than what its backend's number stands for now. */
	if (!b || b->service != service || b->state == TUNDISH_BACKEND_FREE ||
	    b->state == TUNDISH_BACKEND_DISABLED || !quic_same_id(&b->server_id, &key.id))
		goto unroutable;
	TRACE(dry, quic, length);
	if (decides)
		COUNT(dry, quic_routed);
	return length | decides;

unroutable:
	TRACE(dry, quic_unroutable, decides >> 31);
	if (decides)
		COUNT(dry, quic_unroutable);
	return 0;
}

#endif
