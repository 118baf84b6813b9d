// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making the data path, or adopting the one that is there.
 *
 *   nothing pinned                     make maps and tracing twin, pin them, `settings` last
 *   maps of ours without `settings`    a creation cut short: removed and made anew
 *   all there, same build              adopted: nothing is loaded
 *   all there, other build             adopted: the twin is loaded over the maps and replaced;
 *                                      td_kernel_attach replaces what is attached
 *   a layout that this one migrates    what it lacks is added (migrate.c), then as above
 *   other layout, foreign pins         refused, untouched
 *
 * Which programs are of this build is told by time: a program is of this build
 * if it was loaded no earlier than the pinned tracing twin. settings.object_hash
 * is 0 while the twin is being replaced, so being killed in between is seen.
 */
#include <fcntl.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/private.h"

int td_program_info(int fd, uint32_t *ret_id, uint64_t *ret_load_time_ns)
{
	struct bpf_prog_info info = {0};
	uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		return -errno;
	*ret_id = info.id;
	*ret_load_time_ns = info.load_time;
	return 0;
}

static void kernel_closep(struct td_kernel **k)
{
	td_kernel_close(*k);
}

static struct td_kernel *kernel_new(const char *pin_dir)
{
	struct td_kernel *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	snprintf(k->pin_dir, sizeof(k->pin_dir), "%s", pin_dir);
	k->dir_fd = k->trace_fd = k->alone_fd = k->former_fd = -1;
	for (size_t i = 0; i < TD_HOOK_COUNT; i++)
		k->hook_fd[i] = k->iterator_fd[i] = -1;
	memset(k->egress_fd, 0xff, sizeof(k->egress_fd)); /* -1 */
	for (size_t i = 0; i < TD_MAP_COUNT; i++)
		k->map_fd[i] = -1;
	k->n_cpus = libbpf_num_possible_cpus();
	return k;
}

/* ---- looking at what is pinned --------------------------------------------------- */

int td_pins_read_settings(const char *dir, int fd, struct tundish_settings *ret, bool *ret_magic,
			  struct td_error *error)
{
	_cleanup_free_ struct tundish_settings *s = NULL;
	struct bpf_map_info info = {0};
	uint32_t length = sizeof(info), zero = 0;
	bool magic;

