/* SPDX-License-Identifier: GPL-2.0-only */
/* What the programs of net.bpf.c are told by userspace. */
#ifndef TD_BENCH_NET_H
#define TD_BENCH_NET_H

#include <linux/types.h>

#include "knobs.h"

#define BENCH_IFINDEX_MAX 256

struct bench_source {
	__u32 next; /* flow */
	__u32 mask; /* 1023: the same 1,024 flows again and again; ~0: ever new ones */
	__u32 ifindex;
	__be32 vip_be;
	__u8 to[6], from[6]; /* MAC addresses */
	/* Times of CLOCK_MONOTONIC, taken where it happens: what a test run does before
	 * its first frame and after its last one takes longer than many frames do. */
	__u32 frames;	  /* of this run; counted down by the source */
	__u32 expected;	  /* counted down by the sink */
	__u64 first_ns;	  /* the first frame was made */
	__u64 last_ns;	  /* the last one was made */
	__u64 arrived_ns; /* all had arrived; 0: not all did */
};

struct bench_limit {
	__u32 ifindex;
	__be32 vip_be;
	__u8 to[6], from[6];
};

/* Either direction of the least that translates both addresses of one client: 0 from it to
 * the server, 1 back. */
struct bench_both {
	struct {
		__u32 ifindex;
		__be32 from, to;	 /* addresses as the packet comes */
		__be32 new_from, new_to; /* and as it leaves */
		__u32 sum;		 /* what checksums grow by */
		__u8 to_mac[6], from_mac[6];
	} way[2];
};

#endif
