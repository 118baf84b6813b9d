// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the VIPs shall become: which service has which of their ports, and the
 * host's own addresses as ends of tunnels, where workers could use what comes
 * out of them.
 *
 * Flows name their VIP by a number, for as long as they live. The number is
 * found from the address, so that a VIP that goes and comes back has its own
 * again, and a new one gets that of another only by chance, where both fall on
 * one of the 16,383.
 */
#include "core/target.h"

#include "core/address.h"

#define VIP_ID_SEED 0xa4093822299f31d0ull

struct want {
	struct tundish_addr address;
	bool service, endpoint;
};

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tundish_addr));
}

static int add(struct want **wants, size_t *n, const struct tundish_addr *a, bool endpoint)
{
	if (td_grow(wants, *n, sizeof(**wants)) < 0)
		return -ENOMEM;
	(*wants)[(*n)++] = (struct want){.address = *a, .service = !endpoint, .endpoint = endpoint};
	return 0;
}

static int collect(const struct td_config *config, const struct tundish_addr *endpoints,
		   size_t n_endpoints, struct want **wants, size_t *n)
{
	bool workers = false;
	size_t kept = 0;
	int r;

	for (size_t i = 0; i < config->n_services; i++) {
		const struct td_service_conf *s = &config->services[i];

		workers |= s->delivery == TUNDISH_DELIVERY_WORKERS;
		for (size_t j = 0; j < s->n_vips; j++) {
			r = add(wants, n, &s->vips[j].address, false);
			if (r < 0)
				return r;
		}
	}
	for (size_t i = 0; workers && i < n_endpoints; i++) {
		r = add(wants, n, &endpoints[i], true);
		if (r < 0)
			return r;
	}
	if (*n)
		qsort(*wants, *n, sizeof(**wants), by_address);
	for (size_t i = 0; i < *n; i++) {
		struct want *last = kept ? &(*wants)[kept - 1] : NULL, *w = &(*wants)[i];

		if (last && tundish_addr_equal(&last->address, &w->address)) {
			last->service |= w->service;
			last->endpoint |= w->endpoint;
		} else {
			(*wants)[kept++] = *w;
		}
	}
	*n = kept;
	return 0;
}

static uint32_t give_id(const struct tundish_addr *a, bool *taken)
{
	uint64_t h = tundish_mix64(VIP_ID_SEED ^ ((uint64_t)a->word[0] << 32 | a->word[1]));
	uint32_t start;

	h = tundish_mix64(h ^ ((uint64_t)a->word[2] << 32 | a->word[3]));
	start = h % (TUNDISH_VIPS_MAX - 1);
	for (uint32_t i = 0; i < TUNDISH_VIPS_MAX - 1; i++) {
		uint32_t id = 1 + (start + i) % (TUNDISH_VIPS_MAX - 1);

		if (!taken[id]) {
			taken[id] = true;
			return id;
		}
	}
	return 0;
}

/* The value that `want` asks for; the id stays as it is in *v. */
static int fill(const struct td_target *t, const struct td_config *config, const struct want *want,
		struct tundish_vip *v, struct td_error *error)
{
	char text[TD_ADDRESS_TEXT];
	int n = 0;

	memset(v->ranges, 0, sizeof(v->ranges));
	v->flags = 0;
	if (want->service) {
		n = td_ports_flatten(config, &want->address, v->ranges);
		if (n == -ENOSPC)
			return td_fail(
				error, ENOSPC,
				"the ports on %s make more than %u ranges: join some, or give "
				"some of them another VIP",
				td_address_print(&want->address, text), TUNDISH_RANGES_MAX);
		if (n < 0)
			return n;
		v->flags |= TUNDISH_VIP_SERVICE;
	}
	if (want->endpoint)
		v->flags |= TUNDISH_VIP_ENDPOINT;
	v->n_ranges = n;
	for (int i = 0; i < n; i++) {
		const struct td_service_conf *conf = &config->services[v->ranges[i].service];

		if (conf->delivery != TUNDISH_DELIVERY_WORKERS)
			v->flags |= TUNDISH_VIP_FORWARDS;
		for (size_t j = 0; j < t->n_services; j++)
			if (t->services[j].conf == conf)
				v->ranges[i].service = t->services[j].s.id;
	}
	return 0;
}

/* memcmp would see the padding of what the kernel gave us; there is none. */
_Static_assert(sizeof(struct tundish_vip) == 8 + 8 * TUNDISH_RANGES_MAX, "no padding in a VIP");
_Static_assert(sizeof(struct tundish_service) == TUNDISH_NAME_LEN + 8, "nor in a service");

int td_target_vips(struct td_target *t, const struct td_state *installed,
		   const struct td_config *config, const struct tundish_addr *endpoints,
		   size_t n_endpoints, const struct tundish_settings *limits,
		   struct td_error *error)
{
	_cleanup_free_ struct want *wants = NULL;
	bool taken[TUNDISH_VIPS_MAX] = {0};
	size_t n = 0, wanted;
	int r;

	r = collect(config, endpoints, n_endpoints, &wants, &n);
	if (r < 0)
		return r;
	wanted = n;
	t->vips = calloc(installed->n_vips + n + 1, sizeof(*t->vips));
	if (!t->vips)
		return -ENOMEM;
	for (size_t i = 0; i < installed->n_vips; i++)
		taken[installed->vips[i].value.id % TUNDISH_VIPS_MAX] = true;

	for (size_t i = 0; i < n; i++) {
		struct td_vip_state *in = td_state_vip(installed, &wants[i].address);
		struct td_target_vip *v = &t->vips[t->n_vips++];

		v->v.address = wants[i].address;
		v->v.value.id = in ? in->value.id : give_id(&wants[i].address, taken);
		if (!v->v.value.id)
			wanted = SIZE_MAX;
		r = fill(t, config, &wants[i], &v->v.value, error);
		if (r < 0)
			return r;
		if (in && !memcmp(&in->value, &v->v.value, sizeof(in->value)))
			continue;
		v->change = TD_CHANGE_PUT;
		snprintf(v->why, sizeof(v->why), "%s",
			 in		    ? "its services or ports changed"
			 : wants[i].service ? "new in the file"
					    : "tunnels to this host's own address end here");
	}
	for (size_t i = 0; i < installed->n_vips; i++) {
		struct td_target_vip *v = &t->vips[t->n_vips];

		if (n && bsearch(&installed->vips[i].address, wants, n, sizeof(*wants), by_address))
			continue;
		t->n_vips++;
		v->v = installed->vips[i];
		v->change = TD_CHANGE_DELETE;
		v->installed_index = i;
		snprintf(v->why, sizeof(v->why), "no service stands on it any more");
	}
	if (wanted > limits->vips_max)
		return td_fail(
			error, ENOSPC,
			"%zu addresses (VIPs, and this host's own where services have "
			"workers) in a table of %u: raise limits.vips, then `tundish unload` "
			"and start again",
			n, limits->vips_max);
	return 0;
}
