// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs around listening sockets: a second BPF object over the same maps,
 * loaded when the first worker group is made.
 *
 * What attaches them is pinned (four links), so they outlive the daemon, and so
 * are the programs that are run or attached later by hand. A daemon of the same
 * build adopts all that and loads nothing; another build's programs are put in
 * the links' places one by one, each atomically.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/private.h"
#include "workers.skel.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

const unsigned char *td_steering_bytes(size_t *ret_n)
{
	return workers__elf_bytes(ret_n);
}

void td_steering_forget(struct td_kernel *k)
{
	ring_buffer__free(k->worker_events);
	k->worker_events = NULL;
	for (size_t i = 0; i < TD_STEERING_PIN_COUNT; i++)
		td_closep(&k->steering_fd[i]);
	td_closep(&k->scan_link_fd);
	td_closep(&k->depths_link_fd);
}

bool td_kernel_steering_is_open(const struct td_kernel *k)
{
	return k->steering_fd[TD_PIN_link_steer] >= 0;
}

/* ---- where to attach --------------------------------------------------------------- */

/* The root of the cgroup tree as this process sees it (proc(5), mountinfo). */
static int open_cgroup(struct td_error *error)
{
	_cleanup_free_ char *line = NULL;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char path[PATH_MAX] = "";
	size_t size = 0;
	int fd;

	while (f && !path[0] && getline(&line, &size, f) > 0) {
		char where[PATH_MAX], *type = strstr(line, " - ");

		if (type && !strncmp(type, " - cgroup2 ", 11) &&
		    sscanf(line, "%*s %*s %*s %*s %4095s", where) == 1)
			snprintf(path, sizeof(path), "%s", where);
	}
	if (f)
		fclose(f);
	if (!path[0])
		return td_fail(
			error, ENOENT,
			"no cgroup v2 tree is mounted, so listeners cannot be found; mount one "
			"with \"mount -t cgroup2 none /sys/fs/cgroup\"");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? td_fail(error, errno, "cannot open the cgroup tree %s: %s", path,
				strerror(errno))
		      : fd;
}

static int netns_cookie(uint64_t *ret)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(*ret);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret, &length) < 0)
		return -errno;
	return 0;
}

/* ---- adopting ------------------------------------------------------------------------ */

