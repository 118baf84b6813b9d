// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the VIPs shall become: which service has which of their ports, and the
 * host's own addresses as ends of tunnels, where workers could use what comes
 * out of them.
 *
 * Flows name their VIP by a number, for as long as they live. An address alone
 * has one that is found from it, so that a VIP that goes and comes back has its
 * own again, and a new one gets that of another only by chance. A prefix of up to
 * TD_VIP_BLOCK addresses has one for each of them, in a row, else flows to
 * different addresses of it would be mistaken for one; a larger one has to share.
 * Rows are kept apart from single numbers, in the upper half and close together,
 * so that long ones find room.
 */
#include "core/ports.h"
#include "core/target.h"

#define VIP_ID_SEED 0xa4093822299f31d0ull

/* Numbers below are for single ones first, those from there on for rows. */
#define VIP_ID_ROWS (TUNDISH_VIPS_MAX / 2)

struct want {
	struct td_prefix vip;
	bool service, endpoint;
	const struct td_vip_state *in; /* what stands, NULL: nothing */
	uint32_t id, mask;	       /* 0: not given yet */
};

static int add(struct want **wants, size_t *n, const struct td_prefix *vip, bool endpoint)
{
	if (td_grow(wants, *n, sizeof(**wants)) < 0)
		return -ENOMEM;
	(*wants)[(*n)++] = (struct want){.vip = *vip, .service = !endpoint, .endpoint = endpoint};
	return 0;
}

static int by_vip(const void *a, const void *b)
{
	return td_prefix_compare(&((const struct want *)a)->vip, &((const struct want *)b)->vip);
}

static int collect(const struct td_config *config, const struct td_vip_use *uses, size_t n_uses,
		   const struct tundish_addr *endpoints, size_t n_endpoints, struct want **wants,
		   size_t *n)
{
	bool workers = false;
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < config->n_services; i++)
		workers |= config->services[i].delivery == TUNDISH_DELIVERY_WORKERS;
	for (size_t i = 0; !r && i < n_uses; i++)
		r = add(wants, n, &uses[i].vip, false);
	for (size_t i = 0; !r && workers && i < n_endpoints; i++)
		r = add(wants, n, &(struct td_prefix){endpoints[i], TD_PREFIX_ALL}, true);
	if (r < 0)
		return r;
	if (*n)
		qsort(*wants, *n, sizeof(**wants), by_vip);
	for (size_t i = 0; i < *n; i++) {
		struct want *last = kept ? &(*wants)[kept - 1] : NULL, *w = &(*wants)[i];

		if (last && !by_vip(last, w)) {
			last->service |= w->service;
			last->endpoint |= w->endpoint;
		} else {
			(*wants)[kept++] = *w;
		}
	}
	*n = kept;
	return 0;
}

/* ---- numbers ------------------------------------------------------------------ */

/* Whose number it is. */
enum use {
	USE_NONE = 0,
	USE_LEAVING, /* given again only where there is no other */
	USE_STAYS,
};

static void take(uint8_t *taken, uint32_t id, uint32_t mask, enum use use)
{
	for (uint32_t i = id; i <= id + mask && i < TUNDISH_VIPS_MAX; i++)
		taken[i] = TD_MAX(taken[i], use);
}

/* Of the numbers that a prefix needs, less one. */
static uint32_t mask_of(const struct td_prefix *p)
{
	unsigned int bits = TD_PREFIX_ALL - p->length;

	return bits < 32 && 1u << bits <= TD_VIP_BLOCK ? (1u << bits) - 1 : 0;
}

