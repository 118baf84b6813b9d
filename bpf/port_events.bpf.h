/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What happens to source ports between two scans, from the state changes of
 * sockets (tp_btf/inet_sock_set_state).
 *
 * By the time that a socket is told to be closed its port is given back, but for
 * inet_sport, which stays: zero there, after SYN_SENT, means that connect(2) found
 * no port. A TIME_WAIT's beginning is not told as such: the socket goes from
 * FIN_WAIT2 or CLOSING to CLOSE, and has no error. Its end is not told at all.
 *
 * Nor is a reset. The error of one that is received stands in the socket before its
 * state changes; one that is sent (SO_LINGER 0, data that was not read, a listener that
 * closes over its queue) leaves none until after that.
 */
#ifndef TUNDISH_PORT_EVENTS_BPF_H
#define TUNDISH_PORT_EVENTS_BPF_H

#include <bpf/bpf_tracing.h>

#include "port_tuple.bpf.h"
#include "waits.h"

#define ONE_SECOND 1000000000ull

#define EPIPE_ERROR	   32
#define ECONNABORTED_ERROR 103 /* by hand: ss -K */
#define ECONNRESET_ERROR   104

enum ending {
	ENDED_OTHERWISE, /* after FINs, or given up: nobody answered */
	RESET_HERE,
	RESET_THERE,
};

/*
 * Whether an established connection ends by a reset, and whose. Out of FIN_WAIT2 it goes into
 * TIME_WAIT if the other end's FIN is there or no program is, and never without either. Of data
 * that comes when nobody can read it any more the kernel says what it says of a reset that came,
 * although it sends one: after a FIN the two are not told apart.
 */
static __always_inline enum ending ending_of(const struct sock *sk, int from)
{
	int error = sk->sk_err;

	switch (from) {
	case TCP_ESTABLISHED_STATE:
	case TCP_CLOSE_WAIT_STATE:
	case TCP_FIN_WAIT1_STATE: break;
	case TCP_FIN_WAIT2_STATE:
		if (!error && sk->__sk_common.skc_flags & (SOCK_DEAD_FLAG | SOCK_DONE_FLAG))
			return ENDED_OTHERWISE;
		break;
	case TCP_CLOSING_STATE:
	case TCP_LAST_ACK_STATE:
		if (!error)
			return ENDED_OTHERWISE;
		break;
	default: return ENDED_OTHERWISE;
	}
	if (error == ECONNRESET_ERROR || error == EPIPE_ERROR)
		return RESET_THERE;
	return !error || error == ECONNABORTED_ERROR ? RESET_HERE : ENDED_OTHERWISE;
}

static __always_inline void search_ends(struct tundish_opening *o)
{
	__u64 since = __sync_lock_test_and_set(&o->since, 0);
	struct tundish_waits *t;
	__u32 zero = 0;

	if (!since)
		return;
	t = bpf_map_lookup_elem(&port_search, &zero);
	if (t)
		wait_add(t, bpf_ktime_get_ns() - since);
}

/* Once a second for all of a namespace: the counts are exact, the events are for
 * those who look on. */
static __always_inline void tell_failure(const struct tundish_port_key *key,
					 const struct tundish_ports *p, struct tundish_space *space,
					 __u32 failure)
{
	__u64 now = bpf_ktime_get_ns(), told = READ_ONCE(space->told);
	struct tundish_port_event *e;
	struct task_struct *task;

	if (now - told < ONE_SECOND || __sync_val_compare_and_swap(&space->told, told, now) != told)
		return;
	e = bpf_ringbuf_reserve(&port_events, sizeof(*e), 0);
	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = TUNDISH_PORT_EVENT_FAILED;
	e->key = *key;
	e->failure = failure;
	e->used = (__u32)(p->held < 0 ? 0 : p->held) + tundish_tw_count(p, now);
	e->usable = space->usable;
	task = (struct task_struct *)bpf_get_current_task();
	e->pid = BPF_CORE_READ(task, tgid);
	BPF_CORE_READ_STR_INTO(&e->command, task, comm);
	bpf_ringbuf_submit(e, 0);
}

