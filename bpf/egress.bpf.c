// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source addresses for outbound connections of a cgroup's processes.
 *
 *   connect(2) ──► cgroup/connect4, 6 ──► choose ──► bpf_bind(source, port 0)
 *                                                        │
 *              inet_sock_set_state counts the tuple ◄── kernel picks the port
 *   close(2) ──► cgroup/sock_release ──► a UDP port is given back
 *
 * Which pool a cgroup has stands in its cgroup storage. Where programs of several
 * pools meet, on nested cgroups, the innermost runs first and decides.
 */
#include "choose.bpf.h"
#include "service.h"

#define RESTS_NS   1000000000ull  /* a source that the kernel refused */
#define EPISODE_NS 60000000000ull /* a shift is told again after so long without one */

static const struct tundish_ports no_ports;

/* ---- who is left alone --------------------------------------------------------------- */

static __always_inline int leave(struct tundish_egress *pool, __u32 why)
{
	if (why < TUNDISH_EGRESS_LEFT_MAX)
		__sync_fetch_and_add(&pool->left[why], 1);
	return 1;
}

/* Destinations that another source would not reach, or that mean this host itself. */
static __always_inline int is_local(const struct tundish_addr *a)
{
	__u32 v4 = TUNDISH_BE32(a->word[3]), v6 = TUNDISH_BE32(a->word[0]);

	if (tundish_addr_is_v4(a))
		return v4 >> 24 == 0 || v4 >> 24 == 127 || v4 >> 24 >= 224 || v4 >> 16 == 0xa9fe;
	return v6 >> 24 == 0xff || v6 >> 22 == 0xfe80 >> 6 ||
	       (!a->word[0] && !a->word[1] && !a->word[2] && v4 <= 1);
}

static __always_inline int is_excepted(const struct tundish_egress *pool, __u32 id,
				       const struct tundish_addr *a)
{
	struct tundish_egress_prefix key = {.length = 32 + 128, .pool = id, .address = *a};

	return pool->flags & TUNDISH_EGRESS_EXCEPT && bpf_map_lookup_elem(&egress_except, &key);
}

/* A VIP of this host: a backend is found for it by another program, after this one. */
static __always_inline int is_vip(const struct tundish_addr *a, __u8 protocol, __be16 port_be)
{
	return CLAIM_SERVICE(claim_find(a, CLAIM_PORT(protocol, bpf_ntohs(port_be)))) != 0;
}

/* Whether the socket's address and port are its program's own doing. Returns 1 where
 * they are, 0 where a source may be chosen, -1 where one was chosen already and stays. */
static __always_inline int bound_by_program(struct bpf_sock *sk, const struct tundish_addr *local,
					    const struct tundish_opening *o, __u32 id)
{
	struct tundish_egress *other;
	__u32 pool;

	if (sk->bound_dev_if)
		return 1;
	if (!o || !(o->flags & TUNDISH_OPENING_EGRESS) || !tundish_addr_equal(&o->local, local))
		return sk->src_port || local->word[3] || local->word[0] || local->word[1];
	if (sk->src_port)
		return -1; /* a UDP socket that is connected again */
	pool = o->pool;
	other = bpf_map_lookup_elem(&egress, &pool);
	if (pool != id && other && other->flags & TUNDISH_EGRESS_ACTIVE)
		return -1; /* an inner cgroup's choice, a moment ago */
	return 0;	   /* ours, of an attempt that failed */
}

/* ---- UDP: a port counts for all destinations ------------------------------------------ */

static __always_inline void udp_count(const struct tundish_port_key *key)
{
	struct tundish_ports *p = bpf_map_lookup_elem(&ports, key);

	if (!p) {
		bpf_map_update_elem(&ports, key, &no_ports, BPF_NOEXIST);
		p = bpf_map_lookup_elem(&ports, key);
	}
	if (!p)
		return;
	__sync_fetch_and_add(&p->opened, 1);
	__sync_fetch_and_add(&p->held, 1);
}

static __always_inline void udp_give_back(__u64 netns, const struct tundish_addr *local)
{
	struct tundish_space *space = bpf_map_lookup_elem(&spaces, &netns);
	struct tundish_port_key key = {.protocol = IPPROTO_UDP};
	struct tundish_ports *p;

	if (!space)
		return;
	key.local = *local;
	key.space = (__u16)space->index;
	p = bpf_map_lookup_elem(&ports, &key);
	if (!p)
		return;
	__sync_fetch_and_add(&p->freed, 1);
	__sync_fetch_and_add(&p->held, -1);
}

/* ---- shifts ------------------------------------------------------------------------------ */

/* A source in its turn had a half or was nearly full, and another is clearly below. Told
 * once, until there was none for a minute. */
