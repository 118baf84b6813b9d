// SPDX-License-Identifier: GPL-2.0-only
#include "core/address.h"
#include "core/maglev.h"
#include "core/row.h"

int td_row_make(const struct td_state *s, const struct td_members *of, uint32_t service,
		uint32_t without, uint32_t *owners)
{
	size_t first = of->first[service], end = of->first[service + 1], n = 0;
	_cleanup_free_ struct td_maglev_member *members = calloc(end - first + 1, sizeof(*members));

	if (!members)
		return -ENOMEM;
	for (size_t i = first; i < end; i++) {
		const struct td_backend_state *b = &s->backends[of->index[i]];

		if (b->value.weight && b->id != without)
			members[n++] =
				(struct td_maglev_member){b->value.address, b->id, b->value.weight};
	}
	return td_maglev_fill(members, n, owners);
}

uint32_t td_state_claim(const struct td_state *s, const struct tundish_addr *address, uint16_t port,
			uint8_t protocol)
{
	const struct td_vip_state *best = NULL;

	for (size_t i = 0; i < s->n_vips; i++) {
		const struct td_vip_state *v = &s->vips[i];
		struct td_prefix p = {v->address, v->prefix};

		if (td_prefix_holds(&p, address) && (!best || v->prefix > best->prefix))
			best = v;
	}
	for (uint32_t i = 0; best && i < best->value.n_ranges && i < TUNDISH_RANGES_MAX; i++) {
		const struct tundish_port_range *r = &best->value.ranges[i];

		if (r->protocol == protocol && r->first <= port && port <= r->last)
			return r->service;
	}
	return 0;
}

struct td_row_change td_row_compare(const uint32_t *before, const uint32_t *after)
{
	uint64_t stays[TUNDISH_BACKENDS_MAX / 64] = {0};
	struct td_row_change c = {0};

	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
		stays[after[i] % TUNDISH_BACKENDS_MAX / 64] |= 1ull << after[i] % 64;
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++) {
		uint32_t owner = before[i] % TUNDISH_BACKENDS_MAX;

		if (!owner || before[i] == after[i])
			continue;
		if (stays[owner / 64] >> owner % 64 & 1)
			c.moved++;
		else
			c.left++;
	}
	return c;
}
