// SPDX-License-Identifier: GPL-2.0-only
/*
 * Health checks on the way of the traffic: the programs of checks.bpf.c on interfaces, and
 * the sockets that they know.
 *
 * Checks end with the daemon, so nothing of this is pinned. Filters that a daemon has left
 * behind do nothing without its sockets; the next one replaces them, or `unload` takes them off.
 *
 * A check's local port is its alone: bound before connect(2), so that an answer from the VIP
 * can be of one check only, whichever backend it goes to.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <tundish/check.h>

#include "checks.skel.h"
#include "core/address.h"
#include "kernel/private.h"

struct td_checks {
	struct checks *object;
	struct tundish_check_ports *ports; /* mapped */
};

const unsigned char *td_checks_bytes(size_t *ret_n)
{
	return checks__elf_bytes(ret_n);
}

/* ---- loading ------------------------------------------------------------------------------ */

static struct td_checks *checks_free(struct td_checks *c)
{
	if (c && c->ports)
		munmap(c->ports, sizeof(*c->ports));
	if (c)
		checks__destroy(c->object);
	free(c);
	return NULL;
}

static void checks_freep(struct td_checks **c)
{
	checks_free(*c);
}

static int load(struct td_kernel *k, struct td_checks *c, struct td_error *error)
{
	int r = td_hooks_load(k, c->object->obj, error);
	void *at;

	if (r < 0)
		return r;
	/* What tells later whose the programs are. */
	if (bpf_prog_bind_map(bpf_program__fd(c->object->progs.td_check_out),
			      k->map_fd[TD_MAP_settings], NULL) < 0 ||
	    bpf_prog_bind_map(bpf_program__fd(c->object->progs.td_check_in),
			      k->map_fd[TD_MAP_settings], NULL) < 0)
		return td_fail(error, errno, "cannot mark the programs for health checks: %s",
			       strerror(errno));
	at = mmap(NULL, sizeof(*c->ports), PROT_READ | PROT_WRITE, MAP_SHARED,
		  bpf_map__fd(c->object->maps.check_ports), 0);
	if (at == MAP_FAILED)
		return td_fail(error, errno, "cannot map the ports of health checks: %s",
			       strerror(errno));
	c->ports = at;
	return 0;
}

int td_kernel_checks_open(struct td_kernel *k, struct td_error *error)
{
	_cleanup_(checks_freep) struct td_checks *c = NULL;
	int r;

	if (k->checks)
		return 0;
	td_kernel_prints();
	c = calloc(1, sizeof(*c));
	if (!c)
		return td_fail(error, ENOMEM, "no memory");
	c->object = checks__open();
	if (!c->object)
		return td_fail(error, errno,
			       "cannot read tundish's BPF object for health checks: %s",
			       strerror(errno));
	r = load(k, c, error);
	if (r < 0)
		return r;
	k->checks = TD_TAKE_PTR(c);
	return 0;
}

void td_checks_forget(struct td_kernel *k)
{
	k->checks = checks_free(k->checks);
}

void td_kernel_checks_close(struct td_kernel *k)
{
	struct td_map_ids maps = td_maps_of(k);

	td_kernel_prints();
	td_tc_detach_all(&maps);
	td_checks_forget(k);
}

/* ---- interfaces ------------------------------------------------------------------------------ */

static int attach_failed(unsigned int ifindex, int code, struct td_error *error)
{
	char name[IFNAMSIZ] = "";

	if (!if_indextoname(ifindex, name))
		return td_fail(error, ENODEV, "there is no interface %u any more", ifindex);
	return td_fail(
		error, code,
		"cannot attach the programs for health checks to %s: %s; look at \"tc qdisc "
		"show dev %s\": they need a clsact qdisc, which an \"ingress\" one keeps away",
		name, strerror(code), name);
}

