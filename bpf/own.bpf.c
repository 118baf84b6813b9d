// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections that this host's own programs open to its VIPs, and the datagrams that
 * they send there.
 *
 *   connect(2) ──► cgroup/connect4, 6 ──► VIP? ──► a slot of the service's row, drawn
 *                                                        │
 *                       the socket goes to that backend's own address and port
 *   established ──► sockops ──► counted        getpeername(2) ──► the VIP
 *   close(2) ──► cgroup/sock_release ──► not active any more
 *
 *   sendto(2) ──► cgroup/sendmsg4, 6 ──► VIP? ──► the socket's slot ──► own_peers
 *   recvfrom(2) ──► cgroup/recvmsg4, 6 ──► from a backend? ──► the VIP
 *
 * The slot of a connection is drawn and not computed: the port, and so the connection's
 * hash, is only chosen afterwards. That of a datagram follows from the socket, so that
 * what one socket sends goes to one backend.
 *
 * Services of this host's own listeners, and backends that are this host, are left to
 * the stack, which finds them by itself.
 */
#include "nat_maps.bpf.h"

#include "lead.bpf.h"
#include "own_count.h"
#include "service.h"
#include "verdict.h"

#ifndef AF_INET
#define AF_INET	 2
#define AF_INET6 10
#endif
#ifndef ECONNREFUSED
#define ECONNREFUSED 111
#endif

/* The network namespace that the VIPs are served in. */
const volatile __u64 netns_cookie = 0;

/* Not pinned: as long as the programs are. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct tundish_own_peer_key);
	__type(value, struct tundish_own_peer);
} own_peers SEC(".maps");

/* ---- a call that names an address ------------------------------------------------------- */

enum led {
	LEFT_ALONE,
	LED,
	REFUSED, /* the call ends with ECONNREFUSED */
};

/* What a socket was led to before is over. */
static __always_inline void uncount(struct tundish_own *o)
{
	struct tundish_backend *b;
	__u32 index = o->backend;

	if (!own_ends(o))
		return;
	b = bpf_map_lookup_elem(&backends, &index);
	if (b)
		__sync_fetch_and_add(&b->connections_active, (__u64)-1);
}

static __always_inline void count(struct tundish_own *o)
{
	struct tundish_backend *b;
	__u32 index = o->backend;

	b = bpf_map_lookup_elem(&backends, &index);
	if (!b || b->state == TUNDISH_BACKEND_FREE)
		return;
	/* The number may be another's by now; one with several addresses is not told so. */
	if (b->delivery < TUNDISH_DELIVERY_NAT &&
	    !tundish_addr_equal(&b->address, &o->backend_address))
		return;
	own_begins(o, b);
	if (READ_ONCE(b->opening)) /* a place was kept for it */
		pick_keep(index, 0);
}

/* The service of other hosts that claims the address and port; 0: none. */
static __always_inline __u32 claimed(struct bpf_sock_addr *ctx, const struct tundish_addr *to)
{
	__u64 claim = claim_find(
		to, CLAIM_PORT(ctx->protocol, bpf_ntohs((__be16)READ_ONCE(ctx->user_port))));

	return CLAIM_DELIVERY(claim) == TUNDISH_DELIVERY_WORKERS ? 0 : CLAIM_SERVICE(claim);
}

static __always_inline enum led find(struct lead *l)
{
	bpf_loop(LEAD_DRAWS, draw_again, l, 0);
	if (l->refused) {
		COUNT(0, own_no_family);
		bpf_set_retval(-ECONNREFUSED);
		return REFUSED;
	}
	if (l->crowded) {
		pick_refused(l->service);
		bpf_set_retval(-ECONNREFUSED);
		return REFUSED;
	}
	return l->backend ? LED : LEFT_ALONE;
}

/* connect(2): whether the socket is to go to l->address instead of to `to`. */
static __always_inline enum led leads(struct bpf_sock_addr *ctx, const struct tundish_addr *to,
				      struct lead *l)
{
	struct bpf_sock *sk = ctx->sk;
	struct tundish_own *o;
	enum led r;

