// SPDX-License-Identifier: GPL-2.0-only
/*
 * `tundish exec`: the listeners of a group, made here and held here for as long
 * as the server is wanted, so that they outlive each of its instances. The
 * daemon is asked once, where the service listens; nothing else binds the
 * server to it. Nobody accepts here: what connects while no instance runs waits
 * in the queues.
 */
#include <ctype.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "cli/cli.h"
#include "cli/exec.h"
#include "core/address.h"

#define BACKLOG_DEFAULT 4096

int cli_somaxconn(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/sys/net/core/somaxconn", "re");
	int n;

	return f && fscanf(f, "%d", &n) == 1 && n > 0 ? n : BACKLOG_DEFAULT;
}

void cli_sockets_done(struct cli_sockets *s)
{
	while (s->n > 0)
		close(s->fd[--s->n]);
}

static socklen_t to_sockaddr(const struct tundish_addr *address, uint16_t port,
			     struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (void *)ret;
	struct sockaddr_in6 *v6 = (void *)ret;

	*ret = (struct sockaddr_storage){0};
	if (tundish_addr_is_v4(address)) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		v4->sin_addr.s_addr = address->word[3];
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, address, sizeof(v6->sin6_addr));
	return sizeof(*v6);
}

static int tell(int code, const char *listen, struct td_error *e)
{
	switch (code) {
	case EADDRINUSE:
		return td_fail(e, code,
			       "cannot listen on %s: a program has it without SO_REUSEPORT, or as "
			       "another user; `ss -ltunpe` shows which",
			       listen);
	case EADDRNOTAVAIL:
		return td_fail(e, code,
			       "cannot listen on %s: this network namespace has no such address",
			       listen);
	case EACCES:
		return td_fail(e, code,
			       "no permission to listen on %s: a port this low needs "
			       "CAP_NET_BIND_SERVICE; run it as root",
			       listen);
	case EMFILE:
	case ENFILE:
		return td_fail(e, code,
			       "no descriptor is left for the listeners on %s; give fewer "
			       "--workers or raise the limit of open files (ulimit -n)",
			       listen);
	default: return td_fail(e, code, "cannot listen on %s: %s", listen, strerror(code));
	}
}

/* @backlog: 0 for UDP */
static int open_one(const struct sockaddr_storage *name, socklen_t length, int backlog)
{
	_cleanup_close_ int fd =
		socket(name->ss_family, (backlog ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	static const int on = 1, off = 0;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		return -errno;
	if (name->ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
		return -errno;
	if (bind(fd, (const void *)name, length) < 0 || (backlog && listen(fd, backlog) < 0))
		return -errno;
	return TD_TAKE_FD(fd);
}

int cli_sockets_add(struct cli_sockets *s, const char *listen, size_t workers,
		    struct td_error *error)
{
	struct tundish_addr address;
	struct sockaddr_storage name;
	size_t before = s->n;
	socklen_t length;
	uint16_t port;
	int fd;

	if (td_endpoint_parse(listen, &address, &port) < 0 || port == 0)
		return td_fail(error, EINVAL, "\"%.64s\" is no ADDRESS:PORT", listen);
	if (workers > CLI_SOCKETS_MAX - s->n)
		return td_fail(error, EINVAL,
			       "%zu more listeners on %s are more than %d in all; give fewer "
			       "--workers",
			       workers, listen, CLI_SOCKETS_MAX);
	if (!s->backlog && !s->udp)
		s->backlog = cli_somaxconn();
	length = to_sockaddr(&address, port, &name);
	for (size_t i = 0; i < workers; i++) {
		fd = open_one(&name, length, s->backlog);
		if (fd < 0) {
			while (s->n > before)
				close(s->fd[--s->n]);
			return tell(-fd, listen, error);
		}
		s->fd[s->n++] = fd;
	}
	return 0;
}

/* ---- the verb ------------------------------------------------------------------------ */

static int ask_service(const struct cli *c, json_t **ret)
{
	struct cli_target t = {0};

	cli_target_word(&t, "services");
	cli_target_word(&t, c->argument[0]);
	return cli_ask(c, &t, NULL, CLI_OBJECT, "service", ret);
}

static int count_workers(const struct cli *c, const json_t *workers, size_t n_listen,
			 size_t *ret_count)
{
	const char *option = cli_option(c, "workers");
	json_int_t size = json_integer_value(json_object_get(workers, "size"));
	unsigned long n;
	long cpus;

	if (option) {
		n = strtoul(option, NULL, 10); /* its digits were checked */
		if (n < 1 || n > CLI_SOCKETS_MAX)
			return cli_fail(CLI_USAGE, "--workers: %lu is not from 1 to %d", n,
					CLI_SOCKETS_MAX);
	} else {
		cpus = sysconf(_SC_NPROCESSORS_ONLN);
		n = cpus > 0 ? (unsigned long)cpus : 1;
		/* what was not asked for is cut to what fits */
		if (size > 0 && n * n_listen > (unsigned long)size)
			n = TD_MAX((unsigned long)size / n_listen, 1ul);
	}
	if (size > 0 && n * n_listen > (unsigned long)size)
		return cli_fail(CLI_FAILED,
				"service \"%s\" takes %lld workers, and %lu on each of %zu "
				"addresses are more; give fewer --workers or raise workers.size "
				"in the configuration",
				c->argument[0], (long long)size, n, n_listen);
	*ret_count = n;
	return CLI_DONE;
}

static int open_sockets(const struct cli *c, const json_t *service, struct cli_sockets *s)
{
	const json_t *workers = json_object_get(service, "workers");
	const json_t *listen = json_object_get(workers, "listen"), *one;
	struct td_error error = {0};
	const char *protocol = json_string_value(json_object_get(service, "protocol"));
	size_t i, n = 0;
	int r;

	s->udp = protocol && strcmp(protocol, "udp") == 0;
	if (json_array_size(listen) == 0)
		return cli_fail(CLI_FAILED,
				"service \"%s\" has no workers.listen, so there is no address to "
				"listen on; give it one in the configuration (delivery: workers)",
				c->argument[0]);
	r = count_workers(c, workers, json_array_size(listen), &n);
	if (r != CLI_DONE)
		return r;
	json_array_foreach (listen, i, one) {
		const char *text = json_string_value(one);

		if (cli_sockets_add(s, text ? text : "", n, &error) < 0)
			return cli_fail(CLI_FAILED, "%s", error.text);
	}
	return CLI_DONE;
}

int cli_run_exec(const struct cli *c)
{
	_cleanup_(cli_sockets_done) struct cli_sockets sockets = {0};
	const char *timeout = cli_option(c, "stop-timeout");
	char name[64];
	json_t *service;
	int r;

	r = ask_service(c, &service);
	if (r != CLI_DONE)
		return r;
	r = open_sockets(c, service, &sockets);
	json_decref(service);
	if (r != CLI_DONE)
		return r;
	/* LISTEN_FDNAMES is divided at colons */
	snprintf(name, sizeof(name), "%s", c->argument[0]);
	for (char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
			*p = '_';
	return cli_supervise(&sockets, name, c->rest,
			     timeout ? (unsigned int)strtoul(timeout, NULL, 10) : 30);
}
