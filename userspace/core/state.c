// SPDX-License-Identifier: GPL-2.0-only
/*
 * Look-ups in a state. Arrays ascend by id, so ids are found by halving; names
 * are few enough to be read through.
 */
#include "core/state.h"

void td_state_done(struct td_state *s)
{
	free(s->services);
	free(s->backends);
	free(s->vips);
	free(s->lanes);
	free(s->hosts);
	free(s->fans);
	free(s->quic);
	*s = (struct td_state){0};
}

struct td_service_state *td_state_service(const struct td_state *s, const char *name)
{
	for (size_t i = 0; i < s->n_services; i++)
		if (s->services[i].value.state == TUNDISH_SERVICE_ACTIVE &&
		    !strncmp(s->services[i].value.name, name, TUNDISH_NAME_LEN))
			return &s->services[i];
	return NULL;
}

struct td_service_state *td_state_service_by_id(const struct td_state *s, uint32_t id)
{
	size_t low = 0, high = s->n_services;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->services[mid].id == id)
			return &s->services[mid];
		if (s->services[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

struct td_backend_state *td_state_backend(const struct td_state *s, uint32_t service,
					  const char *name)
{
	struct td_backend_state *leaving = NULL;

	for (size_t i = 0; i < s->n_backends; i++) {
		struct td_backend_state *b = &s->backends[i];

		if (b->value.service != service || b->value.state == TUNDISH_BACKEND_FREE ||
		    strncmp(b->value.name, name, TUNDISH_NAME_LEN))
			continue;
		if (b->value.state != TUNDISH_BACKEND_GONE)
			return b;
		leaving = b;
	}
	return leaving;
}

struct td_backend_state *td_state_backend_by_id(const struct td_state *s, uint32_t id)
{
	size_t low = 0, high = s->n_backends;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->backends[mid].id == id)
			return &s->backends[mid];
		if (s->backends[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

int td_vip_state_compare(const void *a, const void *b)
{
	const struct td_vip_state *x = a, *y = b;
	struct td_prefix p = {x->address, x->prefix}, q = {y->address, y->prefix};

	return td_prefix_compare(&p, &q);
}

uint32_t td_vip_mask(const struct td_prefix *prefix)
{
	unsigned int bits = TD_PREFIX_ALL - prefix->length;

	return bits < 32 && 1u << bits <= TD_VIP_BLOCK ? (1u << bits) - 1 : 0;
}

struct td_vip_state *td_state_prefix(const struct td_state *s, const struct td_prefix *prefix)
{
	struct td_vip_state key = {.address = prefix->address, .prefix = prefix->length};

	return s->n_vips ? bsearch(&key, s->vips, s->n_vips, sizeof(key), td_vip_state_compare)
			 : NULL;
}

struct td_vip_state *td_state_vip(const struct td_state *s, const struct tundish_addr *address)
{
	return td_state_prefix(s, &(struct td_prefix){*address, TD_PREFIX_ALL});
}

int td_quic_state_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tundish_quic_key));
}

struct td_quic_state *td_state_quic(const struct td_state *s, const struct tundish_quic_key *key)
{
	struct td_quic_state q = {.key = *key};

	return s->n_quic ? bsearch(&q, s->quic, s->n_quic, sizeof(q), td_quic_state_compare) : NULL;
}

int td_state_members(const struct td_state *s, struct td_members *ret)
{
	_cleanup_free_ size_t *first = calloc(TUNDISH_SERVICES_MAX + 2, sizeof(*first));
	_cleanup_free_ size_t *index = calloc(s->n_backends + 1, sizeof(*index));

	if (!first || !index)
		return -ENOMEM;
	/* Counted two places on, so that filling them in moves each to where it belongs. */
	for (size_t i = 0; i < s->n_backends; i++)
		if (s->backends[i].value.service < TUNDISH_SERVICES_MAX)
			first[s->backends[i].value.service + 2]++;
	for (size_t i = 2; i < TUNDISH_SERVICES_MAX + 2; i++)
		first[i] += first[i - 1];
	for (size_t i = 0; i < s->n_backends; i++)
		if (s->backends[i].value.service < TUNDISH_SERVICES_MAX)
			index[first[s->backends[i].value.service + 1]++] = i;
	*ret = (struct td_members){TD_TAKE_PTR(first), TD_TAKE_PTR(index)};
	return 0;
}

void td_members_done(struct td_members *m)
{
	free(m->first);
	free(m->index);
	*m = (struct td_members){0};
}

uint16_t td_backend_weight(const struct tundish_backend *b)
{
	return b->flags & TUNDISH_BACKEND_RUN_WEIGHT ? b->run_weight : b->file_weight;
}

uint16_t td_backend_share(const struct tundish_backend *b)
{
	uint32_t weight = td_backend_weight(b), percent = (uint32_t)TD_MAX(100 + b->adjust, 0);

	/* Rounded up: who shall have something has it. */
	return (uint16_t)TD_MIN((weight * percent + 99) / 100, TD_WEIGHT_MAX);
}

uint8_t td_backend_admin_state(const struct tundish_backend *b)
{
	return b->flags & TUNDISH_BACKEND_RUN_STATE ? b->run_state : b->file_state;
}

uint8_t td_backend_state_wanted(const struct tundish_backend *b)
{
	uint8_t state = td_backend_admin_state(b);

	if (state != TUNDISH_BACKEND_UP)
		return state;
	if (b->flags & TUNDISH_BACKEND_AGENT_DRAIN)
		return TUNDISH_BACKEND_DRAIN;
	return b->flags & TUNDISH_BACKEND_UNHEALTHY ? TUNDISH_BACKEND_DOWN : state;
}

uint8_t td_backend_state_shown(const struct tundish_backend *b)
{
	return b->state == TUNDISH_BACKEND_DISABLED &&
			       td_backend_state_wanted(b) == TUNDISH_BACKEND_DOWN
		       ? TUNDISH_BACKEND_DOWN
		       : b->state;
}

bool td_backend_is_last(const struct tundish_backend *b)
{
	return b->state == TUNDISH_BACKEND_UP && td_backend_share(b) &&
	       td_backend_state_wanted(b) == TUNDISH_BACKEND_DOWN;
}

const char *td_service_name(const struct td_state *s, uint32_t id)
{
	const struct td_service_state *v = td_state_service_by_id(s, id);

	return v ? v->value.name : "unknown";
}

const char *td_vip_text(const struct td_state *s, uint32_t id, char *buffer)
{
	for (size_t i = 0; i < s->n_vips; i++)
		if (id - s->vips[i].value.id <= s->vips[i].value.mask) {
			struct tundish_addr a = s->vips[i].address;

			if (s->vips[i].prefix != TD_PREFIX_ALL && !s->vips[i].value.mask)
				return td_prefix_print(&(struct td_prefix){a, s->vips[i].prefix},
						       buffer);
			a.word[3] |= htonl(id - s->vips[i].value.id);
			return td_address_print(&a, buffer);
		}
	return NULL; /* not in the file any more */
}

bool td_backend_listed(const struct tundish_backend *b)
{
	if (b->state == TUNDISH_BACKEND_FREE || b->delivery == TUNDISH_DELIVERY_WORKERS)
		return false;
	return b->state != TUNDISH_BACKEND_GONE || (int64_t)b->connections_active > 0;
}

bool td_backend_translates(const struct tundish_backend *b)
{
	return td_translates(b->delivery) && td_backend_listed(b);
}
