// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which service has which port of a VIP.
 *
 * The claims' ends cut the ports into stretches within which no claim begins or
 * ends; each stretch goes to the most specific claim over it, and neighbours of
 * one service are joined again. So the data path needs no priorities: it looks
 * for the one range that holds the port.
 *
 * VIPs that lie in one another are found by one walk in their order, in which a
 * prefix comes before all that it holds: those around a place are a stack, at
 * most one for each length.
 */
#include "core/vip_walk.h"

#include "core/plan.h"

struct claim {
	uint32_t first, end;	    /* one past the last */
	uint16_t service;	    /* index in the configuration */
	uint8_t protocol, delivery; /* as in a port range */
	bool around;		    /* of a prefix around the VIP */
};

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Whether `a` has a port that both claim. */
static bool wins(const struct claim *a, const struct claim *b)
{
	if (a->around != b->around)
		return b->around;
	if (a->end - a->first != b->end - b->first)
		return a->end - a->first < b->end - b->first;
	return a->first < b->first;
}

static const struct claim *most_specific(const struct claim *claims, size_t n, uint8_t protocol,
					 uint32_t port)
{
	const struct claim *best = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct claim *c = &claims[i];

		if (c->protocol != protocol || port < c->first || port >= c->end)
			continue;
		if (!best || wins(c, best))
			best = c;
	}
	return best;
}

static int flatten(const struct claim *claims, size_t n,
		   struct tundish_port_range ret[TUNDISH_RANGES_MAX])
{
	_cleanup_free_ uint32_t *cuts = NULL;
	struct tundish_port_range out[TUNDISH_RANGES_MAX];
	size_t n_out = 0;
	bool seen[256] = {0};

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
			c = most_specific(claims, n, protocol, cuts[i]);
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

/* ---- along the VIPs ------------------------------------------------------------ */

static int by_vip_then_service(const void *a, const void *b)
{
	const struct td_vip_use *x = a, *y = b;
	int r = td_prefix_compare(&x->vip, &y->vip);

	return r ? r : (x->service > y->service) - (x->service < y->service);
}

int td_vip_uses(const struct td_config *config, struct td_vip_use **ret, size_t *ret_n)
{
	struct td_vip_use *uses;
	size_t n = 0;

	for (size_t i = 0; i < config->n_services; i++)
		n += config->services[i].n_vips;
	uses = calloc(n + 1, sizeof(*uses));
	if (!uses)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < config->n_services; i++)
		for (size_t j = 0; j < config->services[i].n_vips; j++, n++) {
			const struct td_vip_conf *v = &config->services[i].vips[j];

			uses[n] = (struct td_vip_use){
				{v->address, v->prefix}, (uint32_t)i, (uint32_t)j};
		}
	qsort(uses, n, sizeof(*uses), by_vip_then_service);
	*ret = uses;
	*ret_n = n;
	return 0;
}

static const struct td_prefix *vip_of(const struct td_vip_walk *w, size_t level)
{
	return &w->uses[w->around[level].first].vip;
}

/* Makes `around` those that hold the VIP. */
static void go_on(struct td_vip_walk *w, const struct td_prefix *vip)
{
	while (w->next < w->n_uses && td_prefix_compare(&w->uses[w->next].vip, vip) <= 0) {
		const struct td_prefix *p = &w->uses[w->next].vip;
		size_t first = w->next;

		while (w->next < w->n_uses && !td_prefix_compare(&w->uses[w->next].vip, p))
			w->next++;
		while (w->depth && !td_prefix_holds(vip_of(w, w->depth - 1), &p->address))
			w->depth--;
		/* Each is longer than the one around it, so there is room for all. */
		if (w->depth == TD_ARRAY_SIZE(w->around))
			continue;
		w->around[w->depth].first = first;
		w->around[w->depth].end = w->next;
		w->around[w->depth++].n = 0;
	}
	while (w->depth && !td_prefix_holds(vip_of(w, w->depth - 1), &vip->address))
		w->depth--;
}

/* The ranges of one level, from its own claims and what the one around it has. */
static int make_level(const struct td_vip_walk *w, struct td_vip_level *l,
		      const struct td_vip_level *outer)
{
	_cleanup_free_ struct claim *claims = NULL;
	size_t n = 0;

	for (int i = 0; outer && i < outer->n; i++) {
		if (td_grow(&claims, n, sizeof(*claims)) < 0)
			return -ENOMEM;
		claims[n++] = (struct claim){
			.first = outer->ranges[i].first,
			.end = (uint32_t)outer->ranges[i].last + 1,
			.service = outer->ranges[i].service,
			.protocol = outer->ranges[i].protocol,
			.delivery = outer->ranges[i].delivery,
			.around = true,
		};
	}
	for (size_t u = l->first; u < l->end; u++) {
		const struct td_service_conf *s = &w->config->services[w->uses[u].service];

		for (size_t i = 0; i < s->n_ports; i++) {
			if (td_grow(&claims, n, sizeof(*claims)) < 0)
				return -ENOMEM;
			claims[n++] = (struct claim){
				.first = s->ports[i].first,
				.end = (uint32_t)s->ports[i].last + 1,
				.service = (uint16_t)w->uses[u].service,
				.protocol = s->protocol,
				.delivery = s->delivery | (s->flows ? 0 : TUNDISH_RANGE_STATELESS) |
					    (s->quic.server_id_length ? TUNDISH_RANGE_QUIC : 0),
			};
		}
	}
	return flatten(claims, n, l->ranges);
}

int td_vip_walk(struct td_vip_walk *w, const struct td_prefix *vip,
		struct tundish_port_range ret[TUNDISH_RANGES_MAX])
{
	const struct td_vip_level *l = NULL;

	go_on(w, vip);
	for (size_t i = 0; i < w->depth; l = &w->around[i++]) {
		int r = w->around[i].n ?: make_level(w, &w->around[i], l);

		if (r < 0)
			return r;
		w->around[i].n = r;
	}
	if (!l)
		return 0;
	memcpy(ret, l->ranges, (size_t)l->n * sizeof(*ret));
	return l->n;
}

int td_ports_flatten(const struct td_config *config, const struct td_prefix *vip,
		     struct tundish_port_range ret[TUNDISH_RANGES_MAX])
{
	_cleanup_free_ struct td_vip_walk *w = calloc(1, sizeof(*w));
	_cleanup_free_ struct td_vip_use *uses = NULL;

	if (!w || td_vip_uses(config, &uses, &w->n_uses) < 0)
		return -ENOMEM;
	w->config = config;
	w->uses = uses;
	return td_vip_walk(w, vip, ret);
}