	/* Magic and version stand first in every layout, whatever its size. */
	if (bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		return td_fail(error, errno, "cannot read the pin %s/settings: %s", dir,
			       strerror(errno));
	s = calloc(1, TD_MAX(sizeof(*s), (size_t)info.value_size));
	if (!s)
		return td_fail(error, ENOMEM, "no memory");
	magic = info.type == BPF_MAP_TYPE_ARRAY && info.key_size == sizeof(zero) &&
		info.value_size >= 8 && bpf_map_lookup_elem(fd, &zero, s) == 0 &&
		s->magic == TUNDISH_MAGIC;
	if (ret_magic)
		*ret_magic = magic;
	if (!magic)
		return td_fail(
			error, EPROTO,
			"the pin %s/settings is not tundish's; give another directory with --pin",
			dir);
	if (s->layout_version != TUNDISH_LAYOUT_VERSION && !td_migrates_from(s->layout_version))
		return td_fail(
			error, EPROTO,
			"the maps in %s have layout %u and this tundishd has layout %u; run the former "
			"version again, or end its data path with \"tundish --pin %s unload\"",
			dir, s->layout_version, TUNDISH_LAYOUT_VERSION, dir);
	if (info.value_size != sizeof(*s))
		return td_fail(
			error, EPROTO,
			"the pin %s/settings has %u bytes where layout %u has %zu; remove the remains with "
			"\"tundish --pin %s unload\"",
			dir, info.value_size, TUNDISH_LAYOUT_VERSION, sizeof(*s), dir);
	*ret = *s;
	return 0;
}

static int check_maps(const char *dir, const struct td_pins *p, const struct tundish_settings *s,
		      struct td_error *error)
{
	for (enum td_map m = 0; m < TD_MAP_COUNT; m++) {
		int r = p->map_fd[m] >= 0 ? td_map_check(m, p->map_fd[m], s) : -ENOENT;

		if (r == -ENOENT && td_migration_adds(s->layout_version, m))
			continue;
		if (r == -EPROTO && td_migration_remakes(s->layout_version, m, p->map_fd[m], s))
			continue;
		if (r < 0)
			return td_fail(
				error, EPROTO,
				"the pin %s/%s %s; remove the remains with \"tundish --pin %s unload\"",
				dir, td_map_names[m],
				r == -ENOENT ? "is missing beside the others"
					     : "has another shape than this layout",
				dir);
	}
	return 0;
}

/* Maps of ours but no settings: removes them, unless traffic runs over them. */
static int remove_unfinished(const char *dir, const struct td_pins *p, struct td_error *error)
{
	uint32_t ids[TD_MAP_COUNT];
	size_t n = td_pins_map_ids(p, ids);
	char name[IFNAMSIZ];
	int r = td_pins_check_remains(dir, p, error);

	if (r < 0)
		return r;
	if (td_carried_anywhere(ids, n, name))
		return td_fail(
			error, EPROTO,
			"the pin %s/settings is missing while %s runs over the other maps; take it down with "
			"\"tundish --pin %s unload\"",
			dir, name, dir);
	return td_pins_remove(dir, false, error);
}

/* ---- taking over descriptors -------------------------------------------------------- */

static int take_maps(struct td_kernel *k, const int map_fd[TD_MAP_COUNT], struct td_error *error)
{
	for (size_t i = 0; i < TD_MAP_COUNT; i++) {
		struct bpf_map_info info = {0};
		uint32_t length = sizeof(info);

		k->map_fd[i] = fcntl(map_fd[i], F_DUPFD_CLOEXEC, 3);
		if (k->map_fd[i] < 0 || bpf_obj_get_info_by_fd(k->map_fd[i], &info, &length) < 0)
			return td_fail(error, errno, "cannot use the map %s: %s", td_map_names[i],
				       strerror(errno));
		k->map_id[i] = info.id;
	}
	return 0;
}

static int take_trace(struct td_kernel *k, int fd, struct td_error *error)
{
	uint32_t id;
	int r;

	k->trace_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (k->trace_fd < 0)
		return td_fail(error, errno, "cannot use the tracing program: %s", strerror(errno));
	r = td_program_info(k->trace_fd, &id, &k->built_ns);
	if (r < 0)
		return td_fail(error, -r, "cannot use the tracing program: %s", strerror(-r));
	return 0;
}

static int pin_failed(const char *dir, const char *name, int code, struct td_error *error)
{
	return td_fail(error, code, "cannot pin %s/%s: %s", dir, name, strerror(code));
}

/* ---- making --------------------------------------------------------------------- */

static int write_settings(struct td_kernel *k)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(k->map_fd[TD_MAP_settings], &zero, &k->settings, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

static int pin_all(struct td_kernel *k, struct td_error *error)
{
	int r;

	for (enum td_map m = 0; m < TD_MAP_COUNT; m++) {
		if (m == TD_MAP_settings)
			continue;
		r = td_pins_put(k->pin_dir, td_map_names[m], k->map_fd[m]);
		if (r < 0)
			return pin_failed(k->pin_dir, td_map_names[m], -r, error);
	}
	r = td_pins_put(k->pin_dir, TD_PIN_TRACE, k->trace_fd);
	if (r < 0)
		return pin_failed(k->pin_dir, TD_PIN_TRACE, -r, error);
	r = td_pins_put(k->pin_dir, td_map_names[TD_MAP_settings], k->map_fd[TD_MAP_settings]);
	if (r < 0)
		return pin_failed(k->pin_dir, td_map_names[TD_MAP_settings], -r, error);
	return 0;
}

static int create(struct td_kernel *k, const struct td_limits_conf *limits, struct td_error *error)
{
	_cleanup_(td_object_closep) struct tundish *o = NULL;
	int map_fd[TD_MAP_COUNT];
	int r;

	r = td_object_settings(limits, &k->settings, error);
	if (r < 0)
		return r;
	r = td_object_open(&k->settings, k->map_fd, false, &o, error);
	if (r < 0)
		return r;
	r = td_object_load(o, error);
	if (r < 0)
		return r;
	for (enum td_map m = 0; m < TD_MAP_COUNT; m++)
		map_fd[m] = td_object_map_fd(o, m);
	r = take_maps(k, map_fd, error);
	if (r < 0)
		return r;
	r = take_trace(k, td_object_trace_fd(o), error);
	if (r < 0)
		return r;
	r = write_settings(k);
	if (r < 0)
		return td_fail(error, -r, "cannot write the settings: %s", strerror(-r));
	r = td_nat_settings_make(k, error);
	if (r < 0)
		return r;
	r = td_maps_map(k, error);
	if (r < 0)
		return r;

	r = pin_all(k, error);
	if (r < 0)
		td_pins_remove(k->pin_dir, false, NULL);
	return r;
}

/* ---- adopting ------------------------------------------------------------------- */

static char *sizes_note(const char *dir, const struct tundish_settings *is,
			const struct tundish_settings *wanted)
{
	const struct {
		const char *name;
		uint32_t is, wanted;
	} sizes[] = {
		{"flows", TUNDISH_CAPACITY_OF(is->flow_buckets),
		 TUNDISH_CAPACITY_OF(wanted->flow_buckets)},
		{"flows6", TUNDISH_CAPACITY_OF(is->flow6_buckets),
		 TUNDISH_CAPACITY_OF(wanted->flow6_buckets)},
		{"tuples", TUNDISH_CAPACITY_OF(is->tuple_buckets),
		 TUNDISH_CAPACITY_OF(wanted->tuple_buckets)},
		{"services", is->services_max - 1, wanted->services_max - 1},
		{"backends", is->backends_max - 1, wanted->backends_max - 1},
		{"vips", is->vips_max, wanted->vips_max},
		{"workers", is->workers_max, wanted->workers_max},
		{"groups", is->groups_max - 1, wanted->groups_max - 1},
		{"ports", is->ports_max, wanted->ports_max},
		/* the most that makes so many buckets */
		{"nat", is->nat_buckets * 9ull / 2, wanted->nat_buckets * 9ull / 2},
		{"lanes", is->lanes_max - 1, wanted->lanes_max - 1},
		{"fragments", is->fragments_max, wanted->fragments_max},
	};
	char list[256], *note = NULL;
	size_t n = 0;

	for (size_t i = 0; i < TD_ARRAY_SIZE(sizes) && n < sizeof(list); i++)
		if (sizes[i].is != sizes[i].wanted)
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s %u instead of %u",
					      n ? ", " : "", sizes[i].name, sizes[i].is,
					      sizes[i].wanted);
	if (n &&
	    asprintf(
		    &note,
		    "the tables in %s keep the sizes they were made with (%s); \"tundish --pin %s unload\" "
		    "and a new start change them",
		    dir, list, dir) < 0)
		note = NULL;
	return note;
}

/* Loads this build's twin over the pinned maps, then puts it in the old one's
 * place. Nothing is touched unless the kernel took it. */
static int upgrade(struct td_kernel *k, struct td_error *error)
{
	_cleanup_(td_object_closep) struct tundish *o = NULL;
	int r;

	r = td_object_open(&k->settings, k->map_fd, false, &o, error);
	if (r < 0)
		return r;
	r = td_object_load(o, error);
	if (r < 0)
		return r;
	r = take_trace(k, td_object_trace_fd(o), error);
	if (r < 0)
		return r;

	k->settings.object_hash = 0;
	r = write_settings(k);
	if (r < 0)
		return td_fail(error, -r, "cannot write the settings: %s", strerror(-r));
	td_kernel_step("build forgotten");
	r = td_pins_put(k->pin_dir, TD_PIN_TRACE, k->trace_fd);
	if (r < 0)
		return pin_failed(k->pin_dir, TD_PIN_TRACE, -r, error);
	k->settings.object_hash = td_object_hash();
	r = write_settings(k);
	if (r < 0)
		return td_fail(error, -r, "cannot write the settings: %s", strerror(-r));
	td_kernel_step("build noted");
	return 0;
}

/* The pinned program that is attached alone, where it is of this build: further
 * interfaces then need no load, and no privilege for one. */
static void take_alone(struct td_kernel *k, int fd)
{
	uint64_t loaded_ns = 0;
	uint32_t id = 0;

	if (fd < 0 || td_program_info(fd, &id, &loaded_ns) < 0)
		return;
	if (loaded_ns < k->built_ns) { /* which interfaces still carry, to be replaced there */
		k->former_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		k->former_id = id;
		k->former_ns = loaded_ns;
		return;
	}
	k->alone_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (k->alone_fd >= 0)
		k->alone_id = id;
}

static int adopt(struct td_kernel *k, struct td_pins *p, const struct td_limits_conf *limits,
		 char **ret_note, struct td_error *error)
{
	struct tundish_settings wanted;
	int r;

	r = td_pins_read_settings(k->pin_dir, p->map_fd[TD_MAP_settings], &k->settings, NULL,
				  error);
	if (r < 0)
		return r;
	r = check_maps(k->pin_dir, p, &k->settings, error);
	if (r < 0)
		return r;
	r = td_object_settings(limits, &wanted, error);
	if (r < 0)
		return r;
	if (k->settings.layout_version != TUNDISH_LAYOUT_VERSION) {
		r = td_migrate(k->pin_dir, p, &k->settings, error);
		if (r < 0)
			return r;
	}
	r = take_maps(k, p->map_fd, error);
	if (r < 0)
		return r;
	r = td_nat_settings_read(k, error);
	if (r < 0)
		return r;
	r = td_maps_map(k, error);
	if (r < 0)
		return r;

	if (k->settings.object_hash == td_object_hash() && p->trace_fd >= 0)
		r = take_trace(k, p->trace_fd, error);
	else
		r = upgrade(k, error);
	if (r < 0)
		return r;
	take_alone(k, p->xdp_fd);
	if (ret_note)
		*ret_note = sizes_note(k->pin_dir, &k->settings, &wanted);
	return 0;
}

/* ---- entry points ----------------------------------------------------------------- */

int td_kernel_can_adopt(const char *pin_dir, bool *ret_same_build, struct td_error *error)
{
	_cleanup_close_ int fd = td_pins_get(pin_dir, td_map_names[TD_MAP_settings]);
	struct tundish_settings s;
	int r;

	*ret_same_build = false;
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0; /* there is nothing to adopt */
	if (fd < 0)
		return td_fail(error, fd == -EACCES ? EPERM : -fd, "cannot open the pin %s/%s: %s",
			       pin_dir, td_map_names[TD_MAP_settings], strerror(-fd));
	r = td_pins_read_settings(pin_dir, fd, &s, NULL, error);
	*ret_same_build = r == 0 && s.object_hash == td_object_hash();
	return r;
}

static int decide(struct td_kernel *k, struct td_pins *p, const struct td_limits_conf *limits,
		  bool *ret_adopted, char **ret_note, struct td_error *error)
{
	bool adopted = p->map_fd[TD_MAP_settings] >= 0;
	struct tundish_settings s;
	int r;

	if (adopted) { /* another layout may have pins that this one does not know */
		r = td_pins_read_settings(k->pin_dir, p->map_fd[TD_MAP_settings], &s, NULL, error);
		if (r < 0)
			return r;
	}
	if (p->foreign[0])
		return td_fail(
			error, EPROTO,
			"the pin directory %s holds \"%s\", which is not tundish's; remove it, or give another "
			"directory with --pin",
			k->pin_dir, p->foreign);
	*ret_adopted = adopted;
	if (adopted)
		return adopt(k, p, limits, ret_note, error);
	if (p->n > 0) {
		r = remove_unfinished(k->pin_dir, p, error);
		if (r < 0)
			return r;
	}
	return create(k, limits, error);
}

static int make_or_adopt(struct td_kernel *k, const struct td_limits_conf *limits,
			 bool *ret_adopted, char **ret_note, struct td_error *error)
{
	struct td_pins p;
	int r;

	r = td_pins_read(k->pin_dir, &p, error);
	if (r < 0)
		return r;
	r = decide(k, &p, limits, ret_adopted, ret_note, error);
	td_pins_done(&p);
	return r;
}

int td_kernel_open(const char *pin_dir, const struct td_limits_conf *limits, unsigned int flags,
		   struct td_kernel **ret, bool *ret_adopted, char **ret_note,
		   struct td_error *error)
{
	_cleanup_(kernel_closep) struct td_kernel *k = NULL;
	_cleanup_free_ char *note = NULL;
	bool made = false, adopted = false;
	int r;

