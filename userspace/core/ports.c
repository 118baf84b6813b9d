// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which service has which port of a VIP.
 *
 * The claims' ends cut the ports into stretches within which no claim begins or
 * ends; each stretch goes to the narrowest claim over it, and neighbours of one
 * service are joined again. So the data path needs no priorities: it looks for
 * the one range that holds the port.
 */
#include "core/plan.h"

struct claim {
	uint32_t first, end; /* one past the last */
	uint16_t service;    /* index in the configuration */
	uint8_t protocol, delivery;
};

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool has_vip(const struct td_service_conf *s, const struct tundish_addr *vip)
{
	for (size_t i = 0; i < s->n_vips; i++)
		if (tundish_addr_equal(&s->vips[i].address, vip))
			return true;
	return false;
}

static int collect(const struct td_config *config, const struct tundish_addr *vip,
		   struct claim **claims, size_t *n)
{
	for (size_t i = 0; i < config->n_services; i++) {
		const struct td_service_conf *s = &config->services[i];

		if (!has_vip(s, vip))
			continue;
		for (size_t j = 0; j < s->n_ports; j++) {
			if (td_grow(claims, *n, sizeof(**claims)) < 0)
				return -ENOMEM;
			(*claims)[(*n)++] = (struct claim){
				.first = s->ports[j].first,
				.end = (uint32_t)s->ports[j].last + 1,
				.service = i,
				.protocol = s->protocol,
				.delivery = s->delivery,
			};
		}
	}
	return 0;
}

static const struct claim *narrowest(const struct claim *claims, size_t n, uint8_t protocol,
				     uint32_t port)
{
	const struct claim *best = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct claim *c = &claims[i];

		if (c->protocol != protocol || port < c->first || port >= c->end)
			continue;
		if (!best || c->end - c->first < best->end - best->first ||
		    (c->end - c->first == best->end - best->first && c->first < best->first))
			best = c;
	}
	return best;
}

int td_ports_flatten(const struct td_config *config, const struct tundish_addr *vip,
		     struct tundish_port_range ret[TUNDISH_RANGES_MAX])
{
	_cleanup_free_ struct claim *claims = NULL;
	_cleanup_free_ uint32_t *cuts = NULL;
	struct tundish_port_range out[TUNDISH_RANGES_MAX];
	size_t n = 0, n_out = 0;
	bool seen[256] = {0};

	if (collect(config, vip, &claims, &n) < 0)
		return -ENOMEM;
	cuts = calloc(2 * n + 1, sizeof(*cuts));
	if (!cuts)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		cuts[2 * i] = claims[i].first;
		cuts[2 * i + 1] = claims[i].end;
		seen[claims[i].protocol] = true;
	}
	qsort(cuts, 2 * n, sizeof(*cuts), by_number);

	for (unsigned int protocol = 0; protocol < 256; protocol++) {
		if (!seen[protocol])
			continue;
		for (size_t i = 0; i + 1 < 2 * n; i++) {
			const struct claim *c;
			struct tundish_port_range *last = n_out ? &out[n_out - 1] : NULL;

			if (cuts[i] == cuts[i + 1])
				continue;
			c = narrowest(claims, n, protocol, cuts[i]);
			if (!c)
				continue;
			if (last && last->protocol == protocol && last->service == c->service &&
			    (uint32_t)last->last + 1 == cuts[i]) {
				last->last = cuts[i + 1] - 1;
				continue;
			}
			if (n_out == TUNDISH_RANGES_MAX)
				return -ENOSPC;
			out[n_out++] = (struct tundish_port_range){
				.first = cuts[i],
				.last = cuts[i + 1] - 1,
				.service = c->service,
				.protocol = protocol,
				.delivery = c->delivery,
			};
		}
	}
	memcpy(ret, out, n_out * sizeof(*out));
	return n_out;
}
