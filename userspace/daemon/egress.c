// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pools of source addresses: from the configuration into the map, and onto their cgroups.
 *
 * The programs choose by themselves, and pass over a source that the kernel refuses.
 * The daemon tells them which sources are on this host, and looks every second whether
 * a cgroup has come, gone, or been made anew. A pool and a source keep their places as
 * long as they are in the file, so that their counts and what sockets remember of them
 * stay right.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "core/address.h"
#include "daemon/daemon.h"
#include "host/host.h"

#define TICK_USEC 1000000ull

/* ---- into the map ------------------------------------------------------------------ */

static const struct td_egress_conf *conf_of(const struct td_config *c, const char *name)
{
	for (size_t i = 0; i < c->n_egress; i++)
		if (!strcmp(c->egress[i].name, name))
			return &c->egress[i];
	return NULL;
}

static void end_pool(struct td_daemon *d, uint32_t id)
{
	struct tundish_egress *e = &td_kernel_egress(d->kernel)[id];
	_cleanup_free_ struct td_prefix *excepts = NULL;
	char name[TUNDISH_NAME_LEN];
	size_t n = 0;

	snprintf(name, sizeof(name), "%.63s", e->name);
	td_kernel_egress_detach(d->kernel, id);
	td_kernel_egress_excepts(d->kernel, id, &excepts, &n);
	for (size_t i = 0; i < n; i++)
		td_kernel_delete_egress_except(d->kernel, id, &excepts[i]);
	*e = (struct tundish_egress){0};
	d->pools[id] = (struct td_pool_memory){0};
	td_event(d, "egress-remove", name, "not in the file any more");
	td_step_done(d);
}

/* The place of a source; where it has none yet, with `take`, a free one. */
static uint32_t place_of(struct tundish_egress *e, const struct tundish_addr *a, bool take)
{
	for (uint32_t i = 0; i < TUNDISH_EGRESS_SOURCES; i++)
		if (e->source[i].flags & TUNDISH_SOURCE_LISTED &&
		    tundish_addr_equal(&e->source[i].address, a))
			return i;
	for (uint32_t i = 0; take && i < TUNDISH_EGRESS_SOURCES; i++)
		if (!(e->source[i].flags & TUNDISH_SOURCE_LISTED)) {
			e->source[i] = (struct tundish_egress_source){.address = *a};
			/* Where it is not on this host, that is told at the next look. */
			__atomic_store_n(&e->source[i].flags,
					 TUNDISH_SOURCE_LISTED | TUNDISH_SOURCE_PRESENT,
					 __ATOMIC_RELEASE);
			return i;
		}
	return TUNDISH_EGRESS_SOURCES;
}

static bool listed(const struct td_egress_conf *c, const struct tundish_addr *a)
{
	for (size_t i = 0; i < c->n_sources; i++)
		if (tundish_addr_equal(&c->sources[i].address, a))
			return true;
	return false;
}

static void put_sources(struct tundish_egress *e, const struct td_egress_conf *c)
{
	uint32_t n[2] = {0};

	for (uint32_t i = 0; i < TUNDISH_EGRESS_SOURCES; i++)
		if (!listed(c, &e->source[i].address))
			__atomic_store_n(&e->source[i].flags, 0, __ATOMIC_RELEASE);
	for (size_t i = 0; i < c->n_sources; i++) {
		const struct tundish_addr *a = &c->sources[i].address;
		uint32_t family = !tundish_addr_is_v4(a), place = place_of(e, a, true);

		if (place < TUNDISH_EGRESS_SOURCES)
			__atomic_store_n(&e->order[family][n[family]++], (uint8_t)place,
					 __ATOMIC_RELAXED);
	}
	for (size_t f = 0; f < 2; f++)
		__atomic_store_n(&e->n[f], n[f], __ATOMIC_RELEASE);
}

static int put_excepts(struct td_daemon *d, uint32_t id, const struct td_egress_conf *c)
{
	_cleanup_free_ struct td_prefix *former = NULL;
	size_t n = 0;
	int r;

	r = td_kernel_egress_excepts(d->kernel, id, &former, &n);
	for (size_t i = 0; r == 0 && i < c->n_except; i++)
		r = td_kernel_put_egress_except(
			d->kernel, id,
			&(struct td_prefix){c->except[i].address, c->except[i].prefix});
	for (size_t i = 0; r == 0 && i < n; i++) {
		bool stays = false;

		for (size_t k = 0; k < c->n_except; k++)
			stays |= !td_prefix_compare(
				&former[i],
				&(struct td_prefix){c->except[k].address, c->except[k].prefix});
		if (!stays)
			td_kernel_delete_egress_except(d->kernel, id, &former[i]);
	}
	return r;
}

