/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections of the deliveries that translate addresses: where they lie and
 * how they are found. What becomes of them is nat_state.h.
 *
 * A connection is one record of a cache line, for both families, found from
 * either side: by (client, client's port, VIP, port), or by (far end as the
 * backend sees it, its port, backend address, port). Each side has buckets of
 * eight tags; a tag is a word with some bits of the key's hash, the
 * record's generation and its place. A key has two buckets.
 *
 * The record of a tag of the client's side lies at the tag's own place, so
 * taking a tag is taking a record: there is no list of free ones to keep.
 *
 * Rules, for all writers:
 *  - A record's state is its word; each change of it is one compare-and-swap.
 *  - The keys of a record are written only while its word is FREE and its tag
 *    BUSY, and stand as long as the generation does. Freeing moves it on.
 *  - Who frees the record (FREE, generation + 1) clears, in this order: the tag
 *    of the server's side, the lane's port, the counts, the tag of the client's
 *    side. Until that is done nobody else can get the place.
 * And for readers: tag, word (generations equal, state live), keys compared and
 * copied, word again (generation the same), or it was not there.
 */
#ifndef TUNDISH_NAT_H
#define TUNDISH_NAT_H

#include <tundish/addr.h>
#include <tundish/flow.h>
#include <tundish/hash.h>
#include <tundish/limits.h>

enum tundish_nat_state {
	TUNDISH_NAT_FREE = 0,
	TUNDISH_NAT_SYN_SENT = 1,     /* the client's SYN was seen */
	TUNDISH_NAT_SYN_RECEIVED = 2, /* and the server's answer */
	TUNDISH_NAT_ESTABLISHED = 3,  /* and the client's */
	TUNDISH_NAT_FIN_CLIENT = 4,   /* half closed, by the client */
	TUNDISH_NAT_FIN_SERVER = 5,
	TUNDISH_NAT_CLOSING = 6,      /* both have sent FIN, not both have it acknowledged */
	TUNDISH_NAT_RESTING = 7,      /* over, the server has forgotten it */
	TUNDISH_NAT_TIME_WAIT = 8,    /* over, the server is in TIME_WAIT */
	TUNDISH_NAT_RESET_SERVER = 9, /* the server sent RST */
	TUNDISH_NAT_RESET_CLIENT = 10,
	TUNDISH_NAT_UDP_NEW = 11,  /* the client has sent */
	TUNDISH_NAT_UDP_LIVE = 12, /* and the server */
	TUNDISH_NAT_STATE_MAX = 13,
};

union tundish_nat_word {
	__u64 raw;
	struct {
		__u64 backend : 17;
		__u64 state : 4; /* enum tundish_nat_state */
		__u64 udp : 1;
		__u64 counted : 1;  /* stands in the tuple table as active */
		__u64 opened : 1;   /* was ESTABLISHED, not closed by both: lives on after RST */
		__u64 answered : 1; /* the server's SYN-ACK was seen */
		__u64 client_acked : 1; /* the client's FIN is acknowledged */
		__u64 server_acked : 1;
		__u64 server_first : 1; /* the server's FIN came first */
		__u64 server_waits : 1; /* the server will be in TIME_WAIT at the end */
		__u64 has_ts : 1;	/* TIME_WAIT: server_seq is the server's ts_recent */
		__u64 toa_due : 1;	/* the server may not have the client's address yet */
		__u64 revived : 1;	/* goes on after RST, unconfirmed by its sender */
		__u64 since : 16;	/* tick at which the state was entered */
		__u64 generation : 16;
	};
};

/* ---- nat: mmapable array of records ------------------------------------------------ */

struct tundish_nat {
	union tundish_nat_word word;
	struct tundish_addr client;
	struct tundish_addr vip; /* the address too: a prefix's may share one number */
	__be16 client_port_be;
	__be16 port_be;	       /* the service's, at the VIP */
	__be16 source_port_be; /* towards the server: of the lane, or the client's own */
	__u16 vip_id;	       /* as in vips */
	__u32 lane_hop;	       /* lane:20, return hop:12 */
	__u16 seen[2];	       /* tick of the last packet of the client, of the server */
	__u32 client_seq;      /* SYN_*: its ISN; from its FIN on: the end of its sequence */
	__u32 server_seq;      /* likewise; in TIME_WAIT: ts_recent of the server */
};

