// SPDX-License-Identifier: GPL-2.0-only
/*
 * Worker groups, from services to sets of listeners to places in the maps; see
 * groups.h.
 *
 * A group is known by its set of listeners alone: services come and go in front
 * of it, and its workers do not notice. Sets of different groups have nothing in
 * common, since a listener can be a worker of one group only.
 */
#include <netinet/in.h>

#include "core/groups.h"

#include "core/address.h"

/* ---- what the configuration asks for ------------------------------------------ */

static bool listen_equal(const struct td_listen_conf *a, const struct td_listen_conf *b)
{
	return a->port == b->port && tundish_addr_equal(&a->address, &b->address);
}

static bool is_udp(const struct td_service_conf *s)
{
	return s->protocol == IPPROTO_UDP;
}

static bool same_lists(const struct td_group_want *g, const struct td_service_conf *s)
{
	const struct td_workers_conf *w = &s->workers;

	if (g->udp != is_udp(s) || g->n_listen != w->n_listen)
		return false;
	for (size_t i = 0; i < g->n_listen; i++)
		if (!listen_equal(&g->listen[i], &w->listen[i]))
			return false;
	return true;
}

static bool overlap(const struct td_group_want *g, const struct td_service_conf *s)
{
	const struct td_workers_conf *w = &s->workers;

	for (size_t i = 0; g->udp == is_udp(s) && i < g->n_listen; i++)
		for (size_t j = 0; j < w->n_listen; j++)
			if (listen_equal(&g->listen[i], &w->listen[j]))
				return true;
	return false;
}

static bool has_group(const struct td_service_conf *s)
{
	return s->workers.n_listen && s->workers.n_listen <= TUNDISH_GROUP_LISTENS;
}

uint32_t td_group_of(const struct td_group_want *groups, size_t n,
		     const struct td_service_conf *service)
{
	for (size_t i = 0; has_group(service) && i < n; i++)
		if (same_lists(&groups[i], service))
			return (uint32_t)i;
	return TD_GROUP_NONE;
}

static void make_name(struct td_group_want *g)
{
	size_t used = 0;

	for (size_t i = 0; i < g->n_listen && used < sizeof(g->name) - 1; i++) {
		bool v4 = tundish_addr_is_v4(&g->listen[i].address);
		char address[TD_ADDRESS_TEXT];
		int n = snprintf(g->name + used, sizeof(g->name) - used, "%s%s%s%s:%u%s",
				 i ? "," : "", v4 ? "" : "[",
				 td_address_print(&g->listen[i].address, address), v4 ? "" : "]",
				 g->listen[i].port, g->udp ? "/udp" : "");

		used = TD_MIN(used + (size_t)TD_MAX(n, 0), sizeof(g->name) - 1);
	}
}

int td_groups_make(const struct td_config *config, struct td_group_want **ret, size_t *ret_n,
		   struct td_error *error)
{
	_cleanup_free_ struct td_group_want *groups = NULL;
	size_t n = 0;

	for (size_t i = 0; i < config->n_services; i++) {
		const struct td_service_conf *s = &config->services[i];
		uint32_t at = td_group_of(groups, n, s);
		struct td_group_want *g;

		if (!has_group(s))
			continue;
		if (at == TD_GROUP_NONE) {
			for (size_t j = 0; j < n; j++)
				if (overlap(&groups[j], s))
					return td_fail(error, EINVAL,
						       "workers.listen of service \"%s\" has a "
						       "part of group %s; give all of it, or none",
						       s->name, groups[j].name);
			if (td_grow(&groups, n, sizeof(*groups)) < 0)
				return td_fail(error, ENOMEM, "out of memory");
			at = (uint32_t)n++;
			groups[at] = (struct td_group_want){.n_listen = s->workers.n_listen,
							    .size = s->workers.size,
							    .udp = is_udp(s)};
			memcpy(groups[at].listen, s->workers.listen,
			       s->workers.n_listen * sizeof(*s->workers.listen));
			make_name(&groups[at]);
		}
		g = &groups[at];
		g->size = TD_MAX(g->size, s->workers.size); /* one size, by the checks */
		g->services++;
		g->account |= !g->udp && (g->services > 1 || s->workers.share < 100);
	}
	*ret = TD_TAKE_PTR(groups);
	*ret_n = n;
	return 0;
}

/* ---- where it stands ------------------------------------------------------------ */

/* Whose index it is. */
enum use {
	USE_NONE = 0,
	USE_LEAVING,
	USE_STAYS,
};

struct place {
	struct td_group_want *wanted;
	size_t n;
	const struct td_groups_installed *in;
	bool *stays;	/* by id: a wanted one has it */
	uint8_t *taken; /* enum use, by index */
};

static bool is_active(const struct td_groups_installed *in, uint32_t id)
{
	return id && id < in->groups_max && in->groups[id].flags & TUNDISH_GROUP_ACTIVE;
}

/* Whether the entry says something that can be believed: the maps are pinned,
 * and may have been written by anybody with the right to. */
static bool stands(const struct td_groups_installed *in, uint32_t id)
{
	const struct tundish_group *g = &in->groups[id];

	return is_active(in, id) && g->size && g->first < in->workers_max &&
	       g->size <= in->workers_max - g->first;
}

