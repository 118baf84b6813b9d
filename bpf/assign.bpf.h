/* SPDX-License-Identifier: GPL-2.0-only */
/* What steering does alike for connections and datagrams: a flow's hash, and a socket. */
#ifndef TUNDISH_ASSIGN_BPF_H
#define TUNDISH_ASSIGN_BPF_H

#include "group.bpf.h"

static __always_inline int assign(struct bpf_sk_lookup *ctx, __u32 index)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&listeners, &index);
	long r;

	if (!sk)
		return -1;
	r = bpf_sk_assign(ctx, sk, BPF_SK_LOOKUP_F_NO_REUSEPORT);
	bpf_sk_release(sk);
	return r ? -1 : 0;
}

static __always_inline __u32 flow_hash(struct bpf_sk_lookup *ctx)
{
	struct tundish_addr client;

	if (ctx->family == AF_INET) {
		client = tundish_addr_v4(READ_ONCE(ctx->remote_ip4));
	} else {
		client.word[0] = ctx->remote_ip6[0];
		client.word[1] = ctx->remote_ip6[1];
		client.word[2] = ctx->remote_ip6[2];
		client.word[3] = ctx->remote_ip6[3];
	}
	return tundish_choice_hash(&client, ctx->remote_port, bpf_htons((__u16)ctx->local_port));
}

#endif
