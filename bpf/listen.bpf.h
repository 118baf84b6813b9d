/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How listeners come into their group: inside listen(2), by a sockops program on
 * the root cgroup, whatever program it is and with no daemon about; those that
 * were there before, by an iterator over all TCP sockets of the namespace. UDP sockets
 * are found by an iterator alone.
 *
 * The same sockops program counts a connection when it comes into a worker's
 * queue, and sees a listener's end.
 */
#ifndef TUNDISH_LISTEN_BPF_H
#define TUNDISH_LISTEN_BPF_H

#include "group.bpf.h"
#include "toa.bpf.h"

/* The namespace that is served: the root cgroup has the sockets of all. */
const volatile __u64 netns_cookie = 0;

#define ATTEMPTS 8 /* at an index that was free a moment ago */

static __always_inline __u32 group_of(const struct tundish_listen *key)
{
	__u32 *group = bpf_map_lookup_elem(&listens, key);

	return group ? *group : 0;
}

static __always_inline struct tundish_addr sockops_address(struct bpf_sock_ops *ctx)
{
	struct tundish_addr a;

	if (ctx->family == AF_INET)
		return tundish_addr_v4(READ_ONCE(ctx->local_ip4));
	a.word[0] = ctx->local_ip6[0];
	a.word[1] = ctx->local_ip6[1];
	a.word[2] = ctx->local_ip6[2];
	a.word[3] = ctx->local_ip6[3];
	return a;
}

/* Into its group, or told why not. Within listen(2) `ctx` is the hook's; the scan has none, and
 * knows nothing of who listens. The kernel lets each of them into a SOCKMAP by a helper of its
 * own, so `scanned` is a constant wherever this is inlined. @socket is the same as @sk, of the
 * protocol's own type. Returns whether it came in now. */
static __always_inline int join(struct bpf_sock_ops *ctx, const int scanned, void *socket,
				struct sock *sk, __u64 cookie, const struct tundish_listen *key,
				__u32 group, __u32 service)
{
	struct tundish_group *g = bpf_map_lookup_elem(&groups, &group);
	__u32 *member = bpf_map_lookup_elem(&members, &cookie);
	struct tundish_worker about = {};
	struct tundish_origin *o;
	struct tundish_worker *w;
	__u32 i, index;
	long r = 0;

	if (member && group) {
		index = *member;
		w = bpf_map_lookup_elem(&workers, &index);
		if (w && w->cookie == cookie)
			return 0; /* listen(2) again, for another limit, or another scan */
	}
	describe_socket(&about, sk);
	if (!scanned)
		describe_caller(&about);
	if (key->udp) {
		about.flags |= TUNDISH_WORKER_UDP;
		about.limit = 0;
	}
	if (!g || !group) {
		tell(TUNDISH_WORKER_SHADOWED, 0, 0, 0, cookie, &about, key, service);
		return 0;
	}
	/* Others may come at the same time. */
	for (i = 0, index = 0; i < ATTEMPTS; i++, index++) {
		index = free_index(group, index);
		w = bpf_map_lookup_elem(&workers, &index);
		if (index == NO_INDEX || !w)
			break;
		r = scanned ? bpf_map_update_elem(&listeners, &index, socket, BPF_NOEXIST)
			    : bpf_sock_map_update(ctx, &listeners, &index, BPF_NOEXIST);
		if (r == -17 /* EEXIST */)
			continue;
		if (r)
			break;
		o = bpf_sk_storage_get(&origin, socket, NULL, BPF_SK_STORAGE_GET_F_CREATE);
		if (o) {
			o->cookie = cookie;
			o->worker = index;
			o->since = 0;
			o->service = 0;
		}
		worker_take(w, index, group, g, cookie, &about);
		return 1;
	}
	tell(r && r != -17 ? TUNDISH_WORKER_REFUSED : TUNDISH_WORKER_NO_PLACE, group, 0, r, cookie,
	     &about, key, 0);
	return 0;
}

