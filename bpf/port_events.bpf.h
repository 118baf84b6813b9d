/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What happens to source ports between two scans, from the state changes of
 * sockets (tp_btf/inet_sock_set_state).
 *
 * By the time that a socket is told to be closed its port is given back, but for
 * inet_sport, which stays: zero there, after SYN_SENT, means that connect(2) found
 * no port. A TIME_WAIT's beginning is not told as such: the socket goes from
 * FIN_WAIT2 or CLOSING to CLOSE, and has no error. Its end is not told at all.
 */
#ifndef TUNDISH_PORT_EVENTS_BPF_H
#define TUNDISH_PORT_EVENTS_BPF_H

#include <bpf/bpf_tracing.h>

#include "port_tuple.bpf.h"
#include "waits.h"

#define ONE_SECOND 1000000000ull

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
					    struct tundish_space *space, int from, int failed)
{
	__sync_fetch_and_add(&p->held, -1);
	if (failed) {
		__sync_fetch_and_add(&p->failed[TUNDISH_PORT_FAILED_EADDRNOTAVAIL], 1);
		tell_failure(key, p, space, TUNDISH_PORT_FAILED_EADDRNOTAVAIL);
	} else if ((from == TCP_FIN_WAIT2_STATE || from == TCP_CLOSING_STATE) && !sk->sk_err) {
		tundish_tw_enter(p, bpf_ktime_get_ns());
		__sync_fetch_and_add(&p->entered, 1);
	} else {
		__sync_fetch_and_add(&p->freed, 1);
	}
}

static __always_inline void count_closer(const struct sock_common *sk, __u16 port, __u32 space,
					 int here)
{
	static const struct tundish_closer first_here = {.here = 1}, first_there = {.there = 1};
	struct tundish_closer_key key = {.port = port, .space = space};
	struct tundish_closer *c;

	local_of(sk, &key.local);
	c = bpf_map_lookup_elem(&closers, &key);
	if (c)
		__sync_fetch_and_add(here ? &c->here : &c->there, 1);
	else
		bpf_map_update_elem(&closers, &key, here ? &first_here : &first_there, BPF_NOEXIST);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tundish_port_state, struct sock *sk, int from, int to)
{
	struct sock_common *common = &sk->__sk_common;
	struct tundish_port_key key = {};
	struct tundish_space *space;
	struct tundish_ports *p;
	int begins, ends, closes;
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
	/* Of a service's own ports, and those that a program asks for beside the range, nothing is
	 * held. */
	if (!ends && port && (port < space->first || port > space->last))
		return 0;
	if (begins) {
		tuple_of(common, space->index, &key);
		connect_begins(sk, &key);
		return 0;
	}
	if (closes) {
		int failed = found_no_port(sk, from, port);

		tuple_of(common, space->index, &key);
		p = ports_of(sk, &key);
		if (p)
			closes_outbound(sk, p, &key, space, from, failed);
		return 0;
	}
	tuple_of(common, space->index, &key);
	p = port < space->first || port > space->last ? NULL : bpf_map_lookup_elem(&ports, &key);
	if (p)
		__sync_fetch_and_add(to == TCP_FIN_WAIT1_STATE ? &p->ended_here : &p->ended_there,
				     1);
	else
		count_closer(common, port, space->index, to == TCP_FIN_WAIT1_STATE);
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
