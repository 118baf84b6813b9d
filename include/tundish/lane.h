/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lanes: the source ports of translated connections, exactly.
 *
 * What a server has to tell apart is (source address, source port, its own
 * address, its own port, protocol), so a source port can be in use once per
 * (source address, server address, server port, protocol). That tuple is a
 * lane: its identity, whichever services and backends meet in it. A bit per
 * port says whether it is in use or rests.
 *
 * `nat` without a pool keeps the client's address and port; its lanes name the
 * server alone and have no bits.
 */
#ifndef TUNDISH_LANE_H
#define TUNDISH_LANE_H

#include <tundish/addr.h>
#include <tundish/limits.h>
#include <tundish/ports.h>

#define TUNDISH_LANES_MAX      (1u << 20)  /* bits in a record */
#define TUNDISH_LANE_WORDS     1024u	   /* of 64 ports */
#define TUNDISH_LANE_UNBOUNDED 0xffffffffu /* `usable` of a lane without ports */

#define TUNDISH_FAN_ADDRESSES 16u
#define TUNDISH_FAN_PORTS     16u
#define TUNDISH_FAN_LANES     128u

enum tundish_lane_flag {
	TUNDISH_LANE_SOURCE = 1 << 0,  /* `source` takes the place of the client's address */
	TUNDISH_LANE_SHARED = 1 << 1,  /* this host's own sockets use `source` too */
	TUNDISH_LANE_HAIRPIN = 1 << 2, /* for clients that the server would answer directly */
	TUNDISH_LANE_GONE = 1 << 3,    /* no fan names it any more; free when `used` is 0 */
	/* what of its ports lies in ip_local_port_range is kept from the host's own sockets,
	 * by the daemon, in ip_local_reserved_ports */
	TUNDISH_LANE_RESERVED = 1 << 4,
};

/* ---- lanes: mmapable array, index -> lane; 0: none ------------------------------- */

struct tundish_lane {
	/* First cache line: read per packet, written by the daemon alone. */
	struct tundish_addr source; /* with TUNDISH_LANE_SOURCE */
	struct tundish_addr host;   /* the server's */
	__u16 number;		    /* of `host`, in nat_hosts: stands for it in hashes */
	__be16 port_be;		    /* the server's; 0: as the service's */
	__u8 protocol;
	__u8 flags;		     /* enum tundish_lane_flag */
	__u16 first, last;	     /* the ports, inclusive */
	__u16 stride;		     /* see tundish_lane_word() */
	__u32 ports;		     /* index into lane_ports; 0: it has none */
	__u32 nexthop;		     /* index into nexthops */
	__u16 kept_first, kept_last; /* with TUNDISH_LANE_RESERVED: what is kept, inclusive */
	__u32 reserved[2];

	/* Second: edges of connections alone, with atomic additions. */
	__u32 used;	  /* ports in use or resting; records, where it has no ports */
	__u32 usable;	  /* ports that are not reserved, or UNBOUNDED; the daemon's */
	__u32 yielding;	  /* bits set in tundish_lane_ports.yielding */
	__u32 next;	  /* ticket: words are taken up in turn */
	__u32 hand;	  /* where the last search for one to take back ended: low bits of the
			   * ticket:24, bit in its word:8 */
	__u32 answered;	  /* SYNs that the server answered */
	__u32 unanswered; /* that it never did */
	__u32 early;	  /* ports given again before their rest was over, where that is safe */
	__u64 opened;	  /* SYNs that got a port */
	__u64 refused;	  /* that got none: all are in use */
	__u64 entered;	  /* into TIME_WAIT */
	__u32 freed;	  /* ended without it */
	__u32 rejected;	  /* SYNs that the server answered with RST */

	/* Third and fourth: as in tundish_ports. */
	__u64 tw[TUNDISH_TW_SLOTS];
};

/* ---- lane_ports: mmapable array --------------------------------------------------- */

struct tundish_lane_ports {
	__u64 taken[TUNDISH_LANE_WORDS];    /* in use, resting, reserved, or out of the range */
	__u64 yielding[TUNDISH_LANE_WORDS]; /* of them, what may give way: worth a look when
					     * there is no other */
};

/* ---- lane_cursor: per-CPU array, lane -> the word that this CPU takes ports from ---- */

/* Each port of a word is offered once while the CPU stands there, so that one that
 * becomes free meanwhile rests until all others have had their turn. */
struct tundish_lane_cursor {
	__u64 offered;
	__u32 word; /* index + 1; 0: none yet */
	__u32 reserved;
};

/* ---- fans: mmapable array, backend id -> its lanes ---------------------------------- */

enum tundish_fan_flag {
	TUNDISH_FAN_EARLY = 1 << 0, /* a SYN that the server's TIME_WAIT accepts need not wait */
	/* `nat`: [port][address] of lanes without a source come first, then, for clients of
	 * nat_near and backends, [port][address][source] with TUNDISH_LANE_HAIRPIN */
	TUNDISH_FAN_DIRECT = 1 << 1,
};

struct tundish_fan {
	__u8 n_addresses, n_sources;
	__u8 n_ports;	 /* of `port_be`; 0: one lane for all ports */
	__u8 flags;	 /* enum tundish_fan_flag */
	__u16 time_wait; /* ticks of flow.h */
	__u16 reserved;
	__be16 port_be[TUNDISH_FAN_PORTS]; /* of the service */
	__u32 lane[TUNDISH_FAN_LANES];	   /* [port][address][source] */
	__u64 reserved2;
};

/* The server's port, for a connection to the service's `port`. */
static inline __attribute__((always_inline)) __be16 tundish_lane_port(const struct tundish_lane *l,
								      __be16 port)
{
	return l->port_be ? l->port_be : port;
}

/* The address that the server takes for the client's: *l's, or that of *client. */
static inline __attribute__((always_inline)) const struct tundish_addr *
tundish_lane_source(const struct tundish_lane *l, const struct tundish_addr *client)
{
	return l->flags & TUNDISH_LANE_SOURCE ? &l->source : client;
}

/*
 * The word that has its turn at a ticket: all words of the range once in each
 * round, in an order that the ports do not show (RFC 6056, section 3.3).
 * `stride` has no divisor in common with the number of words.
 */
static inline __attribute__((always_inline)) __u32 tundish_lane_word(__u32 ticket, __u32 stride,
								     __u32 first, __u32 last)
{
	__u32 n = (last >> 6) - (first >> 6) + 1;

	return (first >> 6) + (ticket % n) * stride % n;
}

_Static_assert(sizeof(struct tundish_lane) == 256, "lane is four cache lines");
_Static_assert(__builtin_offsetof(struct tundish_lane, used) == 64, "what changes lies apart");
_Static_assert(__builtin_offsetof(struct tundish_lane, tw) == 128, "third cache line");
_Static_assert(sizeof(struct tundish_fan) == 560, "fan");

#endif
