// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs that choose source addresses: loaded when the first pool is made, and
 * attached to each pool's cgroup by three links, which are pinned and so outlive the
 * daemon. A link ends with its cgroup; its pin stays, and is replaced when the cgroup
 * is there again.
 *
 * Programs of others on the same hooks run beside them: links are always of the kind
 * that takes several.
 */
#include <fcntl.h>
#include <net/ethernet.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "egress.skel.h"
#include "kernel/private.h"

static const struct {
	const char *name;
	enum bpf_attach_type type;
	enum td_hook program;
} links[TD_EGRESS_LINKS] = {
	{"release", BPF_CGROUP_INET_SOCK_RELEASE, TD_HOOK_prog_egress_end},
	{"connect4", BPF_CGROUP_INET4_CONNECT, TD_HOOK_prog_egress4},
	{"connect6", BPF_CGROUP_INET6_CONNECT, TD_HOOK_prog_egress6},
};

#define NAME_BYTES 48

static void link_name(uint32_t pool, size_t link, char buffer[NAME_BYTES])
{
	snprintf(buffer, NAME_BYTES, TD_PIN_EGRESS "%u_%s", pool, links[link].name);
}

bool td_egress_pin(const char *name)
{
	char ours[NAME_BYTES];

	if (strncmp(name, TD_PIN_EGRESS, strlen(TD_PIN_EGRESS)))
		return false;
	for (uint32_t pool = 1; pool < TUNDISH_EGRESS_MAX; pool++)
		for (size_t i = 0; i < TD_EGRESS_LINKS; i++) {
			link_name(pool, i, ours);
			if (!strcmp(name, ours))
				return true;
		}
	return false;
}

const unsigned char *td_egress_bytes(size_t *ret_n)
{
	return egress__elf_bytes(ret_n);
}

static void forget_links(struct td_kernel *k, uint32_t pool)
{
	for (size_t i = 0; i < TD_EGRESS_LINKS; i++)
		td_fd_close(&k->egress_fd[pool][i]);
}

void td_egress_forget(struct td_kernel *k)
{
	for (uint32_t pool = 1; pool < TUNDISH_EGRESS_MAX; pool++)
		forget_links(k, pool);
	td_hooks_forget(k, TD_HOOKS_egress);
}

bool td_kernel_egress_is_open(const struct td_kernel *k)
{
	return k->hook_fd[TD_HOOK_prog_egress_ask] >= 0;
}

/* ---- links ------------------------------------------------------------------------- */

static int link_info(int fd, uint64_t *ret_cgroup, uint32_t *ret_program)
{
	struct bpf_link_info info = {0};
	uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		return -errno;
	if (info.type != BPF_LINK_TYPE_CGROUP)
		return -EPROTO;
	*ret_cgroup = info.cgroup.cgroup_id; /* 0: it has ended */
	*ret_program = info.prog_id;
	return 0;
}

static void drop_link(struct td_kernel *k, uint32_t pool, size_t i)
{
	int *fd = &k->egress_fd[pool][i];
	char name[NAME_BYTES];

	link_name(pool, i, name);
	if (*fd < 0)
		*fd = td_pins_get(k->pin_dir, name);
	/* At once: what is merely closed and unpinned goes on for some milliseconds. */
	if (*fd >= 0)
		bpf_link_detach(*fd);
	td_fd_close(fd);
	td_pins_drop(k->pin_dir, name);
}

/* Takes over what is pinned, and puts the programs of this build in its places. */
static int adopt_links(struct td_kernel *k, struct td_error *error)
{
	for (uint32_t pool = 1; pool < TUNDISH_EGRESS_MAX; pool++)
		for (size_t i = 0; i < TD_EGRESS_LINKS; i++) {
			int *fd = &k->egress_fd[pool][i], program = k->hook_fd[links[i].program];
			uint32_t attached, ours;
			char name[NAME_BYTES];
			uint64_t cgroup, ns;
			int r;

			link_name(pool, i, name);
			if (*fd < 0)
				*fd = td_pins_get(k->pin_dir, name);
			if (*fd < 0) {
				*fd = -1;
				continue;
			}
			r = td_program_info(program, &ours, &ns);
			if (r < 0)
				return td_fail(error, -r, "cannot look at the program for %s: %s",
					       name, strerror(-r));
			if (link_info(*fd, &cgroup, &attached) < 0 || !cgroup) {
				drop_link(k, pool, i);
				continue;
			}
			if (attached == ours)
				continue;
			if (bpf_link_update(*fd, program, NULL) < 0)
				return td_fail(error, errno, "cannot replace the program of %s: %s",
					       name, strerror(errno));
			td_kernel_step(name);
		}
	return 0;
}

