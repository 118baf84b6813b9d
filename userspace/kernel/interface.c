// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an interface carries, asked of the kernel each time. A program is ours
 * if it uses one of our pinned maps; so it is known again after any crash, in
 * the dispatcher as well as alone, and a second tundish with maps of its own
 * is not mistaken for it.
 *
 * To look at a program by its id takes CAP_SYS_ADMIN (bpf_prog_get_fd_by_id).
 * The programs in a dispatcher are found by their pins instead, which libxdp(3)
 * documents ("Pinning in bpffs"): that needs no privilege, and
 * xdp_multiprog__get_from_ifindex of libxdp 1.3.1 leaves two descriptors open
 * each time, which a daemon cannot afford.
 *
 * libxdp itself looks by id where it takes a program out of its dispatcher, so a daemon
 * that has given up CAP_SYS_ADMIN cannot ask it to. A dispatcher without programs of
 * others is taken off as a whole then, under libxdp's own lock.
 */
#include <fcntl.h>
#include <sys/file.h>

#include <linux/if_link.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

#include "kernel/private.h"

#define DISPATCHER_PROGRAMS_MAX 10 /* MAX_DISPATCHER_ACTIONS of libxdp */
#define PROGRAM_MAPS_MAX	64

void td_carried_done(struct td_carried *c)
{
	td_closep(&c->our_fd);
	c->our_fd = -1;
}

uint32_t td_mode_flags(enum td_attach_mode mode)
{
	switch (mode) {
	case TD_MODE_NATIVE: return XDP_FLAGS_DRV_MODE;
	case TD_MODE_GENERIC: return XDP_FLAGS_SKB_MODE;
	case TD_MODE_OFFLOAD: return XDP_FLAGS_HW_MODE;
	case TD_MODE_NONE: break;
	}
	return 0;
}

const char *td_mode_name(enum td_attach_mode mode)
{
	static const char *const names[] = {
		[TD_MODE_NONE] = "none",
		[TD_MODE_NATIVE] = "native",
		[TD_MODE_GENERIC] = "generic",
		[TD_MODE_OFFLOAD] = "offload",
	};

	return (size_t)mode < TD_ARRAY_SIZE(names) ? names[mode] : "unknown";
}

/* Takes note of the program if it is ours. */
static bool note_if_ours(int fd, const uint32_t *map_ids, size_t n_map_ids, struct td_carried *c,
			 char name[16])
{
	uint32_t used[PROGRAM_MAPS_MAX];
	struct bpf_prog_info info = {.map_ids = (uintptr_t)used, .nr_map_ids = PROGRAM_MAPS_MAX};
	uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		return false;
	if (name)
		memcpy(name, info.name, sizeof(info.name));
	for (uint32_t i = 0; i < info.nr_map_ids && i < PROGRAM_MAPS_MAX; i++)
		for (size_t j = 0; j < n_map_ids; j++) {
			if (used[i] != map_ids[j])
				continue;
			/* Two builds stand side by side in a dispatcher for a moment while
			 * one replaces the other. */
			if (c->our_id && c->our_load_time > info.load_time) {
				c->older_id = info.id;
				return true;
			}
			c->older_id = c->our_id;
			td_closep(&c->our_fd);
			c->our_fd = dup(fd);
			c->our_id = info.id;
			c->our_load_time = info.load_time;
			return true;
		}
	return false;
}

static const char *libxdp_bpffs(void)
{
	const char *bpffs = secure_getenv("LIBXDP_BPFFS"); /* where libxdp looks too */

	return bpffs ? bpffs : "/sys/fs/bpf";
}

/* The n-th program of a dispatcher, or a negative errno. */
static int dispatched_open(unsigned int ifindex, uint32_t dispatcher_id, unsigned int n)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%.4000s/xdp/dispatch-%u-%u/prog%u-prog", libxdp_bpffs(),
		 ifindex, dispatcher_id, n);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

static void look_into_dispatcher(unsigned int ifindex, const uint32_t *map_ids, size_t n_map_ids,
				 struct td_carried *c)
{
	for (unsigned int n = 0; n < DISPATCHER_PROGRAMS_MAX; n++) {
		_cleanup_close_ int fd = dispatched_open(ifindex, c->main_id, n);

		if (fd < 0)
			break;
		c->dispatcher = true;
		if (!note_if_ours(fd, map_ids, n_map_ids, c, NULL))
			c->n_others++;
	}
}

