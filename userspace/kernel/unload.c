// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything down, without a daemon: off every interface of this network
 * namespace, then the pins, `settings` first. Cut short at any point it leaves
 * a directory that a further unload or the next daemon clears up.
 *
 * A directory whose `settings` bear tundish's magic is tundish's as a whole,
 * whatever its version pinned there; in any other only pins with names and
 * shapes of ours are touched, so a wrong --pin does no harm.
 */
#include <fcntl.h>

#include <bpf/bpf.h>

#include "core/lanes.h"
#include "kernel/private.h"

static int detach_all(const uint32_t *ids, size_t n_ids, struct td_error *error)
{
	struct if_nameindex *all = if_nameindex();
	int r = all ? 0 : td_fail(error, errno, "cannot list the interfaces: %s", strerror(errno));

	for (struct if_nameindex *i = all; i && i->if_index && r == 0; i++) {
		_cleanup_(td_carried_done) struct td_carried c = {.our_fd = -1};

		if (td_carried_read(i->if_index, ids, n_ids, &c) < 0)
			continue; /* gone meanwhile */
		if (c.unreadable)
			r = td_fail(
				error, EPERM,
				"no permission to see which XDP program interface %s carries; run as root",
				i->if_name);
		else if (c.our_id)
			r = td_carried_detach(i->if_index, i->if_name, &c, error);
	}
	if (all)
		if_freenameindex(all);
	return r;
}

/* Without settings: the shapes that do not depend on sizes tell whose a map is. */
static bool looks_ours(enum td_map m, int fd)
{
	struct bpf_map_info info = {0};
	struct tundish_settings s = {0};
	uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		return false;
	s.flow_buckets = s.flow6_buckets = s.tuple_buckets = s.services_max = s.backends_max =
		s.vips_max = info.max_entries;
	s.workers_max = s.groups_max = s.ports_max = s.fragments_max = info.max_entries;
	s.lanes_max = s.nat_buckets = info.max_entries;
	if (m == TD_MAP_nat)
		s.nat_buckets = info.max_entries / TUNDISH_NAT_SLOTS;
	if (m == TD_MAP_nat_tags)
		s.nat_buckets = info.max_entries / 2;
	if (m == TD_MAP_nexthops) { /* TUNDISH_NEXTHOPS_OF */
		s.backends_max = info.max_entries / 2;
		s.lanes_max = 0;
	}
	if (m == TD_MAP_quic_ids)
		s.backends_max = info.max_entries / TUNDISH_QUIC_IDS_OF(1);
	if (m == TD_MAP_listens)
		s.groups_max = info.max_entries / TUNDISH_LISTENS_OF(1);
	if (m == TD_MAP_members)
		s.workers_max = (info.max_entries - TUNDISH_MEMBERS_OF(0)) /
				(TUNDISH_MEMBERS_OF(1) - TUNDISH_MEMBERS_OF(0));
	return td_map_check(m, fd, &s) == 0;
}

int td_pins_check_remains(const char *dir, const struct td_pins *p, struct td_error *error)
{
	const char *foreign = p->foreign;

	for (enum td_map m = 0; m < TD_MAP_COUNT && !foreign[0]; m++)
		if (p->map_fd[m] >= 0 && !looks_ours(m, p->map_fd[m]))
			foreign = td_map_names[m];
	if (!foreign[0])
		return 0;
	return td_fail(
		error, EPROTO,
		"the pin directory %s holds \"%s\", which is not tundish's, so nothing was removed; look with "
		"\"ls %s\" and remove it by hand",
		dir, foreign, dir);
}

static int unload_pins(const char *dir, const struct td_pins *p, struct td_error *error)
{
	struct td_map_ids maps;
	struct tundish_settings s;
	struct td_error ignored;
	bool ours = false;
	int r;

	if (p->map_fd[TD_MAP_settings] >= 0)
		td_pins_read_settings(dir, p->map_fd[TD_MAP_settings], &s, &ours, &ignored);
	if (!ours) {
		r = td_pins_check_remains(dir, p, error);
		if (r < 0)
			return r;
	}
	maps.n = td_pins_map_ids(p, maps.id);
	r = detach_all(maps.id, maps.n, error);
	if (r < 0)
		return r;
	r = td_tc_detach_all(&maps);
	if (r < 0)
		return td_fail(error, -r,
			       "cannot take the programs for health checks off: %s; look at \"tc "
			       "filter show\"",
			       strerror(-r));
	return td_pins_remove(dir, ours, error);
}

int td_kernel_unload(const char *pin_dir, struct td_error *error)
{
	_cleanup_close_ int lock_fd = -1;
	struct td_pins p;
	bool nothing;
	int r;

	td_kernel_prints();
	if (access(pin_dir, F_OK) < 0 && errno == ENOENT)
		return td_fail(error, ENOENT, "nothing is pinned in %s", pin_dir);
	r = td_pins_check_bpffs(pin_dir, 0, error);
	if (r < 0)
		return r;
	r = td_pins_lock(pin_dir, &lock_fd, NULL, error);
	if (r < 0)
		return r;
	r = td_pins_read(pin_dir, &p, error);
	if (r < 0)
		return r;
	nothing = p.n == 0;
	r = nothing ? 0 : unload_pins(pin_dir, &p, error);
	td_pins_done(&p);
	if (r < 0)
		return r;
	/* A pin directory of another instance may lie inside: then this one stays; an empty
	 * one too where it is not ours to remove: made for the daemon's user, by its unit. */
	if (rmdir(pin_dir) < 0 && errno != ENOTEMPTY && errno != EBUSY && errno != EACCES &&
	    errno != EPERM)
		return td_fail(error, errno, "cannot remove the directory %s: %s", pin_dir,
			       strerror(errno));
	return nothing ? td_fail(error, ENOENT, "nothing is pinned in %s", pin_dir) : 0;
}

