// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control socket and the metrics listener behind one descriptor: an epoll
 * set that holds the epoll sets of both, so the event loop watches one thing
 * and the metrics listener may move underneath it.
 */
#include <sys/epoll.h>

#include "control/private.h"

#define DRAIN_MS 500 /* longest that closing waits for answers on their way */

struct td_control {
	struct td_listener socket, metrics;
	char *socket_path;
	struct td_file_id socket_id;
	char *metrics_address; /* NULL: none */
	char *former_address;  /* of the socket below; NULL: none */
	int former_fd;	       /* for metrics, from who ran before in this process */
	int epoll_fd;
	struct td_control_limits limits;
	td_handler handler;
	void *context;
};

static int start(struct td_control *c, struct td_listener *l, int fd, bool metrics,
		 struct td_error *error)
{
	struct epoll_event event = {.events = EPOLLIN};
	int r;

	*l = (struct td_listener){
		.metrics = metrics,
		.limits = c->limits,
		.handler = c->handler,
		.context = c->context,
	};
	if (metrics)
		l->limits.body_bytes = TD_MIN(l->limits.body_bytes, TD_WEB_BODY_MAX);
	r = td_listener_start(l, fd, error);
	if (r < 0)
		return r;
	if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, td_listener_fd(l), &event) < 0) {
		r = td_fail(error, errno, "cannot watch the HTTP server: %s", strerror(errno));
		td_listener_stop(l);
	}
	return r;
}

static void stop(struct td_control *c, struct td_listener *l)
{
	if (!l->daemon)
		return;
	epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, td_listener_fd(l), NULL);
	td_listener_stop(l);
}

static int start_metrics(struct td_control *c, const char *address, struct td_error *error)
{
	int fd = td_listen_tcp(address, error);

	return fd < 0 ? fd : start(c, &c->metrics, fd, true, error);
}

/* The socket of that address, which is there still; or a new one. The other way round the
 * address would be in use, by this very process. */
static int listen_metrics(struct td_control *c, const char *address, struct td_error *error)
{
	int fd = c->former_fd;
	bool same = c->former_address && !strcmp(c->former_address, address);

	c->former_fd = -1;
	if (same && fd >= 0)
		return fd;
	td_closep(&fd);
	return td_listen_tcp(address, error);
}

int td_control_set_metrics(struct td_control *c, const char *metrics, struct td_error *error)
{
	_cleanup_free_ char *address = NULL;
	int fd = -1, r;

	if (metrics && metrics[0]) {
		address = strdup(metrics);
		if (!address)
			return td_fail(error, ENOMEM, "out of memory");
	}
	if (address && c->metrics_address && strcmp(address, c->metrics_address) == 0)
		return 0;
	if (address) {
		fd = listen_metrics(c, address, error);
		if (fd < 0 && (fd != -EADDRINUSE || !c->metrics_address))
			return fd;
	}

	stop(c, &c->metrics);
	/* In use, perhaps by ourselves: 0.0.0.0:9799 after 127.0.0.1:9799. */
	r = address && fd >= 0 ? start(c, &c->metrics, fd, true, error)
	    : address	       ? start_metrics(c, address, error)
			       : 0;
	if (r < 0) {
		if (c->metrics_address && start_metrics(c, c->metrics_address, NULL) < 0) {
			free(c->metrics_address); /* taken meanwhile: there is none now */
			c->metrics_address = NULL;
		}
		return r;
	}
	free(c->metrics_address);
	c->metrics_address = TD_TAKE_PTR(address);
	return 0;
}

int td_control_set_group(struct td_control *c, gid_t group, struct td_error *error)
{
	return c->socket_path ? td_chgrp_unix(c->socket_path, &c->socket_id, group, error) : 0;
}

static void control_closep(struct td_control **c)
{
	td_control_close(*c);
}

static int open_all(const char *socket_path, const char *metrics,
		    const struct td_control_former *former, const struct td_control_limits *limits,
		    td_handler handler, void *context, struct td_control **ret,
		    struct td_error *error)
{
	_cleanup_(control_closep) struct td_control *c = NULL;
	_cleanup_close_ int epoll_fd = -1;
	struct td_file_id id;
	int fd, r;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return td_fail(error, errno, "cannot make an epoll set: %s", strerror(errno));
	c = calloc(1, sizeof(*c));
	if (!c)
		return td_fail(error, ENOMEM, "out of memory");
	c->epoll_fd = TD_TAKE_FD(epoll_fd);
	c->former_fd = -1;
	c->limits = *limits;
	c->handler = handler;
	c->context = context;