static __always_inline void connect_begins(struct sock *sk, const struct tundish_port_key *key)
{
	struct tundish_ports *p = ports_take(key, NULL);
	struct tundish_opening *o;

	if (p) {
		__sync_fetch_and_add(&p->held, 1);
		__sync_fetch_and_add(&p->opened, 1);
	}
	o = bpf_sk_storage_get(&opening, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (o)
		WRITE_ONCE(o->since, bpf_ktime_get_ns());
}

/* The entry that a socket is counted in; NULL where it is in none: no outbound one, or
 * older than the programs. */
static __always_inline struct tundish_ports *ports_of(struct sock *sk,
						      const struct tundish_port_key *key)
{
	struct tundish_port_key others = {.space = key->space};
	struct tundish_ports *p = bpf_map_lookup_elem(&ports, key);

	if (p || !bpf_sk_storage_get(&opening, sk, NULL, 0))
		return p;
	return bpf_map_lookup_elem(&ports, &others);
}

/* Whether connect(2) ended for want of a port: none was found; or the program had
 * bound one, and the search, which then only asks for that one, never came to its end. */
static __always_inline int found_no_port(struct sock *sk, int from, __u16 port)
{
	struct tundish_opening *o;
	int failed;

	if (from != TCP_SYN_SENT_STATE)
		return 0;
	o = bpf_sk_storage_get(&opening, sk, NULL, 0);
	failed = !port || (o && READ_ONCE(o->since) && !sk->sk_err);
	if (o)
		search_ends(o);
	return failed;
}

static __always_inline void closes_outbound(struct sock *sk, struct tundish_ports *p,
					    const struct tundish_port_key *key,
					    struct tundish_space *space, int from, int failed,
					    enum ending ending)
{
	__sync_fetch_and_add(&p->held, -1);
	if (failed) {
		__sync_fetch_and_add(&p->failed[TUNDISH_PORT_FAILED_EADDRNOTAVAIL], 1);
		tell_failure(key, p, space, TUNDISH_PORT_FAILED_EADDRNOTAVAIL);
	} else if ((from == TCP_FIN_WAIT2_STATE || from == TCP_CLOSING_STATE) && !sk->sk_err &&
		   ending == ENDED_OTHERWISE) {
		tundish_tw_enter(p, bpf_ktime_get_ns());
		__sync_fetch_and_add(&p->entered, 1);
	} else {
		__sync_fetch_and_add(&p->freed, 1);
	}
}

static __always_inline struct tundish_closer *service_of(const struct sock_common *sk, __u16 port,
							 __u32 space)
{
	static const struct tundish_closer none = {};
	struct tundish_closer_key key = {.port = port, .space = space};
	struct tundish_closer *c;

	local_of(sk, &key.local);
	c = bpf_map_lookup_elem(&closers, &key);
	if (c)
		return c;
	bpf_map_update_elem(&closers, &key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&closers, &key);
}

static __always_inline void count_reset(struct tundish_closer *c, int from, enum ending ending)
{
	if (from != TCP_ESTABLISHED_STATE)
		__sync_fetch_and_add(&c->then_reset, 1);
	else
		__sync_fetch_and_add(ending == RESET_HERE ? &c->reset_here : &c->reset_there, 1);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tundish_port_state, struct sock *sk, int from, int to)
{
	struct sock_common *common = &sk->__sk_common;
	struct tundish_port_key key = {};
	struct tundish_space *space;
	struct tundish_ports *p;
	int begins, ends, closes, inside;
	struct tundish_closer *closer;
	enum ending ending;
	struct tcp_sock *tp;
	__u64 cookie;
	__u16 port;

	begins = to == TCP_SYN_SENT_STATE;
	ends = from == TCP_ESTABLISHED_STATE &&
	       (to == TCP_FIN_WAIT1_STATE || to == TCP_CLOSE_WAIT_STATE);
	closes = to == TCP_CLOSE_STATE && from != TCP_LISTEN_STATE;
	if ((!begins && !ends && !closes) || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	cookie = common->skc_net.net->net_cookie;
	space = bpf_map_lookup_elem(&spaces, &cookie);
	tp = space ? bpf_skc_to_tcp_sock(sk) : NULL;
	if (!tp)
		return 0;
	port = bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport);
	inside = !port || (port >= space->first && port <= space->last);
	ending = closes ? ending_of(sk, from) : ENDED_OTHERWISE;
	/* Of a service's own ports, and those that a program asks for beside the range, nothing is
	 * held. */
	if (!inside && !ends && ending == ENDED_OTHERWISE)
		return 0;
	tuple_of(common, space->index, &key);
	if (begins) {
		connect_begins(sk, &key);
		return 0;
	}
	p = inside ? ports_of(sk, &key) : NULL;
	if (closes) {
		int failed = found_no_port(sk, from, port);

		if (p)
			closes_outbound(sk, p, &key, space, from, failed, ending);
		if (ending == ENDED_OTHERWISE)
			return 0;
	}
	closer = p ? &p->closed : service_of(common, port, space->index);
	if (!closer)
		return 0;
	if (closes)
		count_reset(closer, from, ending);
	else
		__sync_fetch_and_add(to == TCP_FIN_WAIT1_STATE ? &closer->here : &closer->there, 1);
	return 0;
}

/* The SYN leaves: the port has been found. */
SEC("sockops")
int tundish_port_found(struct bpf_sock_ops *ctx)
{
	struct tundish_opening *o;

	if (ctx->op != BPF_SOCK_OPS_TCP_CONNECT_CB || !ctx->sk)
		return 1;
	o = bpf_sk_storage_get(&opening, ctx->sk, NULL, 0);
	if (o)
		search_ends(o);
	return 1;
}

#endif
