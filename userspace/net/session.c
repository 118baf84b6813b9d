// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handle on the host's network. Three sockets: one for requests, which
 * blocks for a bounded time and takes one request at a time; one for events,
 * which never blocks; one for announcements, which only sends. All are opened
 * at the start, so that CAP_NET_RAW can be dropped; requests that change
 * something need CAP_NET_ADMIN for as long as they are made.
 *
 * Replies are matched by sequence number, so what comes late for a request
 * that was given up is skipped. A dump that was given up stays alive in the
 * kernel's socket and would block the next: then the socket is replaced.
 */
#include "net/session.h"

#include <linux/if_packet.h>
#include <sys/socket.h>
#include <time.h>

#include "net/care.h"

#define EVENT_BUFFER_BYTES (4 << 20)
#define DATAGRAMS_MAX	   100000 /* of one reply: bounds a kernel that never ends a dump */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct mnl_socket *close_socket(struct mnl_socket *s)
{
	if (s)
		mnl_socket_close(s);
	return NULL;
}

static int open_requests(struct td_net *n)
{
	struct timeval wait = {TD_NET_TIMEOUT_MS / 1000, (TD_NET_TIMEOUT_MS % 1000) * 1000};
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int fd, on = 1, r;

	if (!s)
		return -errno;
	fd = mnl_socket_get_fd(s);
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0) {
		r = -errno;
		close_socket(s);
		return r;
	}
	/* Each of these makes things better where it is known, and is no loss
	 * where it is not: filtered dumps, the kernel's own words, short errors. */
	mnl_socket_setsockopt(s, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	mnl_socket_setsockopt(s, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(s, NETLINK_CAP_ACK, &on, sizeof(on));
	close_socket(n->requests);
	n->requests = s;
	n->portid = mnl_socket_get_portid(s);
	n->broken = false;
	return 0;
}

static int open_events(struct td_net *n)
{
	static const unsigned int groups[] = {
		RTNLGRP_LINK,	    RTNLGRP_NEIGH,	RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
		RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,
		RTNLGRP_NEXTHOP, /* from 5.3 on; may be refused */
	};
	int bytes = EVENT_BUFFER_BYTES, fd;

	n->events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!n->events || mnl_socket_bind(n->events, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	fd = mnl_socket_get_fd(n->events);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	for (size_t i = 0; i < TD_ARRAY_SIZE(groups); i++) {
		int group = (int)groups[i];

		if (mnl_socket_setsockopt(n->events, NETLINK_ADD_MEMBERSHIP, &group,
					  sizeof(group)) < 0 &&
		    group != RTNLGRP_NEXTHOP)
			return -errno;
	}
	return 0;
}

int td_net_open(struct td_net **ret, struct td_error *error)
{
	struct td_net *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return td_fail(error, ENOMEM, "not enough memory for the network handle");
	n->packet_fd = -1;
	n->sequence = (uint32_t)now_ms();
	r = td_events_init(n);
	if (r < 0) {
		td_net_close(n);
		return td_fail(error, -r, "not enough memory for the network handle");
	}
	r = open_requests(n);
	if (r >= 0)
		r = open_events(n);
	if (r < 0) {
		td_net_close(n);
		return td_fail(error, -r,
			       "cannot open a netlink socket: %s; the kernel needs rtnetlink, and "
			       "this process the right to use AF_NETLINK",
			       strerror(-r));
	}
	/* Protocol 0: the socket is for sending and receives nothing. */
	n->packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->packet_fd < 0) {
		r = -errno;
		td_net_close(n);
		return td_fail(error, -r,
			       "cannot open a packet socket to announce VIPs with: %s; start with "
			       "CAP_NET_RAW",
			       strerror(-r));
	}
	*ret = n;
	return 0;
}

struct td_net *td_net_close(struct td_net *n)
{
	if (!n)
		return NULL;
	close_socket(n->requests);
	close_socket(n->events);
	if (n->packet_fd >= 0)
		close(n->packet_fd);
	td_events_done(n);
	td_care_done(n);
	free(n);
	return NULL;
}

void *td_request_init(struct td_request *q, uint16_t type, uint16_t flags, size_t size)
{
	memset(q, 0, sizeof(*q));
	mnl_nlmsg_put_header(q);
	q->header.nlmsg_type = type;
	q->header.nlmsg_flags = NLM_F_REQUEST | flags;
	return mnl_nlmsg_put_extra_header(&q->header, size);
}

void td_request_put_addr(struct td_request *q, uint16_t type, const struct tundish_addr *a)
{
	if (tundish_addr_is_v4(a))
		mnl_attr_put(&q->header, type, 4, &a->word[3]);
	else
		mnl_attr_put(&q->header, type, 16, a->word);
}

bool td_bytes_to_addr(const void *bytes, size_t n, int family, struct tundish_addr *ret)
{
	struct tundish_addr a = {0};

	if (family == AF_INET && n == 4) {
		__be32 ip;

		memcpy(&ip, bytes, 4);
		*ret = tundish_addr_v4(ip);
		return true;
	}
	if (family != AF_INET6 || n != 16)
		return false;
	memcpy(&a, bytes, 16);
	if (tundish_addr_is_v4(&a))
		return false;
	*ret = a;
	return true;
}

ssize_t td_net_receive(struct td_net *n, struct mnl_socket *s)
{
	struct sockaddr_nl from = {0};
	struct iovec iov = {n->buffer, sizeof(n->buffer)};
	struct msghdr m = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t r;

	do
		r = recvmsg(mnl_socket_get_fd(s), &m, 0);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (m.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	/* Only the kernel is port 0; another process may send here too. */
	return m.msg_namelen == sizeof(from) && from.nl_pid == 0 ? r : 0;
}

/* The code of an NLMSG_ERROR or NLMSG_DONE; keeps the kernel's words. */
static int end_of_reply(struct td_net *n, const struct nlmsghdr *h)
{
	const struct nlattr *a;
	int code = 0;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(code))
		return h->nlmsg_type == NLMSG_DONE ? 0 : -EBADMSG;
	memcpy(&code, mnl_nlmsg_get_payload(h), sizeof(code));
	if (code >= 0)
		return 0;
	if (h->nlmsg_type != NLMSG_ERROR || !(h->nlmsg_flags & NLM_F_ACK_TLVS) ||
	    !(h->nlmsg_flags & NLM_F_CAPPED))
		return code;
	mnl_attr_for_each(a, h,
			  sizeof(struct nlmsgerr)) if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG)
		snprintf(n->kernel_says, sizeof(n->kernel_says), "%.*s",
			 (int)mnl_attr_get_payload_len(a), (const char *)mnl_attr_get_payload(a));
	return code;
}

