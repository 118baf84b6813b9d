// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the layout of a former version to this one's, while its programs run.
 *
 * Only what cannot harm those programs is done, and in an order in which each step may be the
 * last: maps that are new in a later layout are made and pinned beside the others, which stay as
 * they are; then the settings say the new version, and that the programs are of another build, so
 * that these are replaced as in any upgrade (open.c). Killed in between, the next start finds
 * fewer maps missing, and goes on; a daemon of the former version finds pins that it does not
 * know, or a layout that is newer than its own, and refuses.
 *
 * A layout in which a map that was there has another shape is refused: its entries could not be
 * carried over without losing what the data path writes meanwhile. What a map had spare is taken
 * into use without another layout.
 */
#include <fcntl.h>

#include <bpf/bpf.h>

#include "kernel/private.h"

/* A row for each layout that was ever released and that only lacks maps: those. None yet. */
static const struct td_migration *migrations;
static size_t n_migrations;

void td_migrations_set(const struct td_migration *all, size_t n)
{
	migrations = all;
	n_migrations = n;
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

/* Makes and pins what is missing, and adds it to `p`. */
static int add_maps(const char *dir, struct td_pins *p, const struct tundish_settings *s,
		    struct td_error *error)
{
	_cleanup_(td_object_closep) struct tundish *o = NULL;
	int r;

	r = td_object_open(s, p->map_fd, false, &o, error);
	r = r < 0 ? r : td_object_load(o, error);
	for (enum td_map m = 0; r == 0 && m < TD_MAP_COUNT; m++) {
		if (p->map_fd[m] >= 0)
			continue;
		p->map_fd[m] = fcntl(td_object_map_fd(o, m), F_DUPFD_CLOEXEC, 3);
		r = p->map_fd[m] < 0 ? -errno : td_pins_put(dir, td_map_names[m], p->map_fd[m]);
		if (r < 0)
			td_fail(error, -r, "cannot pin %s/%s: %s", dir, td_map_names[m],
				strerror(-r));
	}
	return r;
}

int td_migrate(const char *dir, struct td_pins *p, struct tundish_settings *s,
	       struct td_error *error)
{
	bool missing = false;
	uint32_t zero = 0;
	int r = 0;

	for (enum td_map m = 0; m < TD_MAP_COUNT; m++)
		missing |= p->map_fd[m] < 0;
	if (missing)
		r = add_maps(dir, p, s, error);
	if (r < 0)
		return r;
	s->layout_version = TUNDISH_LAYOUT_VERSION;
	s->object_hash = 0;
	if (bpf_map_update_elem(p->map_fd[TD_MAP_settings], &zero, s, BPF_ANY) < 0)
		return td_fail(error, errno, "cannot write the settings: %s", strerror(errno));
	td_kernel_step("layout noted");
	return 0;
}
