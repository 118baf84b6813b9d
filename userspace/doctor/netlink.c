// SPDX-License-Identifier: GPL-2.0-only
/*
 * A dump over a netlink socket of its own, for rtnetlink and inet_diag alike. The handle of
 * net/ wants CAP_NET_RAW, and speaks rtnetlink alone.
 */
#include <libmnl/libmnl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "private.h"

#define BUFFER_BYTES (64 << 10)

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Returns 1 at the end of the dump. */
static int take(const void *buffer, int length, const struct nlmsghdr *request,
		int (*message)(const struct nlmsghdr *h, void *data), void *data)
{
	const struct nlmsghdr *h = buffer;
	int code, r;

	for (; mnl_nlmsg_ok(h, length); h = mnl_nlmsg_next(h, &length)) {
		if (h->nlmsg_seq != request->nlmsg_seq)
			continue;
		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR) {
			if (mnl_nlmsg_get_payload_len(h) < sizeof(code))
				return -EBADMSG;
			memcpy(&code, mnl_nlmsg_get_payload(h), sizeof(code));
			return code < 0 ? code : 1;
		}
		r = message(h, data);
		if (r != 0)
			return r;
	}
	return 0;
}

static void close_socket(struct mnl_socket **s)
{
	if (*s)
		mnl_socket_close(*s);
}

int td_doctor_dump(int protocol, struct nlmsghdr *request,
		   int (*message)(const struct nlmsghdr *h, void *data), void *data)
{
	static const struct timeval wait = {.tv_sec = TD_DOCTOR_TIMEOUT_MS / 1000};
	_cleanup_(close_socket) struct mnl_socket *s = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	_cleanup_free_ void *buffer = malloc(BUFFER_BYTES);
	uint64_t end = now_ms() + TD_DOCTOR_TIMEOUT_MS;
	ssize_t n;
	int r = 0;

	if (!buffer)
		return -ENOMEM;
	if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
		return -errno;
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = 1;
	if (mnl_socket_sendto(s, request, request->nlmsg_len) < 0)
		return -errno;
	while (r == 0) {
		n = mnl_socket_recvfrom(s, buffer, BUFFER_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		r = take(buffer, (int)n, request, message, data);
		if (r == 0 && now_ms() > end)
			return -ETIMEDOUT;
	}
	return r == 1 ? 0 : r;
}