static __always_inline void shift(struct tundish_egress *pool, const struct search *s)
{
	struct tundish_port_key key = s->key;
	__u64 now = s->now, former = 0, *last;
	struct tundish_port_event *e;

	key.local = pool->source[s->turn & PLACE_MASK].address;
	last = bpf_map_lookup_elem(&egress_passed, &key);
	if (last) {
		former = *last;
		*last = now;
		if (now - former < EPISODE_NS)
			return;
	} else {
		bpf_map_update_elem(&egress_passed, &key, &now, BPF_ANY);
	}
	__sync_fetch_and_add(&pool->shifts, 1);
	e = bpf_ringbuf_reserve(&port_events, sizeof(*e), 0);
	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = TUNDISH_PORT_EVENT_SHIFT;
	e->pool = s->pool;
	e->key = key;
	e->from = s->turn;
	e->to = s->best;
	e->used = s->turn_used;
	e->usable = s->usable;
	e->pid = (__u32)(bpf_get_current_pid_tgid() >> 32);
	bpf_get_current_comm(e->command, sizeof(e->command));
	bpf_ringbuf_submit(e, 0);
}

static __always_inline int is_shift(const struct search *s)
{
	if (!s->counted || s->turn == s->best || s->turn_used <= s->best_used + s->usable / 16)
		return 0;
	return (s->turn_used >= s->usable / 2 && s->best_used < s->usable / 2) ||
	       s->turn_used + NEARLY >= s->usable;
}

/* ---- connect(2) ---------------------------------------------------------------------------- */

static __always_inline long bind_to(struct bpf_sock_addr *ctx, const struct tundish_addr *a)
{
	if (ctx->family == AF_INET) {
		struct sockaddr_in {
			__u16 family;
			__be16 port;
			__be32 address;
			__u8 zero[8];
		} in = {.family = AF_INET, .address = a->word[3]};

		return bpf_bind(ctx, (struct sockaddr *)&in, sizeof(in));
	} else {
		struct sockaddr_in6 {
			__u16 family;
			__be16 port;
			__be32 flow;
			struct tundish_addr address;
			__u32 scope;
		} in6 = {.family = AF_INET6, .address = *a};

		return bpf_bind(ctx, (struct sockaddr *)&in6, sizeof(in6));
	}
}

/* One source after the other from the chosen one on, until the kernel takes one. */
static long bind_next(__u32 i, struct round *r)
{
	struct search *s = r->s;
	struct tundish_egress_source *source;
	struct tundish_egress *pool;
	struct tundish_addr address;
	__u32 id = s->pool, place;

	pool = bpf_map_lookup_elem(&egress, &id);
	if (!pool)
		return 1;
	place = i ? place_at(pool, s, s->best_at + i) : s->best & PLACE_MASK;
	source = &pool->source[place];
	if (!is_ready(source, s->now))
		return 0;
	address = source->address;
	if (bind_to(r->ctx, &address)) {
		WRITE_ONCE(source->rests_until, s->now + RESTS_NS);
		return 0;
	}
	__sync_fetch_and_add(&source->connections, 1);
	s->key.local = address;
	s->best = place;
	s->found = 1;
	return 1;
}

CHECKED_ALONE int bind_one(struct bpf_sock_addr *ctx, struct search *s)
{
	struct round r = {.ctx = ctx, .s = s};

	if (!s || s->n > TUNDISH_EGRESS_SOURCES)
		return 0;
	s->found = 0;
	bpf_loop(s->n, bind_next, &r, 0);
	return 0;
}

static __always_inline int connects(struct bpf_sock_addr *ctx, const struct tundish_addr *remote,
				    const struct tundish_addr *local)
{
	__u32 *id = bpf_get_local_storage(&egress_cgroups, 0), why;
	struct tundish_egress *pool;
	struct bpf_sock *sk = ctx->sk;
	struct tundish_opening *o;
	struct tundish_space *space;
	struct search s = {};
	__u64 netns;
	int r;

	s.pool = *id;
	pool = bpf_map_lookup_elem(&egress, &s.pool);
	if (!pool || !(pool->flags & TUNDISH_EGRESS_ACTIVE) || !sk)
		return 1;
	s.key.protocol = (__u8)ctx->protocol;
	if (s.key.protocol != IPPROTO_TCP && s.key.protocol != IPPROTO_UDP)
		return leave(pool, TUNDISH_EGRESS_protocol);
	netns = bpf_get_netns_cookie(ctx);
	if (netns != pool->netns)
		return leave(pool, TUNDISH_EGRESS_namespace);
	o = bpf_sk_storage_get(&opening, sk, NULL, 0);
	r = bound_by_program(sk, local, o, s.pool);
	if (r)
		return r < 0 ? 1 : leave(pool, TUNDISH_EGRESS_bound);
	if (is_local(remote))
		return leave(pool, TUNDISH_EGRESS_local);
	if (is_excepted(pool, s.pool, remote))
		return leave(pool, TUNDISH_EGRESS_except);
	if (is_vip(remote, s.key.protocol, (__be16)ctx->user_port))
		return leave(pool, TUNDISH_EGRESS_vip);

	s.now = bpf_ktime_get_ns();
	s.family = !tundish_addr_is_v4(remote);
	space = bpf_map_lookup_elem(&spaces, &netns);
	if (s.key.protocol == IPPROTO_TCP) {
		s.key.remote = *remote;
		s.key.remote_port_be = (__be16)ctx->user_port;
	}
	if (o && o->flags & TUNDISH_OPENING_UDP) {
		o->flags &= ~TUNDISH_OPENING_UDP;
		udp_give_back(netns, &o->local);
	}
	why = choose(&s, pool, space);
	if (!why) {
		probe_all_connect(ctx, &s);
		why = s.found ? TUNDISH_EGRESS_PROBED : TUNDISH_EGRESS_EXHAUSTED;
	}
	if (why == TUNDISH_EGRESS_NONE)
		return leave(pool, TUNDISH_EGRESS_family);
	if (why == TUNDISH_EGRESS_EXHAUSTED)
		__sync_fetch_and_add(&pool->exhausted, 1);
	else if (is_shift(&s))
		shift(pool, &s);

	bind_one(ctx, &s);
	if (!s.found)
		return leave(pool, TUNDISH_EGRESS_refused);
	if (!o)
		o = bpf_sk_storage_get(&opening, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!o)
		return 1;
	o->flags |= TUNDISH_OPENING_EGRESS;
	o->pool = (__u16)s.pool;
	o->source = (__u16)s.best;
	o->local = s.key.local;
	if (s.key.protocol == IPPROTO_UDP && space) {
		udp_count(&s.key);
		o->flags |= TUNDISH_OPENING_UDP;
	}
	return 1;
}