struct exchange {
	enum td_net_reply expect;
	td_net_message message;
	void *data;
	bool interrupted, finished;
	int result;
};

/* Takes apart one datagram that lies in n->buffer. */
static void take_datagram(struct td_net *n, int length, struct exchange *x)
{
	const struct nlmsghdr *h = (const void *)n->buffer;

	for (; !x->finished && mnl_nlmsg_ok(h, length); h = mnl_nlmsg_next(h, &length)) {
		if (h->nlmsg_seq != n->sequence || h->nlmsg_pid != n->portid)
			continue;
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			x->interrupted = true;
		if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE) {
			int r = end_of_reply(n, h);

			if (x->result >= 0)
				x->result = r;
			if (x->result >= 0 && x->interrupted)
				x->result = -EINTR;
			x->finished = true;
		} else if (h->nlmsg_type >= NLMSG_MIN_TYPE) {
			/* After an error the rest is still read to its end. */
			if (x->result >= 0 && x->message)
				x->result = x->message(h, x->data);
			x->finished = x->expect == TD_NET_REPLY_ONE;
		}
	}
}

int td_net_request(struct td_net *n, struct td_request *q, enum td_net_reply expect,
		   td_net_message message, void *data)
{
	struct exchange x = {.expect = expect, .message = message, .data = data};
	uint64_t end;

	n->kernel_says[0] = 0;
	if (n->broken) {
		int r = open_requests(n);

		if (r < 0)
			return r;
	}
	if (expect == TD_NET_REPLY_DUMP)
		q->header.nlmsg_flags |= NLM_F_DUMP;
	else if (expect == TD_NET_REPLY_ACK)
		q->header.nlmsg_flags |= NLM_F_ACK;
	q->header.nlmsg_seq = ++n->sequence;
	q->header.nlmsg_pid = n->portid;
	if (mnl_socket_sendto(n->requests, q, q->header.nlmsg_len) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	end = now_ms() + TD_NET_TIMEOUT_MS;
	for (unsigned int i = 0; i < DATAGRAMS_MAX && !x.finished; i++) {
		ssize_t r = td_net_receive(n, n->requests);

		if (r < 0) {
			n->broken = true;
			return r == -EAGAIN ? -ETIMEDOUT : (int)r;
		}
		take_datagram(n, (int)r, &x);
		if (!x.finished && now_ms() > end)
			break;
	}
	if (!x.finished) {
		n->broken = true;
		return -ETIMEDOUT;
	}
	return x.result;
}

const char *td_net_reason(const struct td_net *n, int r)
{
	return n->kernel_says[0] ? n->kernel_says : strerror(-r);
}
