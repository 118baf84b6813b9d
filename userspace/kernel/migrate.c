// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the layout of a former version to this one's, while its programs run.
 *
 * Only what cannot harm those programs is done, and in an order in which each step may be the
 * last: maps that are new in a later layout are made and pinned beside the others, which stay as
 * they are; a map that only the daemon writes, or that counts packets, and whose entries grew, is made
 * anew with what the former one has, and pinned in its place, while the former programs go on with
 * theirs (what they count until they are replaced is lost, for which that has to be soon); then the settings say the new version, and that the programs are of another build, so
 * that these are replaced as in any upgrade (open.c). Killed in between, the next start finds
 * fewer maps missing, and goes on; a daemon of the former version finds pins that it does not
 * know, or a layout that is newer than its own, and refuses.
 *
 * A layout in which a map that the data path writes has another shape is refused: its entries could
 * not be carried over without losing connections made meanwhile. What a map had spare is taken
 * into use without another layout.
 */
#include <fcntl.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/private.h"
#include "kernel/work.h"

/* Of 2 to 3: three counters more, and counts behind what a service's delivery is told. (What of them the data path writes are
 * hints of when ports ran out.) */
static const struct td_remake of_layout_2[] = {{TD_MAP_deliveries, 16}, {TD_MAP_counters, 504}};

/* New in 4: the time from the SYN to accept(2), and packets for people. */
static const enum td_map since_layout_4[] = {TD_MAP_syn_waits, TD_MAP_capture, TD_MAP_capture_ring};

/* A row for each layout that can be gone on from. */
static const struct td_migration known[] = {
	{.from = 2,
	 .adds = since_layout_4,
	 .n = TD_ARRAY_SIZE(since_layout_4),
	 .remakes = of_layout_2,
	 .n_remakes = TD_ARRAY_SIZE(of_layout_2)},
	{.from = 3, .adds = since_layout_4, .n = TD_ARRAY_SIZE(since_layout_4)},
};

static const struct td_migration *migrations = known;
static size_t n_migrations = TD_ARRAY_SIZE(known);

void td_migrations_set(const struct td_migration *all, size_t n)
{
	migrations = all ?: known;
	n_migrations = all ? n : TD_ARRAY_SIZE(known);
}

static const struct td_migration *from(uint32_t version)
{
	for (size_t i = 0; i < n_migrations; i++)
		if (migrations[i].from == version && version < TUNDISH_LAYOUT_VERSION)
			return &migrations[i];
	return NULL;
}

bool td_migrates_from(uint32_t version)
{
	return from(version) != NULL;
}

bool td_migration_adds(uint32_t version, enum td_map map)
{
	const struct td_migration *m = from(version);

	for (size_t i = 0; m && i < m->n; i++)
		if (m->adds[i] == map)
			return true;
	return false;
}

bool td_migration_remakes(uint32_t version, enum td_map map, int fd,
			  const struct tundish_settings *s)
{
	const struct td_migration *m = from(version);
	struct bpf_map_info info = {0};
	uint32_t length = sizeof(info);

	for (size_t i = 0; m && i < m->n_remakes; i++)
		if (m->remakes[i].map == map)
			return bpf_obj_get_info_by_fd(fd, &info, &length) == 0 &&
			       (info.type == BPF_MAP_TYPE_ARRAY ||
				info.type == BPF_MAP_TYPE_PERCPU_ARRAY) &&
			       info.value_size == m->remakes[i].bytes &&
			       info.max_entries == td_map_entries(map, s);
	return false;
}

/* As they are read: one, or one for each CPU, each a multiple of eight bytes. */
static size_t read_size(const struct bpf_map_info *info)
{
	return (info->value_size + 7) / 8 * 8;
}

/* What the former entries have, at the beginning of the new ones. */
static int copy_entries(int from_fd, int to_fd)
{
	struct bpf_map_info former = {0}, now = {0};
	uint32_t length = sizeof(former);
	_cleanup_free_ char *was = NULL, *value = NULL;
	int cpus;

	if (bpf_obj_get_info_by_fd(from_fd, &former, &length) < 0 ||
	    (length = sizeof(now), bpf_obj_get_info_by_fd(to_fd, &now, &length) < 0))
		return -errno;
	cpus = former.type == BPF_MAP_TYPE_PERCPU_ARRAY ? libbpf_num_possible_cpus() : 1;
	if (cpus < 0 || former.type != now.type || former.value_size > now.value_size)
		return -EINVAL;
	was = calloc((size_t)cpus, read_size(&former));
	value = calloc((size_t)cpus, read_size(&now));
	if (!was || !value)
		return -ENOMEM;
	for (uint32_t i = 0; i < TD_MIN(former.max_entries, now.max_entries); i++) {
		if (bpf_map_lookup_elem(from_fd, &i, was) < 0)
			return -errno;
		for (size_t cpu = 0; cpu < (size_t)cpus; cpu++)
			memcpy(value + cpu * read_size(&now), was + cpu * read_size(&former),
			       former.value_size);
		if (bpf_map_update_elem(to_fd, &i, value, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

/* Makes and pins what is missing, and adds it to `p`. */
static int add_maps(const char *dir, struct td_pins *p, const int former_fd[TD_MAP_COUNT],
		    const struct tundish_settings *s, struct td_error *error)
{
	_cleanup_(td_object_closep) struct tundish *o = NULL;
	int r;

	r = td_object_open(s, p->map_fd, false, &o, error);
	r = r < 0 ? r : td_object_load(o, error);
	for (enum td_map m = 0; r == 0 && m < TD_MAP_COUNT; m++) {
		if (p->map_fd[m] >= 0)
			continue;
		p->map_fd[m] = fcntl(td_object_map_fd(o, m), F_DUPFD_CLOEXEC, 3);
		r = p->map_fd[m] < 0 ? -errno : 0;
		if (r == 0 && former_fd[m] >= 0) {
			td_work_begin("taking over the map %s of a former layout", td_map_names[m]);
			r = copy_entries(former_fd[m], p->map_fd[m]);
			td_work_end(0);
		}
		r = r ?: td_pins_put(dir, td_map_names[m], p->map_fd[m]);
		if (r < 0)
			td_fail(error, -r, "cannot pin %s/%s: %s", dir, td_map_names[m],
				strerror(-r));
	}
	return r;
}

int td_migrate(const char *dir, struct td_pins *p, struct tundish_settings *s,
	       struct td_error *error)
{
	int former_fd[TD_MAP_COUNT];
	bool missing = false;
	uint32_t zero = 0;
	int r = 0;

	for (enum td_map m = 0; m < TD_MAP_COUNT; m++) {
		former_fd[m] = -1;
		if (p->map_fd[m] >= 0 &&
		    td_migration_remakes(s->layout_version, m, p->map_fd[m], s))
			former_fd[m] = TD_TAKE_FD(p->map_fd[m]);
		missing |= p->map_fd[m] < 0;
	}
	if (missing)
		r = add_maps(dir, p, former_fd, s, error);
	for (enum td_map m = 0; m < TD_MAP_COUNT; m++)
		td_closep(&former_fd[m]);
	if (r < 0)
		return r;
	s->layout_version = TUNDISH_LAYOUT_VERSION;
	s->object_hash = 0;
	if (bpf_map_update_elem(p->map_fd[TD_MAP_settings], &zero, s, BPF_ANY) < 0)
		return td_fail(error, errno, "cannot write the settings: %s", strerror(errno));
	td_kernel_step("layout noted");
	return 0;
}
