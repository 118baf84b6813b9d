/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A new connection to its worker: sk_lookup, which the kernel asks once per
 * connection, after it has found no socket of its own for it.
 *
 * The search begins at the group's next worker, in turn, and ends at the first
 * whose queue is empty: with idle workers it is a round of them, each from another
 * one on, which is even, and costs the same for any number. Where all have connections waiting the
 * shortest queue is taken, of equal ones the next in turn.
 *
 * A worker that has connections waiting and has accepted none for a while comes
 * after all others; only where all are such does it get more.
 *
 * UDP has no queue of connections: steer_udp.bpf.h.
 */
#ifndef TUNDISH_STEER_BPF_H
#define TUNDISH_STEER_BPF_H

#include "assign.bpf.h"
#include "steer_udp.bpf.h"

#define SCAN_MOST 64 /* of a larger group so many are looked at, from the next on */

/* What a look at a worker gives: a rank, the smaller the better. */
#define RANK_IDLE    0ull
#define RANK_STALLED (1ull << 32)
#define RANK_FULL    (1ull << 33)
#define RANK_NONE    (1ull << 34) /* cannot take it at all */

/*
 * Where a worker's socket lies, so that its queue can be read without a call: on
 * kernels that protect returns each call costs some nanoseconds, and a search
 * may look at 64 workers. A pointer counts as long as the index is the same
 * socket's; were it freed all the same, the read gives a wrong number or zero
 * (the kernel catches faults of such loads), and the listener that is chosen is
 * taken from `listeners` in any case. userspace/kernel/steering.c makes this map, and
 * tells the kernel that `socket` is a pointer of its own.
 */
struct place {
	__u64 cookie;
	struct tcp_sock *socket;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TUNDISH_WORKERS_MAX);
	__type(key, __u32);
	__type(value, struct place);
} places SEC(".maps");

/* Whether the socket itself is there; notes where it lies. */
CHECKED_ALONE int worker_find(__u32 index)
{
	struct tundish_worker *w = bpf_map_lookup_elem(&workers, &index);
	struct place *p = bpf_map_lookup_elem(&places, &index);
	struct bpf_sock *sk;
	struct tcp_sock *tp;
	__u64 cookie;

	if (!w || !p)
		return 0;
	cookie = READ_ONCE(w->cookie);
	sk = bpf_map_lookup_elem(&listeners, &index);
	if (!sk)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp && cookie == READ_ONCE(w->cookie)) {
		WRITE_ONCE(p->cookie, 0);
		WRITE_ONCE(p->socket, tp);
		WRITE_ONCE(p->cookie, cookie);
	}
	bpf_sk_release(sk);
	return tp != NULL;
}

/* A queue's length and limit, now; as a rank. */
static __always_inline __u64 look(__u32 index, struct tundish_worker *w, __u64 now, __u64 stall,
				  __u32 dry)
{
	struct place *p = bpf_map_lookup_elem(&places, &index);
	__u32 queue, limit;
	struct tcp_sock *tp;
	__u64 accepted;

	if (!p)
		return RANK_NONE;
	if (READ_ONCE(p->cookie) != w->cookie && !worker_find(index)) {
		if (!dry)
			WRITE_ONCE(w->cookie, 0);
		return RANK_NONE;
	}
	tp = READ_ONCE(p->socket);
	if (!tp)
		return RANK_NONE;
	queue = tp->inet_conn.icsk_inet.sk.sk_ack_backlog;
	limit = tp->inet_conn.icsk_inet.sk.sk_max_ack_backlog;

	if (dry) {
		if (queue && w->enqueued - queue == w->accepted && now - w->progress > stall)
			return queue > limit ? RANK_FULL : RANK_STALLED + queue;
		return queue > limit ? RANK_FULL : queue;
	}
	if (w->queue != queue)
		WRITE_ONCE(w->queue, queue);
	if (w->limit != limit)
		WRITE_ONCE(w->limit, limit);
	accepted = w->enqueued - queue;
	if (accepted != w->accepted) {
		WRITE_ONCE(w->accepted, accepted);
		WRITE_ONCE(w->progress, now);
	} else if (!queue) {
		if (now - w->progress > 1000000)
			WRITE_ONCE(w->progress, now);
	} else if ((__s64)(now - w->progress) > (__s64)stall) {
		return queue > limit ? RANK_FULL : RANK_STALLED + queue;
	}
	return queue > limit ? RANK_FULL : queue;
}