static void put_pool(struct td_daemon *d, uint32_t id, const struct td_egress_conf *c)
{
	struct tundish_egress *e = &td_kernel_egress(d->kernel)[id];
	uint32_t flags = TUNDISH_EGRESS_ACTIVE | (c->n_except ? TUNDISH_EGRESS_EXCEPT : 0);
	bool fresh = !e->name[0];
	uint64_t netns = 0;
	int r;

	td_kernel_netns_cookie(-1, &netns);
	put_sources(e, c);
	r = put_excepts(d, id, c);
	if (r < 0)
		td_log(TD_LOG_WARNING, "egress %s: cannot write its exceptions: %s", c->name,
		       strerror(-r));
	__atomic_store_n(&e->netns, netns, __ATOMIC_RELAXED);
	snprintf(e->name, sizeof(e->name), "%s", c->name);
	__atomic_store_n(&e->flags, flags, __ATOMIC_RELEASE);
	snprintf(d->pools[id].cgroup, sizeof(d->pools[id].cgroup), "%s", c->cgroup);
	if (fresh)
		td_event(d, "egress-add", c->name, "%zu sources for the processes of cgroup %s",
			 c->n_sources, c->cgroup);
	td_step_done(d);
}

/* ---- sources ------------------------------------------------------------------------ */

/* Marks those that are on this host. */
static void check_sources(struct td_daemon *d)
{
	_cleanup_free_ struct tundish_addr *all = NULL;
	size_t n = 0;

	if (td_net_addresses(d->net, &all, &n) < 0)
		return; /* as they were: the programs find out themselves */
	for (uint32_t id = 1; id < TUNDISH_EGRESS_MAX; id++) {
		struct tundish_egress *e = &td_kernel_egress(d->kernel)[id];

		for (uint32_t i = 0; e->name[0] && i < TUNDISH_EGRESS_SOURCES; i++) {
			struct tundish_egress_source *s = &e->source[i];
			char text[TD_ADDRESS_TEXT], object[TUNDISH_NAME_LEN + TD_ADDRESS_TEXT];
			bool there = false;

			if (!(s->flags & TUNDISH_SOURCE_LISTED))
				continue;
			for (size_t k = 0; !there && k < n; k++)
				there = tundish_addr_equal(&all[k], &s->address);
			if (there == !!(s->flags & TUNDISH_SOURCE_PRESENT))
				continue;
			if (there)
				__atomic_store_n(&s->rests_until, 0, __ATOMIC_RELAXED);
			__atomic_store_n(&s->flags,
					 TUNDISH_SOURCE_LISTED |
						 (there ? TUNDISH_SOURCE_PRESENT : 0),
					 __ATOMIC_RELEASE);
			snprintf(object, sizeof(object), "%.63s/%s", e->name,
				 td_address_print(&s->address, text));
			td_event(d, there ? "source-up" : "source-absent", object, "%s",
				 there ? "the address is on this host"
				       : "the address is not on this host: connections get the "
					 "others");
		}
	}
}

const char *td_egress_source_state(const struct td_daemon *d, uint32_t pool, uint32_t place,
				   char *why, size_t size)
{
	const struct tundish_egress_source *s = &td_kernel_egress(d->kernel)[pool].source[place];
	uint64_t now = td_now_ns();

	if (d->pools[pool].trouble[0]) {
		snprintf(why, size, "%s", d->pools[pool].trouble);
		return "detached";
	}
	if (!(s->flags & TUNDISH_SOURCE_PRESENT)) {
		snprintf(why, size, "the address is not on this host");
		return "absent";
	}
	if (s->rests_until > now) {
		snprintf(why, size, "the kernel refused it a moment ago");
		return "resting";
	}
	why[0] = '\0';
	return "up";
}

/* ---- cgroups -------------------------------------------------------------------------- */

