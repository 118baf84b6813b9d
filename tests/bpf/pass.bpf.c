// SPDX-License-Identifier: GPL-2.0-only
/* The least XDP program: lets everything pass. A probe for the runner, and the
 * "other program" that an interface may carry already. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