	if (!sk || (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP) ||
	    bpf_get_netns_cookie(ctx) != netns_cookie)
		return LEFT_ALONE;
	o = bpf_sk_storage_get(&own, sk, NULL, 0);
	if (o) {
		uncount(o);
		bpf_sk_storage_delete(&own, sk);
	}
	l->service = claimed(ctx, to);
	if (!l->service)
		return LEFT_ALONE;
	l->port_be = (__be16)READ_ONCE(ctx->user_port);
	l->hash = bpf_get_prandom_u32();
	l->ticket = 1;
	r = find(l);
	if (r != LED)
		return r;
	o = bpf_sk_storage_get(&own, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!o)
		return LEFT_ALONE;
	o->vip = *to;
	o->backend_address = l->address;
	o->backend = l->backend;
	o->port_be = (__be16)READ_ONCE(ctx->user_port);
	o->backend_port_be = l->port_be;
	__sync_fetch_and_or(&o->flags, TUNDISH_OWN_CONNECTED);
	/* Nothing tells later that it is established: of UDP, this is all there is. */
	if (ctx->protocol == IPPROTO_UDP)
		count(o);
	COUNT(0, own_connect);
	return LED;
}

static __always_inline void peer_key(struct tundish_own_peer_key *key, __u64 cookie,
				     const struct tundish_addr *address, __be16 port_be)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->cookie = cookie;
	key->address = *address;
	key->port_be = port_be;
}

/* Notes for the answers who was asked. */
CHECKED_ALONE int peer_note(__u64 cookie, const struct lead *l, const struct tundish_addr *vip,
			    __u32 port_be)
{
	struct tundish_own_peer_key key;
	struct tundish_own_peer value = {}, *p;

	if (!l || !vip)
		return 0;
	peer_key(&key, cookie, &l->address, l->port_be);
	p = bpf_map_lookup_elem(&own_peers, &key);
	if (p && p->port_be == (__be16)port_be && tundish_addr_equal(&p->vip, vip))
		return 1;
	value.vip = *vip;
	value.port_be = (__be16)port_be;
	return !bpf_map_update_elem(&own_peers, &key, &value, BPF_ANY);
}

/* A program that turns to the backend itself is told so. */
CHECKED_ALONE int peer_forget(__u64 cookie, const struct tundish_addr *address, __u32 port_be)
{
	struct tundish_own_peer_key key;

	if (!address)
		return 0;
	peer_key(&key, cookie, address, (__be16)port_be);
	return !bpf_map_delete_elem(&own_peers, &key);
}

/* sendmsg(2) with an address: the same for one datagram. */
static __always_inline enum led sends(struct bpf_sock_addr *ctx, const struct tundish_addr *to,
				      struct lead *l)
{
	struct bpf_sock *sk = ctx->sk;
	struct tundish_own *o;
	__u32 port;
	enum led r;

	/* UDP-Lite comes by here too. */
	if (!sk || ctx->protocol != IPPROTO_UDP || bpf_get_netns_cookie(ctx) != netns_cookie)
		return LEFT_ALONE;
	port = READ_ONCE(ctx->user_port);
	l->service = claimed(ctx, to);
	if (!l->service) {
		o = bpf_sk_storage_get(&own, sk, NULL, 0);
		if (o && o->flags & TUNDISH_OWN_PEERS)
			peer_forget(bpf_get_socket_cookie(ctx), to, port);
		return LEFT_ALONE;
	}
	l->port_be = (__be16)port;
	l->hash = (__u32)(tundish_mix64(bpf_get_socket_cookie(ctx) ^ TUNDISH_CHOICE_SEED) >> 32);
	r = find(l);
	if (r != LED)
		return r;
	o = bpf_sk_storage_get(&own, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!o || !peer_note(bpf_get_socket_cookie(ctx), l, to, port))
		return LEFT_ALONE;
	if (!(o->flags & TUNDISH_OWN_PEERS)) {
		__sync_fetch_and_or(&o->flags, TUNDISH_OWN_PEERS);
		COUNT(0, own_connect);
	}
	return LED;
}

/* The context takes constant places and whole words only. */
static __always_inline void load6(struct bpf_sock_addr *ctx, struct tundish_addr *ret)
{
	ret->word[0] = ctx->user_ip6[0];
	ret->word[1] = ctx->user_ip6[1];
	ret->word[2] = ctx->user_ip6[2];
	ret->word[3] = ctx->user_ip6[3];
}

static __always_inline void store6(struct bpf_sock_addr *ctx, const struct tundish_addr *a)
{
	ctx->user_ip6[0] = a->word[0];
	ctx->user_ip6[1] = a->word[1];
	ctx->user_ip6[2] = a->word[2];
	ctx->user_ip6[3] = a->word[3];
}

SEC("cgroup/connect4")
int own_connect4(struct bpf_sock_addr *ctx)
{
	struct tundish_addr to = tundish_addr_v4(ctx->user_ip4);
	struct lead l = {.families = LEAD_V4};
	enum led r = leads(ctx, &to, &l);

	if (r == LED) {
		ctx->user_ip4 = l.address.word[3];
		ctx->user_port = l.port_be;
	}
	return r != REFUSED;
}

