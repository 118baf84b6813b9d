/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Worker groups: listeners of this host behind the VIPs of `workers` services.
 *
 * A worker is a listening TCP socket, or a UDP socket that is not connected. A group is
 * all of them, of one protocol, on the addresses and ports that `workers.listen` names;
 * several services may stand in front of one group. Group g has `size` indices from `first`
 * on in `workers`, `listeners`, `queues` and `worker_waits`; an index belongs to one socket
 * from its listen(2) to its close.
 *
 * Whether a worker lives is what `listeners` (a SOCKMAP) says: the kernel takes
 * a socket out of it when it closes, and holds none alive.
 */
#ifndef TUNDISH_WORKERS_H
#define TUNDISH_WORKERS_H

#include <tundish/addr.h>
#include <tundish/hash.h>
#include <tundish/limits.h>

/* ---- listens: hash, address and port -> group ------------------------------ */

struct tundish_listen {
	struct tundish_addr address; /* ::ffff:0.0.0.0 for "0.0.0.0", all zero for "[::]" */
	__u16 port;		     /* host byte order */
	__u16 udp;		     /* 1: sockets of UDP; 0: of TCP */
};

/* ---- groups: mmapable array, id 1.. ----------------------------------------- */

enum tundish_group_flag {
	TUNDISH_GROUP_ACTIVE = 1 << 0,
	TUNDISH_GROUP_ACCOUNT = 1 << 1, /* keep in `queues` whose connections wait: some service
					 * has a share, or several stand in front */
	TUNDISH_GROUP_UDP = 1 << 2,	/* its workers are UDP sockets; of entry 0: so are those
					 * of some group */
};

struct tundish_group {
	/* First cache line: written by the daemon, but for `used` and `limit`. */
	__u32 first, size; /* indices */
	__u32 flags;	   /* enum tundish_group_flag */
	__u32 services;	   /* how many stand in front */
	__u32 used;	   /* indices from `first` on that were ever taken */
	__u32 limit;	   /* sum of the queues' limits, when it was last looked at */
	__u64 empty_since; /* CLOCK_MONOTONIC, ns; 0: there are workers */
	__u32 reserved[8];
	/* Second: per SYN. */
	__u64 next; /* ticket: where the search begins */
	__u64 reserved_counts[7];
	/* Third: for people. */
	char name[TUNDISH_NAME_LEN]; /* as in the file: "[::]:8080" */
};

/* ---- steering: mmapable array, service id -> how ---------------------------- */

enum tundish_steering_method {
	TUNDISH_STEERING_LEAST_QUEUE = 0,
	TUNDISH_STEERING_HASH = 1,
};

enum tundish_refuse {
	TUNDISH_REFUSE_DROP = 0,
	TUNDISH_REFUSE_RESET = 1,
};

/* Of which programs it is known when they accept. */
enum tundish_accept_times {
	TUNDISH_ACCEPT_TIMES_ADDRESS = 0, /* that ask accept(2) for the client's address */
	TUNDISH_ACCEPT_TIMES_ALL = 1,
};

/* Where a balancer in front of this host writes the client's own address. */
enum tundish_client_address {
	TUNDISH_CLIENT_ADDRESS_NONE = 0,
	TUNDISH_CLIENT_ADDRESS_TOA = 1, /* into a TCP option of the handshake's last segment */
};

/* Why a SYN got no worker. */
#define TUNDISH_REFUSALS(X)                                                                        \
	X(full, "the accept queue of every worker was full")                                       \
	X(share, "the service had its share of the group's queues")                                \
	X(empty, "the group had no worker")

enum tundish_refusal {
#define TUNDISH_X(name, help) TUNDISH_REFUSAL_##name,
	TUNDISH_REFUSALS(TUNDISH_X)
#undef TUNDISH_X
		TUNDISH_REFUSAL_MAX
};

struct tundish_steering {
	/* First cache line: the daemon's. */
	__u32 group; /* 0: not steered, its listeners are on the VIP's own address and port */
	__u8 method; /* enum tundish_steering_method */
	__u8 refuse; /* enum tundish_refuse */
	__u16 share; /* percent of the group's queues */
	__u64 stall; /* ns without an accept, while some wait, after which a worker gets none */
	__u64 grace; /* ns for which an empty group's SYNs are dropped, reset after it */
	__u8 accept_times;   /* enum tundish_accept_times */
	__u8 client_address; /* enum tundish_client_address */
	__u8 reserved_bytes[2];
	__u32 reserved[9];
	/* Second: per connection. */
	__u64 connections; /* established */
	__u64 queued;	   /* of them not accepted yet; kept where the group accounts */
	__u64 refused[TUNDISH_REFUSAL_MAX];
	__u64 reserved_counts[3];
};

/* ---- workers: mmapable array ------------------------------------------------- */

