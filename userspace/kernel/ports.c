// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs that count source ports, and the scans of sockets.
 *
 * A scan is an iterator that the kernel runs within read(2), over the sockets of the
 * network namespace in which it was made, or over all descriptors. The program sends a
 * byte every few thousand of them, so a read of one byte is a slice.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/private.h"
#include "ports.skel.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

const unsigned char *td_ports_bytes(size_t *ret_n)
{
	return ports__elf_bytes(ret_n);
}

void td_ports_forget(struct td_kernel *k)
{
	ring_buffer__free(k->port_events);
	k->port_events = NULL;
	td_hooks_forget(k, TD_HOOKS_ports);
	td_hooks_forget(k, TD_HOOKS_binds);
}

bool td_kernel_ports_are_open(const struct td_kernel *k)
{
	return k->hook_fd[TD_HOOK_link_port_state] >= 0;
}

/* ---- network namespaces --------------------------------------------------------------- */

/* Calls something in another namespace (-1: in this one) and comes back. */
static int within(int netns_fd, int (*call)(void *context), void *context)
{
	_cleanup_close_ int home = -1;
	int r;

	if (netns_fd < 0)
		return call(context);
	home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0 || setns(netns_fd, CLONE_NEWNET) < 0)
		return -errno;
	r = call(context);
	if (setns(home, CLONE_NEWNET) < 0)
		abort(); /* in a foreign namespace everything else would go wrong */
	return r;
}

static int ask_cookie(void *context)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(uint64_t);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, context, &length) < 0)
		return -errno;
	return 0;
}

int td_kernel_netns_cookie(int netns_fd, uint64_t *ret)
{
	uint64_t cookie;
	int r = within(netns_fd, ask_cookie, &cookie);

	if (r < 0)
		return r;
	*ret = cookie;
	return 0;
}

/* ---- loading and attaching -------------------------------------------------------------- */

static int put_all(struct td_kernel *k, struct ports *o, struct td_error *error)
{
	_cleanup_close_ int cgroup = td_cgroup_root(error);
	int r;

	if (cgroup < 0)
		return cgroup;
	if ((r = td_hook_keep(k, TD_HOOK_prog_port_scan,
			      bpf_program__fd(o->progs.tundish_port_scan), error)) < 0 ||
	    (r = td_hook_keep(k, TD_HOOK_prog_port_udp,
			      bpf_program__fd(o->progs.tundish_port_scan_udp), error)) < 0 ||
	    (r = td_hook_keep(k, TD_HOOK_prog_port_owners,
			      bpf_program__fd(o->progs.tundish_port_holders), error)) < 0 ||
	    (r = td_hook_attach(k, TD_HOOK_link_port_found,
				bpf_program__fd(o->progs.tundish_port_found), cgroup,
				BPF_CGROUP_SOCK_OPS, "timing the search for ports", error)) < 0 ||
	    (r = td_hook_attach_tracing(k, TD_HOOK_link_port_state,
					bpf_program__fd(o->progs.tundish_port_state),
					"counting source ports", error)) < 0)
		return r;
	return 0;
}

static int put_bind(struct td_kernel *k, struct ports *o, struct td_error *error)
{
	return td_hook_attach_tracing(k, TD_HOOK_link_port_bind,
				      bpf_program__fd(o->progs.tundish_port_bind),
				      "seeing binds that get no port", error);
}

/* Of the object either the one program or all others. */
static int load_and_put(struct td_kernel *k, bool bind,
			int (*put)(struct td_kernel *k, struct ports *o, struct td_error *error),
			struct td_error *error)
{
	struct ports *o = ports__open();
	struct stat pid_namespace;
	struct bpf_program *p;
	int r;

	if (!o)
		return td_fail(error, errno, "cannot read tundish's third BPF object: %s",
			       strerror(errno));
	bpf_object__for_each_program(p, o->obj)
	{
		bpf_program__set_autoload(p, (p == o->progs.tundish_port_bind) == bind);
	}
	if (stat("/proc/self/ns/pid", &pid_namespace) == 0)
		o->rodata->pid_namespace = (uint32_t)pid_namespace.st_ino;
	r = td_hooks_load(k, o->obj, error);
	if (r == 0)
		r = put(k, o, error);
	ports__destroy(o);
	return r;
}