uint64_t td_kernel_egress_cgroup(struct td_kernel *k, uint32_t pool)
{
	uint64_t id = 0;

	if (!pool || pool >= TUNDISH_EGRESS_MAX)
		return 0;
	for (size_t i = 0; i < TD_EGRESS_LINKS; i++) {
		uint32_t program;
		uint64_t cgroup;

		if (k->egress_fd[pool][i] < 0 ||
		    link_info(k->egress_fd[pool][i], &cgroup, &program) < 0 || !cgroup ||
		    (id && cgroup != id))
			return 0;
		id = cgroup;
	}
	return id;
}

static int attach_one(struct td_kernel *k, uint32_t pool, size_t i, int cgroup_fd, uint64_t id,
		      struct td_error *error)
{
	int *fd = &k->egress_fd[pool][i], r;
	char name[NAME_BYTES];
	uint32_t program;
	uint64_t cgroup;

	link_name(pool, i, name);
	if (*fd >= 0 && link_info(*fd, &cgroup, &program) == 0 && cgroup == id)
		return 0;
	drop_link(k, pool, i);
	r = bpf_link_create(k->hook_fd[links[i].program], cgroup_fd, links[i].type, NULL);
	if (r < 0 && errno == EPERM)
		return td_fail(
			error, EPERM,
			"the kernel does not let a program onto this cgroup (%s); another one "
			"may be there that takes none beside it, see `bpftool cgroup tree`",
			links[i].name);
	if (r < 0)
		return td_fail(error, errno, "cannot attach to this cgroup (%s): %s", links[i].name,
			       strerror(errno));
	*fd = r;
	r = td_pins_put(k->pin_dir, name, *fd);
	if (r < 0) {
		td_fd_close(fd);
		return td_fail(error, -r, "cannot pin %s/%s: %s", k->pin_dir, name, strerror(-r));
	}
	return 0;
}

int td_kernel_cgroup_root(struct td_error *error)
{
	return td_cgroup_root(error);
}

int td_kernel_egress_attach(struct td_kernel *k, uint32_t pool, int cgroup_fd,
			    struct td_error *error)
{
	struct stat st;
	int r = 0;

	if (!pool || pool >= TUNDISH_EGRESS_MAX)
		return -EINVAL;
	if (fstat(cgroup_fd, &st) < 0)
		return td_fail(error, errno, "cannot look at the cgroup: %s", strerror(errno));
	for (size_t i = 0; r == 0 && i < TD_EGRESS_LINKS; i++)
		r = attach_one(k, pool, i, cgroup_fd, st.st_ino, error);
	if (r == 0) {
		/* The kernel made the place for it when the program was attached. */
		uint64_t id = st.st_ino;

		if (bpf_map_update_elem(k->map_fd[TD_MAP_egress_cgroups], &id, &pool, BPF_ANY) < 0)
			r = td_fail(error, errno, "cannot give the cgroup its pool: %s",
				    strerror(errno));
	}
	if (r < 0)
		td_kernel_egress_detach(k, pool);
	return r;
}

void td_kernel_egress_detach(struct td_kernel *k, uint32_t pool)
{
	/* Connecting first: what was counted is given back until the last. */
	for (size_t i = TD_EGRESS_LINKS; pool && pool < TUNDISH_EGRESS_MAX && i-- > 0;)
		drop_link(k, pool, i);
}

/* ---- loading ------------------------------------------------------------------------ */

static int put_programs(struct td_kernel *k, struct egress *o, struct td_error *error)
{
	const struct {
		enum td_hook hook;
		struct bpf_program *program;
	} programs[] = {
		{TD_HOOK_prog_egress4, o->progs.egress_connect4},
		{TD_HOOK_prog_egress6, o->progs.egress_connect6},
		{TD_HOOK_prog_egress_end, o->progs.egress_release},
		{TD_HOOK_prog_egress_ask, o->progs.egress_ask},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < TD_ARRAY_SIZE(programs); i++)
		r = td_hook_keep(k, programs[i].hook, bpf_program__fd(programs[i].program), error);
	return r;
}

