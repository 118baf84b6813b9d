/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls of bind(2) that got no port (EADDRINUSE), from the end of the system call, since
 * the kernel has no event of its own for it (syscall.bpf.h: attached where the file says
 * so). They count for the address that was asked for, without a destination, if the port
 * was left to the kernel or lies in the range: of a service's own port nothing is held.
 */
#ifndef TUNDISH_PORT_BIND_BPF_H
#define TUNDISH_PORT_BIND_BPF_H

#include "port_events.bpf.h"
#include "syscall.bpf.h"

#define IN_USE_ERROR (-98)

/* struct sockaddr_in and sockaddr_in6 as far as they go. */
struct asked {
	__u16 family;
	__be16 port_be;
	__be32 address4;
	__be32 address6[4];
};

/* What the program asked for: read once more, so a hostile one can tell of any address. */
static __always_inline int asked_for(const void *address, __u16 family, struct asked *ret)
{
	return family == AF_INET6 ? bpf_probe_read_user(ret, sizeof(*ret), address)
				  : bpf_probe_read_user(ret, 8, address);
}

SEC("tp_btf/sys_exit")
int tundish_port_bind(__u64 *ctx)
{
	const struct pt_regs *regs = (const struct pt_regs *)ctx[0];
	struct tundish_port_key key = {};
	struct tundish_space *space;
	struct asked asked = {};
	struct tundish_ports *p;
	struct sock *sk;
	__u64 cookie;
	__u16 family, port;

	if ((__s64)ctx[1] != IN_USE_ERROR || !is_call(regs, CALL_BIND))
		return 0;
	sk = socket_behind((__u32)first_argument(regs));
	if (!sk)
		return 0;
	cookie = BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
	space = bpf_map_lookup_elem(&spaces, &cookie);
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (!space || (family != AF_INET && family != AF_INET6) ||
	    asked_for((const void *)second_argument(regs), family, &asked))
		return 0;
	port = bpf_ntohs(asked.port_be);
	if (port && (port < space->first || port > space->last))
		return 0;
	if (family == AF_INET)
		key.local = tundish_addr_v4(asked.address4);
	else
		__builtin_memcpy(&key.local, asked.address6, sizeof(key.local));
	key.space = space->index;
	key.protocol = BPF_CORE_READ(sk, sk_protocol);
	if (key.protocol != IPPROTO_TCP && key.protocol != IPPROTO_UDP)
		return 0;
	p = ports_take(&key, NULL);
	if (!p)
		return 0;
	__sync_fetch_and_add(&p->failed[TUNDISH_PORT_FAILED_EADDRINUSE], 1);
	tell_failure(&key, p, space, TUNDISH_PORT_FAILED_EADDRINUSE);
	return 0;
}

#endif