static int open_cgroup(const char *path, struct td_error *error)
{
	_cleanup_close_ int root = td_kernel_cgroup_root(error), fd = -1;
	char place[PATH_MAX] = "", link[40];
	struct statfs fs;
	ssize_t n;

	if (root < 0)
		return root;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", root);
	n = readlink(link, place, sizeof(place) - 1);
	place[n < 0 ? 0 : n] = '\0';
	fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return td_fail(error, ENOENT,
			       "there is no cgroup %s, below %.100s; it is taken when it appears",
			       path, place);
	if (fd < 0)
		return td_fail(error, errno, "cannot open the cgroup %s: %s", path,
			       strerror(errno));
	if (fstatfs(fd, &fs) < 0)
		return td_fail(error, errno, "cannot look at %s: %s", path, strerror(errno));
	if (fs.f_type == CGROUP_SUPER_MAGIC)
		return td_fail(
			error, EINVAL,
			"%s is of the cgroup v1 tree, which takes no such programs; give one "
			"of the v2 tree, below %.100s",
			path, place);
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return td_fail(error, EINVAL, "%s is no cgroup; give one of those below %.100s",
			       path, place);
	return TD_TAKE_FD(fd);
}

static int check_cgroup(struct td_daemon *d, uint32_t id, struct td_error *error)
{
	uint64_t attached = td_kernel_egress_cgroup(d->kernel, id);
	const char *name = td_kernel_egress(d->kernel)[id].name;
	_cleanup_close_ int fd = open_cgroup(d->pools[id].cgroup, error);
	struct stat st;
	int r;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_ino == attached)
		return 0;
	for (uint32_t k = 1; k < TUNDISH_EGRESS_MAX; k++)
		if (k != id && td_kernel_egress_cgroup(d->kernel, k) == st.st_ino)
			return td_fail(error, EBUSY,
				       "cgroup %s has the pool \"%.63s\" already; a cgroup has one",
				       d->pools[id].cgroup, td_kernel_egress(d->kernel)[k].name);
	r = td_kernel_egress_attach(d->kernel, id, fd, error);
	if (r < 0)
		return r;
	td_event(d, "egress-attach", name, "connections of cgroup %s get its sources",
		 d->pools[id].cgroup);
	return 0;
}

static void check_cgroups(struct td_daemon *d)
{
	for (uint32_t id = 1; id < TUNDISH_EGRESS_MAX; id++) {
		const char *name = td_kernel_egress(d->kernel)[id].name;
		struct td_pool_memory *m = &d->pools[id];
		struct td_error e = {0};
		int r;

		if (!name[0])
			continue;
		r = check_cgroup(d, id, &e);
		if (r < 0 && !e.text[0])
			td_fail(&e, -r, "%s", strerror(-r));
		/* Told when it changes, not every second. */
		if (r < 0 && strcmp(m->trouble, e.text))
			td_event(d, "egress-detached", name, "%s", e.text);
		snprintf(m->trouble, sizeof(m->trouble), "%.255s", r < 0 ? e.text : "");
	}
}

/* ---- entry points --------------------------------------------------------------------- */

static bool installed(struct td_daemon *d)
{
	for (uint32_t id = 1; id < TUNDISH_EGRESS_MAX; id++)
		if (td_kernel_egress(d->kernel)[id].name[0])
			return true;
	return false;
}

int td_egress_plan(struct td_daemon *d, const struct td_config *c, struct td_error *error)
{
	struct td_error e = {0};

	if (c->n_egress && !d->pools)
		d->pools = calloc(TUNDISH_EGRESS_MAX, sizeof(*d->pools));
	if (c->n_egress && !d->pools)
		return td_fail(error, ENOMEM, "out of memory for egress pools");
	/* No reason to serve nothing: connections have the kernel's own source. */
	if (c->n_egress && td_kernel_egress_open(d->kernel, &e) < 0 &&
	    strcmp(d->egress_trouble, e.text))
		td_log(TD_LOG_WARNING, "no egress pool is in force: %s", e.text);
	snprintf(d->egress_trouble, sizeof(d->egress_trouble), "%.255s", e.text);
	return 0;
}