int td_kernel_checks_attach(struct td_kernel *k, unsigned int ifindex, struct td_error *error)
{
	struct td_checks *c = k->checks;
	struct td_map_ids maps = td_maps_of(k);
	int r;

	if (!c)
		return td_fail(error, EINVAL, "the programs for health checks are not loaded");
	td_kernel_prints();
	const int programs[TD_TC_DIRECTIONS] = {
		[TD_TC_OUT] = bpf_program__fd(c->object->progs.td_check_out),
		[TD_TC_IN] = bpf_program__fd(c->object->progs.td_check_in),
	};

	r = td_tc_attach(ifindex, programs, &maps);
	return r < 0 ? attach_failed(ifindex, -r, error) : 0;
}

void td_kernel_checks_detach(struct td_kernel *k, unsigned int ifindex)
{
	struct td_map_ids maps = td_maps_of(k);

	td_kernel_prints();
	td_tc_detach(ifindex, &maps);
}

int td_kernel_checks_attached(struct td_kernel *k, unsigned int **ret, size_t *ret_n)
{
	struct td_map_ids maps = td_maps_of(k);

	return td_tc_attached(&maps, ret, ret_n);
}

/* ---- sockets ------------------------------------------------------------------------------ */

static const struct tundish_addr nowhere;

static bool is_given(const struct tundish_addr *a)
{
	return !tundish_addr_equal(a, &nowhere);
}

/* The dummy address of RFC 7600, which no route but one of loopback's own leads to, and
 * loopback's of IPv6: where no address of the backend's will do. */
struct tundish_addr td_kernel_check_far(void)
{
	return tundish_addr_v4(TUNDISH_BE32(0xc0000008));
}

static struct tundish_addr far_stand_in(bool v4)
{
	const struct tundish_addr loopback = {{0, 0, 0, TUNDISH_BE32(1)}};

	return v4 ? td_kernel_check_far() : loopback;
}

static socklen_t put_sockaddr(struct sockaddr_storage *to, bool v4, const struct tundish_addr *a,
			      uint16_t port_be)
{
	struct sockaddr_in6 *in6 = (void *)to;
	struct sockaddr_in *in = (void *)to;

	memset(to, 0, sizeof(*to));
	if (v4) {
		in->sin_family = AF_INET;
		in->sin_port = port_be;
		in->sin_addr.s_addr = a->word[3];
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = port_be;
	memcpy(&in6->sin6_addr, a, sizeof(*a));
	return sizeof(*in6);
}

static uint16_t port_of(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET ? ((const struct sockaddr_in *)(const void *)a)->sin_port
				       : ((const struct sockaddr_in6 *)(const void *)a)->sin6_port;
}

static int bind_to(int fd, bool v4, const struct tundish_addr *source, uint16_t *port)
{
	struct sockaddr_storage a;
	socklen_t length = put_sockaddr(&a, v4, source, htons(*port));
	int off = 0;

	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&a, length) < 0)
		return -errno;
	length = sizeof(a);
	if (getsockname(fd, (struct sockaddr *)&a, &length) < 0)
		return -errno;
	*port = ntohs(port_of(&a));
	return 0;
}

/* A port that no socket has, with whatever address: one of all addresses could have it. */
static int free_port(bool v4, uint16_t protocol, uint16_t *ret_port)
{
	_cleanup_close_ int fd =
		socket(v4 ? AF_INET : AF_INET6,
		       (protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);

	*ret_port = 0;
	return fd < 0 ? -errno : bind_to(fd, v4, &nowhere, ret_port);
}

/* A local port that is the check's alone. */
static int bind_alone(int fd, bool v4, uint16_t protocol, const struct tundish_addr *source,
		      uint16_t *ret_port, struct td_error *error)
{
	char text[TD_ADDRESS_TEXT];
	uint16_t port = 0;
	int r = -EADDRINUSE;

	if (!is_given(source))
		r = bind_to(fd, v4, source, &port);
	for (int i = 0; is_given(source) && r == -EADDRINUSE && i < 4; i++) {
		r = free_port(v4, protocol, &port);
		r = r < 0 ? r : bind_to(fd, v4, source, &port);
	}
	if (r < 0)
		return td_fail(error, -r, "cannot send checks from %s: %s",
			       is_given(source) ? td_address_print(source, text) : "any address",
			       strerror(-r));
	*ret_port = port;
	return 0;
}

static uint16_t protocol_of(int fd)
{
	int protocol = 0;
	socklen_t length = sizeof(protocol);

	getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length);
	return (uint16_t)protocol;
}

