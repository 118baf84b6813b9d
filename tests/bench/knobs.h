/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a measuring program and its wrapper in the kernel share: which flows
 * there are, and what the wrapper shall send. Flow number i is always the same
 * client and port, so nothing needs to be stored per flow.
 */
#ifndef TD_BENCH_KNOBS_H
#define TD_BENCH_KNOBS_H

#include <linux/types.h>

/* Frames: Ethernet, IP, TCP, ten bytes. */
#define BENCH_LENGTH  64
#define BENCH_LENGTH6 84
/* Flows per client address. */
#define BENCH_PORTS_SHIFT   6
#define BENCH_CLIENTS	    0x0a000000u /* 10.0.0.0, and the same bits below 2001:db8:1:: */
#define BENCH_SPOOFED	    0x80000000u /* the upper half of all addresses is spoofed ones */
#define BENCH_SYNS_PER_LIVE 100u
#define BENCH_FLOWS_MAX	    (1u << 24)
/* Backend i has an address that ends with i in its low 16 bits. */

/* In syn_went_to beside the backend: the flow found no place in the table. */
#define BENCH_UNPLACED (1ull << 32)

struct bench_knobs {
	__u64 random;	      /* state of the generator */
	__u32 flows;	      /* draw from 0 .. flows-1 */
	__u32 next;	      /* next flow in order */
	__u32 phase;	      /* of a flow's segments, or of the flood */
	__be32 vip_be;	      /* IPv4 destination */
	__be16 port_be;	      /* service port */
	__u16 udp;	      /* 1: UDP packets instead of segments */
	__u32 checked_flow;   /* 1 + the flow whose packet is under way; 0: none */
	__u64 checked;	      /* packets whose backend was compared */
	__u64 wrong;	      /* and is another than their SYN's */
	__u64 wrong_unplaced; /* of these, of flows without a place in the table */
	__u64 unsent;	      /* packets that came back as they were */
	__u32 answer;	      /* the next of `answers` */
	__u32 answer_flags;   /* TCP flags of answers */
};

/* What a server sends on a translated connection, all in network byte order. In an order
 * of their own, so that reading them costs the wrapper little. */
struct bench_answer {
	__be32 from, to;
	__be16 from_port, to_port;
	__be32 ack_be; /* the client's next sequence number */
};

#endif