int td_carried_read(unsigned int ifindex, const uint32_t *map_ids, size_t n_map_ids,
		    struct td_carried *ret)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	struct td_carried c = {.our_fd = -1};
	_cleanup_close_ int fd = -1;
	int r;

	r = bpf_xdp_query((int)ifindex, 0, &q);
	if (r < 0)
		return r;
	/* Native and generic exclude each other; offload may stand beside either and
	 * matters only alone. */
	if (q.drv_prog_id) {
		c.main_id = q.drv_prog_id;
		c.mode = TD_MODE_NATIVE;
	} else if (q.skb_prog_id) {
		c.main_id = q.skb_prog_id;
		c.mode = TD_MODE_GENERIC;
	} else if (q.hw_prog_id) {
		c.main_id = q.hw_prog_id;
		c.mode = TD_MODE_OFFLOAD;
	}
	if (c.main_id)
		look_into_dispatcher(ifindex, map_ids, n_map_ids, &c);
	if (c.main_id && !c.dispatcher) {
		fd = bpf_prog_get_fd_by_id(c.main_id);
		if (fd >= 0)
			note_if_ours(fd, map_ids, n_map_ids, &c, c.name);
		else
			c.unreadable = errno == EPERM || errno == EACCES;
	}
	*ret = c;
	return 0;
}

static int leave(int fd, unsigned int ifindex, enum td_attach_mode mode)
{
	struct xdp_program *p = xdp_program__from_fd(fd);
	int r = (int)libxdp_get_error(p);

	if (r < 0)
		return r;
	r = xdp_program__detach(p, (int)ifindex,
				mode == TD_MODE_NATIVE ? XDP_MODE_NATIVE : XDP_MODE_SKB, 0);
	xdp_program__close(p);
	return r;
}

int td_carried_leave_dispatcher(unsigned int ifindex, const struct td_carried *c, uint32_t id)
{
	for (unsigned int n = 0; n < DISPATCHER_PROGRAMS_MAX; n++) {
		_cleanup_close_ int fd = dispatched_open(ifindex, c->main_id, n);
		uint64_t loaded_ns;
		uint32_t found = 0;

		if (fd < 0)
			break;
		if (td_program_info(fd, &found, &loaded_ns) == 0 && found == id)
			return leave(fd, ifindex, c->mode);
	}
	return -ENOENT;
}

/* The dispatcher and its pins, without libxdp. Whoever joins it meanwhile makes another. */
static int take_dispatcher_off(unsigned int ifindex, const struct td_carried *c)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	_cleanup_close_ int lock = -1;
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%.4000s/xdp", libxdp_bpffs());
	lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return -errno;
	r = bpf_xdp_query((int)ifindex, 0, &q);
	if (r < 0)
		return r;
	if ((c->mode == TD_MODE_NATIVE ? q.drv_prog_id : q.skb_prog_id) != c->main_id)
		return -EAGAIN;
	r = bpf_xdp_detach((int)ifindex, td_mode_flags(c->mode), NULL);
	if (r < 0)
		return r;
	for (unsigned int n = 0; n < DISPATCHER_PROGRAMS_MAX; n++)
		for (unsigned int link = 0; link < 2; link++) {
			snprintf(path, sizeof(path), "dispatch-%u-%u/prog%u-%s", ifindex,
				 c->main_id, n, link ? "link" : "prog");
			unlinkat(lock, path, 0);
		}
	snprintf(path, sizeof(path), "dispatch-%u-%u", ifindex, c->main_id);
	unlinkat(lock, path, AT_REMOVEDIR);
	return 0;
}

static int detach(unsigned int ifindex, const struct td_carried *c)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = c->our_fd);
	_cleanup_(td_carried_done) struct td_carried left = {.our_fd = -1};
	int r;

	/* Where the program's descriptor is at hand only that very program goes. */
	if (!c->dispatcher)
		return bpf_xdp_detach((int)ifindex, td_mode_flags(c->mode),
				      c->our_fd >= 0 ? &opts : NULL);
	if (!c->n_others && !td_program_may_look())
		return take_dispatcher_off(ifindex, c);
	r = td_carried_leave_dispatcher(ifindex, c, c->our_id);
	if (r < 0 || !c->older_id)
		return r;
	/* Each leave makes another dispatcher. */
	r = td_carried_read(ifindex, NULL, 0, &left);
	return r < 0 ? r : td_carried_leave_dispatcher(ifindex, &left, c->older_id);
}

int td_carried_detach(unsigned int ifindex, const char *name, const struct td_carried *c,
		      struct td_error *error)
{
	int r = detach(ifindex, c);

	if (r < 0 && c->dispatcher && !td_program_may_look())
		return td_fail(
			error, -r,
			"cannot detach from interface %s, where XDP programs of others stand too: "
			"restart tundishd, which has given up the privilege for that",
			name);
	if (r < 0)
		return td_fail(
			error, -r,
			"cannot detach from interface %s: %s; \"ip link set dev %s xdp off\" takes off all "
			"XDP programs",
			name, strerror(-r), name);
	td_kernel_step("detached");
	return 0;
}

bool td_carried_anywhere(const uint32_t *map_ids, size_t n_map_ids, char *name)
{
	struct if_nameindex *all = if_nameindex();
	bool found = false;

	for (struct if_nameindex *i = all; i && i->if_index && !found; i++) {
		_cleanup_(td_carried_done) struct td_carried c = {.our_fd = -1};

		found = td_carried_read(i->if_index, map_ids, n_map_ids, &c) == 0 && c.our_id;
		if (found)
			snprintf(name, IFNAMSIZ, "%s", i->if_name);
	}
	if (all)
		if_freenameindex(all);
	return found;
}