static int pinned_of(int fd, bool prefixes, struct td_prefix **all, size_t *n)
{
	struct tundish_prefix key, former;
	struct tundish_vip value;
	bool first = true;
	int r;

	/* twice as many as fit: entries that go meanwhile may be met again */
	for (size_t read = 0; read < 2 * TUNDISH_VIPS_MAX; read++) {
		void *at = prefixes ? (void *)&key : &key.address;
		void *from = prefixes ? (void *)&former : &former.address;

		if (bpf_map_get_next_key(fd, first ? NULL : from, at) < 0)
			return 0;
		former = key;
		first = false;
		if (bpf_map_lookup_elem(fd, at, &value) < 0 || !(value.flags & TUNDISH_VIP_SERVICE))
			continue;
		r = td_grow(all, *n, sizeof(**all));
		if (r < 0)
			return r;
		(*all)[(*n)++] = (struct td_prefix){
			.address = key.address,
			.length = prefixes ? (uint8_t)key.length : TD_PREFIX_ALL,
		};
	}
	return 0;
}

/* Calls `each` for each lane of the map, which need not be whole. */
static int each_pinned_lane(const struct td_pins *p,
			    int (*each)(const struct tundish_lane *l, void *context), void *context)
{
	int fd = p->map_fd[TD_MAP_lanes], r = 0;
	struct tundish_lane l;

	if (fd < 0 || !looks_ours(TD_MAP_lanes, fd))
		return 0;
	for (uint32_t id = 1; !r && id < TUNDISH_LANES_MAX; id++) {
		if (bpf_map_lookup_elem(fd, &id, &l) < 0)
			break;
		if (l.number)
			r = each(&l, context);
	}
	return r;
}

struct prefixes {
	struct td_prefix *all;
	size_t n;
};

static int add_source(const struct tundish_lane *l, void *context)
{
	struct prefixes *p = context;

	if (!(l->flags & TUNDISH_LANE_SOURCE))
		return 0;
	if (td_grow(&p->all, p->n, sizeof(*p->all)) < 0)
		return -ENOMEM;
	p->all[p->n++] = (struct td_prefix){l->source, TD_PREFIX_ALL};
	return 0;
}

static int add_reserved(const struct tundish_lane *l, void *context)
{
	uint64_t *bits = context;

	struct td_range_conf kept;

	if (!td_lane_kept(l, &kept))
		return 0;
	for (uint32_t p = kept.first; p <= kept.last; p++)
		bits[p / 64] |= 1ull << (p % 64);
	return 0;
}

int td_kernel_pinned_reserved(const char *pin_dir, uint64_t ret[TUNDISH_LANE_WORDS])
{
	struct td_pins p;
	int r;

	td_kernel_prints();
	r = td_pins_read(pin_dir, &p, NULL);
	if (r < 0)
		return r;
	memset(ret, 0, TUNDISH_LANE_WORDS * sizeof(*ret));
	r = each_pinned_lane(&p, add_reserved, ret);
	td_pins_done(&p);
	return r;
}

int td_kernel_pinned_migrating(const char *pin_dir, uint64_t **ret, size_t *ret_n)
{
	_cleanup_free_ uint64_t *all = NULL;
	struct tundish_worker w;
	struct td_pins p;
	size_t n = 0;
	int fd, r;

	td_kernel_prints();
	r = td_pins_read(pin_dir, &p, NULL);
	if (r < 0)
		return r;
	fd = p.map_fd[TD_MAP_workers];
	if (fd < 0 || !looks_ours(TD_MAP_workers, fd))
		r = -ENOENT;
	for (uint32_t i = 0; r == 0 && bpf_map_lookup_elem(fd, &i, &w) == 0; i++) {
		if (!w.cookie || !w.inode || !(w.flags & TUNDISH_WORKER_MIGRATE))
			continue;
		r = td_grow(&all, n, sizeof(*all));
		if (r == 0)
			all[n++] = w.inode;
	}
	td_pins_done(&p);
	if (r < 0)
		return r;
	*ret = TD_TAKE_PTR(all);
	*ret_n = n;
	return 0;
}

int td_kernel_pinned_vips(const char *pin_dir, struct td_prefix **ret, size_t *ret_n)
{
	_cleanup_free_ struct td_prefix *all = NULL;
	struct td_pins p;
	size_t n = 0;
	int r;

	td_kernel_prints();
	r = td_pins_read(pin_dir, &p, NULL);
	if (r < 0)
		return r;
	if (p.map_fd[TD_MAP_vips] < 0 || !looks_ours(TD_MAP_vips, p.map_fd[TD_MAP_vips]))
		r = -ENOENT;
	if (r >= 0)
		r = pinned_of(p.map_fd[TD_MAP_vips], false, &all, &n);
	if (r >= 0 && p.map_fd[TD_MAP_prefixes] >= 0 &&
	    looks_ours(TD_MAP_prefixes, p.map_fd[TD_MAP_prefixes]))
		r = pinned_of(p.map_fd[TD_MAP_prefixes], true, &all, &n);
	if (r >= 0) {
		struct prefixes list = {TD_TAKE_PTR(all), n};

		r = each_pinned_lane(&p, add_source, &list);
		all = list.all;
		n = list.n;
	}
	td_pins_done(&p);
	if (r < 0)
		return r;
	*ret = TD_TAKE_PTR(all);
	*ret_n = n;
	return 0;
}
