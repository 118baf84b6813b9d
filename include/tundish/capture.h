/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets for people: what `tundish capture` asks of the data path, and what it gets.
 *
 * The data path reads one word of `capture` for each packet, `until`. While it is not 0 the packet is
 * held to the filter, and what matches is copied into the ring that is in `capture_ring`. A lease, not
 * a switch: a packet that matches after that moment takes the word back, so that nothing goes on
 * when a daemon was killed.
 */
#ifndef TUNDISH_CAPTURE_H
#define TUNDISH_CAPTURE_H

#include <linux/types.h>

#define TUNDISH_CAPTURE_BYTES	  2048u /* most that is copied of a frame */
#define TUNDISH_CAPTURE_TERMS	  2u	/* of addresses, and of ports */
#define TUNDISH_CAPTURE_SAMPLE	  16u	/* one of so many, while the ring is more than half full */
#define TUNDISH_CAPTURE_RING_MIN  (1u << 16)
#define TUNDISH_CAPTURE_NO_FAMILY 255u /* as a protocol: no packet of that family */

enum tundish_capture_point {
	TUNDISH_CAPTURE_IN = 1 << 0,	  /* as it arrives */
	TUNDISH_CAPTURE_OUT = 1 << 1,	  /* as it leaves, where it was sent or unwrapped */
	TUNDISH_CAPTURE_DROPPED = 1 << 2, /* as it arrives, where it is dropped */
};

enum tundish_capture_end {
	TUNDISH_CAPTURE_SOURCE = 1 << 0,
	TUNDISH_CAPTURE_DESTINATION = 1 << 1,
};

enum tundish_capture_unmatched {
	TUNDISH_CAPTURE_UNMATCHED_IS_NOTHING,
	TUNDISH_CAPTURE_UNMATCHED_MAY_LEAVE,	/* points have _OUT */
	TUNDISH_CAPTURE_UNMATCHED_IS_NOTED = 3, /* and a service is asked for */
};

/* One of a packet's ends, or either, has such an address. IPv4 stands in word[3] alone. */
struct tundish_capture_address {
	__be32 value[4], mask[4];
	__u32 ends; /* enum tundish_capture_end; 0: no such term */
	__u32 reserved;
};

struct tundish_capture_port {
	__be16 value;
	__u16 ends; /* as above */
};

/* ---- capture: array of one, mapped --------------------------------------------- */
struct tundish_capture {
	__u64 until;   /* CLOCK_MONOTONIC ns; 0: nobody captures */
	__u64 nothing; /* 0, which the verifier does not know */
	__u64 unmatched; /* enum tundish_capture_unmatched: of a packet that does not match as it arrives */
	__u32 points;	  /* enum tundish_capture_point */
	__u32 snaplen;	  /* bytes of a frame that are copied, 1 to TUNDISH_CAPTURE_BYTES */
	__u32 ifindex;	  /* where it arrived; 0: anywhere */
	__u32 service;	  /* number; 0: any, and none */
	__u32 counter;	  /* 1 + enum tundish_counter: the verdict's reason; 0: any */
	__u8 headers;	  /* the fields below say anything at all */
	__u8 protocol[2]; /* of IPv4, of IPv6; 0: any, 255: no packet of that family */
	__u8 reserved;
	struct tundish_capture_address address[TUNDISH_CAPTURE_TERMS];
	struct tundish_capture_port port[TUNDISH_CAPTURE_TERMS];
	__u64 spare_before[7];
	/* on a line of their own, as all CPUs read the others: packets that were not taken ... */
	__u64 sampled; /* since the ring was more than half full */
	__u64 full;    /* since it was full */
	__u64 spare[6];
};

/* ---- capture_ring: array of one, of ring buffers; empty while nobody captures ------ */
/* What the data path writes there for each packet and point; `captured` bytes of the frame follow. */
struct tundish_captured {
	__u64 at_ns;	/* CLOCK_MONOTONIC: when it arrived */
	__u64 number;	/* of the packet: the same where it arrives and where it leaves */
	__u32 length;	/* of the whole frame */
	__u32 captured; /* bytes */
	__u32 ifindex;	/* where it arrived, or leaves */
	__u32 queue;	/* where it arrived */
	__u32 point;	/* TUNDISH_CAPTURE_IN or _OUT */
	__u32 action;	/* XDP_* */
	__u32 counter;	/* enum tundish_counter: the reason */
	__u32 service;	/* 0: none, or not known */
	__u32 backend;	/* 0: none, or not known */
	__u32 reserved;
};

_Static_assert(__builtin_offsetof(struct tundish_capture, sampled) % 64 == 0, "a line of its own");
_Static_assert(sizeof(struct tundish_capture) % 64 == 0, "whole lines");

#endif
