/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands before libbpf's header of this name where bpf/ is compiled for this machine:
 * the kernel's helpers, as rig_native.h has them.
 */
#ifndef __BPF_HELPERS__
#define __BPF_HELPERS__

#include <stddef.h> /* libbpf's has an offsetof of its own */

#include <linux/bpf.h>

#define __uint(name, val) int(*name)[val]
#define __type(name, val) __typeof__(val) *name
#define __array(name, val) __typeof__(val) *name[]
#define SEC(name)
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif

struct bpf_sock;
struct bpf_sock_tuple;

void *bpf_map_lookup_elem(void *map, const void *key);
long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags);
struct bpf_sock *bpf_sk_lookup_udp(void *ctx, struct bpf_sock_tuple *tuple, __u32 length,
				   __u64 netns, __u64 flags);
struct bpf_sock *bpf_skc_lookup_tcp(void *ctx, struct bpf_sock_tuple *tuple, __u32 length,
				    __u64 netns, __u64 flags);
long bpf_sk_release(void *sock);
__u64 bpf_ktime_get_coarse_ns(void);
__u64 bpf_ktime_get_ns(void);
__u64 bpf_ringbuf_query(void *ring, __u64 flags);
long bpf_ringbuf_output(void *ring, void *data, __u64 size, __u64 flags);
__u64 bpf_xdp_get_buff_len(struct xdp_md *ctx);
long bpf_xdp_load_bytes(struct xdp_md *ctx, __u32 offset, void *to, __u32 length);
long bpf_xdp_store_bytes(struct xdp_md *ctx, __u32 offset, void *from, __u32 length);
long bpf_xdp_adjust_head(struct xdp_md *ctx, int delta);
long bpf_xdp_adjust_tail(struct xdp_md *ctx, int delta);
__u32 bpf_get_smp_processor_id(void);
__u32 bpf_get_prandom_u32(void);
long bpf_loop(__u32 n, void *callback, void *context, __u64 flags);
long bpf_redirect(__u32 ifindex, __u64 flags);
long bpf_fib_lookup(void *ctx, struct bpf_fib_lookup *f, int length, __u32 flags);
__s64 bpf_csum_diff(__be32 *from, __u32 from_size, __be32 *to, __u32 to_size, __u32 seed);

#endif
