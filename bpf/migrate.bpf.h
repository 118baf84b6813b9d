/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When a worker closes, its siblings get the connections that it had not
 * accepted, half-open ones too, one by one in turn. Attached to the group's
 * SO_REUSEPORT group; for anything but a migration it leaves the choice to the
 * kernel.
 */
#ifndef TUNDISH_MIGRATE_BPF_H
#define TUNDISH_MIGRATE_BPF_H

#include "group.bpf.h"

#define SIBLINGS_MOST 64

SEC("sk_reuseport/migrate")
int tundish_migrate(struct sk_reuseport_md *ctx)
{
	struct bpf_sock *closing = ctx->sk;
	struct tundish_worker *w;
	struct tundish_group *g;
	__u32 *member, group, i, n;
	__u64 cookie, start;

	if (!ctx->migrating_sk || !closing)
		return SK_PASS;
	cookie = bpf_get_socket_cookie(closing);
	member = bpf_map_lookup_elem(&members, &cookie);
	if (!member)
		return SK_PASS;
	w = bpf_map_lookup_elem(&workers, member);
	if (!w)
		return SK_PASS;
	group = w->group;
	g = bpf_map_lookup_elem(&groups, &group);
	if (!g)
		return SK_PASS;
	n = READ_ONCE(g->used);
	start = __sync_fetch_and_add(&g->next, 1);
	for (i = 0; i < SIBLINGS_MOST; i++) {
		__u32 index;

		if (i >= n)
			break;
		index = g->first + (__u32)((start + i) % n);
		w = bpf_map_lookup_elem(&workers, &index);
		if (!w || !w->cookie || w->cookie == cookie || (w->flags & TUNDISH_WORKER_DRAIN))
			continue;
		/* Refused for one that is of another SO_REUSEPORT group, or closed. */
		if (!bpf_sk_select_reuseport(ctx, &listeners, &index, 0))
			return SK_PASS;
	}
	return SK_PASS;
}

#endif
