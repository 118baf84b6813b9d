/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Source ports of outbound connections: what each (local IP, remote IP, remote
 * port) uses of its network namespace's port range, and what TIME_WAIT holds.
 *
 * Two sources, since neither is enough. Scans (iter/tcp) count what there is,
 * exactly, but now and then. Events (state changes of sockets) count as it
 * happens, but know nothing of sockets older than the programs and nothing of
 * the end of a TIME_WAIT, which no tracepoint shows.
 *
 * A socket counts as outbound if its local port lies in the namespace's range
 * and nothing listens on that port.
 */
#ifndef TUNDISH_PORTS_H
#define TUNDISH_PORTS_H

#include <tundish/addr.h>
#include <tundish/limits.h>

/* ---- spaces: hash, cookie of a network namespace -> what is watched there ------ */

struct tundish_space {
	__u32 index;	   /* 1..TUNDISH_SPACES_MAX - 1, the same in port_bits and keys */
	__u16 first, last; /* net.ipv4.ip_local_port_range, inclusive */
	__u32 usable;	   /* ports of it less reserved and blocked ones, at the last scan */
	__u32 reserved;
	__u64 scan;    /* number of the last scan that is whole; 0: none yet */
	__u64 scanned; /* ns: when it ended */
	__u64 told;    /* ns: last event of a refused port; the data path's */
};

/* ---- port_scan: array of one: the scan under way, written before it begins ------ */

struct tundish_port_scan {
	__u64 scan;  /* its number, from 1 on, ascending over all namespaces */
	__u32 space; /* index */
	__u16 first, last;
	__u32 hz;	/* of the kernel's jiffies; 0: unknown, `leaving` stays zero */
	__u32 sockets;	/* out: how many it looked at */
	__u64 overflow; /* out: sockets of tuples that found no place, in `others` */
	__u64 jiffies;	/* out: at its end, and for the scan itself every few sockets */
	__u32 seconds;	/* of CLOCK_MONOTONIC, with it */
	__u32 files;	/* out: descriptors, of the pass over those who hold sockets */
};

/* ---- ports: hash, tuple -> counts ------------------------------------------------ */

/* All zero but `space`: all tuples that found no place, together. */
struct tundish_port_key {
	struct tundish_addr local;
	struct tundish_addr remote; /* UDP: zero, there a port counts for all destinations */
	__be16 remote_port_be;
	__u16 space;
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 reserved[3];
};

#define TUNDISH_PORT_STATES(X)                                                                     \
	X(opening, "SYN sent")                                                                     \
	X(established, "both ends may send")                                                       \
	X(close_wait, "the other end has closed, this program has not")                            \
	X(closing, "this program has closed, the other end has not answered all")                  \
	X(time_wait, "closed here first, the port rests for 60 s")

enum tundish_port_state {
#define TUNDISH_X(name, help) TUNDISH_PORT_##name,
	TUNDISH_PORT_STATES(TUNDISH_X)
#undef TUNDISH_X
		TUNDISH_PORT_STATE_MAX
};

/* Why a port was not given. */
#define TUNDISH_PORT_FAILURES(X)                                                                   \
	X(EADDRNOTAVAIL, "connect(2) found no free port")                                          \
	X(EADDRINUSE, "bind(2) found no free port, or the one asked for taken")

enum tundish_port_failure {
#define TUNDISH_X(name, help) TUNDISH_PORT_FAILED_##name,
	TUNDISH_PORT_FAILURES(TUNDISH_X)
#undef TUNDISH_X
		TUNDISH_PORT_FAILED_MAX
};

#define TUNDISH_LEAVING_STEPS 6u /* of 10 s */
#define TUNDISH_LEAVING_S     10u

/* What one scan found. */
struct tundish_port_count {
	__u64 scan; /* its number: of an older one nothing here counts */
	__u32 state[TUNDISH_PORT_STATE_MAX];
	__u32 reusable; /* of the TIME_WAITs: old enough for net.ipv4.tcp_tw_reuse, with timestamps */
	__u32 bound;	/* of all: on a port that its program bound itself, so it is blocked for
			 * others anyway */
	__u32 leaving[TUNDISH_LEAVING_STEPS]; /* TIME_WAITs that end within 10 s, 20 s, ... */
	__u32 reserved;
};

/* TIME_WAITs by when they began: slots of 2^32 ns, of which 15 are at least 60 s. */
#define TUNDISH_TW_SLOTS 16u
#define TUNDISH_TW_SPAN	 15u
#define TUNDISH_TW_SHIFT 32

/* How connections ended, each in one of the first four. A FIN's sender has the TIME_WAIT, a
 * reset leaves none at either end. */
struct tundish_closer {
	__u64 here, there;	       /* by a FIN, of this end first or of the other */
	__u64 reset_here, reset_there; /* by a reset, sent or received, before any FIN */
	__u64 then_reset; /* of `here` and `there`: reset after that, so without TIME_WAIT too */
};

struct tundish_ports {
	/* Events since the entry was made, added to atomically. */
	__s64 held;    /* sockets that have a port, TIME_WAITs not among them; below zero where
			* some are older than the entry */
	__u64 opened;  /* connect(2) that began to look for a port */
	__u64 entered; /* into TIME_WAIT */
	__u64 freed;   /* closed without TIME_WAIT */
	__u64 failed[TUNDISH_PORT_FAILED_MAX];
	__u64 tw[TUNDISH_TW_SLOTS]; /* tick in the upper half, count in the lower */
	struct tundish_closer closed;
	struct tundish_port_count counted[2]; /* [scan % 2] */
};