#define TUNDISH_NAT_LANE(lane_hop) ((lane_hop) & (TUNDISH_NAT_HOP_ONE - 1))
#define TUNDISH_NAT_HOP(lane_hop)  ((lane_hop) >> 20)
#define TUNDISH_NAT_HOP_ONE	   (1u << 20)
#define TUNDISH_NAT_HOPS	   4096u

/* ---- nat_tags: mmapable array of buckets ---------------------------------------------- */

/* The first half is the clients' side, whose tags lie as the records do; the second half
 * the servers'. One array, so that one look-up serves both, without a call. */

#define TUNDISH_NAT_SLOTS 8u

struct tundish_nat_bucket {
	__u64 tag[TUNDISH_NAT_SLOTS]; /* 0 free, ~0 being written */
};

#define TUNDISH_NAT_TAG_BITS 18
#define TUNDISH_NAT_TAG_MASK ((1u << TUNDISH_NAT_TAG_BITS) - 1)
#define TUNDISH_NAT_TAG_BUSY (~0ull)
#define TUNDISH_NAT_MAX	     (1u << 24) /* `limits.nat`; places have 30 bits in a tag */

/* tag:18 | generation:16 | place:30; the lowest bit of the tag is set, so none is 0. */
TUNDISH_INLINE __u64 tundish_nat_tag(__u64 hash, __u32 generation, __u32 place)
{
	return (__u64)place << 34 | (__u64)(generation & 0xffff) << TUNDISH_NAT_TAG_BITS |
	       (hash >> 32 & 0x1ff) << 9 | (hash & 0x1ff) | 1;
}

TUNDISH_INLINE __u32 tundish_nat_tag_generation(__u64 tag)
{
	return tag >> TUNDISH_NAT_TAG_BITS & 0xffff;
}

TUNDISH_INLINE __u32 tundish_nat_tag_place(__u64 tag)
{
	return (__u32)(tag >> 34);
}

/*
 * Buckets of each side for n connections: 9/16 full when it holds what was asked
 * for, where a connection without a place is rarer than one in a million (both
 * buckets of eight full; simulated with churn). 142 bytes per connection.
 */
#define TUNDISH_NAT_BUCKETS_OF(n) ((__u32)(((__u64)(n)*2 + 8) / 9))

/* The hash of either side's key. @id: the VIP's number, or the server's. */
TUNDISH_INLINE __u64 tundish_nat_hash(const struct tundish_siphash_key *secret,
				      const struct tundish_addr *far, __be16 far_port, __be16 port,
				      __u32 id, __u32 udp)
{
	return tundish_siphash(secret, (__u64)far->word[1] << 32 | far->word[0],
			       (__u64)far->word[3] << 32 | far->word[2],
			       (__u64)udp << 63 | (__u64)id << 32 | (__u32)port << 16 | far_port);
}

/* ---- nat_settings: array of one ------------------------------------------------------ */

/* Ticks of flow.h. A server's TIME_WAIT is its service's: struct tundish_fan. */
struct tundish_nat_timeouts {
	__u16 syn;
	__u16 established;
	__u16 half_closed; /* RFC 7857, 2.1; also what a RST left in doubt (2.2) */
	__u16 closing;
	__u16 resting;
	__u16 reset_client, reset_server;
	__u16 udp_new, udp;
	__u16 reserved[3];
};

struct tundish_nat_settings {
	struct tundish_siphash_key secret; /* of the buckets; never leaves the host */
	struct tundish_nat_timeouts timeouts;
	__u32 buckets; /* of each side; records are eight times as many */
	__u32 lanes_max;
	__u32 n_hosts;	 /* entries of nat_hosts; 0: no packet is an answer */
	__u32 n_partial; /* of links, with TUNDISH_LINK_PARTIAL; 0: none is asked for */
	__u32 reserved[2];
};

