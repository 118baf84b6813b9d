/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of net/: the handle, the one function that talks to rtnetlink, and
 * helpers that take attributes apart without trusting their lengths.
 */
#ifndef TD_NET_SESSION_H
#define TD_NET_SESSION_H

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "net/net.h"

/* A kernel that hangs costs a call this much at most, per request. */
#define TD_NET_TIMEOUT_MS 2000
#define TD_NET_DUMP_TRIES 5

/* The kernel fills at most 32 KiB per message of a dump. */
#define TD_NET_BUFFER_BYTES 65536

/* Of events.c: sizes of its two filters, both powers of two. */
#define TD_NET_ASKED_BITS   (1u << 18)
#define TD_NET_SEEN_ENTRIES (1u << 13)

struct td_neigh_seen; /* events.c */
struct td_care;	      /* care.c */

struct td_net {
	struct mnl_socket *requests; /* blocking, with a timeout */
	struct mnl_socket *events;   /* non-blocking, member of the groups */
	int packet_fd;		     /* AF_PACKET, receives nothing */
	uint32_t sequence;
	uint32_t portid;       /* of `requests` */
	bool broken;	       /* a request was given up halfway: open `requests` anew */
	bool no_neigh_get;     /* the kernel gives single neighbours only by dump (before 5.0) */
	bool no_neigh_managed; /* ... and does not manage them (before 5.16) */
	bool proto_confirmed;  /* IFA_PROTO came back from the kernel (5.18) */
	bool proto_missing;    /* ... or did not */
	char kernel_says[128]; /* extended acknowledgement of the last failed request, or "" */
	uint64_t *asked;       /* bit set: neighbours that td_net_nexthop has asked for */
	struct td_neigh_seen *seen; /* what events told last about each of them */
	struct td_care *cares;	    /* care.c */
	size_t cares_size, n_cares;
	struct td_net_lately *lately; /* nexthop.c; NULL: nothing is kept from call to call */
	uint8_t buffer[TD_NET_BUFFER_BYTES] __attribute__((aligned(8)));
};

/* Room for any request made here; start with td_request_init(). */
struct td_request {
	union {
		struct nlmsghdr header;
		uint8_t bytes[256];
	};
};

/* Empties the request, writes its type and returns its zeroed extra header of
 * `size` bytes. */
void *td_request_init(struct td_request *q, uint16_t type, uint16_t flags, size_t size);

/* Appends the 4 or 16 bytes of an address. */
void td_request_put_addr(struct td_request *q, uint16_t type, const struct tundish_addr *a);

enum td_net_reply {
	TD_NET_REPLY_ONE,  /* one message, or an error */
	TD_NET_REPLY_DUMP, /* any number of messages, then the end */
	TD_NET_REPLY_ACK,  /* success or an error */
};

typedef int (*td_net_message)(const struct nlmsghdr *h, void *data);

/*
 * Sends the request and hands every message of the reply to `message` (which
 * must not start another request). Returns 0, the kernel's error (its words are
 * in n->kernel_says then), the first error of `message`, -EINTR where a dump
 * was not consistent (do it again), or -ETIMEDOUT.
 */
int td_net_request(struct td_net *n, struct td_request *q, enum td_net_reply expect,
		   td_net_message message, void *data);

/* One datagram of the kernel into n->buffer, -EAGAIN where none came. Others'
 * datagrams give 0. */
ssize_t td_net_receive(struct td_net *n, struct mnl_socket *s);

/* ": the kernel says: ..." for the end of a sentence, or the errno's text. */
const char *td_net_reason(const struct td_net *n, int r);

static inline bool td_attr_u16(const struct nlattr *a, uint16_t *ret)
{
	if (mnl_attr_get_payload_len(a) < sizeof(*ret))
		return false;
	memcpy(ret, mnl_attr_get_payload(a), sizeof(*ret));
	return true;
}

static inline bool td_attr_u32(const struct nlattr *a, uint32_t *ret)
{
	if (mnl_attr_get_payload_len(a) < sizeof(*ret))
		return false;
	memcpy(ret, mnl_attr_get_payload(a), sizeof(*ret));
	return true;
}

static inline bool td_attr_mac(const struct nlattr *a, uint8_t ret[6])
{
	if (mnl_attr_get_payload_len(a) != 6)
		return false;
	memcpy(ret, mnl_attr_get_payload(a), 6);
	return true;
}

/* False also for an IPv4-mapped IPv6 address, which would read as IPv4 here. */
bool td_bytes_to_addr(const void *bytes, size_t n, int family, struct tundish_addr *ret);

static inline bool td_attr_addr(const struct nlattr *a, int family, struct tundish_addr *ret)
{
	return td_bytes_to_addr(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a), family, ret);
}

#endif
