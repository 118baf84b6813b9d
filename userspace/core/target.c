// SPDX-License-Identifier: GPL-2.0-only
/*
 * What services and backends shall become.
 *
 * A service is known by its name, a backend by (service, name, address): under
 * another address it is another backend, and the former one stays, in state
 * GONE, until its flows have ended. One that comes back before that takes up
 * its entry again. Ids are never given while an entry stands.
 *
 * Which of a service's backends take new connections is said in pool.h
 * (target_pool.c).
 */
#include "core/target.h"

#include "core/address.h"
#include "core/override.h"

void td_target_done(struct td_target *t)
{
	free(t->services);
	free(t->backends);
	free(t->vips);
	free(t->lanes);
	free(t->hosts);
	free(t->fans);
	free(t->quic);
	*t = (struct td_target){0};
}

/* ---- services -------------------------------------------------------------- */

static size_t backends_wanted(const struct td_service_conf *c)
{
	return c->delivery == TUNDISH_DELIVERY_WORKERS ? 1 : c->n_backends;
}

static void want_service(struct td_target_service *s, const struct td_service_conf *c)
{
	struct tundish_service v = {
		.state = TUNDISH_SERVICE_ACTIVE,
		.delivery = c->delivery,
		.protocol = c->protocol,
		.own = c->own,
		.n_backends = backends_wanted(c),
		.server_id_length = (uint8_t)c->quic.server_id_length,
		.quic_config = (uint8_t)c->quic.config,
		.chooses = s->s.value.chooses, /* its row's, see tell_row() */
	};
	struct tundish_service *old = &s->s.value;
	struct tundish_deliver deliver = s->s.deliver; /* full_ns is not the file's */
	bool least;

	memcpy(v.name, c->name, sizeof(v.name));
	s->conf = c;
	deliver.flags = td_translates(c->delivery) && c->nat.toa ? TUNDISH_DELIVER_TOA : 0;
	if (c->scheduler == TD_SCHEDULER_LEAST_CONNECTIONS)
		deliver.flags |= TUNDISH_DELIVER_LEAST;
	if (!td_translates(c->delivery))
		deliver.mss = 0;
	else if (c->nat.mss != TD_MSS_AUTO) /* which follows the next hops' links */
		deliver.mss = c->nat.mss;
	least = (deliver.flags ^ s->s.deliver.flags) & TUNDISH_DELIVER_LEAST;
	if (deliver.flags != s->s.deliver.flags || deliver.mss != s->s.deliver.mss) {
		s->s.deliver = deliver;
		s->change = TD_CHANGE_PUT;
		snprintf(s->why, sizeof(s->why),
			 least ? "another scheduler in the file"
			       : "another \"mss\" or \"client_address\" in the file");
	}
	if (!memcmp(&v, old, sizeof(v)))
		return;
	s->change = TD_CHANGE_PUT;
	if (old->state == TUNDISH_SERVICE_GONE)
		snprintf(s->why, sizeof(s->why), "in the file again");
	else if (old->delivery != v.delivery)
		snprintf(s->why, sizeof(s->why), "another delivery in the file");
	else if (old->protocol != v.protocol)
		snprintf(s->why, sizeof(s->why), "another protocol in the file");
	else if (old->own != v.own)
		snprintf(s->why, sizeof(s->why), "own: %s in the file", v.own ? "true" : "false");
	else if (old->server_id_length != v.server_id_length || old->quic_config != v.quic_config)
		snprintf(s->why, sizeof(s->why), "another quic in the file");
	else
		snprintf(s->why, sizeof(s->why), "%u backends, were %u", v.n_backends,
			 old->n_backends);
	*old = v;
}

static uint32_t free_id(const bool *taken, uint32_t max)
{
	for (uint32_t id = 1; id < max; id++)
		if (!taken[id])
			return id;
	return 0;
}

static int by_service_id(const void *a, const void *b)
{
	uint32_t x = ((const struct td_target_service *)a)->s.id;
	uint32_t y = ((const struct td_target_service *)b)->s.id;

	return (x > y) - (x < y);
}

int td_target_services(struct td_target *t, const struct td_state *installed,
		       const struct td_config *config, const struct tundish_settings *limits,
		       struct td_error *error)
{
	bool taken[TUNDISH_SERVICES_MAX + 1] = {0};
	uint32_t max = TD_MIN(limits->services_max, TUNDISH_SERVICES_MAX), leaving = 0;

	t->services = calloc(installed->n_services + config->n_services + 1, sizeof(*t->services));
	if (!t->services)
		return -ENOMEM;

