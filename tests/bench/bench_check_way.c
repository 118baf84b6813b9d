// SPDX-License-Identifier: GPL-2.0-only
/*
 * One health check by way of a delivery, over a pin directory of its own and without a
 * daemon: a request over HTTP, or a datagram.
 *
 *   check_way DIR VIP PORT DELIVERY BACKEND [DEVICE...]
 *
 * In the environment: GUE_PORT; SOURCE, an address of this host; UDP=1; POST=BYTES, a body of
 * that size; PAST=1, the programs are not attached. Prints what came back, or the error, then
 * "led" or "not led"; exit 0 where an answer came. The programs stay where they are until
 * `tundish --pin DIR unload`.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/time.h>

#include "kernel/kernel.h"
#include "net/net.h"

#define BACKEND 1

static _Noreturn void die(const char *text)
{
	fprintf(stderr, "check_way: %s\n", text);
	exit(1);
}

static struct tundish_addr address(const char *text)
{
	struct tundish_addr a = {0};
	char mapped[64];

	snprintf(mapped, sizeof(mapped), strchr(text, ':') ? "%s" : "::ffff:%s", text);
	if (inet_pton(AF_INET6, mapped, &a) != 1)
		die(text);
	return a;
}

static struct tundish_backend backend_of(const char *delivery, const char *to)
{
	struct tundish_backend b = {
		.address = address(to), .nexthop = 1, .service = 1, .weight = 1};

	b.state = TUNDISH_BACKEND_UP;
	b.delivery = !strcmp(delivery, "ipip")	? TUNDISH_DELIVERY_IPIP
		     : !strcmp(delivery, "gue") ? TUNDISH_DELIVERY_GUE
						: TUNDISH_DELIVERY_DSR;
	b.gue_port_be = htons((uint16_t)atoi(getenv("GUE_PORT") ? getenv("GUE_PORT") : "6080"));
	return b;
}

/* As the daemon does it. */
static struct tundish_nexthop hop_of(const struct tundish_addr *to)
{
	struct tundish_nexthop hop = {0};
	struct td_error e = {0};
	struct td_net *n;
	int r = -EAGAIN;

	if (td_net_open(&n, &e) < 0)
		die(e.text);
	for (int i = 0; i < 200 && r == -EAGAIN; i++, usleep(10000))
		r = td_net_nexthop(n, to, &hop, NULL, &e);
	if (r < 0)
		die(r == -EAGAIN ? "the backend's neighbour does not answer" : e.text);
	td_net_close(n);
	return hop;
}

/* A descriptor; *ret_answers: whether it is connected. */
static int open_socket(struct td_kernel *k, const char *vip, uint16_t port, bool udp,
		       uint16_t *ret_local, bool *ret_answers)
{
	struct td_check_way way = {.vip = address(vip), .backend = BACKEND};
	const bool v4 = tundish_addr_is_v4(&way.vip);
	struct sockaddr_storage to = {.ss_family = v4 ? AF_INET : AF_INET6};
	const struct timeval patience = {.tv_sec = 2};
	struct td_error e = {0};
	int fd = socket(to.ss_family, udp ? SOCK_DGRAM : SOCK_STREAM, 0);

	if (getenv("SOURCE"))
		way.source = address(getenv("SOURCE"));
	((struct sockaddr_in *)(void *)&to)->sin_port = htons(port);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (td_kernel_check_way(k, fd, &way, &to, ret_local, &e) < 0)
		die(e.text);
	*ret_answers = connect(fd, (struct sockaddr *)&to,
			       v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) == 0;
	if (!*ret_answers)
		printf("%s\n", strerror(errno));
	return fd;
}

static bool send_all(int fd, const char *from, size_t n)
{
	while (n) {
		ssize_t r = write(fd, from, n);

		if (r <= 0)
			return false;
		from += r;
		n -= (size_t)r;
	}
	return true;
}

static bool ask(int fd, bool udp)
{
	size_t body = getenv("POST") ? (size_t)atoi(getenv("POST")) : 0;
	char head[256], *text = calloc(1, body + 1), answer[4096];
	const struct linger at_once = {.l_onoff = 1};
	size_t n = 0;
	ssize_t r;

	snprintf(head, sizeof(head), "%s HTTP/1.0\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
		 body ? "POST /post" : "GET /", body);
	if (!text || !send_all(fd, udp ? "q" : head, udp ? 1 : strlen(head)) ||
	    !send_all(fd, text, body)) {
		printf("%s\n", strerror(errno));
		return false;
	}
	free(text);
	while ((r = read(fd, answer + n, sizeof(answer) - 1 - n)) > 0 && !udp)
		n += (size_t)r;
	if (r < 0 && !n) {
		printf("%s\n", strerror(errno));
		return false;
	}
	answer[udp ? (size_t)r : n] = '\0';
	text = strstr(answer, "\r\n\r\n");
	printf("%s\n", text ? text + 4 : answer);
	if (!udp)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	return true;
}

static void attach(struct td_kernel *k, char **devices)
{
	struct td_error e = {0};

	for (; *devices; devices++)
		if (td_kernel_checks_attach(k, if_nametoindex(*devices), &e) < 0)
			die(e.text);
}

int main(int argc, char **argv)
{
	const struct td_limits_conf limits = {.flows = 64,
					      .flows6 = 64,
					      .tuples = 64,
					      .services = 4,
					      .backends = 16,
					      .vips = 8,
					      .workers = 64,
					      .groups = 2,
					      .ports = 64,
					      .nat = 64,
					      .lanes = 7,
					      .fragments = 64};
	const bool udp = getenv("UDP") != NULL;
	struct tundish_backend b;
	struct tundish_nexthop hop;
	struct td_error e = {0};
	struct td_kernel *k;
	uint16_t local = 0;
	bool good;
	int fd;

	if (argc < 6)
		die("DIR VIP PORT DELIVERY BACKEND [DEVICE...]");
	if (td_kernel_open(argv[1], &limits, 0, &k, NULL, NULL, &e) < 0)
		die(e.text);
	b = backend_of(argv[4], argv[5]);
	hop = hop_of(&b.address);
	td_kernel_put_backend(k, BACKEND, &b);
	td_kernel_put_nexthop(k, b.nexthop, &hop);
	if (td_kernel_checks_open(k, &e) < 0)
		die(e.text);
	if (!getenv("PAST"))
		attach(k, argv + 6);
	fd = open_socket(k, argv[2], (uint16_t)atoi(argv[3]), udp, &local, &good);
	good = good && ask(fd, udp);
	close(fd);
	printf("%s\n",
	       td_kernel_check_done(k, udp ? IPPROTO_UDP : IPPROTO_TCP, local) ? "led" : "not led");
	td_kernel_close(k);
	return !good;
}
