/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Source addresses for outbound connections: pools, each for the processes of
 * one cgroup. Programs on its connect(2) hooks choose the pool's source that is
 * used least for the destination, and bind the socket to the address alone; the
 * port is chosen by the kernel afterwards, as ever.
 *
 * How much a source is used comes from `ports` (ports.h): what the events count
 * and what the last scan found, whichever is more.
 */
#ifndef TUNDISH_EGRESS_H
#define TUNDISH_EGRESS_H

#include <tundish/ports.h>

/* ---- egress: mmapable array, pool 1.. --------------------------------------------- */

/* Why a connection got no source of the pool. */
#define TUNDISH_EGRESS_LEFT(X)                                                                     \
	X(bound, "the program had bound an address, a port or a device")                           \
	X(except, "the destination is listed under except")                                        \
	X(local, "a loopback, link-local or multicast destination")                                \
	X(family, "the pool has no source of the destination's family on this host")               \
	X(namespace, "in another network namespace than the sources")                              \
	X(protocol, "neither TCP nor UDP")                                                         \
	X(refused, "the kernel took none of the sources")                                          \
	X(vip, "the destination is a VIP of this host, which chooses a backend")

enum tundish_egress_left {
#define TUNDISH_X(name, help) TUNDISH_EGRESS_##name,
	TUNDISH_EGRESS_LEFT(TUNDISH_X)
#undef TUNDISH_X
		TUNDISH_EGRESS_LEFT_MAX
};

enum tundish_egress_flag {
	TUNDISH_EGRESS_ACTIVE = 1 << 0,
	TUNDISH_EGRESS_EXCEPT = 1 << 1, /* it has entries in `egress_except` */
};

enum tundish_source_flag {
	TUNDISH_SOURCE_LISTED = 1 << 0,	 /* in the file; without it the place is free */
	TUNDISH_SOURCE_PRESENT = 1 << 1, /* on this host, as the daemon last saw */
};

struct tundish_egress_source {
	struct tundish_addr address;
	__u32 flags; /* enum tundish_source_flag */
	__u32 reserved;
	__u64 rests_until; /* ns: the kernel refused it, so it is passed over till then */
	__u64 connections; /* that got it */
	__u64 reserved_counts[3];
};

/* A source keeps its place as long as it is in the file. Looked at are the first
 * n[family] places of order[family]; both are rewritten in place, so a reader may
 * for a moment see a place twice, or one that is not LISTED and PRESENT. */
struct tundish_egress {
	/* First cache line: the daemon's. */
	__u32 flags; /* enum tundish_egress_flag */
	__u32 n[2];  /* IPv4, IPv6 */
	__u32 reserved;
	__u64 netns; /* cookie of the network namespace in which the sources are */
	__u64 reserved_line[5];
	__u8 order[2][TUNDISH_EGRESS_SOURCES];
	/* Then: per connection. */
	__u64 next[2]; /* tickets: where the search begins */
	__u64 left[TUNDISH_EGRESS_LEFT_MAX];
	__u64 exhausted; /* connections for which no source had a port left */
	__u64 shifts;	 /* events TUNDISH_PORT_EVENT_SHIFT */
	__u64 reserved_counts[4];
	char name[TUNDISH_NAME_LEN];
	struct tundish_egress_source source[TUNDISH_EGRESS_SOURCES];
};

/* ---- egress_except: LPM trie, pool and prefix -> 1 ----------------------------------- */

struct tundish_egress_prefix {
	__u32 length; /* 32 for the pool, and the prefix's in the 128-bit form */
	__u32 pool;
	struct tundish_addr address;
};

/* ---- egress_cgroups: cgroup storage, cgroup -> pool ----------------------------------- */

/* ---- egress_passed: LRU hash, source and destination -> ns of the last time that it was
 * passed over in its turn ---------------------------------------------------------------- */

/* ---- egress_asked: array of one, for the dry twin ------------------------------------- */

enum tundish_egress_why {
	TUNDISH_EGRESS_LEAST = 1, /* the least used */
	TUNDISH_EGRESS_PROBED =
		2, /* all are nearly full: the first on which a port was found free */
	TUNDISH_EGRESS_EXHAUSTED = 3, /* no port was found: the least used all the same */
	TUNDISH_EGRESS_IN_TURN = 4,   /* source ports are not counted here */
	TUNDISH_EGRESS_NONE = 5,      /* left alone, for the reason `left` */
};

struct tundish_egress_question {
	/* In. */
	struct tundish_addr remote;
	__be16 port_be;
	__u8 protocol;
	__u8 v6; /* an IPv6 socket (its destination may be IPv4-mapped) */
	__u32 pool;
	__u64 netns;
	/* Out. */
	__u32 why;    /* enum tundish_egress_why */
	__u32 left;   /* enum tundish_egress_left */
	__u32 source; /* place in the pool */
	__u32 usable; /* ports; 0: not known */
	__u32 looked; /* so many of them were looked at */
	__u32 reserved;
	__u32 used[TUNDISH_EGRESS_SOURCES]; /* by place */
	__u8 seen[TUNDISH_EGRESS_SOURCES];  /* 1: looked at */
};

/*
 * TIME_WAITs that began within the last `span` slots. No branch: the compiler would
 * make one for each slot, and the verifier look at each of them twice.
 */
static inline __attribute__((always_inline)) __u32 tundish_tw_within(const struct tundish_ports *p,
								     __u64 now_ns, __u32 span)
{
	/* Tick and count are compared as one number: of the last tick that is too old, with
	 * the largest count, a younger slot is above it. */
	const __s64 old = (__s64)(((now_ns >> TUNDISH_TW_SHIFT) + 1 - span) << 32) - 1;
	__u64 n = 0;
	__u32 i;

	for (i = 0; i < TUNDISH_TW_SLOTS; i++) {
		__s64 slot = *(const volatile __s64 *)&p->tw[i];

		n += (__u64)(slot & ((old - slot) >> 63));
	}
	return (__u32)n;
}

/* For so many slots a TIME_WAIT is certainly still there; of those that are older, up to
 * TUNDISH_TW_SPAN, some may have ended. Of the slot k ticks ago the first are k ticks and
 * what has passed of this one old. */
static inline __attribute__((always_inline)) __u32 tundish_tw_certain_span(__u64 now_ns)
{
	const __u64 alive_ns = 59900000000ull;

	return 1 + (__u32)((alive_ns - (__u32)now_ns) >> TUNDISH_TW_SHIFT);
}

/* A scan of TUNDISH_LEAVING_STEPS ago, or more, says nothing any more. */
static inline __attribute__((always_inline)) __u32 tundish_leaving_steps(__u64 passed_ns)
{
	__u64 steps = passed_ns / (TUNDISH_LEAVING_S * 1000000000ull);

	return steps < TUNDISH_LEAVING_STEPS ? (__u32)steps : TUNDISH_LEAVING_STEPS;
}

/* What the scan counted that ended so many steps ago, less the TIME_WAITs that have ended
 * since. */
static inline __attribute__((always_inline)) __u32
tundish_port_counted(const struct tundish_port_count *c, __u32 steps)
{
	__u32 n = 0, i;

	for (i = 0; i < TUNDISH_PORT_STATE_MAX; i++)
		n += c->state[i];
	for (i = 0; i < TUNDISH_LEAVING_STEPS - 1; i++)
		n -= c->leaving[i] & (__u32)(((__s64)i - (__s64)steps) >> 63);
	return n;
}

_Static_assert(sizeof(struct tundish_egress_source) == 64, "a cache line");
_Static_assert(sizeof(struct tundish_egress_prefix) == 24, "no holes in a key");

#endif
