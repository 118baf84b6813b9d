/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Scans: what there is, socket by socket, added up in the kernel. Nothing is sent
 * to userspace but a byte now and then, so that a read returns and the daemon can
 * do something else. All three kinds of iterators go on where the last read ended.
 *
 * A port that a program bound itself is passed over by connect(2) for every
 * destination; its bind bucket tells (fastreuse is below zero only where connect
 * made it). Asked once for each port and scan. Listeners come first in iter/tcp,
 * so that a service's port within the range is known before its connections.
 */
#ifndef TUNDISH_PORT_SCAN_BPF_H
#define TUNDISH_PORT_SCAN_BPF_H

#include "port_tuple.bpf.h"
#include "process.h"

#define SLICE	    2048 /* sockets, of some 200 ns each */
#define SLICE_FILES 4096 /* most of them no sockets, so of some 100 ns each */

static __always_inline int bit_test(const __u64 *words, __u32 port)
{
	return words[(port >> 6) & (TUNDISH_PORT_WORDS - 1)] >> (port & 63) & 1;
}

static __always_inline void bit_set(__u64 *words, __u32 port)
{
	words[(port >> 6) & (TUNDISH_PORT_WORDS - 1)] |= 1ull << (port & 63);
}

static __always_inline int bound_itself(const struct inet_bind_bucket *b)
{
	return b && (b->fastreuse >= 0 || b->fastreuseport >= 0);
}

static __always_inline struct tundish_port_count *count_of(struct tundish_ports *p, __u64 scan)
{
	struct tundish_port_count *c = &p->counted[scan & 1];

	if (c->scan != scan) {
		__builtin_memset(c, 0, sizeof(*c));
		c->scan = scan;
	}
	return c;
}

static __always_inline __u32 class_of(__u32 state)
{
	switch (state) {
	case TCP_ESTABLISHED_STATE: return TUNDISH_PORT_established;
	case TCP_SYN_SENT_STATE: return TUNDISH_PORT_opening;
	case TCP_CLOSE_WAIT_STATE: return TUNDISH_PORT_close_wait;
	case TCP_TIME_WAIT_STATE: return TUNDISH_PORT_time_wait;
	}
	return TUNDISH_PORT_closing;
}

/* When a TIME_WAIT ends, and whether connect(2) may take it before. */
static __always_inline void count_rest(struct tundish_port_count *c, struct tcp_timewait_sock *tw,
				       const struct tundish_port_scan *s)
{
	__s64 left = (__s64)(tw->tw_sk.tw_timer.expires - s->jiffies);
	__s32 stamp = tw->tw_ts_recent_stamp;
	__u32 step, i;

	if (stamp && (__s32)(s->seconds - stamp) > 0)
		c->reusable++;
	if (!s->hz)
		return;
	step = left <= 0 ? 0 : (__u32)left / (s->hz * TUNDISH_LEAVING_S);
	for (i = 0; i < TUNDISH_LEAVING_STEPS; i++)
		if (i >= step || i == TUNDISH_LEAVING_STEPS - 1)
			c->leaving[i]++;
}

SEC("iter/tcp")
int tundish_port_scan(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct inet_bind_bucket *bucket = NULL;
	struct tcp_timewait_sock *tw = NULL;
	struct tundish_port_key key = {};
	struct tundish_port_count *c;
	struct tundish_port_scan *s;
	struct tundish_port_bits *b;
	struct tundish_ports *p;
	__u32 zero = 0, space, state, port;

	s = bpf_map_lookup_elem(&port_scan, &zero);
	if (!s)
		return 0;
	/* The clock once in a while: asking it costs a tenth of a socket. */
	if (!sk || s->sockets % SLICE == 0) {
		s->jiffies = bpf_jiffies64();
		s->seconds = (__u32)(bpf_ktime_get_ns() / 1000000000);
	}
	if (!sk)
		return 0;
	if (++s->sockets % SLICE == 0)
		bpf_seq_write(ctx->meta->seq, &zero, 1);
	state = sk->skc_state;
	port = sk->skc_num;
	if (port < s->first || port > s->last || state == TCP_NEW_SYN_RECV_STATE)
		return 0;
	space = s->space;
	b = bpf_map_lookup_elem(&port_bits, &space);
	if (!b)
		return 0;
	if (state == TCP_LISTEN_STATE) {
		bit_set(b->listening, port);
		bit_set(b->blocked, port);
		return 0;
	}
	if (bit_test(b->listening, port))
		return 0;
	if (state == TCP_TIME_WAIT_STATE) {
		tw = bpf_skc_to_tcp_timewait_sock(sk);
		if (!tw)
			return 0;
		/* As inet_diag tells it. */
		state = tw->tw_sk.tw_substate;
	}
	if (!bit_test(b->seen, port)) {
		bit_set(b->seen, port);
		if (tw) {
			bucket = tw->tw_sk.tw_tb;
		} else {
			struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

			if (tp)
				bucket = tp->inet_conn.icsk_bind_hash;
		}
		if (bound_itself(bucket))
			bit_set(b->blocked, port);
	}
	tuple_of(sk, space, &key);
	p = ports_take(&key, &s->overflow);
	if (!p)
		return 0;
	c = count_of(p, s->scan);
	c->state[class_of(state)]++;
	if (bit_test(b->blocked, port))
		c->bound++;
	if (state == TCP_TIME_WAIT_STATE && tw)
		count_rest(c, tw, s);
	return 0;
}