void td_egress_put(struct td_daemon *d, const struct td_config *c)
{
	struct tundish_egress *all = td_kernel_egress(d->kernel);

	if (!c->n_egress) {
		if (d->egress_on || installed(d)) {
			td_kernel_egress_close(d->kernel);
			td_event(d, "egress-remove", "all", "not in the file any more");
		}
		d->egress_on = false;
		return;
	}
	d->egress_on = !d->egress_trouble[0];
	if (!d->egress_on)
		return;
	for (uint32_t id = 1; id < TUNDISH_EGRESS_MAX; id++)
		if (all[id].name[0] && !conf_of(c, all[id].name))
			end_pool(d, id);
	for (size_t i = 0; i < c->n_egress; i++) {
		uint32_t id, place = 0;

		for (id = TUNDISH_EGRESS_MAX - 1; id > 0; id--) {
			if (!strcmp(all[id].name, c->egress[i].name))
				break;
			if (!all[id].name[0])
				place = id;
		}
		if (id || place) /* as many fit as the file may have */
			put_pool(d, id ?: place, &c->egress[i]);
	}
	td_egress_check(d, true);
}

void td_egress_check(struct td_daemon *d, bool addresses)
{
	uint64_t now = td_now_ns();

	if (!d->egress_on)
		return;
	if (addresses)
		check_sources(d);
	check_cgroups(d);
	for (uint32_t id = 1; id < TUNDISH_EGRESS_MAX; id++) {
		uint64_t n = td_kernel_egress(d->kernel)[id].exhausted;

		if (n > d->pools[id].exhausted)
			d->pools[id].exhausted_ns = now;
		d->pools[id].exhausted = n;
	}
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct td_daemon *d = userdata;

	sd_event_source_set_time(source, usec + TICK_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	if (d->kernel)
		td_egress_check(d, false);
	return 0;
}

int td_egress_open(struct td_daemon *d)
{
	uint64_t now;

	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	return sd_event_add_time(d->event, &d->egress_timer, CLOCK_MONOTONIC, now + TICK_USEC, 5000,
				 on_tick, d);
}

/* ---- shifts ------------------------------------------------------------------------------ */

void td_egress_on_event(struct td_daemon *d, const struct tundish_port_event *e)
{
	char from[TD_ADDRESS_TEXT], to[TD_ADDRESS_TEXT], remote[TD_ADDRESS_TEXT];
	char object[TUNDISH_NAME_LEN], process[80] = "";
	const struct tundish_egress *pool;
	bool v4 = tundish_addr_is_v4(&e->key.remote);

	if (e->kind != TUNDISH_PORT_EVENT_SHIFT || !e->pool || e->pool >= TUNDISH_EGRESS_MAX)
		return;
	pool = &td_kernel_egress(d->kernel)[e->pool];
	snprintf(object, sizeof(object), "%.63s", pool->name[0] ? pool->name : "?");
	td_address_print(&e->key.local, from);
	td_address_print(&pool->source[e->to % TUNDISH_EGRESS_SOURCES].address, to);
	td_address_print(&e->key.remote, remote);
	snprintf(process, sizeof(process), "%.16s (%u)", e->command, e->pid);
	if (e->key.protocol == IPPROTO_UDP)
		td_event(d, "egress-shift", object,
			 "from %s to %s: %u of %u UDP ports of the former are used; by %s", from,
			 to, e->used, e->usable, process);
	else
		td_event(
			d, "egress-shift", object,
			v4 ? "from %s to %s for %s:%u: %u of %u ports of the former are used; by "
			     "%s"
			   : "from %s to %s for [%s]:%u: %u of %u ports of the former are used; by "
			     "%s",
			from, to, remote, ntohs(e->key.remote_port_be), e->used, e->usable,
			process);
}

/* ---- whose a process is --------------------------------------------------------------------- */

int td_egress_pool_of(struct td_daemon *d, pid_t pid, uint32_t *ret_pool, struct td_error *error)
{
	_cleanup_close_ int root = -1;
	char path[PATH_MAX];
	int r;

	*ret_pool = 0;
	r = td_host_cgroup(pid, path, sizeof(path), error);
	if (r < 0)
		return r;
	root = td_kernel_cgroup_root(error);
	if (root < 0)
		return root;
	/* The innermost that has a pool decides. */
	while (!*ret_pool) {
		_cleanup_close_ int fd =
			openat(root, path[1] ? path + 1 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct stat st;

		for (uint32_t id = 1; fd >= 0 && fstat(fd, &st) == 0 && id < TUNDISH_EGRESS_MAX;
		     id++)
			if (td_kernel_egress_cgroup(d->kernel, id) == st.st_ino)
				*ret_pool = id;
		if (!path[1])
			break;
		*strrchr(path, '/') = '\0';
		if (!path[0])
			strcpy(path, "/");
	}
	return 0;
}
