// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs around listening sockets: a second BPF object over the same maps,
 * loaded when the first worker group is made.
 *
 * What attaches them is pinned (six links, and a seventh where accepts without an
 * address count), so they outlive the daemon, and so are the programs that are run
 * or attached later by hand. A daemon of the same
 * build adopts all that and loads nothing; another build's programs are put in
 * the links' places one by one, each atomically.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "kernel/private.h"
#include "workers.skel.h"

/* Connections that wait to be accepted, where accepts without an address count: some
 * 100 bytes each. */
#define WAITING_MOST 65536u

const unsigned char *td_steering_bytes(size_t *ret_n)
{
	return workers__elf_bytes(ret_n);
}

void td_steering_forget(struct td_kernel *k)
{
	ring_buffer__free(k->worker_events);
	k->worker_events = NULL;
	td_hooks_forget(k, TD_HOOKS_workers);
	td_hooks_forget(k, TD_HOOKS_accepts);
}

bool td_kernel_steering_is_open(const struct td_kernel *k)
{
	return k->hook_fd[TD_HOOK_link_steer] >= 0;
}

static bool sees_every_accept(const struct td_kernel *k)
{
	return k->hook_fd[TD_HOOK_link_sys_exit] >= 0;
}

/*
 * The map `places` holds pointers to a struct of the kernel's own, through which the programs
 * read; a type tag says so. clang 14 writes none into the object, and the tag's name depends on
 * the kernel, so the map is made here, with a description of its own. (A cast in the program
 * would do without: but 6.1 lacks bpf_rdonly_cast, and to find that out libbpf 1.1 asks for the
 * modules' BTF, which takes CAP_SYS_ADMIN, and the daemon has given that up.)
 */
static int make_places(const struct bpf_map *places, const char *tag)
{
	struct btf *btf = btf__new_empty();
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	uint32_t bytes = bpf_map__value_size(places);
	int key, word, pointer, value, r;

	if (!btf)
		return -ENOMEM;
	/* A part of it that fails makes those that stand upon it fail. */
	key = btf__add_int(btf, "u32", sizeof(uint32_t), 0);
	word = btf__add_int(btf, "u64", sizeof(uint64_t), 0);
	pointer =
		btf__add_ptr(btf, btf__add_type_tag(btf, tag, btf__add_struct(btf, "tcp_sock", 0)));
	value = btf__add_struct(btf, "place", bytes);
	if ((r = btf__add_field(btf, "cookie", word, 0, 0)) == 0 &&
	    (r = btf__add_field(btf, "socket", pointer, 64, 0)) == 0 &&
	    (r = btf__load_into_kernel(btf)) == 0) {
		opts.btf_fd = (uint32_t)btf__fd(btf);
		opts.btf_key_type_id = (uint32_t)key;
		opts.btf_value_type_id = (uint32_t)value;
		r = bpf_map_create(BPF_MAP_TYPE_ARRAY, "places", bpf_map__key_size(places), bytes,
				   bpf_map__max_entries(places), &opts);
	}
	btf__free(btf);
	/* A tag that it does not know the kernel passes over, and says nothing; only such a map
	 * can be frozen. */
	if (r >= 0 && bpf_map_freeze(r) == 0) {
		close(r);
		return -ENOTSUP;
	}
	return r;
}

/* What was "kptr" is since 6.4 "kptr_untrusted": a pointer that keeps nothing alive. */
static int put_places(struct workers *o, struct td_error *error)
{
	_cleanup_close_ int fd = make_places(o->maps.places, "kptr_untrusted");
	int r;

	if (fd < 0)
		fd = make_places(o->maps.places, "kptr");
	r = fd < 0 ? fd : bpf_map__reuse_fd(o->maps.places, fd);
	return r < 0 ? td_fail(error, -r, "cannot make the map places: %s", strerror(-r)) : 0;
}

static int load(struct td_kernel *k, bool every_accept, struct workers **ret,
		struct td_error *error)
{
	struct workers *o = workers__open();
	struct stat pid_namespace;
	uint64_t cookie;
	int r;

	if (!o)
		return td_fail(error, errno, "cannot read tundish's second BPF object: %s",
			       strerror(errno));
	r = td_kernel_netns_cookie(-1, &cookie);
	if (r < 0) {
		workers__destroy(o);
		return td_fail(error, -r, "cannot tell this network namespace: %s", strerror(-r));
	}
	o->rodata->netns_cookie = cookie;
	o->rodata->every_accept = every_accept;
	bpf_program__set_autoload(o->progs.tundish_sys_exit, every_accept);
	if (every_accept)
		bpf_map__set_max_entries(o->maps.waiting, WAITING_MOST);
	if (stat("/proc/self/ns/pid", &pid_namespace) == 0)
		o->rodata->pid_namespace = (uint32_t)pid_namespace.st_ino;
	if ((r = put_places(o, error)) < 0 || (r = td_hooks_load(k, o->obj, error)) < 0) {
		workers__destroy(o);
		return r;
	}
	*ret = o;
	return 0;
}