/* There a port counts for each local address, whatever the destination. */
SEC("iter/udp")
int tundish_port_scan_udp(struct bpf_iter__udp *ctx)
{
	struct udp_sock *udp = ctx->udp_sk;
	struct tundish_port_key key = {};
	struct tundish_port_scan *s;
	struct tundish_port_bits *b;
	struct sock_common *sk;
	struct tundish_ports *p;
	__u32 zero = 0, space, port;

	s = bpf_map_lookup_elem(&port_scan, &zero);
	if (!s || !udp)
		return 0;
	if (++s->sockets % SLICE == 0)
		bpf_seq_write(ctx->meta->seq, &zero, 1);
	sk = &udp->inet.sk.__sk_common;
	port = sk->skc_num;
	if (port < s->first || port > s->last)
		return 0;
	space = s->space;
	b = bpf_map_lookup_elem(&port_bits, &space);
	if (!b)
		return 0;
	bit_set(b->udp, port);
	local_of(sk, &key.local);
	if (!(key.local.word[0] | key.local.word[1] | key.local.word[3]))
		bit_set(b->udp_any, port);
	key.space = space;
	key.protocol = IPPROTO_UDP;
	p = ports_take(&key, &s->overflow);
	if (p)
		count_of(p, s->scan)->state[TUNDISH_PORT_established]++;
	return 0;
}

/* ---- who blocks ports ------------------------------------------------------------- */

/* Of all processes that the daemon can name, and all namespaces that are watched.
 * Finds too what no list of connections has: sockets that are bound and do nothing. */
SEC("iter/task_file")
int tundish_port_holders(struct bpf_iter__task_file *ctx)
{
	struct tundish_port_owner_key key = {};
	struct tundish_port_owner fresh = {};
	struct task_struct *task = ctx->task;
	struct tundish_port_owner *o;
	struct tundish_port_scan *s;
	struct tundish_port_bits *b;
	struct tundish_space *where;
	struct sock_common *common;
	struct file *file = ctx->file;
	struct socket *socket;
	struct tcp_sock *tp;
	struct sock *sk;
	__u32 zero = 0, space, port, state;
	__u64 cookie;

	s = bpf_map_lookup_elem(&port_scan, &zero);
	if (!s || !file || !task)
		return 0;
	if (++s->files % SLICE_FILES == 0)
		bpf_seq_write(ctx->meta->seq, &zero, 1);
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	common = &sk->__sk_common;
	if ((common->skc_family != AF_INET && common->skc_family != AF_INET6) ||
	    sk->sk_protocol != IPPROTO_TCP)
		return 0;
	port = common->skc_num;
	if (!port)
		return 0;
	cookie = common->skc_net.net->net_cookie;
	where = bpf_map_lookup_elem(&spaces, &cookie);
	if (!where || port < where->first || port > where->last)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || !bound_itself(tp->inet_conn.icsk_bind_hash))
		return 0;
	space = where->index;
	b = bpf_map_lookup_elem(&port_bits, &space);
	if (!b)
		return 0;
	state = common->skc_state;
	bit_set(b->blocked, port);

	key.space = space;
	key.port = port;
	key.protocol = IPPROTO_TCP;
	o = bpf_map_lookup_elem(&port_owners, &key);
	if (o && o->scan == s->scan) {
		o->descriptors++;
		return 0;
	}
	fresh.scan = s->scan;
	local_of(common, &fresh.local);
	fresh.pid = pid_of(task->group_leader);
	fresh.uid = sk->sk_uid.val;
	fresh.descriptors = 1;
	if (state == TCP_LISTEN_STATE)
		fresh.reason = TUNDISH_PORT_LISTENS;
	else if (BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOCK_BINDPORT_LOCK)
		fresh.reason = TUNDISH_PORT_BOUND;
	else
		fresh.reason = TUNDISH_PORT_ADDRESS;
	BPF_CORE_READ_STR_INTO(&fresh.command, task, group_leader, comm);
	bpf_map_update_elem(&port_owners, &key, &fresh, BPF_ANY);
	return 0;
}

#endif
