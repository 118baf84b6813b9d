// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probes that are a socket, a question and an answer: tcp, udp, and agents.
 *
 * A tcp probe without either is good as soon as the server's SYN-ACK has come. A tcp or udp one
 * that expects something reads until it has come, as long as the answer is no longer than what
 * is looked at. An agent's answer is its first line.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/address.h"
#include "probe/private.h"

socklen_t td_probe_fill(const struct td_probe *b, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (tundish_addr_is_v4(&b->address)) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(b->port);
		v4->sin_addr.s_addr = b->address.word[3];
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(b->port);
	memcpy(&v6->sin6_addr, &b->address, sizeof(v6->sin6_addr));
	return sizeof(*v6);
}

static bool is_plain(const struct td_probe *b)
{
	return b->type == TD_PROBE_TCP && !b->send.data && !b->expect.data;
}

/* The hook, for each connection. */
static int prepare(struct td_probe *b, int fd, struct sockaddr_storage *to)
{
	const struct td_prober_options *o = &b->prober->options;

	b->way_port = 0;
	return o->opened ? o->opened(o->context, b->context, fd, to, &b->way_port) : 0;
}

int td_probe_socket(struct td_probe *b, int type, struct sockaddr_storage *to)
{
	const struct linger reset = {.l_onoff = 1};
	_cleanup_close_ int fd = -1;
	int one = 1, r;

	fd = socket(tundish_addr_is_v4(&b->address) ? AF_INET : AF_INET6,
		    type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	/* Of a socket that connects it delays the ACK of the SYN-ACK, which data could go with:
	 * the RST takes its place. */
	if (is_plain(b))
		setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one));
	b->protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
	r = prepare(b, fd, to);
	return r < 0 ? r : TD_TAKE_FD(fd);
}

void td_probe_closed(struct td_probe *b)
{
	const struct td_prober_options *o = &b->prober->options;

	if (b->way_port && o->closed)
		b->astray |= !o->closed(o->context, b->context, b->protocol, b->way_port);
	b->way_port = 0;
}

/* ---- answers --------------------------------------------------------------------------- */

static size_t answer_room(const struct td_probe *b)
{
	return b->type == TD_PROBE_AGENT ? TD_PROBE_LINE_BYTES : TD_PROBE_ANSWER_BYTES;
}

/* A line may end with the connection, or be as long as is looked at. */
static void look_at_line(struct td_probe *b, bool over)
{
	bool whole = memchr(b->answer, '\n', b->length) || memchr(b->answer, '\r', b->length);

	if (!b->length && over)
		td_probe_end(b, TD_PROBE_BAD, "it closed the connection without a word");
	else if (whole || over || b->length == answer_room(b))
		td_probe_end(b, TD_PROBE_GOOD, "it answers");
}

/* What has come so far. @over: nothing more will */
static void look_at(struct td_probe *b, bool over)
{
	if (b->type == TD_PROBE_AGENT)
		look_at_line(b, over);
	else if (td_bytes_in(&b->expect, b->answer, b->length))
		td_probe_end(b, TD_PROBE_GOOD, "it answers");
	else if (over && !b->length)
		td_probe_end(b, TD_PROBE_BAD, "it closed the connection without an answer");
	else if (over || b->type == TD_PROBE_UDP)
		td_probe_end(b, TD_PROBE_BAD, "another answer than expected");
	else if (b->length == answer_room(b))
		td_probe_end(b, TD_PROBE_BAD, "another answer than expected in its first %u bytes",
			     TD_PROBE_ANSWER_BYTES);
}

static void take(struct td_probe *b)
{
	/* Edge by edge, so to the end; a datagram is a whole answer. */
	while (b->state == TD_PROBE_RUNNING) {
		size_t room = answer_room(b);
		ssize_t n;

		if (!b->answer)
			b->answer = malloc(room);
		if (!b->answer) {
			td_probe_end_errno(b, ENOMEM);
			return;
		}
		n = recv(b->watch.fd, b->answer + b->length, room - b->length, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			td_probe_end_errno(b, errno);
			return;
		}
		b->length += (size_t)n;
		look_at(b, n == 0 && b->type != TD_PROBE_UDP);
	}
}

/* Where nobody listens on this host the kernel may give the socket that very port, and it meets
 * itself, with TCP too. */