/* What TCP may put into a segment, so that it fits the next hop with the tunnel's headers. */
static void bound_segments(int fd, bool v4, const struct tundish_backend *b, uint16_t mtu)
{
	const bool outer_v4 = tundish_addr_is_v4(&b->address);
	int most = (mtu ? mtu : 1500) - (v4 ? 20 : 40) - 20;

	if (b->delivery != TUNDISH_DELIVERY_DSR)
		most -= outer_v4 ? 20 : 40;
	if (b->delivery == TUNDISH_DELIVERY_GUE)
		most -= 12;
	most = TD_MIN(TD_MAX(most, 88), 32767); /* the kernel's own bounds */
	setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &most, sizeof(most));
}

/* Off towards loopback, where a program takes its packets over. */
static int go_far(struct td_kernel *k, int fd, bool v4, const struct td_check_way *way,
		  struct td_error *error)
{
	if (!is_given(&way->source))
		return td_fail(error, EADDRNOTAVAIL,
			       "this host has no %s address that the VIP could answer a check to",
			       v4 ? "IPv4" : "IPv6");
	/* A route of IPv4 that is looked for on loopback alone is taken to be there. IPv6's loopback
	 * address needs none. */
	if (v4 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof("lo")) < 0)
		return td_fail(error, errno, "cannot bind a check to loopback: %s",
			       strerror(errno));
	return td_kernel_checks_attach(k, TD_LOOPBACK, error);
}

int td_kernel_check_way(struct td_kernel *k, int fd, const struct td_check_way *way,
			struct sockaddr_storage *to, uint16_t *ret_port, struct td_error *error)
{
	const bool v4 = tundish_addr_is_v4(&way->vip);
	struct tundish_check_way value = {.vip = way->vip, .backend = way->backend};
	const struct tundish_backend *b;
	struct tundish_nexthop hop = {0};
	uint16_t port = 0;
	int r;

	value.protocol = protocol_of(fd);
	value.port_be = port_of(to);
	if (!k->checks || way->backend >= k->settings.backends_max ||
	    to->ss_family != (v4 ? AF_INET : AF_INET6))
		return td_fail(error, EINVAL, "a check cannot be led to a backend");
	b = &td_kernel_backends(k)[way->backend];
	td_kernel_get_nexthop(k, b->nexthop, &hop);
	value.address = value.stand_in = b->address;
	if (tundish_addr_is_v4(&b->address) != v4) {
		value.flags |= TUNDISH_CHECK_FAR;
		value.stand_in = far_stand_in(v4);
		r = go_far(k, fd, v4, way, error);
		if (r < 0)
			return r;
	}
	if (value.protocol == IPPROTO_TCP && (value.flags || b->delivery != TUNDISH_DELIVERY_DSR))
		bound_segments(fd, v4, b, hop.mtu);
	r = bind_alone(fd, v4, value.protocol, &way->source, &port, error);
	if (r < 0)
		return r;
	value.local_port_be = htons(port);
	if (bpf_map_update_elem(bpf_map__fd(k->checks->object->maps.check_ways), &fd, &value,
				BPF_ANY) < 0)
		return td_fail(error, errno, "cannot note a check's way: %s", strerror(errno));
	put_sockaddr(to, v4, &value.stand_in, port_of(to));
	*ret_port = port;
	return 0;
}

bool td_kernel_check_done(struct td_kernel *k, uint8_t protocol, uint16_t port)
{
	uint64_t bit = 1ull << (port % 64);
	__u64 *words;

	if (!k->checks)
		return false;
	words = protocol == IPPROTO_TCP ? k->checks->ports->tcp : k->checks->ports->udp;
	return __atomic_fetch_and(&words[port / 64], ~bit, __ATOMIC_RELAXED) & bit;
}