static uint32_t find_single(const struct td_prefix *p, const uint8_t *taken, enum use most)
{
	const struct tundish_addr *a = &p->address;
	uint64_t h = tundish_mix64(VIP_ID_SEED ^ ((uint64_t)a->word[0] << 32 | a->word[1]));
	uint32_t start;

	h = tundish_mix64(h ^ ((uint64_t)a->word[2] << 32 | a->word[3]));
	if (p->length < TD_PREFIX_ALL)
		h = tundish_mix64(h ^ p->length);
	start = h % (VIP_ID_ROWS - 1);
	for (uint32_t i = 0; i < VIP_ID_ROWS - 1; i++) {
		uint32_t id = 1 + (start + i) % (VIP_ID_ROWS - 1);

		if (taken[id] <= most)
			return id;
	}
	for (uint32_t id = TUNDISH_VIPS_MAX - 1; id >= VIP_ID_ROWS; id--)
		if (taken[id] <= most)
			return id;
	return 0;
}

/* Where a row of this length may begin: at its multiples, the upper half first. */
static uint32_t find_row(uint32_t length, const uint8_t *taken, enum use most)
{
	uint32_t half = VIP_ID_ROWS / length;

	for (uint32_t i = 0; i < 2 * half; i++) {
		uint32_t id = (i + half) % (2 * half) * length, n = 0;

		while (id && n < length && taken[id + n] <= most)
			n++;
		if (n == length)
			return id;
	}
	return 0;
}

static uint32_t give_id(const struct td_prefix *p, uint32_t mask, uint8_t *taken)
{
	uint32_t id = 0;

	for (int most = USE_NONE; !id && most <= USE_LEAVING; most++)
		id = mask ? find_row(mask + 1, taken, most) : find_single(p, taken, most);
	if (id)
		take(taken, id, mask, USE_STAYS);
	return id;
}

/* A number goes on as long as its VIP stands. It is left only where the state is
 * none of ours: another mask, or numbers that two have. */
static bool keeps_id(const struct td_vip_state *in, uint32_t mask, const uint8_t *taken)
{
	if (!in || !in->value.id || in->value.mask != mask ||
	    in->value.id >= TUNDISH_VIPS_MAX - mask)
		return false;
	for (uint32_t i = 0; i <= mask; i++)
		if (taken[in->value.id + i] == USE_STAYS)
			return false;
	return true;
}

static void keep_ids(struct want *wants, size_t n, const struct td_state *installed, uint8_t *taken)
{
	for (size_t i = 0; i < installed->n_vips; i++) {
		const struct tundish_vip *v = &installed->vips[i].value;

		take(taken, v->id, TD_MIN(v->mask, TUNDISH_VIPS_MAX), USE_LEAVING);
	}
	for (size_t i = 0; i < n; i++) {
		struct want *w = &wants[i];

		w->mask = mask_of(&w->vip);
		w->in = td_state_prefix(installed, &w->vip);
		if (!keeps_id(w->in, w->mask, taken))
			continue;
		w->id = w->in->value.id;
		take(taken, w->id, w->mask, USE_STAYS);
	}
}

static int fail_no_number(const struct td_prefix *p, uint32_t mask, struct td_error *error)
{
	char text[TD_PREFIX_TEXT];

	td_prefix_print(p, text);
	if (!mask)
		return td_fail(error, ENOSPC,
			       "no number is left for VIP %s, of %u by which flows name theirs: "
			       "take fewer VIPs, or larger prefixes",
			       text, TUNDISH_VIPS_MAX - 1);
	return td_fail(error, ENOSPC,
		       "no %u numbers in a row are left for VIP %s, of %u by which flows name "
		       "theirs: take fewer prefixes, or one of more than %u addresses, which "
		       "needs one number",
		       mask + 1, text, TUNDISH_VIPS_MAX - 1, TD_VIP_BLOCK);
}

/* Long rows first, which find room hardest. */
static int give_ids(struct want *wants, size_t n, const struct td_state *installed,
		    struct td_error *error)
{
	uint8_t taken[TUNDISH_VIPS_MAX] = {0};

	keep_ids(wants, n, installed, taken);
	for (uint32_t length = TD_VIP_BLOCK; length; length /= 2)
		for (size_t i = 0; i < n; i++) {
			struct want *w = &wants[i];

			if (w->id || w->mask != length - 1)
				continue;
			w->id = give_id(&w->vip, w->mask, taken);
			if (!w->id)
				return fail_no_number(&w->vip, w->mask, error);
		}
	return 0;
}