enum tundish_worker_flag {
	TUNDISH_WORKER_V4 = 1 << 0,
	TUNDISH_WORKER_V6 = 1 << 1,
	TUNDISH_WORKER_DRAIN = 1 << 2,	 /* by command: gets none new */
	TUNDISH_WORKER_MIGRATE = 1 << 3, /* its group hands its connections on when it closes */
	TUNDISH_WORKER_PID = 1 << 4,	 /* `pid` was seen to accept */
	TUNDISH_WORKER_UDP = 1 << 5,	 /* no queue, no connections; SYNs are datagrams, and what
					  * is half-open are bytes that wait */
};

struct tundish_worker {
	/* First cache line: per SYN and per connection. */
	__u64 cookie;	    /* of the socket; 0: free */
	__u64 assigned;	    /* SYNs that it got */
	__u64 enqueued;	    /* connections that came into its queue */
	__u64 accepted;	    /* `enqueued` less the queue, as last seen */
	__u64 progress;	    /* ns: when that last changed, or the queue was last empty */
	__u64 settled;	    /* up to which of `enqueued` queues were settled */
	__u32 queue, limit; /* as last seen */
	__u32 flags;	    /* enum tundish_worker_flag */
	__u32 group;
	/* Second: for people. */
	__u64 joined;  /* ns */
	__u64 accepts; /* accept(2) calls seen; see enum tundish_accept_times */
	__u64 inode;   /* of the socket, as in /proc/PID/fd; 0: unknown */
	__u32 pid;     /* that accepts on it; at first that called listen(2) */
	__u32 uid;     /* of the socket */
	__u8 command[16];
	__u32 task;	 /* the same process's number in the first PID namespace */
	__u32 half_open; /* handshakes under way, as last seen: they will come into the queue */
	__u64 reserved;
};

/* ---- queues: array, worker -> services of its last connections, in order ------ */

/* An accept queue is first in, first out: of `enqueued` connections the last ones
 * wait. Of a longer queue the rest is not told apart, and counts as nobody's. */
#define TUNDISH_QUEUE_RING 1024u

struct tundish_queue {
	__u32 service[TUNDISH_QUEUE_RING]; /* [enqueued % ring]; 0: none, or settled */
};

/* ---- worker_waits, service_waits, syn_waits: mmapable arrays --------------------- */

/* Time to accept(2), from the end of the handshake or, in syn_waits, from the SYN. Bucket i
 * counts those below 2^i us, the last one all others. */
#define TUNDISH_WAIT_BUCKETS 24u

struct tundish_waits {
	__u64 bucket[TUNDISH_WAIT_BUCKETS];
	__u64 sum; /* ns */
	__u64 reserved[7];
};

/* ---- origin: socket storage of listeners, which their connections inherit ------- */

struct tundish_origin {
	__u64 cookie; /* of the listener */
	__u64 since;  /* ns: established and not accepted; 0: neither, or already, or the
		       * accept of its service's connections is looked for elsewhere */
	__u32 worker;
	__u32 service;
};

/* ---- trusted: LPM trie, service and prefix -> 1 ------------------------------------ */

struct tundish_trusted {
	__u32 length; /* 32 for the service, and the prefix's in the 128-bit form */
	__u32 service;
	struct tundish_addr address;
};

/* ---- toa: socket storage, of connections whose client is told by an option ------------ */

struct tundish_toa {
	struct tundish_addr client;
	__be16 port_be;
	__u16 reserved;
};

/* ---- members: LRU hash, socket cookie -> worker; outlives the socket a while ---- */

/* ---- worker_events: ring buffer --------------------------------------------------- */

enum tundish_worker_event_kind {
	TUNDISH_WORKER_JOINED = 1,
	TUNDISH_WORKER_LEFT = 2,
	TUNDISH_WORKER_NO_PLACE = 3, /* the group has no index left */
	TUNDISH_WORKER_REFUSED = 4,  /* the kernel takes no such socket: MPTCP */
	TUNDISH_WORKER_SHADOWED =
		5,		  /* a listener on a VIP itself, whose connections a group gets */
	TUNDISH_WORKER_BOUND = 6, /* a UDP socket is where a group's are; not yet in it */
};

struct tundish_worker_event {
	__u32 kind; /* enum tundish_worker_event_kind */
	__u32 group;
	__u32 worker; /* index, where there is one */
	__s32 error;
	__u64 cookie, inode;
	__u32 pid, uid;
	__u8 command[16];
	struct tundish_listen at; /* where it listens */
	__u32 service;		  /* SHADOWED: whose connections it does not get */
};

_Static_assert(sizeof(struct tundish_trusted) == 24, "no holes");
_Static_assert(sizeof(struct tundish_toa) == 20, "no holes");
_Static_assert(sizeof(struct tundish_group) == 192, "group is three cache lines");
_Static_assert(sizeof(struct tundish_steering) == 128, "steering is two cache lines");
_Static_assert(sizeof(struct tundish_worker) == 128, "worker is two cache lines");

#endif