int td_kernel_ports_open(struct td_kernel *k, struct td_error *error)
{
	int r;

	td_kernel_prints();
	if (k->port_events)
		return 0;
	if (!td_hooks_adopt(k, TD_HOOKS_ports)) {
		r = load_and_put(k, false, put_all, error);
		if (r < 0)
			return r;
	}
	r = td_port_events_open(k);
	return r < 0 ? td_fail(error, -r, "cannot read the map port_events: %s", strerror(-r)) : 0;
}

int td_kernel_every_bind(struct td_kernel *k, bool on, struct td_error *error)
{
	bool current = td_hooks_adopt(k, TD_HOOKS_binds);

	if (on)
		return current ? 0 : load_and_put(k, true, put_bind, error);
	td_hooks_drop(k, TD_HOOKS_binds);
	td_hooks_forget(k, TD_HOOKS_binds);
	return 0;
}

void td_kernel_ports_close(struct td_kernel *k)
{
	td_kernel_every_bind(k, false, NULL);
	td_hooks_adopt(k, TD_HOOKS_ports);
	td_hooks_drop(k, TD_HOOKS_ports);
	td_ports_forget(k);
}

/* ---- scans ---------------------------------------------------------------------------------- */

struct iterator {
	struct td_kernel *k;
	enum td_hook hook;
};

static int make_iterator(void *context)
{
	struct iterator *i = context;

	return td_hook_iterate(i->k, i->hook, -1);
}

int td_kernel_scan_start(struct td_kernel *k, const struct tundish_port_scan *what, int netns_fd,
			 int *ret_fd, struct td_error *error)
{
	struct iterator i = {k, TD_HOOK_prog_port_scan};
	struct tundish_port_scan fresh = *what;
	uint32_t zero = 0;
	int r;

	if (!what->space || what->space >= TUNDISH_SPACES_MAX)
		return td_fail(error, EINVAL, "no network namespace %u", what->space);
	fresh.sockets = fresh.files = 0;
	fresh.overflow = fresh.jiffies = 0;
	memset(td_kernel_port_bits(k, what->space), 0, sizeof(struct tundish_port_bits));
	if (bpf_map_update_elem(k->map_fd[TD_MAP_port_scan], &zero, &fresh, BPF_ANY) < 0)
		return td_fail(error, errno, "cannot write the map port_scan: %s", strerror(errno));
	r = within(netns_fd, make_iterator, &i);
	if (r < 0)
		return td_fail(error, -r, "cannot look at the sockets: %s", strerror(-r));
	*ret_fd = r;
	return 0;
}

int td_kernel_scan_slice(struct td_kernel *k, int fd)
{
	char byte;
	ssize_t n = read(fd, &byte, sizeof(byte));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 1 : -errno;
	return n > 0;
}

int td_kernel_scan_start_udp(struct td_kernel *k, int netns_fd, int *ret_fd)
{
	struct iterator i = {k, TD_HOOK_prog_port_udp};
	int r = within(netns_fd, make_iterator, &i);

	if (r < 0)
		return r;
	*ret_fd = r;
	return 0;
}

int td_kernel_scan_result(struct td_kernel *k, struct tundish_port_scan *ret)
{
	struct tundish_port_scan found;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(k->map_fd[TD_MAP_port_scan], &zero, &found) < 0)
		return -errno;
	*ret = found;
	return 0;
}

int td_kernel_scan_start_owners(struct td_kernel *k, uint64_t scan, int *ret_fd)
{
	struct tundish_port_scan what;
	uint32_t zero = 0;
	int r = td_kernel_scan_result(k, &what);

	if (r < 0)
		return r;
	what.scan = scan;
	what.files = 0;
	if (bpf_map_update_elem(k->map_fd[TD_MAP_port_scan], &zero, &what, BPF_ANY) < 0)
		return -errno;
	r = td_hook_iterate(k, TD_HOOK_prog_port_owners, -1);
	if (r < 0)
		return r;
	*ret_fd = r;
	return 0;
}