/* Listeners are found first and steered to last. */
static int put_all(struct td_kernel *k, struct workers *o, struct td_error *error)
{
	_cleanup_close_ int cgroup = td_cgroup_root(error), netns = -1;
	int r;

	if (cgroup < 0)
		return cgroup;
	netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return td_fail(error, errno, "cannot open this network namespace: %s",
			       strerror(errno));
	if ((r = td_hook_keep(k, TD_HOOK_prog_migrate, bpf_program__fd(o->progs.tundish_migrate),
			      error)) < 0 ||
	    (r = td_hook_keep(k, TD_HOOK_prog_scan, bpf_program__fd(o->progs.tundish_scan),
			      error)) < 0 ||
	    (r = td_hook_keep(k, TD_HOOK_prog_scan_udp, bpf_program__fd(o->progs.tundish_scan_udp),
			      error)) < 0 ||
	    (r = td_hook_keep(k, TD_HOOK_prog_depths, bpf_program__fd(o->progs.tundish_depths),
			      error)) < 0 ||
	    (r = td_hook_keep(k, TD_HOOK_prog_steer, bpf_program__fd(o->progs.tundish_steer_dry),
			      error)) < 0 ||
	    (r = td_hook_attach(k, TD_HOOK_link_sockops, bpf_program__fd(o->progs.tundish_sockops),
				cgroup, BPF_CGROUP_SOCK_OPS, "finding listeners", error)) < 0 ||
	    (r = td_hook_attach(k, TD_HOOK_link_bound4, bpf_program__fd(o->progs.tundish_bound4),
				cgroup, BPF_CGROUP_INET4_POST_BIND, "finding UDP sockets", error)) <
		    0 ||
	    (r = td_hook_attach(k, TD_HOOK_link_bound6, bpf_program__fd(o->progs.tundish_bound6),
				cgroup, BPF_CGROUP_INET6_POST_BIND, "finding UDP sockets", error)) <
		    0 ||
	    (r = td_hook_attach(k, TD_HOOK_link_accept4, bpf_program__fd(o->progs.tundish_accept4),
				cgroup, BPF_CGROUP_INET4_GETPEERNAME, "seeing accepts", error)) <
		    0 ||
	    (r = td_hook_attach(k, TD_HOOK_link_accept6, bpf_program__fd(o->progs.tundish_accept6),
				cgroup, BPF_CGROUP_INET6_GETPEERNAME, "seeing accepts", error)) <
		    0 ||
	    (r = td_hook_attach(k, TD_HOOK_link_steer, bpf_program__fd(o->progs.tundish_steer),
				netns, BPF_SK_LOOKUP, "steering", error)) < 0)
		return r;
	return 0;
}

static void drop_sys_exit(struct td_kernel *k)
{
	td_hooks_drop(k, TD_HOOKS_accepts);
	td_hooks_forget(k, TD_HOOKS_accepts);
}

/* Groups have the former migration program: the daemon gives them this one when it looks at their
 * processes. */
static void forget_migrate(struct td_kernel *k)
{
	struct tundish_worker *all = td_kernel_workers(k);

	for (uint32_t i = 0; i < k->settings.workers_max; i++)
		__atomic_fetch_and(&all[i].flags, ~TUNDISH_WORKER_MIGRATE, __ATOMIC_RELAXED);
}

/* The programs in one of their two forms, in the places of those that are there. */
static int put(struct td_kernel *k, bool every_accept, struct td_error *error)
{
	struct workers *o = NULL;
	int r = load(k, every_accept, &o, error);

	if (r < 0)
		return r;
	r = put_all(k, o, error);
	if (r == 0)
		forget_migrate(k);
	if (r == 0 && every_accept)
		r = td_hook_attach_tracing(k, TD_HOOK_link_sys_exit,
					   bpf_program__fd(o->progs.tundish_sys_exit),
					   "seeing every accept", error);
	workers__destroy(o);
	return r;
}

int td_kernel_steering_open(struct td_kernel *k, struct td_error *error)
{
	bool current, accepts_current;
	int r;

	td_kernel_prints();
	if (k->worker_events)
		return 0;
	current = td_hooks_adopt(k, TD_HOOKS_workers);
	accepts_current = td_hooks_adopt(k, TD_HOOKS_accepts) || !sees_every_accept(k);
	if (!current || !accepts_current) {
		r = sees_every_accept(k) ? put(k, true, NULL) : -ENOENT;
		if (r < 0) {
			drop_sys_exit(k);
			r = put(k, false, error);
		}
		if (r < 0)
			return r;
	}
	r = td_worker_events_open(k);
	return r < 0 ? td_fail(error, -r, "cannot read the map worker_events: %s", strerror(-r))
		     : 0;
}

int td_kernel_every_accept(struct td_kernel *k, bool on, struct td_error *error)
{
	if (on == sees_every_accept(k))
		return 0;
	if (on)
		return put(k, true, error);
	drop_sys_exit(k);
	/* Where that fails the former programs stay, and find no service that asks. */
	put(k, false, NULL);
	return 0;
}

void td_kernel_steering_close(struct td_kernel *k)
{
	drop_sys_exit(k);
	td_hooks_adopt(k, TD_HOOKS_workers);
	/* Steering first: what is found no more need not be steered to. */
	td_pins_drop(k->pin_dir, td_hooks[TD_HOOK_link_steer].name);
	td_hooks_drop(k, TD_HOOKS_workers);
	td_steering_forget(k);
}