int td_kernel_egress_open(struct td_kernel *k, struct td_error *error)
{
	struct egress *o;
	int r;

	td_kernel_prints();
	if (td_kernel_egress_is_open(k))
		return 0;
	if (!td_hooks_adopt(k, TD_HOOKS_egress)) {
		o = egress__open();
		if (!o)
			return td_fail(error, errno,
				       "cannot read tundish's BPF object for egress: %s",
				       strerror(errno));
		r = td_hooks_load(k, o->obj, error);
		if (r == 0)
			r = put_programs(k, o, error);
		egress__destroy(o);
		if (r < 0) {
			td_egress_forget(k);
			return r;
		}
	}
	r = adopt_links(k, error);
	if (r < 0)
		td_egress_forget(k);
	return r;
}

void td_kernel_egress_close(struct td_kernel *k)
{
	td_hooks_adopt(k, TD_HOOKS_egress);
	for (uint32_t pool = 1; pool < TUNDISH_EGRESS_MAX; pool++) {
		_cleanup_free_ struct td_prefix *excepts = NULL;
		size_t n = 0;

		td_kernel_egress_detach(k, pool);
		td_kernel_egress_excepts(k, pool, &excepts, &n);
		for (size_t i = 0; i < n; i++)
			td_kernel_delete_egress_except(k, pool, &excepts[i]);
		td_kernel_egress(k)[pool] = (struct tundish_egress){0};
	}
	td_hooks_drop(k, TD_HOOKS_egress);
	td_egress_forget(k);
}

struct tundish_egress *td_kernel_egress(struct td_kernel *k)
{
	return k->mapped[TD_MAP_egress];
}

/* ---- exceptions ------------------------------------------------------------------------ */

static struct tundish_egress_prefix prefix_key(uint32_t pool, const struct td_prefix *p)
{
	return (struct tundish_egress_prefix){32u + p->length, pool, p->address};
}

int td_kernel_put_egress_except(struct td_kernel *k, uint32_t pool, const struct td_prefix *prefix)
{
	struct tundish_egress_prefix key = prefix_key(pool, prefix);
	uint32_t one = 1;

	return bpf_map_update_elem(k->map_fd[TD_MAP_egress_except], &key, &one, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

int td_kernel_delete_egress_except(struct td_kernel *k, uint32_t pool,
				   const struct td_prefix *prefix)
{
	struct tundish_egress_prefix key = prefix_key(pool, prefix);

	return bpf_map_delete_elem(k->map_fd[TD_MAP_egress_except], &key) < 0 ? -errno : 0;
}

int td_kernel_egress_excepts(struct td_kernel *k, uint32_t pool, struct td_prefix **ret,
			     size_t *ret_n)
{
	struct tundish_egress_prefix key, former;
	_cleanup_free_ struct td_prefix *all = NULL;
	size_t n = 0;
	int r;

	for (size_t read = 0; read < 2 * TUNDISH_EGRESS_EXCEPT_MAX; read++) {
		if (bpf_map_get_next_key(k->map_fd[TD_MAP_egress_except], read ? &former : NULL,
					 &key) < 0)
			break;
		former = key;
		if (key.pool != pool || key.length < 32)
			continue;
		r = td_grow(&all, n, sizeof(*all));
		if (r < 0)
			return r;
		all[n++] = (struct td_prefix){key.address, (uint8_t)(key.length - 32)};
	}
	*ret = TD_TAKE_PTR(all);
	*ret_n = n;
	return 0;
}

/* ---- asking ---------------------------------------------------------------------------- */

int td_kernel_ask_egress(struct td_kernel *k, struct tundish_egress_question *q,
			 struct td_error *error)
{
	unsigned char frame[ETH_ZLEN] = {[13] = 0x01}; /* of no protocol */
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = 1);
	int map = k->map_fd[TD_MAP_egress_asked];
	uint32_t zero = 0;

	td_kernel_prints();
	if (!td_kernel_egress_is_open(k))
		return td_fail(error, ENOENT, "there is no egress pool");
	if (bpf_map_update_elem(map, &zero, q, BPF_ANY) < 0 ||
	    bpf_prog_test_run_opts(k->hook_fd[TD_HOOK_prog_egress_ask], &opts) < 0 ||
	    bpf_map_lookup_elem(map, &zero, q) < 0)
		return td_fail(error, errno, "the kernel does not run the asking program: %s",
			       strerror(errno));
	return 0;
}