/* ---- nat_hosts: hash, address -> whose it is -------------------------------------------- */

#define TUNDISH_NAT_HOSTS_MAX 16384u

enum tundish_nat_host_flag {
	TUNDISH_NAT_HOST_BACKEND = 1 << 0, /* answers come from it */
	TUNDISH_NAT_HOST_SOURCE = 1 << 1,  /* of a pool: its packets are this host's own */
};

struct tundish_nat_host {
	__u16 number; /* 1.., stands for the address in hashes and lanes; stable while one names it */
	__u16 flags; /* enum tundish_nat_host_flag */
};

/*
 * nat_near: LPM trie, struct tundish_prefix -> __u32 (not looked at). Clients in these
 * networks are in one with a backend of `nat`, which would answer them directly, past
 * this host; so their connections get a source of this host (hairpin).
 */
#define TUNDISH_NAT_NEAR_MAX 256u

/* ---- deliveries: mmapable array, service id -> how its packets are translated ------------ */

enum tundish_delivery_flag {
	TUNDISH_DELIVER_TOA = 1 << 0,	/* backends are told the client's address in a TCP option */
	TUNDISH_DELIVER_LEAST = 1 << 1, /* of two backends the one with fewer connections */
};

struct tundish_deliver {
	__u32 flags;	/* enum tundish_delivery_flag */
	__u16 mss;	/* the most that a SYN may offer; 0: any */
	__u16 searches; /* the data path's: in vain at full_ns */
	__u64 full_ns;	/* bpf_ktime_get_coarse_ns() when no port was found */
	/* Of every delivery: all backends had their max_connections. */
	__u64 crowded_ns; /* when last, as full_ns */
	__u64 refused;	  /* connections, for that reason */
};

/* ---- returns: mmapable array, index -> the way back to clients ---------------------------- */

/*
 * Answers leave by the way that the client's own packets came. 0: not known, the kernel
 * is asked. Entries are made by the data path, found again by return_ids (hash,
 * struct tundish_return_key -> index), and taken back by the daemon when no record has
 * named one for a whole pass.
 */
struct tundish_return_key {
	__u8 to[6], from[6]; /* MAC addresses of answers */
	__u32 ifindex;
	__be16 vlan_tci_be; /* priority and drop bits cleared */
	__u16 tagged;
};

enum tundish_return_state {
	TUNDISH_RETURN_FREE = 0,
	TUNDISH_RETURN_BUSY = 1, /* being made */
	TUNDISH_RETURN_VALID = 2,
};

struct tundish_return {
	struct tundish_return_key key;
	__u32 state; /* enum tundish_return_state */
	__u16 mtu;   /* of the link; 0: not known */
	__u16 seen;  /* tick at which it was made */
	__u32 reserved;
};

/* ---- links: hash, ifindex -> what is known of a NIC; the daemon's ------------------------- */

enum tundish_link_flag {
	TUNDISH_LINK_GENERIC = 1 << 0, /* generic XDP: a partial checksum stays one */
	TUNDISH_LINK_PARTIAL = 1 << 1, /* checksums may be partial: veth, virtio, tap, generic */
	TUNDISH_LINK_STRIPS = 1 << 2,  /* takes VLAN tags away: no way back is learned from it */
};

struct tundish_link {
	__u16 flags; /* enum tundish_link_flag */
	__u16 mtu;
};

#define TUNDISH_LINKS_MAX 64u

_Static_assert(sizeof(union tundish_nat_word) == 8, "one swap");
_Static_assert(sizeof(struct tundish_nat) == 64, "record is one cache line");
_Static_assert(sizeof(struct tundish_nat_bucket) == 64, "bucket is one cache line");
_Static_assert(sizeof(struct tundish_nat_settings) == 64, "settings");
_Static_assert(sizeof(struct tundish_deliver) == 32, "two a cache line");
_Static_assert(sizeof(struct tundish_return_key) == 20, "no holes in a key");
_Static_assert(sizeof(struct tundish_return) == 32, "two ways a cache line");

#endif