	td_kernel_prints();
	r = td_pins_check_bpffs(pin_dir, flags, error);
	if (r < 0)
		return r;
	k = kernel_new(pin_dir);
	if (!k || k->n_cpus < 0)
		return td_fail(error, ENOMEM, "no memory");
	r = td_pins_lock(pin_dir, &k->dir_fd, &made, error);
	if (r < 0)
		return r;
	r = make_or_adopt(k, limits, &adopted, &note, error);
	if (r < 0) {
		if (made)
			rmdir(pin_dir);
		return r;
	}
	*ret = TD_TAKE_PTR(k);
	if (ret_adopted)
		*ret_adopted = adopted;
	if (ret_note)
		*ret_note = TD_TAKE_PTR(note);
	return 0;
}

struct td_kernel *td_kernel_close(struct td_kernel *k)
{
	if (!k)
		return NULL;
	td_program_close(k);
	td_steering_forget(k);
	td_ports_forget(k);
	td_egress_forget(k);
	td_own_forget(k);
	td_checks_forget(k);
	if (k->packets)
		td_kernel_capture_end(k);
	td_maps_unmap(k);
	for (size_t i = 0; i < TD_MAP_COUNT; i++)
		td_closep(&k->map_fd[i]);
	td_closep(&k->trace_fd);
	td_closep(&k->alone_fd);
	td_closep(&k->former_fd);
	td_closep(&k->dir_fd);
	explicit_bzero(&k->settings, sizeof(k->settings));
	explicit_bzero(&k->nat_settings, sizeof(k->nat_settings));
	free(k);
	return NULL;
}