static __always_inline int listens_now(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tundish_listen key = {};
	struct tcp_sock *tp;
	__u32 group, service;

	if (!sk || bpf_get_netns_cookie(ctx) != netns_cookie)
		return 1;
	key.address = sockops_address(ctx);
	key.port = ctx->local_port;
	group = group_of(&key);
	service = group ? 0 : shadowed_by(&key);
	if (!group && !service)
		return 1;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp && join(ctx, 0, tp, &tp->inet_conn.icsk_inet.sk, bpf_get_socket_cookie(ctx), &key,
		       group, service))
		bpf_sock_ops_cb_flags_set(ctx,
					  ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	return 1;
}

/* Its time stands there and not in its storage: one place, so one accept. */
static __always_inline int waiting_put(struct bpf_sock_ops *ctx, const struct tundish_origin *o)
{
	struct tundish_origin copy = *o;
	__u64 cookie = bpf_get_socket_cookie(ctx);

	copy.since = bpf_ktime_get_ns();
	return !bpf_map_update_elem(&waiting, &cookie, &copy, BPF_ANY);
}

static __always_inline int connection_waits(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tundish_steering *s = NULL;
	struct tundish_addr address;
	struct tundish_origin *o;
	struct tundish_worker *w;
	__u32 service, index;

	if (!sk)
		return 1;
	o = bpf_sk_storage_get(&origin, sk, NULL, 0);
	if (!o)
		return 1;
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_STATE_CB_FLAG);
	address = sockops_address(ctx);
	service = steered_service(&address, IPPROTO_TCP, ctx->local_port);
	if (service)
		s = bpf_map_lookup_elem(&steering, &service);
	if (s)
		__sync_fetch_and_add(&s->connections, 1);
	if (s && s->client_address == TUNDISH_CLIENT_ADDRESS_TOA)
		toa_read(ctx, sk, service);
	o->service = service;
	index = o->worker;
	w = bpf_map_lookup_elem(&workers, &index);
	if (w && w->cookie == o->cookie)
		queue_push(index, w, service, s);
	if (!every_accept || !s || s->accept_times != TUNDISH_ACCEPT_TIMES_ALL ||
	    !waiting_put(ctx, o))
		WRITE_ONCE(o->since, bpf_ktime_get_ns());
	return 1;
}

SEC("sockops")
int tundish_sockops(struct bpf_sock_ops *ctx)
{
	struct tundish_origin *o;

	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB: return listens_now(ctx);
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB: return connection_waits(ctx);
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[0] != TCP_LISTEN_STATE || !ctx->sk)
			return 1;
		o = bpf_sk_storage_get(&origin, ctx->sk, NULL, 0);
		/* A connection in the making has its listener's flags too. */
		if (o && bpf_get_socket_cookie(ctx) == o->cookie)
			worker_leave(o);
	}
	return 1;
}

/* ---- those that were there before ------------------------------------------------- */

SEC("iter/tcp")
int tundish_scan(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct tundish_listen key = {};
	struct tcp_sock *tp;
	__u32 group, service;

	if (!common || common->skc_state != TCP_LISTEN_STATE)
		return 0;
	if (common->skc_family == AF_INET) {
		key.address = tundish_addr_v4(common->skc_rcv_saddr);
	} else {
		key.address.word[0] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[0];
		key.address.word[1] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[1];
		key.address.word[2] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[2];
		key.address.word[3] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[3];
	}
	key.port = common->skc_num;
	group = group_of(&key);
	service = group ? 0 : shadowed_by(&key);
	if (!group && !service)
		return 0;
	tp = bpf_skc_to_tcp_sock(common);
	if (tp)
		join(NULL, 1, tp, &tp->inet_conn.icsk_inet.sk, bpf_get_socket_cookie(tp), &key,
		     group, service);
	return 0;
}