/* Of one worker for the account of shares: how many can wait, and below that how many do;
 * those that wait no more are settled. One number, so that the loop over it is one way. */
CHECKED_ALONE __u64 worker_account(__u32 index, __u64 now, __u64 stall)
{
	struct tundish_worker *w = bpf_map_lookup_elem(&workers, &index);
	__u32 limit, queue;

	if (!w || !w->cookie || look(index, w, now, stall, 0) == RANK_NONE)
		return 0;
	queue_settle(index, w->accepted);
	limit = w->limit + 1;
	queue = w->queue;
	if (limit > TUNDISH_QUEUE_RING)
		limit = TUNDISH_QUEUE_RING;
	if (queue > limit)
		queue = limit;
	return (__u64)limit << 32 | queue;
}

/* Whether the service has its share of the group's queues. Looks at every worker,
 * so it is asked only when much waits for the service already. */
static __noinline int share_is_used(struct tundish_steering *s, struct tundish_group *g, __u64 now)
{
	__u64 limits = 0, waiting = 0, bound;
	__u32 i;

	for (i = 0; i < TUNDISH_GROUP_SIZE_MAX; i++) {
		__u64 one;

		if (i >= g->used)
			break;
		one = worker_account(g->first + i, now, s->stall);
		limits += one >> 32;
		waiting += (__u32)one;
	}
	WRITE_ONCE(g->limit, (__u32)limits);
	bound = limits * s->share / 100;
	/* Dynamic thresholds (Choudhury and Hahne, 1996): each may have four times what is
	 * free, so one alone leaves a fifth, and what two leave is a ninth. */
	if (g->services > 1 && limits > waiting && (limits - waiting) * 4 < bound)
		bound = (limits - waiting) * 4;
	else if (g->services > 1 && limits <= waiting)
		bound = 0;
	return s->queued >= bound;
}

static __always_inline int refuse(struct bpf_sk_lookup *ctx, struct tundish_steering *s, __u32 why,
				  int silent, const int dry)
{
	struct bpf_sock *sink;
	__u32 zero = 0;

	TRACE(dry, no_worker, why);
	if (!dry)
		count_refusal(s, why);
	if (!silent)
		return SK_DROP;
	sink = bpf_map_lookup_elem(&sinks, &zero);
	if (!sink)
		return SK_DROP; /* no daemon about: the client hears a reset */
	bpf_sk_assign(ctx, sink, BPF_SK_LOOKUP_F_NO_REUSEPORT);
	bpf_sk_release(sink);
	return SK_PASS;
}

/* A search: what it asks for, and what it has found so far. */
struct search {
	__u64 now, stall;
	__u64 enough; /* the search ends at a rank no worse than this */
	__u64 rank;
	__u32 first, n, at; /* the group's indices; the next one to look at, from `first` */
	__u32 family;	    /* enum tundish_worker_flag */
	__u32 index;	    /* of the best */
	__u32 drained;	    /* one at least takes none because it was told so */
	__u32 dry;
};

static __always_inline long search_step(__u32 i, struct search *f)
{
	__u32 index = f->first + f->at;
	struct tundish_worker *w;
	__u64 rank;

	f->at = f->at + 1 < f->n ? f->at + 1 : 0;
	w = bpf_map_lookup_elem(&workers, &index);
	if (!w || !w->cookie || !(w->flags & f->family))
		return 0;
	if (w->flags & TUNDISH_WORKER_DRAIN) {
		f->drained = 1;
		return 0;
	}
	rank = look(index, w, f->now, f->stall, f->dry);
	if (rank >= f->rank)
		return 0;
	f->rank = rank;
	f->index = index;
	return rank <= f->enough;
}

