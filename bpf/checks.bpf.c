// SPDX-License-Identifier: GPL-2.0-only
/*
 * Health checks on the way of the traffic, for deliveries `dsr`, `ipip` and `gue`: two programs
 * of tc (clsact), on the devices that lead to backends and, where families differ, on loopback.
 *
 *   daemon's socket ──connect(2)──► stand-in: the backend's own address
 *        │                             ▲
 *   tc egress: the socket has a way    │ tc ingress: from a VIP to a check's port
 *        │                             │
 *        ▼ VIP, tunnel                 │
 *     backend ─────from the VIP────────┘
 *
 * The host owns the VIP itself, so no route of its own would take a check there, and a
 * packet from it would be refused; the stand-in is what the host's stack sees of it.
 *
 * All that passes these devices comes by here. What is sent pays one look at its socket, what
 * is received one bit of its local port.
 */
#include "check_way.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tundish_check_way);
} check_ways SEC(".maps");

SEC("tc")
int td_check_out(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct tundish_check_way *w;

	if (!sk)
		return TC_ACT_UNSPEC;
	w = bpf_sk_storage_get(&check_ways, sk, NULL, 0);
	return likely(!w) ? TC_ACT_UNSPEC : check_out(skb, w);
}

/* Where the ports are to be read by pointer, and what is not read so is brought there. */
#define PORTS_END (NETWORK + (__u32)sizeof(struct ipv6hdr) + 4)

static __noinline int bring(struct __sk_buff *skb)
{
	return bpf_skb_pull_data(skb, skb->len < PORTS_END ? skb->len : PORTS_END);
}

SEC("tc")
int td_check_in(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const int v4 = skb->protocol == bpf_htons(ETH_P_IP);
	__u32 transport;
	__u8 protocol;
	__be16 *ports;

	if (!v4 && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_UNSPEC;
	if (unlikely(data + NETWORK + sizeof(struct iphdr) + 4 > end)) {
		if (bring(skb))
			return TC_ACT_UNSPEC;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		if (data + NETWORK + sizeof(struct iphdr) + 4 > end)
			return TC_ACT_UNSPEC;
	}
	if (v4) {
		struct iphdr *ip = data + NETWORK;

		protocol = ip->protocol;
		transport = NETWORK + ip->ihl * 4;
	} else {
		struct ipv6hdr *ip = data + NETWORK;

		protocol = ip->nexthdr;
		transport = NETWORK + sizeof(*ip);
	}
	if (unlikely(protocol == (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))) {
		__u8 type;

		if (bpf_skb_load_bytes(skb, transport, &type, 1) ||
		    type != (v4 ? UNREACHABLE : UNREACHABLE_V6))
			return TC_ACT_UNSPEC;
		return check_refused(skb, transport + ICMP_LENGTH, !v4);
	}
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return TC_ACT_UNSPEC;
	ports = data + transport;
	if (unlikely((void *)(ports + 2) > end)) {
		__be16 port;

		if (bpf_skb_load_bytes(skb, transport + 2, &port, 2) || !is_check(protocol, port))
			return TC_ACT_UNSPEC;
		return check_in(skb);
	}
	return likely(!is_check(protocol, ports[1])) ? TC_ACT_UNSPEC : check_in(skb);
}

char LICENSE[] SEC("license") = "GPL";
