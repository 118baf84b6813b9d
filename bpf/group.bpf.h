/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Worker groups: who is in one, who comes and goes, whose connections wait.
 */
#ifndef TUNDISH_GROUP_BPF_H
#define TUNDISH_GROUP_BPF_H

#include "process.h"
#include "service.h"

static __always_inline void count_refusal(struct tundish_steering *s, __u32 reason)
{
	if (reason < TUNDISH_REFUSAL_MAX)
		__sync_fetch_and_add(&s->refused[reason], 1);
}

/* Which service of this host's listeners a local address and port belong to; 0: none.
 * Of another delivery it is one that has a group: for the backend that is this host. */
static __always_inline __u32 steered_service(const struct tundish_addr *address, __u32 protocol,
					     __u16 port)
{
	__u64 claim = claim_find(address, CLAIM_PORT(protocol, port));
	__u32 service = CLAIM_SERVICE(claim);
	struct tundish_steering *s;

	if (CLAIM_DELIVERY(claim) == TUNDISH_DELIVERY_WORKERS || !service)
		return service;
	s = bpf_map_lookup_elem(&steering, &service);
	return s && s->group ? service : 0;
}

/* ---- whose connections wait ----------------------------------------------------- */

/* A connection has come into the worker's queue. */
static __always_inline void queue_push(__u32 index, struct tundish_worker *w, __u32 service,
				       struct tundish_steering *s)
{
	struct tundish_queue *q = bpf_map_lookup_elem(&queues, &index);
	__u64 at = __sync_fetch_and_add(&w->enqueued, 1);
	struct tundish_group *g;
	__u32 group = w->group;

	g = bpf_map_lookup_elem(&groups, &group);
	if (!q || !s || !g || !(g->flags & TUNDISH_GROUP_ACCOUNT))
		return;
	if (__sync_val_compare_and_swap(&q->service[at % TUNDISH_QUEUE_RING], 0, service) == 0)
		__sync_fetch_and_add(&s->queued, 1);
}

#define SETTLE_MOST 64

/* Those that were accepted since the last time wait no more. At most 64 at once;
 * the next call goes on. */
CHECKED_ALONE int queue_settle(__u32 index, __u64 until)
{
	struct tundish_worker *w = bpf_map_lookup_elem(&workers, &index);
	struct tundish_queue *q = bpf_map_lookup_elem(&queues, &index);
	__u64 from;
	int i;

	if (!w || !q)
		return 0;
	from = READ_ONCE(w->settled);
	for (i = 0; i < SETTLE_MOST; i++) {
		struct tundish_steering *s;
		__u32 service;

		if ((__s64)(until - from) <= 0)
			break;
		service = __sync_lock_test_and_set(&q->service[from % TUNDISH_QUEUE_RING], 0);
		from++;
		if (!service)
			continue;
		s = bpf_map_lookup_elem(&steering, &service);
		if (s)
			__sync_fetch_and_add(&s->queued, -1);
	}
	WRITE_ONCE(w->settled, from);
	return i;
}

/* ---- connections that wait, where accepts without an address count ------------- */

/* Whether any service asks for it; without one the map has a single place, and no
 * program looks at it. */
const volatile __u32 every_accept = 0;

/* Not pinned: it is as the programs are. Of more than fit, the oldest are forgotten
 * and not measured; so are in the end those that nobody will accept. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u64); /* socket cookie */
	__type(value, struct tundish_origin);
} waiting SEC(".maps");

static __always_inline int every_accept_of(__u32 service)
{
	struct tundish_steering *s = service ? bpf_map_lookup_elem(&steering, &service) : NULL;

	return s && s->accept_times == TUNDISH_ACCEPT_TIMES_ALL;
}

/* ---- coming and going ------------------------------------------------------------ */

static __always_inline void tell(__u32 kind, __u32 group, __u32 index, int error, __u64 cookie,
				 const struct tundish_worker *about,
				 const struct tundish_listen *at, __u32 service)
{
	struct tundish_worker_event *e = bpf_ringbuf_reserve(&worker_events, sizeof(*e), 0);

	if (!e)
		return; /* the daemon looks at all of them now and then, too */
	e->kind = kind;
	e->group = group;
	e->worker = index;
	e->error = error;
	e->cookie = cookie;
	e->inode = about->inode;
	e->pid = about->pid;
	e->uid = about->uid;
	__builtin_memcpy(e->command, about->command, sizeof(e->command));
	if (at)
		e->at = *at;
	else
		__builtin_memset(&e->at, 0, sizeof(e->at));
	e->service = service;
	bpf_ringbuf_submit(e, 0);
}