SEC("cgroup/connect6")
int own_connect6(struct bpf_sock_addr *ctx)
{
	struct lead l = {.families = LEAD_V4 | LEAD_V6};
	struct tundish_addr to;
	enum led r;

	load6(ctx, &to);
	r = leads(ctx, &to, &l);
	if (r == LED) {
		store6(ctx, &l.address);
		ctx->user_port = l.port_be;
	}
	return r != REFUSED;
}

SEC("cgroup/sendmsg4")
int own_send4(struct bpf_sock_addr *ctx)
{
	struct tundish_addr to = tundish_addr_v4(ctx->user_ip4);
	struct lead l = {.families = LEAD_V4};
	enum led r = sends(ctx, &to, &l);

	if (r == LED) {
		ctx->user_ip4 = l.address.word[3];
		ctx->user_port = l.port_be;
	}
	return r != REFUSED;
}

/* Not to a backend with IPv4: the kernel sends no datagram that is turned from one
 * family to the other here. */
SEC("cgroup/sendmsg6")
int own_send6(struct bpf_sock_addr *ctx)
{
	struct lead l = {.families = LEAD_V6};
	struct tundish_addr to;
	enum led r;

	load6(ctx, &to);
	r = sends(ctx, &to, &l);
	if (r == LED) {
		store6(ctx, &l.address);
		ctx->user_port = l.port_be;
	}
	return r != REFUSED;
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

	if (!o || !(o->flags & TUNDISH_OWN_CONNECTED))
		return 1;
	ctx->user_ip4 = o->vip.word[3];
	ctx->user_port = o->port_be;
	return 1;
}

SEC("cgroup/getpeername6")
int own_name6(struct bpf_sock_addr *ctx)
{
	struct tundish_own *o = own_of(ctx);

	if (!o || !(o->flags & TUNDISH_OWN_CONNECTED))
		return 1;
	store6(ctx, &o->vip);
	ctx->user_port = o->port_be;
	return 1;
}

/* Who was meant by what came from `from`, into *ret. */
CHECKED_ALONE int peer_find(__u64 cookie, const struct tundish_addr *from, __u32 port_be,
			    struct tundish_own_peer *ret)
{
	struct tundish_own_peer_key key;
	struct tundish_own_peer *p;

	if (!from || !ret)
		return 0;
	peer_key(&key, cookie, from, (__be16)port_be);
	p = bpf_map_lookup_elem(&own_peers, &key);
	if (!p)
		return 0;
	ret->vip = p->vip;
	ret->port_be = p->port_be;
	return 1;
}

static __always_inline int hears(struct bpf_sock_addr *ctx, struct tundish_own *o,
				 const struct tundish_addr *from, struct tundish_own_peer *ret)
{
	__u32 port = READ_ONCE(ctx->user_port);

	if (o->flags & TUNDISH_OWN_CONNECTED && o->backend_port_be == (__be16)port &&
	    tundish_addr_equal(from, &o->backend_address)) {
		ret->vip = o->vip;
		ret->port_be = o->port_be;
		return 1;
	}
	return o->flags & TUNDISH_OWN_PEERS &&
	       peer_find(bpf_get_socket_cookie(ctx), from, port, ret);
}

SEC("cgroup/recvmsg4")
int own_recv4(struct bpf_sock_addr *ctx)
{
	struct tundish_own *o = own_of(ctx);
	struct tundish_own_peer asked = {};
	struct tundish_addr from;

	if (!o)
		return 1;
	from = tundish_addr_v4(ctx->user_ip4);
	if (hears(ctx, o, &from, &asked)) {
		ctx->user_ip4 = asked.vip.word[3];
		ctx->user_port = asked.port_be;
	}
	return 1;
}

SEC("cgroup/recvmsg6")
int own_recv6(struct bpf_sock_addr *ctx)
{
	struct tundish_own *o = own_of(ctx);
	struct tundish_own_peer asked = {};
	struct tundish_addr from;

	if (!o)
		return 1;
	load6(ctx, &from);
	if (hears(ctx, o, &from, &asked)) {
		store6(ctx, &asked.vip);
		ctx->user_port = asked.port_be;
	}
	return 1;
}

/* ---- counts --------------------------------------------------------------------------- */

SEC("sockops")
int own_established(struct bpf_sock_ops *ctx)
{
	struct tundish_own *o;

	if (ctx->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || !ctx->sk)
		return 1;
	o = bpf_sk_storage_get(&own, ctx->sk, NULL, 0);
	if (o && !(READ_ONCE(o->flags) & TUNDISH_OWN_COUNTED))
		count(o);
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