static bool meets_itself(const struct td_probe *b)
{
	struct sockaddr_storage here = {0}, there = {0};
	socklen_t n = sizeof(here), m = sizeof(there);

	return b->port >= 1024 && getsockname(b->watch.fd, (struct sockaddr *)&here, &n) == 0 &&
	       getpeername(b->watch.fd, (struct sockaddr *)&there, &m) == 0 && n == m &&
	       !memcmp(&here, &there, n);
}

static void ask(struct td_probe *b)
{
	ssize_t n;

	b->connected = true;
	if (meets_itself(b)) {
		td_probe_end_errno(b, ECONNREFUSED);
		return;
	}
	if (is_plain(b)) {
		td_probe_end(b, TD_PROBE_GOOD, "it accepts connections");
		return;
	}
	if (!b->send.data)
		return;
	/* A few kilobytes fit into any socket. */
	n = send(b->watch.fd, b->send.data, b->send.n, MSG_NOSIGNAL);
	if (n < 0)
		td_probe_end_errno(b, errno);
	else if ((size_t)n < b->send.n)
		td_probe_end(b, TD_PROBE_UNABLE, "the question does not fit into a socket");
	else if (b->type == TD_PROBE_TCP && !b->expect.data)
		td_probe_end(b, TD_PROBE_GOOD, "it accepts connections");
}

static void on_socket(struct td_watch *w, uint32_t events)
{
	struct td_probe *b = TD_OF(w, struct td_probe, watch);
	socklen_t length = sizeof(int);
	int code = 0;

	if (b->state != TD_PROBE_RUNNING)
		return;
	if (events & (EPOLLERR | EPOLLHUP) &&
	    getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 && code) {
		td_probe_end_errno(b, code);
		return;
	}
	if (!b->connected && events & EPOLLOUT)
		ask(b);
	if (b->state == TD_PROBE_RUNNING && b->connected && events & (EPOLLIN | EPOLLHUP))
		take(b);
}

/* ---- beginning and end ------------------------------------------------------------------ */

/*
 * A plain socket whose server was there is kept for the next time: connect(2) to nowhere sends the
 * RST that close(2) would, and what is spared (the file, the socket, its place in epoll) is a third
 * of what such a check costs. A connection that is led somewhere has a socket of its own.
 */
static bool keep(struct td_probe *b)
{
	const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	struct td_prober *p = b->prober;

	if (!is_plain(b) || !b->connected || b->way_port ||
	    p->n_kept >= p->options.max_sockets / 2 ||
	    connect(b->watch.fd, &nowhere, sizeof(nowhere)) < 0)
		return false;
	b->kept = true;
	p->n_kept++;
	return true;
}

void td_talk_forget(struct td_probe *b)
{
	if (!b->kept)
		return;
	b->kept = false;
	b->prober->n_kept--;
	td_fd_close(&b->watch.fd);
}

/* A socket, watched; where it goes is in *to. */
static int open_socket(struct td_probe *b, bool udp, struct sockaddr_storage *to)
{
	int fd;

	if (b->kept) {
		b->kept = false;
		b->prober->n_kept--;
		return prepare(b, b->watch.fd, to);
	}
	fd = td_probe_socket(b, udp ? SOCK_DGRAM : SOCK_STREAM, to);
	if (fd < 0)
		return fd;
	b->watch = (struct td_watch){.ready = on_socket, .fd = fd};
	/* Before it connects it is ready for nothing that counts, and edges come later. */
	return td_watch_add(b->prober, &b->watch,
			    (udp ? 0 : EPOLLOUT) | (is_plain(b) ? 0 : EPOLLIN) | EPOLLET);
}

static int start(struct td_probe *b)
{
	bool udp = b->type == TD_PROBE_UDP;
	struct sockaddr_storage to;
	socklen_t length = td_probe_fill(b, &to);
	int r;

	b->connected = false;
	r = open_socket(b, udp, &to);
	if (r < 0)
		return r;
	if (connect(b->watch.fd, (struct sockaddr *)&to, length) < 0 && errno != EINPROGRESS)
		td_probe_end_errno(b, errno);
	else if (udp)
		ask(b);
	return 0;
}

static void stop(struct td_probe *b)
{
	if (!keep(b))
		td_fd_close(&b->watch.fd);
	free(b->answer);
	b->answer = NULL;
}

const struct td_kind td_kind_talk = {.start = start, .stop = stop};