/* ---- UDP -------------------------------------------------------------------------- */

/* No call makes a UDP socket a server's: it is one from bind(2) on, where no program may put
 * it into a group. So the daemon is told, and has the scan below do that; and it has it done
 * each second, for those whose bind it did not hear of. */
static __always_inline int bound(struct bpf_sock *sk, struct tundish_listen *key)
{
	struct tundish_worker about = {};
	__u32 group;

	if (sk->protocol != IPPROTO_UDP || bpf_get_netns_cookie(sk) != netns_cookie)
		return 1;
	key->port = (__u16)sk->src_port;
	key->udp = 1;
	group = group_of(key);
	if (!group)
		return 1;
	describe_caller(&about);
	tell(TUNDISH_WORKER_BOUND, group, 0, 0, bpf_get_socket_cookie(sk), &about, key, 0);
	return 1;
}

SEC("cgroup/post_bind4")
int tundish_bound4(struct bpf_sock *sk)
{
	struct tundish_listen key = {};

	key.address = tundish_addr_v4(sk->src_ip4);
	return bound(sk, &key);
}

SEC("cgroup/post_bind6")
int tundish_bound6(struct bpf_sock *sk)
{
	struct tundish_listen key = {};

	key.address.word[0] = sk->src_ip6[0];
	key.address.word[1] = sk->src_ip6[1];
	key.address.word[2] = sk->src_ip6[2];
	key.address.word[3] = sk->src_ip6[3];
	return bound(sk, &key);
}

/* One that is connected has a client of its own. */
SEC("iter/udp")
int tundish_scan_udp(struct bpf_iter__udp *ctx)
{
	struct udp_sock *udp = ctx->udp_sk;
	struct tundish_listen key = {};
	struct sock_common *common;
	__u32 group;

	if (!udp)
		return 0;
	common = &udp->inet.sk.__sk_common;
	if (common->skc_state == TCP_ESTABLISHED_STATE)
		return 0;
	if (common->skc_family == AF_INET) {
		key.address = tundish_addr_v4(common->skc_rcv_saddr);
	} else {
		key.address.word[0] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[0];
		key.address.word[1] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[1];
		key.address.word[2] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[2];
		key.address.word[3] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[3];
	}
	key.port = common->skc_num;
	key.udp = 1;
	group = group_of(&key);
	if (group)
		join(NULL, 1, udp, &udp->inet.sk, bpf_get_socket_cookie(udp), &key, group, 0);
	return 0;
}

/* ---- how long the queues are, for people --------------------------------------------- */

SEC("iter/sockmap")
int tundish_depths(struct bpf_iter__sockmap *ctx)
{
	struct tundish_worker *w;
	struct sock *sk = ctx->sk;
	__u32 *key = ctx->key, index, queue;
	__u64 accepted;

	if (!key || !sk)
		return 0;
	index = *key;
	w = bpf_map_lookup_elem(&workers, &index);
	if (!w || !w->cookie)
		return 0;
	if (w->flags & TUNDISH_WORKER_UDP) {
		WRITE_ONCE(w->half_open, (__u32)BPF_CORE_READ(sk, sk_backlog.rmem_alloc.counter));
		return 0;
	}
	queue = BPF_CORE_READ(sk, sk_ack_backlog);
	/* A listener is a TCP socket here: nothing else is taken into the group. */
	WRITE_ONCE(w->half_open, (__u32)BPF_CORE_READ((struct inet_connection_sock *)sk,
						      icsk_accept_queue.qlen.counter));
	WRITE_ONCE(w->queue, queue);
	WRITE_ONCE(w->limit, BPF_CORE_READ(sk, sk_max_ack_backlog));
	accepted = w->enqueued - queue;
	if (!queue || accepted != w->accepted) {
		WRITE_ONCE(w->accepted, accepted);
		WRITE_ONCE(w->progress, bpf_ktime_get_ns());
	}
	return 0;
}

#endif