/* Who calls: name and number of the process. */
static __always_inline void describe_caller(struct tundish_worker *w)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	w->pid = pid_of(leader);
	w->task = BPF_CORE_READ(leader, tgid);
	BPF_CORE_READ_STR_INTO(&w->command, leader, comm);
}

static __always_inline void describe_socket(struct tundish_worker *w, struct sock *sk)
{
	w->uid = BPF_CORE_READ(sk, sk_uid.val);
	w->inode = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
	w->limit = BPF_CORE_READ(sk, sk_max_ack_backlog);
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET)
		w->flags = TUNDISH_WORKER_V4;
	else if (BPF_CORE_READ_BITFIELD_PROBED(sk, __sk_common.skc_ipv6only))
		w->flags = TUNDISH_WORKER_V6;
	else
		w->flags = TUNDISH_WORKER_V4 | TUNDISH_WORKER_V6;
}

#define NO_INDEX (~0u)

/* A free index of the group from `at` on; NO_INDEX where there is none. */
CHECKED_ALONE __u32 free_index(__u32 group, __u32 at)
{
	struct tundish_group *g = bpf_map_lookup_elem(&groups, &group);
	__u32 i;

	for (i = 0; g && i < TUNDISH_GROUP_SIZE_MAX; i++) {
		struct tundish_worker *w;
		__u32 index = g->first + i;

		if (i >= g->size)
			break;
		w = bpf_map_lookup_elem(&workers, &index);
		if (w && index >= at && !READ_ONCE(w->cookie))
			return index;
	}
	return NO_INDEX;
}

/* Whether it has any worker. */
CHECKED_ALONE int group_lives(__u32 group)
{
	struct tundish_group *g = bpf_map_lookup_elem(&groups, &group);
	__u32 i;

	for (i = 0; g && i < TUNDISH_GROUP_SIZE_MAX; i++) {
		struct tundish_worker *w;
		__u32 index = g->first + i;

		if (i >= g->used)
			break;
		w = bpf_map_lookup_elem(&workers, &index);
		if (w && w->group == group && READ_ONCE(w->cookie))
			return 1;
	}
	return 0;
}

/* The socket stands in `listeners` at this index: the index is its own now. */
static __always_inline void worker_take(struct tundish_worker *w, __u32 index, __u32 group,
					struct tundish_group *g, __u64 cookie,
					const struct tundish_worker *about)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 used = index - g->first + 1, was = READ_ONCE(g->used);

	queue_settle(index, w->enqueued);
	w->assigned = 0;
	w->enqueued = 0;
	w->accepted = 0;
	w->settled = 0;
	w->accepts = 0;
	w->queue = 0;
	w->progress = now;
	w->joined = now;
	w->group = group;
	w->limit = about->limit;
	w->flags = about->flags;
	w->inode = about->inode;
	w->pid = about->pid;
	w->uid = about->uid;
	__builtin_memcpy(w->command, about->command, sizeof(w->command));
	bpf_map_update_elem(&members, &cookie, &index, BPF_ANY);
	WRITE_ONCE(w->cookie, cookie);
	/* Two that come at the same time: the larger one stays. */
	for (int i = 0; i < 4 && was < used; i++) {
		__u32 found = __sync_val_compare_and_swap(&g->used, was, used);

		if (found == was)
			break;
		was = found;
	}
	WRITE_ONCE(g->empty_since, 0);
	tell(TUNDISH_WORKER_JOINED, group, index, 0, cookie, about, NULL, 0);
}

/* Which steered service a listener on that very address hears nothing of; 0: none. */
static __always_inline __u32 shadowed_by(const struct tundish_listen *at)
{
	__u32 service = steered_service(&at->address, IPPROTO_TCP, at->port);
	struct tundish_steering *s = service ? bpf_map_lookup_elem(&steering, &service) : NULL;

	return s && s->group ? service : 0;
}

/* The socket is no listener any more. */
static __always_inline void worker_leave(const struct tundish_origin *o)
{
	__u32 index = o->worker, group;
	struct tundish_worker *w = bpf_map_lookup_elem(&workers, &index);
	struct tundish_group *g;

	if (!w || w->cookie != o->cookie)
		return;
	group = w->group;
	queue_settle(index, w->enqueued);
	WRITE_ONCE(w->cookie, 0);
	tell(TUNDISH_WORKER_LEFT, group, index, 0, o->cookie, w, NULL, 0);
	g = bpf_map_lookup_elem(&groups, &group);
	if (g && !group_lives(group))
		WRITE_ONCE(g->empty_since, bpf_ktime_get_ns());
}

#endif
