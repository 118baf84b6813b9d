/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys and values of the pinned maps. README.md beside this file is the
 * reference for people; this is the one for compilers.
 *
 * Fields ending in _be are in network byte order, all others in the host's.
 */
#ifndef TUNDISH_MAPS_H
#define TUNDISH_MAPS_H

#include <tundish/addr.h>
#include <tundish/hash.h>
#include <tundish/limits.h>
#include <tundish/quic.h>

/* How a backend gets its packets. */
enum tundish_delivery {
	TUNDISH_DELIVERY_NONE = 0,
	TUNDISH_DELIVERY_WORKERS = 1, /* this host's own listeners */
	TUNDISH_DELIVERY_DSR = 2,     /* MAC rewrite, same link */
	TUNDISH_DELIVERY_IPIP = 3,    /* IP in IP, outer family is the backend address's */
	TUNDISH_DELIVERY_GUE = 4,     /* the same with UDP and GUE in between */
	TUNDISH_DELIVERY_NAT = 5,     /* the backend's address and port instead of the VIP's */
	TUNDISH_DELIVERY_FULLNAT = 6, /* and a source of this host instead of the client's */
};

enum tundish_backend_state {
	TUNDISH_BACKEND_FREE = 0, /* the slot is unused */
	TUNDISH_BACKEND_UP = 1,
	TUNDISH_BACKEND_DRAIN = 2,    /* none new, the present ones stay */
	TUNDISH_BACKEND_DOWN = 3,     /* health says so: none new */
	TUNDISH_BACKEND_DISABLED = 4, /* none new, the present ones are moved */
	TUNDISH_BACKEND_GONE = 5,     /* not in the file any more, the present flows stay */
};

/* ---- vips: hash, address -> what listens on it ------------------------- */

enum tundish_vip_flag {
	TUNDISH_VIP_SERVICE = 1 << 0,  /* services stand on it; VIPs answer ping */
	TUNDISH_VIP_FORWARDS = 1 << 1, /* one of them at least leaves this host */
	TUNDISH_VIP_ENDPOINT = 1 << 2, /* this host's own address: tunnels to it end here */
};

#define TUNDISH_RANGE_STATELESS 0x10u /* UDP: each packet by Maglev alone, no flows */
#define TUNDISH_RANGE_QUIC	0x20u /* UDP: connection ids name servers */

struct tundish_port_range {
	__u16 first, last; /* inclusive */
	__u16 service;	   /* index into services, and into maglev */
	__u8 protocol;	   /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 delivery;	   /* enum tundish_delivery, perhaps with TUNDISH_RANGE_* */
};

/* Ranges are disjoint and ascend by (protocol, first): the more specific port
 * has been cut out of the wider claim already. */
struct tundish_vip {
	__u32 id;    /* 1..TUNDISH_VIPS_MAX-1; stable as long as flows may name it */
	__u32 mask;  /* of a prefix: the low bits of an address that are added to the id, so
		      * that each address has its own; 0: all share the one */
	__u16 flags; /* enum tundish_vip_flag */
	__u16 n_ranges;
	struct tundish_port_range ranges[TUNDISH_RANGES_MAX];
};

/* ---- prefixes: LPM trie, prefix -> tundish_vip; asked where `vips` has none -- */

struct tundish_prefix {
	__u32 length; /* of the 128-bit form: 96 more than an IPv4 prefix's */
	struct tundish_addr address;
};

/* ---- services: array, id -> description -------------------------------- */

enum tundish_service_state {
	TUNDISH_SERVICE_FREE = 0,
	TUNDISH_SERVICE_ACTIVE = 1,
	TUNDISH_SERVICE_GONE = 2, /* not in the file any more, flows remain */
};

#define TUNDISH_ROW_UNSETTLED 0xffu

struct tundish_service {
	char name[TUNDISH_NAME_LEN];
	__u8 state;    /* enum tundish_service_state */
	__u8 delivery; /* enum tundish_delivery */
	__u8 protocol;
	__u8 own; /* the daemon keeps the service's VIPs on this host */
	__u32 n_backends;
	__u8 server_id_length; /* of QUIC's connection ids; 0: no QUIC */
	__u8 quic_config;      /* the first three bits of theirs */
	__u8 chooses;	       /* whether its row was last made with TUNDISH_SLOT_CHOOSE, or
				* TUNDISH_ROW_UNSETTLED: it is being made */
	__u8 reserved[5];
};