	/* Metrics first: the control socket's file is what tells others that
	 * there is a daemon, so it comes last. */
	r = td_control_set_metrics(c, metrics, error);
	if (r < 0)
		return r;
	if (socket_path) {
		fd = former && td_is_unix(former->socket_fd, socket_path, &id)
			     ? former->socket_fd
			     : td_listen_unix(socket_path, &id, error);
		if (fd < 0)
			return fd;
		c->socket_path = strdup(socket_path);
		if (!c->socket_path) {
			td_unlink_unix(socket_path, &id);
			close(fd);
			return td_fail(error, ENOMEM, "out of memory");
		}
		c->socket_id = id;
		r = start(c, &c->socket, fd, false, error);
		if (r < 0)
			return r;
	}
	if (former && former->metrics_fd >= 0) {
		c->former_fd = former->metrics_fd;
		c->former_address = strdup(former->metrics_address);
	}
	*ret = TD_TAKE_PTR(c);
	return 0;
}

int td_control_open_limited(const char *socket_path, const char *metrics,
			    const struct td_control_limits *limits, td_handler handler,
			    void *context, struct td_control **ret, struct td_error *error)
{
	return open_all(socket_path, metrics, NULL, limits, handler, context, ret, error);
}

int td_control_open(const char *socket_path, const char *metrics, td_handler handler, void *context,
		    struct td_control **ret, struct td_error *error)
{
	static const struct td_control_limits limits = TD_CONTROL_LIMITS;

	return open_all(socket_path, metrics, NULL, &limits, handler, context, ret, error);
}

int td_control_open_again(const char *socket_path, const struct td_control_former *former,
			  td_handler handler, void *context, struct td_control **ret,
			  struct td_error *error)
{
	static const struct td_control_limits limits = TD_CONTROL_LIMITS;

	return open_all(socket_path, NULL, former, &limits, handler, context, ret, error);
}

int td_control_take_back(struct td_control *c, const struct td_control_former *former,
			 struct td_error *error)
{
	int r;

	stop(c, &c->socket);
	stop(c, &c->metrics);
	r = former->socket_fd >= 0 ? start(c, &c->socket, former->socket_fd, false, error) : 0;
	return former->metrics_fd >= 0 ? start(c, &c->metrics, former->metrics_fd, true, error) ?: r
				       : r;
}

void td_control_hand_over(struct td_control *c, struct td_control_former *ret)
{
	*ret = (struct td_control_former){
		.socket_fd = td_listener_drain(&c->socket, DRAIN_MS),
		.metrics_fd = td_listener_drain(&c->metrics, DRAIN_MS),
	};
	snprintf(ret->metrics_address, sizeof(ret->metrics_address), "%s",
		 c->metrics_address ?: "");
}

struct td_control *td_control_close(struct td_control *c)
{
	int socket;

	if (!c)
		return NULL;
	/* Answers, then the file, then the rest: who waits for the file's end has
	 * had the last answer by then. */
	socket = td_listener_drain(&c->socket, DRAIN_MS);
	td_closep(&socket);
	if (c->socket_path)
		td_unlink_unix(c->socket_path, &c->socket_id);
	stop(c, &c->socket);
	stop(c, &c->metrics);
	close(c->epoll_fd);
	free(c->socket_path);
	free(c->metrics_address);
	free(c->former_address);
	td_closep(&c->former_fd);
	free(c);
	return NULL;
}

int td_control_fd(const struct td_control *c)
{
	return c->epoll_fd;
}

int td_control_wait_ms(struct td_control *c)
{
	int socket = td_listener_wait_ms(&c->socket), metrics = td_listener_wait_ms(&c->metrics);

	return socket < 0 ? metrics : metrics < 0 ? socket : TD_MIN(socket, metrics);
}

void td_control_run(struct td_control *c)
{
	td_listener_run(&c->socket);
	td_listener_run(&c->metrics);
}

void td_control_resume(struct td_control *c)
{
	if (!c)
		return;
	td_listener_resume(&c->socket);
	td_listener_resume(&c->metrics);
}