	for (size_t i = 0; i < installed->n_services; i++) {
		const struct td_service_state *in = &installed->services[i];
		struct td_target_service *s = &t->services[t->n_services];
		const struct td_service_conf *c;

		if (in->value.state == TUNDISH_SERVICE_FREE || !in->id ||
		    in->id >= TUNDISH_SERVICES_MAX)
			continue;
		s->s = *in;
		taken[in->id] = true;
		t->n_services++;
		c = td_config_service(config, in->value.name);
		if (c) {
			want_service(s, c);
			continue;
		}
		leaving++;
		if (in->value.state == TUNDISH_SERVICE_GONE)
			continue;
		s->s.value.state = TUNDISH_SERVICE_GONE;
		s->change = TD_CHANGE_GONE;
		snprintf(s->why, sizeof(s->why), "not in the file any more");
	}

	for (size_t i = 0; i < config->n_services; i++) {
		const struct td_service_conf *c = &config->services[i];
		struct td_target_service *s = &t->services[t->n_services];
		bool known = false;

		for (size_t j = 0; j < t->n_services && !known; j++)
			known = t->services[j].conf == c;
		if (known)
			continue;
		s->s.id = free_id(taken, max);
		if (!s->s.id)
			return td_fail(
				error, ENOSPC,
				"no place for service \"%s\" in a table of %u, %u of them held by "
				"services whose flows have not ended: raise limits.services, then "
				"`tundish unload` and start again",
				c->name, max ? max - 1 : 0, leaving);
		taken[s->s.id] = true;
		t->n_services++;
		want_service(s, c);
		snprintf(s->why, sizeof(s->why), "new in the file");
	}
	qsort(t->services, t->n_services, sizeof(*t->services), by_service_id);
	return 0;
}

/* ---- backends -------------------------------------------------------------- */

struct wish {
	const struct td_service_conf *service_conf;
	const struct td_backend_conf *conf;
	uint16_t service, weight;
	uint8_t state, delivery;
	bool backup;
	uint32_t max_connections;
	__be16 gue_port_be;
	struct tundish_server_id server_id;
	const char *name;
	struct tundish_addr address;
};

/* By service, name, address. */
static int compare_identity(const struct tundish_backend *a, uint16_t service, const char *name,
			    const struct tundish_addr *address)
{
	int c = (a->service > service) - (a->service < service);

	if (!c)
		c = strncmp(a->name, name, TUNDISH_NAME_LEN);
	return c ? c : memcmp(&a->address, address, sizeof(*address));
}

static int by_identity(const void *a, const void *b)
{
	const struct tundish_backend *x = &(*(struct td_target_backend *const *)a)->b.value;
	const struct tundish_backend *y = &(*(struct td_target_backend *const *)b)->b.value;
	int c = compare_identity(x, y->service, y->name, &y->address);

	/* Two entries of one identity: the one that is not leaving comes first. */
	return c ? c : (x->state == TUNDISH_BACKEND_GONE) - (y->state == TUNDISH_BACKEND_GONE);
}

/* Most of the order is that of services: they are laid out first, and only each one's backends
 * are compared by name. */
static int sort_by_identity(struct td_target_backend **index, size_t n)
{
	_cleanup_free_ struct td_target_backend **former = calloc(n + 1, sizeof(*former));
	_cleanup_free_ size_t *first = calloc((1u << 16) + 1, sizeof(*first));

	if (!former || !first)
		return -ENOMEM;
	memcpy(former, index, n * sizeof(*index));
	for (size_t i = 0; i < n; i++)
		first[former[i]->b.value.service + 1]++;
	for (size_t i = 1; i <= 1u << 16; i++)
		first[i] += first[i - 1];
	for (size_t i = 0; i < n; i++)
		index[first[former[i]->b.value.service]++] = former[i];
	for (size_t i = 0, end; i < n; i = end) {
		end = first[index[i]->b.value.service];
		qsort(index + i, end - i, sizeof(*index), by_identity);
	}
	return 0;
}

