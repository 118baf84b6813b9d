// SPDX-License-Identifier: GPL-2.0-only
/* A probe: does the kernel allow BPF trampolines (fentry, freplace)? libxdp's
 * dispatcher cannot work without them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("fentry/bpf_fentry_test1")
int trampoline(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