SEC("cgroup/connect4")
int egress_connect4(struct bpf_sock_addr *ctx)
{
	struct tundish_addr remote = tundish_addr_v4(ctx->user_ip4), local = {};
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return 1;
	if (sk->src_ip4)
		local = tundish_addr_v4(sk->src_ip4);
	return connects(ctx, &remote, &local);
}

SEC("cgroup/connect6")
int egress_connect6(struct bpf_sock_addr *ctx)
{
	struct tundish_addr remote, local;
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return 1;
	remote.word[0] = ctx->user_ip6[0];
	remote.word[1] = ctx->user_ip6[1];
	remote.word[2] = ctx->user_ip6[2];
	remote.word[3] = ctx->user_ip6[3];
	local.word[0] = sk->src_ip6[0];
	local.word[1] = sk->src_ip6[1];
	local.word[2] = sk->src_ip6[2];
	local.word[3] = sk->src_ip6[3];
	return connects(ctx, &remote, &local);
}

/* ---- close(2) ------------------------------------------------------------------------------ */

SEC("cgroup/sock_release")
int egress_release(struct bpf_sock *ctx)
{
	struct tundish_opening *o;

	if (ctx->protocol != IPPROTO_UDP)
		return 1;
	o = bpf_sk_storage_get(&opening, ctx, NULL, 0);
	if (!o || !(o->flags & TUNDISH_OPENING_UDP))
		return 1;
	o->flags &= ~TUNDISH_OPENING_UDP;
	udp_give_back(bpf_get_netns_cookie(ctx), &o->local);
	return 1;
}

/* ---- asked by hand: nothing changes ---------------------------------------------------------- */

SEC("tc")
int egress_ask(struct __sk_buff *skb)
{
	struct tundish_egress_question *q;
	struct tundish_space *space;
	struct tundish_egress *pool;
	struct tundish_addr remote;
	struct search s = {};
	__u32 zero = 0;
	__u64 netns;

	q = bpf_map_lookup_elem(&egress_asked, &zero);
	if (!q)
		return 0;
	q->why = TUNDISH_EGRESS_NONE;
	q->left = TUNDISH_EGRESS_family;
	s.pool = q->pool;
	pool = bpf_map_lookup_elem(&egress, &s.pool);
	if (!pool || !(pool->flags & TUNDISH_EGRESS_ACTIVE))
		return 0;
	remote = q->remote;
	netns = q->netns;
	if (netns != pool->netns) {
		q->left = TUNDISH_EGRESS_namespace;
		return 0;
	}
	if (is_local(&remote)) {
		q->left = TUNDISH_EGRESS_local;
		return 0;
	}
	if (is_excepted(pool, s.pool, &remote)) {
		q->left = TUNDISH_EGRESS_except;
		return 0;
	}
	if (is_vip(&remote, q->protocol, q->port_be)) {
		q->left = TUNDISH_EGRESS_vip;
		return 0;
	}
	s.asked = 1;
	s.now = bpf_ktime_get_ns();
	s.family = !tundish_addr_is_v4(&remote);
	s.key.protocol = q->protocol;
	if (s.key.protocol == IPPROTO_TCP) {
		s.key.remote = remote;
		s.key.remote_port_be = q->port_be;
	}
	space = bpf_map_lookup_elem(&spaces, &netns);
	q->why = choose(&s, pool, space);
	if (!q->why) {
		probe_all_asked(skb, &s);
		q->why = s.found ? TUNDISH_EGRESS_PROBED : TUNDISH_EGRESS_EXHAUSTED;
	}
	q->source = s.best;
	q->usable = s.usable;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
