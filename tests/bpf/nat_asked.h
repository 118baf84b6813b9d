/* SPDX-License-Identifier: GPL-2.0-only */
/* What nat.bpf.c is asked, per CPU, and its answers. */
#ifndef TESTS_NAT_ASKED_H
#define TESTS_NAT_ASKED_H

#include <tundish/nat_state.h>

struct nat_asked {
	__u32 first, clients; /* client numbers */
	__u32 shuffle;	      /* any of them; else one after the other */
	__u32 n;	      /* how many were asked */
	__u32 lane, put;
	__u32 backend; /* 1: a pool of source ports; 2: the clients' own */
	__u32 reserved;
	struct tundish_nat_segment segment;
	__u32 padding;
	__u64 found, made, taken, refused;
};

#endif