static bool has_listen(const struct td_group_want *g, const struct tundish_listen *l)
{
	for (size_t i = 0; i < g->n_listen; i++)
		if (g->listen[i].port == l->port && g->udp == !!l->udp &&
		    tundish_addr_equal(&g->listen[i].address, &l->address))
			return true;
	return false;
}

/* The id under which this set stands, or 0. */
static uint32_t find_installed(const struct place *p, const struct td_group_want *g)
{
	uint32_t id = 0;
	size_t found = 0;

	for (size_t i = 0; i < p->in->n_listens; i++) {
		const struct td_group_listen *l = &p->in->listens[i];

		if (!has_listen(g, &l->listen))
			continue;
		if (found && l->group != id)
			return 0;
		id = l->group;
		found++;
	}
	if (found != g->n_listen || id >= p->in->groups_max || !stands(p->in, id) || p->stays[id])
		return 0;
	for (size_t i = 0; i < p->in->n_listens; i++)
		if (p->in->listens[i].group == id && !has_listen(g, &p->in->listens[i].listen))
			return 0;
	return id;
}

static bool is_free(const struct place *p, uint32_t first, uint32_t size, enum use most)
{
	for (uint32_t i = first; i < first + size; i++)
		if (p->taken[i] > most)
			return false;
	return true;
}

static void take(struct place *p, uint32_t first, uint32_t size, enum use use)
{
	memset(p->taken + first, use, size);
}

/* One grows only where nobody stands, so none is in another's way. */
static void keep_installed(struct place *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct td_group_want *g = &p->wanted[i];
		uint32_t id = find_installed(p, g), old, first;

		if (!id)
			continue;
		old = p->in->groups[id].size;
		first = p->in->groups[id].first;
		if (g->size < p->in->groups[id].used || g->size > p->in->workers_max - first ||
		    !is_free(p, first, TD_MIN(old, g->size), USE_LEAVING) ||
		    (g->size > old && !is_free(p, first + old, g->size - old, USE_NONE)))
			continue;
		g->id = id;
		g->first = first;
		g->installed = true;
		p->stays[id] = true;
		take(p, first, g->size, USE_STAYS);
	}
}

static bool find_range(const struct place *p, uint32_t size, enum use most, uint32_t *ret)
{
	uint32_t run = 0;

	for (uint32_t i = 0; i < p->in->workers_max; i++) {
		run = p->taken[i] > most ? 0 : run + 1;
		if (run == size) {
			*ret = i + 1 - size;
			return true;
		}
	}
	return false;
}

static bool find_id(const struct place *p, enum use most, uint32_t *ret)
{
	for (uint32_t id = 1; id < p->in->groups_max; id++)
		if (!p->stays[id] && (most >= USE_LEAVING || !is_active(p->in, id))) {
			*ret = id;
			return true;
		}
	return false;
}

static int place_new(struct place *p, struct td_group_want *g, enum use most, struct td_error *e)
{
	if (!find_id(p, most, &g->id))
		return td_fail(e, ENOSPC,
			       "no place for group %s in a table of %u: raise limits.groups, then "
			       "`tundish unload` and start again",
			       g->name, p->in->groups_max ? p->in->groups_max - 1 : 0);
	if (!find_range(p, g->size, most, &g->first))
		return td_fail(e, ENOSPC,
			       "no %u places in a row for the workers of group %s in a table of "
			       "%u: raise limits.workers, then `tundish unload` and start again",
			       g->size, g->name, p->in->workers_max);
	p->stays[g->id] = true;
	take(p, g->first, g->size, USE_STAYS);
	return 0;
}

/* @most: what a new group may take. */
static int place_all(struct place *p, enum use most, struct td_error *e)
{
	int r = 0;

	memset(p->stays, 0, p->in->groups_max * sizeof(*p->stays));
	memset(p->taken, USE_NONE, p->in->workers_max);
	for (uint32_t id = 1; id < p->in->groups_max; id++)
		if (stands(p->in, id))
			take(p, p->in->groups[id].first, p->in->groups[id].size, USE_LEAVING);
	for (size_t i = 0; i < p->n; i++) {
		p->wanted[i].id = p->wanted[i].first = 0;
		p->wanted[i].installed = false;
	}
	keep_installed(p);
	for (size_t i = 0; i < p->n && !r; i++)
		r = p->wanted[i].id ? 0 : place_new(p, &p->wanted[i], most, e);
	return r;
}

int td_groups_place(struct td_group_want *wanted, size_t n, const struct td_groups_installed *in,
		    bool *ret_leaving, struct td_error *error)
{
	_cleanup_free_ struct td_group_want *copy = calloc(n + 1, sizeof(*copy));
	_cleanup_free_ bool *stays = calloc(in->groups_max + 1, sizeof(*stays));
	_cleanup_free_ uint8_t *taken = calloc(in->workers_max + 1, sizeof(*taken));
	struct place p = {.wanted = copy, .n = n, .in = in, .stays = stays, .taken = taken};
	int r;

	if (!copy || !stays || !taken)
		return td_fail(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		copy[i] = wanted[i];
	r = place_all(&p, USE_NONE, NULL);
	if (r < 0)
		r = place_all(&p, USE_LEAVING, error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		wanted[i] = copy[i];
	for (uint32_t id = 0; id < in->groups_max; id++) {
		ret_leaving[id] = is_active(in, id);
		for (size_t i = 0; i < n; i++)
			ret_leaving[id] &= !(copy[i].installed && copy[i].id == id);
	}
	return 0;
}
