// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that stand elsewhere than on interfaces: BPF objects of their own over
 * the same maps, each loaded when it is first needed.
 *
 * What attaches them is pinned, so they outlive the daemon, and so are the programs
 * that are run or attached later by hand. A daemon of the same build adopts all that
 * and loads nothing; another build's programs are put in the links' places one by
 * one, each atomically where the kernel can.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/private.h"
#include "kernel/work.h"

/* ---- where to attach --------------------------------------------------------------- */

/* proc(5), mountinfo. */
int td_cgroup_root(struct td_error *error)
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
			"no cgroup v2 tree is mounted, so sockets cannot be watched; mount one "
			"with \"mount -t cgroup2 none /sys/fs/cgroup\"");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? td_fail(error, errno, "cannot open the cgroup tree %s: %s", path,
				strerror(errno))
		      : fd;
}

/* ---- adopting ------------------------------------------------------------------------ */

/* Whether the program behind a pin is of this build. */
static bool is_current(const struct td_kernel *k, enum td_hook hook, int fd)
{
	struct bpf_link_info info = {0};
	uint32_t length = sizeof(info), id;
	uint64_t loaded_ns = 0;
	int program;

	if (!strcmp(td_hooks[hook].kind, "bpf-prog"))
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

bool td_hooks_adopt(struct td_kernel *k, enum td_hook_object object)
{
	bool all = true;

	for (enum td_hook h = 0; h < TD_HOOK_COUNT; h++) {
		if (td_hooks[h].object != object)
			continue;
		if (k->hook_fd[h] < 0)
			k->hook_fd[h] = td_pins_get(k->pin_dir, td_hooks[h].name);
		if (k->hook_fd[h] < 0)
			k->hook_fd[h] = -1;
		/* What was found once is not asked again: once privileges are dropped nobody
		 * answers which program a link has. */
		k->hook_current[h] = k->hook_fd[h] >= 0 &&
				     (k->hook_current[h] || is_current(k, h, k->hook_fd[h]));
		all &= k->hook_current[h];
	}
	return all;
}

void td_hooks_forget(struct td_kernel *k, enum td_hook_object object)
{
	for (enum td_hook h = 0; h < TD_HOOK_COUNT; h++) {
		if (td_hooks[h].object != object)
			continue;
		td_fd_close(&k->hook_fd[h]);
		td_fd_close(&k->iterator_fd[h]);
		k->hook_current[h] = false;
	}
}

void td_hooks_drop(struct td_kernel *k, enum td_hook_object object)
{
	for (enum td_hook h = 0; h < TD_HOOK_COUNT; h++)
		if (td_hooks[h].object == object)
			td_pins_drop(k->pin_dir, td_hooks[h].name);
}

/* ---- loading and attaching -------------------------------------------------------------- */

int td_hooks_load(struct td_kernel *k, struct bpf_object *o, struct td_error *error)
{
	struct bpf_map *m;
	int r = td_object_may_load(error);

	if (r < 0)
		return r;
	bpf_object__for_each_map(m, o)
	{
		for (enum td_map i = 0; i < TD_MAP_COUNT; i++) {
			if (strcmp(bpf_map__name(m), td_map_names[i]))
				continue;
			r = bpf_map__reuse_fd(m, k->map_fd[i]);
			if (r < 0)
				return td_fail(error, -r, "cannot use the map %s: %s",
					       td_map_names[i], strerror(-r));
		}
	}
	r = td_work_load(o);
	return r < 0 ? td_object_load_failed(error, -r) : 0;
}

/* Takes a new link's descriptor. */
static int pin_link(struct td_kernel *k, enum td_hook hook, int fd, struct td_error *error)
{
	const char *name = td_hooks[hook].name;
	int r;

	k->hook_fd[hook] = fd;
	r = td_pins_put(k->pin_dir, name, fd);
	if (r < 0) {
		td_fd_close(&k->hook_fd[hook]);
		return td_fail(error, -r, "cannot pin %s/%s: %s", k->pin_dir, name, strerror(-r));
	}
	k->hook_current[hook] = true;
	return 0;
}

static void drop_link(struct td_kernel *k, enum td_hook hook)
{
	k->hook_current[hook] = false;
	td_fd_close(&k->hook_fd[hook]);
	td_pins_drop(k->pin_dir, td_hooks[hook].name);
}

static int attach_failed(const char *what, int code, struct td_error *error)
{
	return td_fail(error, code, "cannot attach the program for %s: %s", what, strerror(code));
}

int td_hook_attach(struct td_kernel *k, enum td_hook hook, int program, int target,
		   enum bpf_attach_type type, const char *what, struct td_error *error)
{
	int r;

	if (k->hook_fd[hook] >= 0) {
		if (bpf_link_update(k->hook_fd[hook], program, NULL) == 0) {
			td_kernel_step(td_hooks[hook].name);
			k->hook_current[hook] = true;
			return 0;
		}
		/* Its cgroup or namespace is gone. */
		drop_link(k, hook);
	}
	r = bpf_link_create(program, target, type, NULL);
	return r < 0 ? attach_failed(what, errno, error) : pin_link(k, hook, r, error);
}

int td_hook_attach_tracing(struct td_kernel *k, enum td_hook hook, int program, const char *what,
			   struct td_error *error)
{
	int r;

	/* Such a link's program cannot be replaced, and two at once would count twice. */
	if (k->hook_fd[hook] >= 0)
		drop_link(k, hook);
	r = bpf_raw_tracepoint_open(NULL, program);
	return r < 0 ? attach_failed(what, errno, error) : pin_link(k, hook, r, error);
}

int td_hook_keep(struct td_kernel *k, enum td_hook hook, int program, struct td_error *error)
{
	const char *name = td_hooks[hook].name;
	int r;

	k->hook_current[hook] = false;
	td_fd_close(&k->hook_fd[hook]);
	td_fd_close(&k->iterator_fd[hook]);
	k->hook_fd[hook] = fcntl(program, F_DUPFD_CLOEXEC, 3);
	if (k->hook_fd[hook] < 0)
		return td_fail(error, errno, "cannot keep the program %s: %s", name,
			       strerror(errno));
	r = td_pins_put(k->pin_dir, name, program);
	k->hook_current[hook] = r == 0;
	return r < 0 ? td_fail(error, -r, "cannot pin %s/%s: %s", k->pin_dir, name, strerror(-r))
		     : 0;
}

/* ---- iterators ----------------------------------------------------------------------------- */

int td_hook_iterate(struct td_kernel *k, enum td_hook hook, int map_fd)
{
	union bpf_iter_link_info info = {.map.map_fd = (uint32_t)map_fd};
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = map_fd >= 0 ? &info : NULL,
		    .iter_info_len = map_fd >= 0 ? sizeof(info) : 0);
	int fd;

	if (k->hook_fd[hook] < 0)
		return -ENOENT;
	if (k->iterator_fd[hook] < 0) {
		int r = bpf_link_create(k->hook_fd[hook], 0, BPF_TRACE_ITER, &opts);

		if (r < 0)
			return -errno;
		k->iterator_fd[hook] = r;
	}
	fd = bpf_iter_create(k->iterator_fd[hook]);
	return fd < 0 ? -errno : fd;
}

int td_hook_iterate_all(struct td_kernel *k, enum td_hook hook, int map_fd)
{
	_cleanup_close_ int iterator = -1;
	char buffer[256];

	if (k->hook_fd[hook] < 0)
		return 0;
	iterator = td_hook_iterate(k, hook, map_fd);
	if (iterator < 0)
		return iterator;
	/* EAGAIN: a part of them was looked at, the next read goes on. */
	for (int i = 0; i < 1000; i++) {
		ssize_t n = read(iterator, buffer, sizeof(buffer));

		if (n == 0)
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return 0;
}
