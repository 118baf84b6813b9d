/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When a connection is accepted, and by whom: accept(2) with an address asks for
 * the peer's name in the kernel, which cgroup programs see.
 */
#ifndef TUNDISH_ACCEPT_BPF_H
#define TUNDISH_ACCEPT_BPF_H

#include "group.bpf.h"
#include "waits.h"

static __always_inline void accepted(struct tundish_origin *o)
{
	__u64 since = __sync_lock_test_and_set(&o->since, 0), waited;
	__u32 index = o->worker, service = o->service;
	struct tundish_worker *w;
	struct tundish_waits *t;
	__u32 task;

	if (!since)
		return; /* the program asks for the name once more */
	waited = bpf_ktime_get_ns() - since;
	if (service) {
		t = bpf_map_lookup_elem(&service_waits, &service);
		if (t)
			wait_add(t, waited);
	}
	w = bpf_map_lookup_elem(&workers, &index);
	if (!w || w->cookie != o->cookie)
		return;
	t = bpf_map_lookup_elem(&worker_waits, &index);
	if (t)
		wait_add(t, waited);
	__sync_fetch_and_add(&w->accepts, 1);
	task = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), tgid);
	if (w->task != task || !(w->flags & TUNDISH_WORKER_PID)) {
		describe_caller(w);
		__sync_fetch_and_or(&w->flags, TUNDISH_WORKER_PID);
	}
}

static __always_inline int name_asked(struct bpf_sock_addr *ctx)
{
	struct tundish_origin *o;

	if (!ctx->sk)
		return 1;
	o = bpf_sk_storage_get(&origin, ctx->sk, NULL, 0);
	if (o)
		accepted(o);
	return 1;
}

SEC("cgroup/getpeername4")
int tundish_accept4(struct bpf_sock_addr *ctx)
{
	return name_asked(ctx);
}

SEC("cgroup/getpeername6")
int tundish_accept6(struct bpf_sock_addr *ctx)
{
	return name_asked(ctx);
}

#endif