/* Whether the program behind a pin is of this build. */
static bool is_current(const struct td_kernel *k, enum td_steering_pin pin, int fd)
{
	struct bpf_link_info info = {0};
	uint32_t length = sizeof(info), id;
	uint64_t loaded_ns = 0;
	int program;

	if (!strcmp(td_steering_pin_kinds[pin], "bpf-prog"))
		return td_program_info(fd, &id, &loaded_ns) == 0 && loaded_ns >= k->built_ns;
	if (bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		return false;
	program = bpf_prog_get_fd_by_id(info.prog_id);
	if (program < 0)
		return false;
	if (td_program_info(program, &id, &loaded_ns) < 0)
		loaded_ns = 0;
	close(program);
	return loaded_ns >= k->built_ns;
}

static bool adopt(struct td_kernel *k)
{
	bool all = true;

	for (enum td_steering_pin p = 0; p < TD_STEERING_PIN_COUNT; p++) {
		if (k->steering_fd[p] < 0)
			k->steering_fd[p] = td_pins_get(k->pin_dir, td_steering_pin_names[p]);
		if (k->steering_fd[p] < 0)
			k->steering_fd[p] = -1;
		all &= k->steering_fd[p] >= 0 && is_current(k, p, k->steering_fd[p]);
	}
	return all;
}

/* ---- loading and attaching -------------------------------------------------------------- */

static int load(struct td_kernel *k, struct workers **ret, struct td_error *error)
{
	struct workers *o = workers__open();
	struct stat pid_namespace;
	struct bpf_map *m;
	uint64_t cookie;
	int r;

	if (!o)
		return td_fail(error, errno, "cannot read tundish's second BPF object: %s",
			       strerror(errno));
	r = netns_cookie(&cookie);
	if (r < 0) {
		workers__destroy(o);
		return td_fail(error, -r, "cannot tell this network namespace: %s", strerror(-r));
	}
	o->rodata->netns_cookie = cookie;
	if (stat("/proc/self/ns/pid", &pid_namespace) == 0)
		o->rodata->pid_namespace = (uint32_t)pid_namespace.st_ino;
	bpf_object__for_each_map(m,
				 o->obj) for (enum td_map i = 0; i < TD_MAP_COUNT;
					      i++) if (!strcmp(bpf_map__name(m), td_map_names[i]))
	{
		r = bpf_map__reuse_fd(m, k->map_fd[i]);
		if (r < 0) {
			workers__destroy(o);
			return td_fail(error, -r, "cannot use the map %s: %s", td_map_names[i],
				       strerror(-r));
		}
	}
	r = bpf_object__load(o->obj);
	if (r < 0) {
		workers__destroy(o);
		return td_object_load_failed(error, -r);
	}
	*ret = o;
	return 0;
}

static int put_link(struct td_kernel *k, enum td_steering_pin pin, int program, int target,
		    enum bpf_attach_type type, const char *what, struct td_error *error)
{
	const char *name = td_steering_pin_names[pin];
	int r;

	if (k->steering_fd[pin] >= 0) {
		if (bpf_link_update(k->steering_fd[pin], program, NULL) == 0) {
			td_kernel_step(name);
			return 0;
		}
		/* Its cgroup or namespace is gone. */
		td_closep(&k->steering_fd[pin]);
		td_pins_drop(k->pin_dir, name);
	}
	r = bpf_link_create(program, target, type, NULL);
	if (r < 0)
		return td_fail(error, errno, "cannot attach the program for %s: %s", what,
			       strerror(errno));
	k->steering_fd[pin] = r;
	r = td_pins_put(k->pin_dir, name, k->steering_fd[pin]);
	if (r < 0) {
		td_closep(&k->steering_fd[pin]);
		return td_fail(error, -r, "cannot pin %s/%s: %s", k->pin_dir, name, strerror(-r));
	}
	return 0;
}

static int put_program(struct td_kernel *k, enum td_steering_pin pin, int program,
		       struct td_error *error)
{
	const char *name = td_steering_pin_names[pin];
	int r;

	td_closep(&k->steering_fd[pin]);
	k->steering_fd[pin] = fcntl(program, F_DUPFD_CLOEXEC, 3);
	if (k->steering_fd[pin] < 0)
		return td_fail(error, errno, "cannot keep the program %s: %s", name,
			       strerror(errno));
	r = td_pins_put(k->pin_dir, name, program);
	return r < 0 ? td_fail(error, -r, "cannot pin %s/%s: %s", k->pin_dir, name, strerror(-r))
		     : 0;
}

/* Listeners are found first and steered to last. */
static int put_all(struct td_kernel *k, struct workers *o, struct td_error *error)
{
	_cleanup_close_ int cgroup = open_cgroup(error), netns = -1;
	int r;

	if (cgroup < 0)
		return cgroup;
	netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return td_fail(error, errno, "cannot open this network namespace: %s",
			       strerror(errno));
	if ((r = put_program(k, TD_PIN_prog_migrate, bpf_program__fd(o->progs.tundish_migrate),
			     error)) < 0 ||
	    (r = put_program(k, TD_PIN_prog_scan, bpf_program__fd(o->progs.tundish_scan), error)) <
		    0 ||
	    (r = put_program(k, TD_PIN_prog_depths, bpf_program__fd(o->progs.tundish_depths),
			     error)) < 0 ||
	    (r = put_program(k, TD_PIN_prog_steer, bpf_program__fd(o->progs.tundish_steer_dry),
			     error)) < 0 ||
	    (r = put_link(k, TD_PIN_link_sockops, bpf_program__fd(o->progs.tundish_sockops), cgroup,
			  BPF_CGROUP_SOCK_OPS, "finding listeners", error)) < 0 ||
	    (r = put_link(k, TD_PIN_link_accept4, bpf_program__fd(o->progs.tundish_accept4), cgroup,
			  BPF_CGROUP_INET4_GETPEERNAME, "seeing accepts", error)) < 0 ||
	    (r = put_link(k, TD_PIN_link_accept6, bpf_program__fd(o->progs.tundish_accept6), cgroup,
			  BPF_CGROUP_INET6_GETPEERNAME, "seeing accepts", error)) < 0 ||
	    (r = put_link(k, TD_PIN_link_steer, bpf_program__fd(o->progs.tundish_steer), netns,
			  BPF_SK_LOOKUP, "steering", error)) < 0)
		return r;
	return 0;
}

int td_kernel_steering_open(struct td_kernel *k, struct td_error *error)
{
	struct workers *o = NULL;
	int r;

	td_kernel_prints();
	if (k->worker_events)
		return 0;
	if (!adopt(k)) {
		r = load(k, &o, error);
		if (r < 0)
			return r;
		r = put_all(k, o, error);
		workers__destroy(o);
		if (r < 0)
			return r;
	}
	r = td_worker_events_open(k);
	return r < 0 ? td_fail(error, -r, "cannot read the map worker_events: %s", strerror(-r))
		     : 0;
}

void td_kernel_steering_close(struct td_kernel *k)
{
	adopt(k);
	/* Steering first: what is found no more need not be steered to. */
	td_pins_drop(k->pin_dir, td_steering_pin_names[TD_PIN_link_steer]);
	for (enum td_steering_pin p = 0; p < TD_STEERING_PIN_COUNT; p++)
		td_pins_drop(k->pin_dir, td_steering_pin_names[p]);
	td_steering_forget(k);
}