/* Alone and with all its state in memory, the loop is quickly verified; a call for each
 * step, as with bpf_loop, would cost more than the step. */
CHECKED_ALONE int search(struct search *f)
{
	__u32 i;

	if (!f)
		return 0;
	for (i = 0; i < SCAN_MOST; i++)
		if (i >= f->n || search_step(i, f))
			break;
	return (int)i;
}

/* Whose turn it is: a number, to be taken modulo the number of workers. */
static __always_inline __u64 turn(struct bpf_sk_lookup *ctx, struct tundish_group *g,
				  const struct tundish_steering *s, const int dry)
{
	if (s->method == TUNDISH_STEERING_HASH)
		return flow_hash(ctx);
	return dry ? g->next : __sync_fetch_and_add(&g->next, 1);
}

static __always_inline __u64 look_from(struct search *f, __u64 start)
{
	__u32 begin = (__u32)(start % f->n);

	f->at = begin;
	f->rank = RANK_NONE;
	search(f);
	return (f->index - f->first + f->n - begin) % f->n;
}

/* Each round begins elsewhere: clients that come in a rhythm (every second request a
 * dear one) would otherwise meet the same worker again and again. */
static __always_inline __u32 round_offset(__u64 round)
{
	return (__u32)((round * 0x9e3779b97f4a7c15ull) >> 40);
}

/* Looks from the ticket's worker on; returns the next ticket. Where all that are left
 * of its round are passed over, so is the round: to go on with its first ones would
 * give those that stand behind a gap more than the others. */
static __always_inline __u64 look_around(struct search *f, __u64 ticket)
{
	__u64 round = ticket / f->n, passed;
	__u32 place = (__u32)(ticket % f->n);

	passed = look_from(f, place + round_offset(round));
	if (f->rank > RANK_IDLE || passed < f->n - place)
		return ticket + 1 + passed;
	passed = look_from(f, round_offset(round + 1));
	return (round + 1) * f->n + 1 + passed;
}

enum given {
	GIVEN,
	GIVEN_NOT,   /* nobody takes it */
	GIVEN_AGAIN, /* who was chosen closed meanwhile */
};

static __always_inline enum given give(struct bpf_sk_lookup *ctx, struct tundish_group *g,
				       const struct tundish_steering *s, struct search *f,
				       const int dry)
{
	struct tundish_worker *w;
	__u64 ticket, after;

	ticket = turn(ctx, g, s, dry);
	after = s->method == TUNDISH_STEERING_HASH ? look_from(f, ticket) : look_around(f, ticket);
	TRACE(dry, search, (__u32)after);
	if (f->rank >= RANK_FULL)
		return GIVEN_NOT;
	if (assign(ctx, f->index)) {
		/* Closed meanwhile, and where it lay is no socket of the group any more. */
		f->rank = RANK_NONE;
		w = bpf_map_lookup_elem(&workers, &f->index);
		if (!dry && w && !worker_find(f->index))
			WRITE_ONCE(w->cookie, 0);
		return GIVEN_AGAIN;
	}
	TRACE(dry, worker, f->index);
	if (dry)
		return GIVEN;
	if (s->method != TUNDISH_STEERING_HASH && after != ticket + 1)
		/* Those passed over had their turn. */
		__sync_val_compare_and_swap(&g->next, ticket + 1, after);
	w = bpf_map_lookup_elem(&workers, &f->index);
	if (w)
		__sync_fetch_and_add(&w->assigned, 1);
	return GIVEN;
}

/* ---- each packet that finds no socket of its own ------------------------------------------ */

