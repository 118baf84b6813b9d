/* SPDX-License-Identifier: GPL-2.0-only */
/* From a socket to its tuple in `ports`. */
#ifndef TUNDISH_PORT_TUPLE_BPF_H
#define TUNDISH_PORT_TUPLE_BPF_H

#include <bpf/bpf_endian.h>
#include <linux/in.h>

#include "kernel.h"
#include "verdict.h"

#define EXIST_ERROR (-17)

/* A dual-stack socket towards IPv4 has mapped addresses, which is how IPv4 stands
 * here anyway. */
static __always_inline void local_of(const struct sock_common *sk, struct tundish_addr *ret)
{
	if (sk->skc_family == AF_INET) {
		*ret = tundish_addr_v4(sk->skc_rcv_saddr);
		return;
	}
	ret->word[0] = sk->skc_v6_rcv_saddr.in6_u.u6_addr32[0];
	ret->word[1] = sk->skc_v6_rcv_saddr.in6_u.u6_addr32[1];
	ret->word[2] = sk->skc_v6_rcv_saddr.in6_u.u6_addr32[2];
	ret->word[3] = sk->skc_v6_rcv_saddr.in6_u.u6_addr32[3];
}

static __always_inline void remote_of(const struct sock_common *sk, struct tundish_addr *ret)
{
	if (sk->skc_family == AF_INET) {
		*ret = tundish_addr_v4(sk->skc_daddr);
		return;
	}
	ret->word[0] = sk->skc_v6_daddr.in6_u.u6_addr32[0];
	ret->word[1] = sk->skc_v6_daddr.in6_u.u6_addr32[1];
	ret->word[2] = sk->skc_v6_daddr.in6_u.u6_addr32[2];
	ret->word[3] = sk->skc_v6_daddr.in6_u.u6_addr32[3];
}

static __always_inline void tuple_of(const struct sock_common *sk, __u32 space,
				     struct tundish_port_key *ret)
{
	local_of(sk, &ret->local);
	remote_of(sk, &ret->remote);
	ret->remote_port_be = sk->skc_dport;
	ret->space = space;
	ret->protocol = IPPROTO_TCP;
}

/* An entry as it begins. */
static const volatile struct tundish_ports no_ports;

static __always_inline struct tundish_ports *ports_make(const struct tundish_port_key *key)
{
	struct tundish_ports *p = bpf_map_lookup_elem(&ports, key);
	long r;

	if (p)
		return p;
	r = bpf_map_update_elem(&ports, key, (const void *)&no_ports, BPF_NOEXIST);
	return r && r != EXIST_ERROR ? NULL : bpf_map_lookup_elem(&ports, key);
}

/* The tuple's entry, or that of all which found no place; NULL where not even that is. */
static __always_inline struct tundish_ports *ports_take(const struct tundish_port_key *key,
							__u64 *overflow)
{
	struct tundish_port_key others = {.space = key->space};
	struct tundish_ports *p = ports_make(key);

	if (p)
		return p;
	if (overflow)
		__sync_fetch_and_add(overflow, 1);
	return bpf_map_lookup_elem(&ports, &others);
}

#endif