static struct td_target_backend *find(struct td_target_backend **index, size_t n,
				      const struct wish *w)
{
	size_t low = 0, high = n;

	while (low < high) { /* the first that is not below the wish */
		size_t mid = low + (high - low) / 2;

		if (compare_identity(&index[mid]->b.value, w->service, w->name, &w->address) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == n || compare_identity(&index[low]->b.value, w->service, w->name, &w->address))
		return NULL;
	return index[low];
}

static void want_backend(struct td_target_backend *t, const struct wish *w)
{
	struct tundish_backend *b = &t->b.value;
	bool fresh = b->state == TUNDISH_BACKEND_FREE, back = b->state == TUNDISH_BACKEND_GONE;

	t->wanted = true;
	t->service_conf = w->service_conf;
	t->conf = w->conf;
	if (fresh) {
		memcpy(b->name, w->name, strnlen(w->name, sizeof(b->name) - 1));
		b->address = w->address;
		b->service = w->service;
	}
	if (fresh || back) {
		b->flags = w->backup ? TUNDISH_BACKEND_BACKUP : 0;
		b->adjust = 0;
		b->health_since_ns = 0;
		b->ejected_s = 0;
		b->ejections = 0;
		b->drain_deadline = 0;
		b->file_weight = w->weight;
		b->file_state = w->state;
		t->change = TD_CHANGE_PUT;
		snprintf(t->why, sizeof(t->why), fresh ? "new in the file" : "in the file again");
	} else if (td_override_rebase(b, w->weight, w->state, t->why, sizeof(t->why))) {
		t->change = TD_CHANGE_PUT;
	}
	if (w->backup != !!(b->flags & TUNDISH_BACKEND_BACKUP)) {
		b->flags ^= TUNDISH_BACKEND_BACKUP;
		t->change = TD_CHANGE_PUT;
		if (!t->why[0])
			snprintf(t->why, sizeof(t->why), "%s backup in the file",
				 w->backup ? "a" : "no");
	}
	if (b->delivery != w->delivery) {
		b->delivery = w->delivery;
		t->change = TD_CHANGE_PUT;
		if (!t->why[0])
			snprintf(t->why, sizeof(t->why), "another delivery in the file");
	}
	/* Of another delivery it says nothing, and stays for packets under way. */
	if (w->delivery == TUNDISH_DELIVERY_GUE && b->gue_port_be != w->gue_port_be) {
		b->gue_port_be = w->gue_port_be;
		t->change = TD_CHANGE_PUT;
		if (!t->why[0])
			snprintf(t->why, sizeof(t->why), "another port for GUE in the file");
	}
	if (b->max_connections != w->max_connections) {
		b->max_connections = w->max_connections;
		t->change = TD_CHANGE_PUT;
		if (!t->why[0])
			snprintf(t->why, sizeof(t->why), "another max_connections in the file");
	}
	if (memcmp(&b->server_id, &w->server_id, sizeof(b->server_id))) {
		b->server_id = w->server_id;
		t->change = TD_CHANGE_PUT;
		if (!t->why[0])
			snprintf(t->why, sizeof(t->why), "another server_id in the file");
	}
}

static void let_go(struct td_target_backend *t, bool service_wanted)
{
	struct tundish_backend *b = &t->b.value;

	b->weight = 0;
	if (b->state == TUNDISH_BACKEND_GONE)
		return;
	b->state = TUNDISH_BACKEND_GONE;
	b->flags = 0;
	b->adjust = 0;
	b->drain_deadline = 0;
	t->change = TD_CHANGE_GONE;
	snprintf(t->why, sizeof(t->why),
		 service_wanted ? "not in the file any more"
				: "its service is not in the file any more");
}

static void tell_row(struct td_target_service *s, const struct td_target_backend *t)
{
	const struct tundish_backend *b = &t->b.value;

	if (t->installed_weight == b->weight)
		return;
	if (s->row_changes++) {
		size_t used = strcspn(s->row_why, ";");

		snprintf(s->row_why + used, sizeof(s->row_why) - used, "; and %u more",
			 s->row_changes - 1);
	} else if (t->installed_weight == TD_WEIGHT_UNSETTLED) {
		snprintf(s->row_why, sizeof(s->row_why), "a change was cut short");
	} else if (!t->installed_weight) {
		snprintf(s->row_why, sizeof(s->row_why), "%.63s joins with weight %u", b->name,
			 b->weight);
	} else if (!b->weight) {
		snprintf(s->row_why, sizeof(s->row_why), "%.63s gets no new connections", b->name);
	} else {
		snprintf(s->row_why, sizeof(s->row_why), "%.63s has weight %u, had %u", b->name,
			 b->weight, t->installed_weight);
	}
}

/* Whether a service chooses is written into each of its slots, so it is a matter of the row. */
static void settle_rows(struct td_target *t)
{
	for (size_t i = 0; i < t->n_services; i++) {
		struct td_target_service *s = &t->services[i];
		bool chooses = s->conf && td_service_chooses(s->conf);

		if (s->s.value.chooses == chooses)
			continue;
		if (!s->row_changes++)
			snprintf(s->row_why, sizeof(s->row_why),
				 s->s.value.chooses == TUNDISH_ROW_UNSETTLED
					 ? "a change was cut short"
				 : chooses ? "new connections are chosen a backend, flow by flow"
					   : "new connections go by their hash");
		s->s.value.chooses = chooses;
	}
}

static struct td_target_service *service_of(struct td_target *t, uint32_t id)
{
	struct td_target_service key = {.s.id = id};

	return t->n_services ? bsearch(&key, t->services, t->n_services, sizeof(key), by_service_id)
			     : NULL;
}

static int by_backend_id(const void *a, const void *b)
{
	uint32_t x = ((const struct td_target_backend *)a)->b.id;
	uint32_t y = ((const struct td_target_backend *)b)->b.id;

	return (x > y) - (x < y);
}

struct backend_work {
	struct td_target *t;
	struct td_target_backend **index; /* the installed ones by identity */
	size_t n_index;
	bool *taken;
	uint32_t max, next;
};

static int place(struct backend_work *w, const struct wish *wish, struct td_error *error)
{
	struct td_target_backend *b = find(w->index, w->n_index, wish);
	uint32_t leaving = 0;

	if (!b) {
		while (w->next < w->max && w->taken[w->next])
			w->next++;
		if (w->next >= w->max) {
			for (size_t i = 0; i < w->n_index; i++)
				leaving += w->index[i]->b.value.state == TUNDISH_BACKEND_GONE;
			return td_fail(
				error, ENOSPC,
				"no place for backend \"%s\" in a table of %u, %u of them held by "
				"backends whose flows have not ended: raise limits.backends, then "
				"`tundish unload` and start again",
				wish->name, w->max ? w->max - 1 : 0, leaving);
		}
		b = &w->t->backends[w->t->n_backends++];
		b->b.id = w->next++;
	}
	want_backend(b, wish);
	return 0;
}

static int place_service(struct backend_work *w, const struct td_target_service *s,
			 struct td_error *error)
{
	const struct td_service_conf *c = s->conf;
	struct wish wish = {
		.service_conf = c,
		.service = s->s.id,
		.delivery = c->delivery,
		.gue_port_be = htons(c->gue.port),
	};
	int r;

	if (c->delivery == TUNDISH_DELIVERY_WORKERS) {
		wish.name = TD_BACKEND_LOCAL;
		wish.address = tundish_addr_v4(0);
		wish.weight = TD_BACKEND_LOCAL_WEIGHT;
		wish.state = TUNDISH_BACKEND_UP;
		return place(w, &wish, error);
	}
	for (size_t i = 0; i < c->n_backends; i++) {
		wish.conf = &c->backends[i];
		wish.name = c->backends[i].name;
		wish.address = c->backends[i].address;
		wish.weight = c->backends[i].weight;
		wish.state = c->backends[i].state;
		wish.server_id = c->backends[i].server_id;
		wish.backup = c->backends[i].backup;
		wish.max_connections = td_backend_max_connections(c, &c->backends[i]);
		r = place(w, &wish, error);
		if (r < 0)
			return r;
	}
	return 0;
}

int td_target_backends(struct td_target *t, const struct td_state *installed,
		       const struct tundish_settings *limits, struct td_error *error)
{
	_cleanup_free_ struct td_target_backend **index = NULL;
	_cleanup_free_ bool *taken = NULL;
	struct backend_work w = {
		.t = t, .max = TD_MIN(limits->backends_max, TUNDISH_BACKENDS_MAX), .next = 1};
	size_t wanted = 0;
	int r;

	for (size_t i = 0; i < t->n_services; i++)
		if (t->services[i].conf)
			wanted += backends_wanted(t->services[i].conf);
	t->backends = calloc(installed->n_backends + wanted + 1, sizeof(*t->backends));
	index = calloc(installed->n_backends + 1, sizeof(*index));
	taken = calloc(TUNDISH_BACKENDS_MAX, sizeof(*taken));
	if (!t->backends || !index || !taken)
		return -ENOMEM;

	for (size_t i = 0; i < installed->n_backends; i++) {
		const struct td_backend_state *in = &installed->backends[i];
		struct td_target_backend *b = &t->backends[t->n_backends];

		if (in->value.state == TUNDISH_BACKEND_FREE || !in->id ||
		    in->id >= TUNDISH_BACKENDS_MAX)
			continue;
		b->b = *in;
		b->installed_weight = in->value.weight;
		taken[in->id] = true;
		index[t->n_backends++] = b;
	}
	w.index = index;
	w.n_index = t->n_backends;
	w.taken = taken;
	r = sort_by_identity(index, w.n_index);
	if (r < 0)
		return r;

	for (size_t i = 0; i < t->n_services; i++) {
		if (!t->services[i].conf)
			continue;
		r = place_service(&w, &t->services[i], error);
		if (r < 0)
			return r;
	}
	r = td_target_pool(t);
	if (r < 0)
		return r;
	for (size_t i = 0; i < t->n_backends; i++) {
		struct td_target_backend *b = &t->backends[i];
		struct td_target_service *s = service_of(t, b->b.value.service);

		if (!b->wanted)
			let_go(b, s && s->conf);
		if (s)
			tell_row(s, b);
	}
	settle_rows(t);
	/* New ones stand behind those that were there. */
	for (size_t i = 1; i < t->n_backends; i++)
		if (t->backends[i - 1].b.id > t->backends[i].b.id) {
			qsort(t->backends, t->n_backends, sizeof(*t->backends), by_backend_id);
			break;
		}
	return 0;
}