/* ---- maglev: mmapable array, service id -> slots ------------------------ */

/*
 * A slot is one 32-bit word, read once per packet:
 *   bits  0-16  index of the backend that owns the slot
 *   bit   17    choose: the service does not leave a new connection to the slot, which is
 *               a candidate alone; so each packet asks
 *   bit   18    ask: flows of this slot may belong elsewhere or are about to
 *               age, so each packet has to ask the flow table
 *   bits 19-31  half-open flows of this slot, whose next packet may be the ACK
 *               that establishes them; while it is not zero packets ask too
 * The count wraps at the top without touching its neighbours.
 */
#define TUNDISH_SLOT_BACKEND	 0x0001ffffu
#define TUNDISH_SLOT_CHOOSE	 (1u << 17)
#define TUNDISH_SLOT_ASK	 (1u << 18)
#define TUNDISH_SLOT_PENDING_ONE (1u << 19)
#define TUNDISH_SLOT_MUST_ASK                                                                      \
	(~(TUNDISH_SLOT_PENDING_ONE - 1) | TUNDISH_SLOT_ASK | TUNDISH_SLOT_CHOOSE)

struct tundish_maglev {
	__u32 slot[TUNDISH_MAGLEV_SLOTS];
	__u32 padding;
};

/* ---- backends: mmapable array ------------------------------------------- */

enum tundish_backend_flag {
	TUNDISH_BACKEND_RUN_WEIGHT = 1 << 0, /* run_weight is set and file_weight its base */
	TUNDISH_BACKEND_RUN_STATE = 1 << 1,  /* run_state is set and file_state its base */
	TUNDISH_BACKEND_UNHEALTHY = 1
				    << 2, /* health says down: the sum of what follows, and more */
	TUNDISH_BACKEND_BACKUP = 1 << 3,  /* in use where no other one is healthy */
	TUNDISH_BACKEND_AGENT_DRAIN = 1 << 4, /* its agent wants no new connections */
	TUNDISH_BACKEND_CHECK_DOWN = 1 << 5,  /* what its checks came to */
	TUNDISH_BACKEND_AGENT_DOWN = 1 << 6,  /* what its agent said last */
	TUNDISH_BACKEND_EJECTED = 1 << 7,     /* what connections to it came to */
};

struct tundish_backend {
	/* First cache line: read per packet, written by the daemon alone. */
	struct tundish_addr address;
	__u32 nexthop; /* index into nexthops; replaced as a whole, never edited */
	__u16 service;
	__u8 delivery;	   /* enum tundish_delivery */
	__u8 state;	   /* enum tundish_backend_state */
	__u16 weight;	   /* in force */
	__u16 file_weight; /* what the file says; base of run_weight */
	__u16 run_weight;  /* set by command */
	__u8 file_state;   /* enum tundish_backend_state; base of run_state */
	__u8 run_state;	   /* set by command */
	__u32 flags;	   /* enum tundish_backend_flag */

	__be16 gue_port_be;    /* of delivery gue: where its tunnels end */
	__s16 adjust;	       /* percent that health puts to the weight set: -100 leaves nothing */
	__u32 max_connections; /* 0: any number */
	__u32 drain_deadline;  /* seconds of CLOCK_MONOTONIC at which it is disabled; 0: never */
	struct tundish_server_id server_id; /* in QUIC's connection ids */

	/* Second: written at the edges of connections, from both sides, with
	 * atomic additions. */
	__u64 connections_active;
	__u64 connections_total;
	__u64 packets_before; /* traffic of former users of this entry; the daemon's */
	__u64 bytes_before;
	__u64 own_next;	       /* ticket: which of its addresses the next own connection goes to */
	__u64 health_since_ns; /* when checks last changed their mind; 0: none came to one. The
				* daemon's, as bpf_ktime_get_ns */
	__u64 opening;	       /* chosen for, not yet among the active ones; choice.h */
	__u32 ejected_s; /* seconds of CLOCK_MONOTONIC at which its connections' failures, or a
			  * trial in vain, put it out last; 0: they never did. The daemon's */
	__u16 ejections; /* how often in a row: what the time out grows by */
	__u16 reserved_count;

	/* Third: for people. */
	char name[TUNDISH_NAME_LEN];
};

