/* SPDX-License-Identifier: GPL-2.0-only */
/* What rewrite.bpf.c is asked to do with a packet, and what it says of it; for both
 * sides, the program and its tests. */
#ifndef TESTS_REWRITE_QUESTION_H
#define TESTS_REWRITE_QUESTION_H

#include <tundish/addr.h>

enum op {
	OP_NOTHING, /* read the packet and send it back: what the rest is measured against */
	OP_REWRITE, /* within a family or to the other one */
	OP_ICMP,    /* an error */
	OP_RESET,
	OP_OPTIONS,
	OP_TOA,
	OP_PARTIAL,  /* is the checksum still to be completed? native */
	OP_GENERIC,  /* the same; generic */
	OP_COMPLETE, /* OP_REWRITE of a partial one, native: completed afterwards */
	OP_TURNS,    /* to the other family: `to` or `quoted`, whichever is of it */
	OP_MAX
};

/* As struct rewrite, whose header is not for this side. */
struct ends {
	struct tundish_addr source, destination;
	__be16 source_port, destination_port, id;
	__u16 flags;
};

struct question {
	struct ends to, quoted;	    /* quoted: of the packet in an ICMP error */
	struct tundish_addr client; /* of the TOA option */
	__be16 client_port;
	__u16 mss, op, mtu;
	/* answers */
	__s32 result;
	__u16 lowered, stripped, has_timestamps, got_mss;
	__u32 tsval, tsecr;
};

#endif