static __always_inline int steer(struct bpf_sk_lookup *ctx, const int dry)
{
	struct search f = {.rank = RANK_NONE, .dry = dry};
	__u32 service, protocol = ctx->protocol;
	struct tundish_addr address;
	struct tundish_steering *s;
	struct tundish_group *g;

	if (protocol != IPPROTO_TCP && (protocol != IPPROTO_UDP || !any_udp_group()))
		return SK_PASS;
	/* Apart for clang: both families' loads merged would be of a changed pointer. */
	if (ctx->family == AF_INET) {
		address = tundish_addr_v4(READ_ONCE(ctx->local_ip4));
		f.family = TUNDISH_WORKER_V4;
	} else {
		address.word[0] = ctx->local_ip6[0];
		address.word[1] = ctx->local_ip6[1];
		address.word[2] = ctx->local_ip6[2];
		address.word[3] = ctx->local_ip6[3];
		f.family = TUNDISH_WORKER_V6;
	}
	service = steered_service(&address, protocol, (__u16)ctx->local_port);
	if (!service)
		return SK_PASS;
	s = bpf_map_lookup_elem(&steering, &service);
	if (!s || !s->group)
		return SK_PASS;
	if (protocol == IPPROTO_UDP) {
		TRACE(dry, service, service);
		return steer_udp(ctx, s, f.family, dry);
	}
	g = bpf_map_lookup_elem(&groups, &s->group);
	if (!g)
		return SK_PASS;
	TRACE(dry, service, service);
	TRACE(dry, group, s->group);
	f.now = bpf_ktime_get_ns();
	f.stall = s->stall;
	f.enough = s->method == TUNDISH_STEERING_HASH ? RANK_FULL - 1 : RANK_IDLE;
	f.first = g->first;
	f.n = READ_ONCE(g->used);

	if (!dry && (g->flags & TUNDISH_GROUP_ACCOUNT) && s->queued * 8 >= g->limit &&
	    share_is_used(s, g, f.now))
		return refuse(ctx, s, TUNDISH_REFUSAL_share, s->refuse == TUNDISH_REFUSE_DROP, dry);

	if (f.n) {
		enum given r = give(ctx, g, s, &f, dry);

		/* Twice in the text: 6.1 refuses a loop whose head stands behind a call. */
		if (r == GIVEN_AGAIN && !dry)
			r = give(ctx, g, s, &f, dry);
		if (r == GIVEN)
			return SK_PASS;
	}
	if (f.rank == RANK_FULL) {
		/* Given to a full one, the kernel drops it and counts a listen overflow. */
		if (s->refuse == TUNDISH_REFUSE_RESET || assign(ctx, f.index))
			return refuse(ctx, s, TUNDISH_REFUSAL_full, 0, dry);
		TRACE(dry, no_worker, TUNDISH_REFUSAL_full);
		if (!dry)
			count_refusal(s, TUNDISH_REFUSAL_full);
		return SK_PASS;
	}
	if (f.drained)
		return refuse(ctx, s, TUNDISH_REFUSAL_empty, 1, dry);
	if (!dry && !READ_ONCE(g->empty_since))
		WRITE_ONCE(g->empty_since, f.now);
	return refuse(ctx, s, TUNDISH_REFUSAL_empty, f.now - READ_ONCE(g->empty_since) < s->grace,
		      dry);
}

SEC("sk_lookup")
int tundish_steer(struct bpf_sk_lookup *ctx)
{
	int verdict = steer(ctx, 0);

	forget(verdict); /* where it was spilled the verifier has lost that it is 0 or 1 */
	return verdict & 1;
}

/* Run by hand, never attached: tells what the other would do, and changes nothing. */
SEC("sk_lookup")
int tundish_steer_dry(struct bpf_sk_lookup *ctx)
{
	int verdict = steer(ctx, 1);

	forget(verdict);
	return verdict & 1;
}

#endif