/* ---- nexthops: array ---------------------------------------------------- */

enum tundish_nexthop_flag {
	TUNDISH_NEXTHOP_VALID = 1 << 0,
	TUNDISH_NEXTHOP_LOCAL = 1 << 1, /* the backend is this host: hand to its stack */
	TUNDISH_NEXTHOP_VLAN = 1 << 2,	/* push vlan_tci_be */
};

struct tundish_nexthop {
	__u8 destination[6]; /* MAC addresses */
	__u8 source[6];
	__u32 ifindex; /* of the NIC itself, also where the route names a VLAN on it */
	__u32 flags;   /* enum tundish_nexthop_flag */
	__be16 vlan_tci_be;
	__u16 mtu; /* bytes of the largest IP packet */
	__u32 reserved;
	/* Source addresses of tunnels, by the outer header's family. */
	struct tundish_addr tunnel_source;
	__u32 reserved2[5];
};

/* ---- flows, flows6: mmapable arrays of buckets --------------------------- */

enum tundish_flow_state {
	TUNDISH_FLOW_FREE = 0,
	TUNDISH_FLOW_SYN = 1,	      /* a SYN was seen */
	TUNDISH_FLOW_ESTABLISHED = 2, /* and an ACK that fits it */
	TUNDISH_FLOW_REOPEN = 3,      /* a SYN with a new sequence number on an established flow */
	TUNDISH_FLOW_CLOSING = 4,     /* the client sent FIN or RST */
	TUNDISH_FLOW_UDP_NEW = 5,     /* UDP, packets of one tick alone */
	TUNDISH_FLOW_UDP = 6,	      /* and of others */
	TUNDISH_FLOW_BUSY = 7,	      /* an entry that is being written */
};

union tundish_flow_value {
	__u64 raw;
	struct {
		__u64 backend : 17;
		__u64 vip : 14;
		__u64 state : 3;    /* enum tundish_flow_state */
		__u64 watched : 1;  /* idle for half its timeout; removed unless a packet comes */
		__u64 counted : 1;  /* stands in the tuple table as active */
		__u64 udp : 1;	    /* the protocol, a part of the key */
		__u64 isn_low : 11; /* low bits of the SYN's sequence number; UDP: zero */
		__u64 seen : 16;    /* last packet asked about; clock of flow.h */
	} live;			    /* ESTABLISHED, CLOSING, UDP_NEW, UDP */
	struct {
		__u64 backend : 17;
		__u64 vip : 14;
		__u64 state : 3;
		__u64 watched : 1;
		__u64 counted : 1;
		__u64 udp : 1;
		__u64 isn_low : 20;
		__u64 seen : 7;
	} syn; /* SYN, REOPEN */
};

/* What of a sequence number the two forms keep. */
#define TUNDISH_ISN_OF_LIVE(seq) ((seq)&0x7ffu)
#define TUNDISH_ISN_OF_SYN(seq)	 ((seq)&0xfffffu)

struct tundish_flow {
	__be32 client_be;
	__be16 client_port_be;
	__be16 port_be;
	union tundish_flow_value value;
};

struct tundish_flow_bucket {
	struct tundish_flow entry[TUNDISH_BUCKET_ENTRIES];
};

struct tundish_flow6 {
	struct tundish_addr client;
	__be16 client_port_be;
	__be16 port_be;
	__u32 reserved;
	union tundish_flow_value value;
};

struct tundish_flow6_bucket {
	struct tundish_flow6 entry[TUNDISH_BUCKET_ENTRIES];
};

/* ---- tuples: mmapable array of buckets ------------------------------------ */

union tundish_tuple_value {
	__u64 raw;
	struct {
		__u64 active : 24; /* connections established and not closed */
		__u64 total : 40;  /* connections ever established */
	};
};

#define TUNDISH_TUPLE_UDP 0x8000u

struct tundish_tuple {
	struct tundish_addr client;
	__u16 vip; /* id, as in vips; of UDP with TUNDISH_TUPLE_UDP */
	__be16 port_be;
	__u32 changed; /* clock of flow.h, all its bits */
	union tundish_tuple_value value;
};

struct tundish_tuple_bucket {
	struct tundish_tuple entry[TUNDISH_BUCKET_ENTRIES];
};

/* ---- traffic: per-CPU array, backend id -> packets, bytes ------------------ */

