/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When a connection is accepted, and by whom. accept(2) with an address asks for
 * the peer's name in the kernel, which cgroup programs see. Without one nothing
 * but the end of the system call shows it (syscall.bpf.h).
 *
 * There the socket is found by its descriptor, as a plain number to the verifier,
 * and its storage cannot be reached; so the connections of such a service stand
 * in `waiting`, by cookie, and whichever hook comes first takes them out. Cookies
 * are never given twice, in no namespace: what is not in it is none of ours.
 */
#ifndef TUNDISH_ACCEPT_BPF_H
#define TUNDISH_ACCEPT_BPF_H

#include "group.bpf.h"
#include "syscall.bpf.h"
#include "toa.bpf.h"
#include "waits.h"

#define SRTT_MS 8000u /* tcp_sock.srtt_us counts eighths of a microsecond */

/*
 * Until a connection is accepted its end here has sent nothing but the SYN-ACK, so the round
 * trip that the kernel knows of it is that one's: from the SYN to the end of the handshake.
 * Where the kernel could not time it (a SYN cookie, a SYN-ACK that was sent again) it knows
 * none, or takes the client's echo of a timestamp, in whole milliseconds and of a cookie up to
 * 64 ms wrong. Those are 0 here, as is one in a thousand that was as long by chance.
 */
static __always_inline __u64 handshake_ns(__u32 srtt_us)
{
	return srtt_us % SRTT_MS ? (__u64)srtt_us * 1000 / 8 : 0;
}

static __always_inline void accepted(const struct tundish_origin *o, __u64 since, __u64 handshake)
{
	__u64 waited = bpf_ktime_get_ns() - since;
	__u32 index = o->worker, service = o->service;
	struct tundish_worker *w;
	struct tundish_waits *t;
	__u32 task;

	if (service) {
		t = bpf_map_lookup_elem(&service_waits, &service);
		if (t)
			wait_add(t, waited);
		t = handshake ? bpf_map_lookup_elem(&syn_waits, &service) : NULL;
		if (t)
			wait_add(t, handshake + waited);
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

/* Takes it out; of several who try at once one hears that it did. */
static __always_inline int waiting_take(__u64 cookie, struct tundish_origin *ret)
{
	struct tundish_origin *o = bpf_map_lookup_elem(&waiting, &cookie);

	if (!o)
		return 0;
	*ret = *o; /* somebody else's where the entry went just now: then the next call fails */
	return !bpf_map_delete_elem(&waiting, &cookie);
}

static __always_inline __u64 handshake_of(struct bpf_sock_addr *ctx)
{
	struct tcp_sock *tp = ctx->sk ? bpf_skc_to_tcp_sock(ctx->sk) : NULL;

	return tp ? handshake_ns(tp->srtt_us) : 0;
}

static __always_inline int name_asked(struct bpf_sock_addr *ctx)
{
	struct tundish_origin *o, taken;
	__u64 since;

	if (!ctx->sk)
		return 1;
	o = bpf_sk_storage_get(&origin, ctx->sk, NULL, 0);
	if (!o)
		return 1;
	since = __sync_lock_test_and_set(&o->since, 0);
	if (since)
		accepted(o, since, handshake_of(ctx));
	else if (every_accept && every_accept_of(o->service) &&
		 waiting_take(bpf_get_socket_cookie(ctx), &taken))
		accepted(&taken, taken.since, handshake_of(ctx));
	/* else the program asks for the name once more */
	return 1;
}

SEC("cgroup/getpeername4")
int tundish_accept4(struct bpf_sock_addr *ctx)
{
	toa_tell4(ctx);
	return name_asked(ctx);
}

SEC("cgroup/getpeername6")
int tundish_accept6(struct bpf_sock_addr *ctx)
{
	toa_tell6(ctx);
	return name_asked(ctx);
}

/* ---- without an address ------------------------------------------------------- */

SEC("tp_btf/sys_exit")
int tundish_sys_exit(__u64 *ctx)
{
	struct tundish_origin taken;
	__s64 fd = (__s64)ctx[1];
	struct sock *sk;
	__u64 cookie;

	if (fd < 0 || fd > __INT32_MAX__ || !is_call((const struct pt_regs *)ctx[0], CALL_ACCEPT))
		return 0;
	sk = socket_behind((__u32)fd);
	/* 0: nobody ever asked for its cookie. Of garbage, no cookie in `waiting`. */
	cookie = sk ? (__u64)BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) : 0;
	if (cookie && waiting_take(cookie, &taken))
		accepted(&taken, taken.since,
			 handshake_ns(BPF_CORE_READ((struct tcp_sock *)sk, srtt_us)));
	return 0;
}

#endif
