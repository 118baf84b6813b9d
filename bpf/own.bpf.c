// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections that this host's own programs open to its VIPs.
 *
 *   connect(2) ──► cgroup/connect4, 6 ──► VIP? ──► a slot of the service's row, drawn
 *                                                        │
 *                       the socket goes to that backend's own address and port
 *   established ──► sockops ──► counted        getpeername(2) ──► the VIP
 *   close(2) ──► cgroup/sock_release ──► not active any more
 *
 * The slot is drawn and not computed: the port, and so the connection's hash, is only
 * chosen afterwards. Services of this host's own listeners, and backends that are this
 * host, are left to the stack, which finds them by itself.
 */
#include "maps.bpf.h"

#include "service.h"
#include "verdict.h"

#ifndef AF_INET
#define AF_INET	 2
#define AF_INET6 10
#endif

/* The network namespace that the VIPs are served in. */
const volatile __u64 netns_cookie = 0;

/* An earlier connection of the socket is over. */
static __always_inline void uncount(struct tundish_own *o)
{
	struct tundish_backend *b;
	__u32 index = o->backend;

	if (!(o->flags & TUNDISH_OWN_COUNTED))
		return;
	o->flags = 0;
	b = bpf_map_lookup_elem(&backends, &index);
	if (b)
		__sync_fetch_and_add(&b->connections_active, (__u64)-1);
}

/* The backend that a connection to a VIP gets, and its address in *ret; 0: none, or it is
 * this host. */
CHECKED_ALONE __u32 backend_for(__u32 service, struct tundish_addr *ret)
{
	struct tundish_nexthop *hop;
	struct tundish_maglev *row;
	struct tundish_backend *b;
	__u32 index, slot;

	if (!ret)
		return 0;
	row = bpf_map_lookup_elem(&maglev, &service);
	slot = tundish_choice_slot(bpf_get_prandom_u32());
	if (!row || slot >= TUNDISH_MAGLEV_SLOTS)
		return 0;
	index = READ_ONCE(row->slot[slot]) & TUNDISH_SLOT_BACKEND;
	b = bpf_map_lookup_elem(&backends, &index);
	if (!index || !b || b->state == TUNDISH_BACKEND_FREE)
		return 0;
	*ret = b->address;
	slot = READ_ONCE(b->nexthop);
	hop = bpf_map_lookup_elem(&nexthops, &slot);
	return hop && hop->flags & TUNDISH_NEXTHOP_LOCAL ? 0 : index;
}

/* Whether the socket is to go to *ret instead of to `to`. */
static __always_inline int leads(struct bpf_sock_addr *ctx, const struct tundish_addr *to,
				 struct tundish_addr *ret)
{
	struct bpf_sock *sk = ctx->sk;
	struct tundish_own *o;
	__u32 backend, service;
	__u64 claim;

	if (!sk || ctx->protocol != IPPROTO_TCP || bpf_get_netns_cookie(ctx) != netns_cookie)
		return 0;
	o = bpf_sk_storage_get(&own, sk, NULL, 0);
	if (o) {
		uncount(o);
		bpf_sk_storage_delete(&own, sk);
	}
	claim = claim_find(to, CLAIM_PORT(IPPROTO_TCP, bpf_ntohs((__be16)ctx->user_port)));
	service = CLAIM_SERVICE(claim);
	if (!service || CLAIM_DELIVERY(claim) == TUNDISH_DELIVERY_WORKERS)
		return 0;
	backend = backend_for(service, ret);
	if (!backend)
		return 0;
	/* A socket for IPv4 cannot go to an IPv6 address. */
	if (ctx->family == AF_INET && !tundish_addr_is_v4(ret)) {
		COUNT(0, own_no_family);
		return 0;
	}
	o = bpf_sk_storage_get(&own, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!o)
		return 0;
	o->vip = *to;
	o->backend_address = *ret;
	o->backend = backend;
	o->port_be = (__be16)ctx->user_port;
	o->flags = 0;
	COUNT(0, own_connect);
	return 1;
}

SEC("cgroup/connect4")
int own_connect4(struct bpf_sock_addr *ctx)
{
	struct tundish_addr to = tundish_addr_v4(ctx->user_ip4), backend;

	if (leads(ctx, &to, &backend))
		ctx->user_ip4 = backend.word[3];
	return 1;
}

SEC("cgroup/connect6")
int own_connect6(struct bpf_sock_addr *ctx)
{
	struct tundish_addr to, backend;

	to.word[0] = ctx->user_ip6[0];
	to.word[1] = ctx->user_ip6[1];
	to.word[2] = ctx->user_ip6[2];
	to.word[3] = ctx->user_ip6[3];
	if (leads(ctx, &to, &backend)) {
		ctx->user_ip6[0] = backend.word[0];
		ctx->user_ip6[1] = backend.word[1];
		ctx->user_ip6[2] = backend.word[2];
		ctx->user_ip6[3] = backend.word[3];
	}
	return 1;
}

/* ---- what the program is told ------------------------------------------------------- */

static __always_inline struct tundish_own *own_of(struct bpf_sock_addr *ctx)
{
	return ctx->sk ? bpf_sk_storage_get(&own, ctx->sk, NULL, 0) : NULL;
}

SEC("cgroup/getpeername4")
int own_name4(struct bpf_sock_addr *ctx)
{
	struct tundish_own *o = own_of(ctx);

	if (!o)
		return 1;
	ctx->user_ip4 = o->vip.word[3];
	ctx->user_port = o->port_be;
	return 1;
}

SEC("cgroup/getpeername6")
int own_name6(struct bpf_sock_addr *ctx)
{
	struct tundish_own *o = own_of(ctx);

	if (!o)
		return 1;
	ctx->user_ip6[0] = o->vip.word[0];
	ctx->user_ip6[1] = o->vip.word[1];
	ctx->user_ip6[2] = o->vip.word[2];
	ctx->user_ip6[3] = o->vip.word[3];
	ctx->user_port = o->port_be;
	return 1;
}

/* ---- counts --------------------------------------------------------------------------- */

SEC("sockops")
int own_established(struct bpf_sock_ops *ctx)
{
	struct tundish_backend *b;
	struct tundish_own *o;
	__u32 index;

	if (ctx->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || !ctx->sk)
		return 1;
	o = bpf_sk_storage_get(&own, ctx->sk, NULL, 0);
	if (!o || o->flags & TUNDISH_OWN_COUNTED)
		return 1;
	index = o->backend;
	b = bpf_map_lookup_elem(&backends, &index);
	if (!b || b->state == TUNDISH_BACKEND_FREE ||
	    !tundish_addr_equal(&b->address, &o->backend_address))
		return 1; /* the number is another's by now */
	o->flags |= TUNDISH_OWN_COUNTED;
	__sync_fetch_and_add(&b->connections_total, 1);
	__sync_fetch_and_add(&b->connections_active, 1);
	return 1;
}

SEC("cgroup/sock_release")
int own_release(struct bpf_sock *ctx)
{
	struct tundish_own *o = bpf_sk_storage_get(&own, ctx, NULL, 0);

	if (o)
		uncount(o);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
