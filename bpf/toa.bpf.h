/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The client's own address, where a balancer in front of this host has put its own into
 * the packets and the client's into a TCP option: {254, 8, port, IPv4} or
 * {254, 20, port, IPv6}, the form that LVS made known (TOA).
 *
 *   last segment of the handshake ──► sockops ──► from a trusted address? ──► toa[socket]
 *   accept(2), getpeername(2) ──► cgroup/getpeername4, 6 ──► the client
 *
 * The option is looked for in the segment's header itself: to find one of an experimental
 * kind bpf_load_hdr_opt() asks for two bytes of what stands in it.
 */
#ifndef TUNDISH_TOA_BPF_H
#define TUNDISH_TOA_BPF_H

#include <linux/tcp.h>

#include "group.bpf.h"

#define TOA_KIND    254
#define TOA_OPTIONS 40u /* bytes that a header has room for */

struct toa_search {
	struct tundish_addr client; /* found */
	__be16 port_be;
	__u16 at;
	__u32 length;
	__u8 byte[TOA_OPTIONS + 24]; /* what is read of an option lies within */
};

static __always_inline __be32 toa_word(const __u8 *p)
{
	return (__u32)p[3] << 24 | (__u32)p[2] << 16 | (__u32)p[1] << 8 | p[0];
}

/* Walks byte[0 .. length). Where it goes on is kept in *o, of which the verifier knows
 * nothing: so all rounds are one to it. */
CHECKED_ALONE int toa_find(struct toa_search *o)
{
	__u32 i, at, length;
	const __u8 *p;

	if (!o)
		return 0;
	for (i = 0; i < TOA_OPTIONS; i++) {
		at = o->at;
		forget(at);
		if (at >= TOA_OPTIONS || at >= o->length)
			return 0;
		p = &o->byte[at];
		if (p[0] == 0) /* end */
			return 0;
		if (p[0] == 1) { /* no operation */
			o->at = (__u16)(at + 1);
			continue;
		}
		length = p[1];
		if (length < 2 || at + length > o->length)
			return 0;
		if (p[0] == TOA_KIND && (length == 8 || length == 20)) {
			o->port_be = (__be16)(p[2] | (__u16)p[3] << 8);
			if (length == 8) {
				o->client = tundish_addr_v4(toa_word(p + 4));
				return 1;
			}
			o->client.word[0] = toa_word(p + 4);
			o->client.word[1] = toa_word(p + 8);
			o->client.word[2] = toa_word(p + 12);
			o->client.word[3] = toa_word(p + 16);
			return 1;
		}
		o->at = (__u16)(at + length);
	}
	return 0;
}

CHECKED_ALONE int toa_trusts(__u32 service, const struct tundish_addr *source)
{
	struct tundish_trusted key;

	if (!source)
		return 0;
	key.length = 32 + 128;
	key.service = service;
	key.address = *source;
	return bpf_map_lookup_elem(&trusted, &key) != NULL;
}

/* A connection of a service that asks for it is established. */
static __always_inline void toa_read(struct bpf_sock_ops *ctx, struct bpf_sock *sk, __u32 service)
{
	struct toa_search o = {};
	struct tundish_addr source;
	struct tundish_toa *t;
	void *data = ctx->skb_data, *end = ctx->skb_data_end;
	__u32 i;

	if (data + sizeof(struct tcphdr) > end)
		return;
	data += sizeof(struct tcphdr);
#pragma unroll
	for (i = 0; i < TOA_OPTIONS / 4; i++) {
		if (data + 4 * (i + 1) > end)
			break;
		*(__u32 *)&o.byte[4 * i] = *(__u32 *)(data + 4 * i);
		o.length = 4 * (i + 1);
	}
	if (!o.length || !toa_find(&o))
		return;
	if (ctx->family == AF_INET) {
		source = tundish_addr_v4(READ_ONCE(ctx->remote_ip4));
	} else {
		source.word[0] = ctx->remote_ip6[0];
		source.word[1] = ctx->remote_ip6[1];
		source.word[2] = ctx->remote_ip6[2];
		source.word[3] = ctx->remote_ip6[3];
	}
	if (!toa_trusts(service, &source)) {
		COUNT(0, toa_untrusted);
		return;
	}
	if (ctx->family == AF_INET && !tundish_addr_is_v4(&o.client)) {
		COUNT(0, toa_no_family);
		return;
	}
	t = bpf_sk_storage_get(&toa, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!t)
		return;
	t->client = o.client;
	t->port_be = o.port_be;
	COUNT(0, toa_read);
}

static __always_inline void toa_tell4(struct bpf_sock_addr *ctx)
{
	struct tundish_toa *t = ctx->sk ? bpf_sk_storage_get(&toa, ctx->sk, NULL, 0) : NULL;

	if (!t)
		return;
	ctx->user_ip4 = t->client.word[3];
	ctx->user_port = t->port_be;
}

static __always_inline void toa_tell6(struct bpf_sock_addr *ctx)
{
	struct tundish_toa *t = ctx->sk ? bpf_sk_storage_get(&toa, ctx->sk, NULL, 0) : NULL;

	if (!t)
		return;
	ctx->user_ip6[0] = t->client.word[0];
	ctx->user_ip6[1] = t->client.word[1];
	ctx->user_ip6[2] = t->client.word[2];
	ctx->user_ip6[3] = t->client.word[3];
	ctx->user_port = t->port_be;
}

#endif