/* ---- ports ---------------------------------------------------------------------- */

/* The value that `want` asks for; id and mask stay as they are in *v. */
static int fill(const struct td_target *t, struct td_vip_walk *walk, const struct want *want,
		struct tundish_vip *v, struct td_error *error)
{
	char text[TD_PREFIX_TEXT];
	int n;

	memset(v->ranges, 0, sizeof(v->ranges));
	v->flags = 0;
	n = td_vip_walk(walk, &want->vip, v->ranges);
	if (n == -ENOSPC)
		return td_fail(error, ENOSPC,
			       "the ports on %s make more than %u ranges: join some, or give "
			       "some of them another VIP",
			       td_prefix_print(&want->vip, text), TUNDISH_RANGES_MAX);
	if (n < 0)
		return n;
	/* An address of this host may lie in a prefix, whose services it serves too. */
	if (want->service || n)
		v->flags |= TUNDISH_VIP_SERVICE;
	if (want->endpoint)
		v->flags |= TUNDISH_VIP_ENDPOINT;
	v->n_ranges = (uint16_t)n;
	for (int i = 0; i < n; i++) {
		const struct td_service_conf *conf = &walk->config->services[v->ranges[i].service];

		if (conf->delivery != TUNDISH_DELIVERY_WORKERS)
			v->flags |= TUNDISH_VIP_FORWARDS;
		for (size_t j = 0; j < t->n_services; j++)
			if (t->services[j].conf == conf)
				v->ranges[i].service = (uint16_t)t->services[j].s.id;
	}
	return 0;
}

/* memcmp would see the padding of what the kernel gave us; there is none. */
_Static_assert(sizeof(struct tundish_vip) == 12 + 8 * TUNDISH_RANGES_MAX, "no padding in a VIP");
_Static_assert(sizeof(struct tundish_service) == TUNDISH_NAME_LEN + 8, "nor in a service");

int td_target_vips(struct td_target *t, const struct td_state *installed,
		   const struct td_config *config, const struct tundish_addr *endpoints,
		   size_t n_endpoints, const struct tundish_settings *limits,
		   struct td_error *error)
{
	_cleanup_free_ struct td_vip_use *uses = NULL;
	_cleanup_free_ struct want *wants = NULL;
	struct td_vip_walk walk = {.config = config};
	size_t n = 0;
	int r;

	r = td_vip_uses(config, &uses, &walk.n_uses);
	walk.uses = uses;
	r = r ?: collect(config, uses, walk.n_uses, endpoints, n_endpoints, &wants, &n);
	if (r < 0)
		return r;
	if (n > limits->vips_max)
		return td_fail(
			error, ENOSPC,
			"%zu addresses (VIPs, and this host's own where services have "
			"workers) in a table of %u: raise limits.vips, then `tundish unload` "
			"and start again",
			n, limits->vips_max);
	t->vips = calloc(installed->n_vips + n + 1, sizeof(*t->vips));
	if (!t->vips)
		return -ENOMEM;
	r = give_ids(wants, n, installed, error);
	if (r < 0)
		return r;

	for (size_t i = 0; i < n; i++) {
		const struct td_vip_state *in = wants[i].in;
		struct td_target_vip *v = &t->vips[t->n_vips++];

		v->v.address = wants[i].vip.address;
		v->v.prefix = wants[i].vip.length;
		v->v.value.id = wants[i].id;
		v->v.value.mask = wants[i].mask;
		r = fill(t, &walk, &wants[i], &v->v.value, error);
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
		struct want key = {.vip = {installed->vips[i].address, installed->vips[i].prefix}};
		struct td_target_vip *v = &t->vips[t->n_vips];

		if (n && bsearch(&key, wants, n, sizeof(*wants), by_vip))
			continue;
		t->n_vips++;
		v->v = installed->vips[i];
		v->change = TD_CHANGE_DELETE;
		v->installed_index = i;
		snprintf(v->why, sizeof(v->why), "no service stands on it any more");
	}
	return 0;
}