struct tundish_traffic {
	__u64 packets;
	__u64 bytes; /* of the client's packets as they came, from the IP header on */
};

/* ---- settings: array of one ------------------------------------------------ */

struct tundish_settings {
	__u32 magic;
	__u32 layout_version;
	__u64 object_hash;		   /* of the BPF object that these maps were made with */
	struct tundish_siphash_key secret; /* of the tables' buckets; never leaves the host */
	__u32 flow_buckets;		   /* TUNDISH_BUCKETS_OF the limit */
	__u32 flow6_buckets;
	__u32 tuple_buckets;
	__u32 services_max;
	__u32 backends_max;
	__u32 vips_max;
	__u32 syn_timeout; /* ticks of the clock in flow.h */
	__u32 established_timeout;
	__u32 closing_timeout;
	__u32 workers_max; /* indices of `workers`, from 0 on */
	__u32 groups_max;
	__u32 n_prefixes;
	__u32 ports_max; /* tuples of `ports` */
	__u32 udp_new_timeout;
	__u32 udp_timeout;

	__be16 gue_port_be; /* where GUE tunnels to this host end; 0: nowhere */
	__u16 reserved_port;
	__u32 nat_buckets; /* of each side of nat_tags, as in nat_settings */
	__u32 lanes_max;
	__u32 fragments_max; /* entries of `fragments` */
	__u32 reserved;
};

/* Names of the pinned maps (15 characters at most, as the kernel cuts there). */
#define TUNDISH_MAPS(X)                                                                            \
	X(vips)                                                                                    \
	X(services)                                                                                \
	X(maglev)                                                                                  \
	X(backends)                                                                                \
	X(nexthops)                                                                                \
	X(flows)                                                                                   \
	X(flows6)                                                                                  \
	X(tuples)                                                                                  \
	X(traffic)                                                                                 \
	X(counters)                                                                                \
	X(settings)                                                                                \
	X(trace)                                                                                   \
	X(prefixes)                                                                                \
	X(listens)                                                                                 \
	X(groups)                                                                                  \
	X(steering)                                                                                \
	X(workers)                                                                                 \
	X(listeners)                                                                               \
	X(sinks)                                                                                   \
	X(queues)                                                                                  \
	X(worker_waits)                                                                            \
	X(service_waits)                                                                           \
	X(syn_waits)                                                                               \
	X(origin)                                                                                  \
	X(members)                                                                                 \
	X(worker_events)                                                                           \
	X(trusted)                                                                                 \
	X(toa)                                                                                     \
	X(spaces)                                                                                  \
	X(ports)                                                                                   \
	X(port_scan)                                                                               \
	X(port_bits)                                                                               \
	X(port_owners)                                                                             \
	X(port_search)                                                                             \
	X(closers)                                                                                 \
	X(opening)                                                                                 \
	X(port_events)                                                                             \
	X(egress)                                                                                  \
	X(egress_except)                                                                           \
	X(egress_cgroups)                                                                          \
	X(egress_passed)                                                                           \
	X(egress_asked)                                                                            \
	X(own)                                                                                     \
	X(nat_settings)                                                                            \
	X(nat)                                                                                     \
	X(nat_tags)                                                                                \
	X(nat_hosts)                                                                               \
	X(nat_near)                                                                                \
	X(lanes)                                                                                   \
	X(lane_ports)                                                                              \
	X(fans)                                                                                    \
	X(deliveries)                                                                              \
	X(returns)                                                                                 \
	X(return_ids)                                                                              \
	X(links)                                                                                   \
	X(quic_ids)                                                                                \
	X(fragments)                                                                               \
	X(capture)                                                                                 \
	X(capture_ring)

_Static_assert(sizeof(struct tundish_flow) == 16, "flow entry");
_Static_assert(sizeof(struct tundish_flow_bucket) == 64, "flow bucket is one cache line");
_Static_assert(sizeof(struct tundish_flow6) == 32, "flow6 entry");
_Static_assert(sizeof(struct tundish_tuple) == 32, "tuple entry");
_Static_assert(sizeof(struct tundish_backend) == 192, "backend is three cache lines");
_Static_assert(sizeof(struct tundish_nexthop) == 64, "next hop is one cache line");
_Static_assert(sizeof(struct tundish_maglev) % 8 == 0, "array elements are rounded to eight");

#endif