/* One more TIME_WAIT, in the slots of a tuple or a lane. */
static inline __attribute__((always_inline)) void tundish_tw_slots_enter(__u64 *tw, __u64 now_ns)
{
	__u64 tick = now_ns >> TUNDISH_TW_SHIFT;
	__u64 *slot = &tw[tick % TUNDISH_TW_SLOTS];
	__u64 found = *(volatile __u64 *)slot;

	if (found >> 32 != (tick & 0xffffffff) &&
	    __sync_val_compare_and_swap(slot, found, tick << 32 | 1) == found)
		return;
	/* Of two that find an old slot the second one counts on. */
	__sync_fetch_and_add(slot, 1);
}

static inline __attribute__((always_inline)) void tundish_tw_enter(struct tundish_ports *p,
								   __u64 now_ns)
{
	tundish_tw_slots_enter(p->tw, now_ns);
}

/* How many began within the last 60 s: those of up to 4.3 s more, never fewer. */
static inline __attribute__((always_inline)) __u32 tundish_tw_slots_count(const __u64 *tw,
									  __u64 now_ns)
{
	__u32 tick = (__u32)(now_ns >> TUNDISH_TW_SHIFT), n = 0, i;

	for (i = 0; i < TUNDISH_TW_SLOTS; i++) {
		__u64 slot = *(const volatile __u64 *)&tw[i];

		if (tick - (__u32)(slot >> 32) < TUNDISH_TW_SPAN)
			n += (__u32)slot;
	}
	return n;
}

static inline __attribute__((always_inline)) __u32 tundish_tw_count(const struct tundish_ports *p,
								    __u64 now_ns)
{
	return tundish_tw_slots_count(p->tw, now_ns);
}

/* ---- port_bits: mmapable array, space index -> ports as bits -------------------- */

#define TUNDISH_PORT_WORDS 1024u /* of 64 bits */

/* Of the scan under way; the daemon clears it before. */
struct tundish_port_bits {
	__u64 seen[TUNDISH_PORT_WORDS]; /* TCP: a socket has it */
	__u64 blocked
		[TUNDISH_PORT_WORDS]; /* TCP: bound by a program, so connect(2) passes it over */
	__u64 listening[TUNDISH_PORT_WORDS]; /* TCP: a listener is on it */
	__u64 udp[TUNDISH_PORT_WORDS];	     /* UDP: a socket has it */
	__u64 udp_any[TUNDISH_PORT_WORDS];   /* of these: without an address, in every one's way */
};

/* ---- port_owners: hash, who blocks a port --------------------------------------- */

struct tundish_port_owner_key {
	__u32 space;
	__u16 port;
	__u8 protocol;
	__u8 reserved;
};

enum tundish_port_reason {
	TUNDISH_PORT_BOUND = 1,	  /* bind(2) with this port */
	TUNDISH_PORT_ADDRESS = 2, /* bind(2) with an address and port 0, without
				   * IP_BIND_ADDRESS_NO_PORT: the kernel chose the port at once */
	TUNDISH_PORT_LISTENS = 3,
};

struct tundish_port_owner {
	__u64 scan; /* that found it */
	struct tundish_addr local;
	__u32 pid; /* in the daemon's PID namespace; 0: none there */
	__u32 uid;
	__u8 reason; /* enum tundish_port_reason */
	__u8 reserved[3];
	__u32 descriptors; /* processes and descriptors that hold the socket; `pid` is the first */
	__u8 command[16];
};

/* ---- closers: LRU hash, a service of this host -> who closes first ---------------- */

struct tundish_closer_key {
	struct tundish_addr local;
	__u16 port; /* host byte order */
	__u16 space;
	__u32 reserved;
};

/* ---- opening: socket storage ------------------------------------------------------- */

enum tundish_opening_flag {
	TUNDISH_OPENING_EGRESS = 1 << 0, /* `pool` and `source` were chosen for it */
	TUNDISH_OPENING_UDP = 1 << 1,	 /* counted in `ports` by address, until its release */
};

struct tundish_opening {
	__u64 since; /* ns: connect(2) looks for a port; 0: not now */
	__u32 flags; /* enum tundish_opening_flag */
	__u16 pool;  /* of `egress` */
	__u16 source;
	struct tundish_addr local; /* the source that was chosen */
};

/* ---- port_events: ring buffer -------------------------------------------------------- */

enum tundish_port_event_kind {
	TUNDISH_PORT_EVENT_FAILED = 1, /* no port; told once a second for each tuple */
	TUNDISH_PORT_EVENT_SHIFT = 2,  /* egress goes over to another source */
};

struct tundish_port_event {
	__u32 kind; /* enum tundish_port_event_kind */
	__u32 pool; /* of `egress`; 0: none */
	struct tundish_port_key key;
	__u32 from, to; /* SHIFT: sources of the pool */
	__u32 used, usable;
	__u32 pid; /* in the first PID namespace */
	__u8 command[16];
	__u32 failure; /* enum tundish_port_failure */
};

_Static_assert(sizeof(struct tundish_port_key) == 40, "no holes in a key");
_Static_assert(sizeof(struct tundish_port_count) == 64, "a cache line");
_Static_assert(sizeof(struct tundish_port_owner_key) == 8, "no holes in a key");

#endif
