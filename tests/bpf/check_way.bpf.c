// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs that lead health checks, as they ship, and one that takes a packet's way from a
 * map: a packet of BPF_PROG_TEST_RUN has a socket of its own, which nobody can give one.
 */
#include "checks.bpf.c"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tundish_check_way);
} asked SEC(".maps");

SEC("tc")
int asked_out(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct tundish_check_way *w = bpf_map_lookup_elem(&asked, &zero);

	return w ? check_out(skb, w) : TC_ACT_SHOT;
}

/* What there is without any of it, to be measured against. */
SEC("tc")
int bare(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}
