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

struct td_vip_state *td_state_vip(const struct td_state *s, const struct tundish_addr *address)
{
	size_t low = 0, high = s->n_vips;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = memcmp(&s->vips[mid].address, address, sizeof(*address));

		if (!c)
			return &s->vips[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

uint16_t td_backend_weight(const struct tundish_backend *b)
{
	return b->flags & TUNDISH_BACKEND_RUN_WEIGHT ? b->run_weight : b->file_weight;
}

uint8_t td_backend_admin_state(const struct tundish_backend *b)
{
	return b->flags & TUNDISH_BACKEND_RUN_STATE ? b->run_state : b->file_state;
}
