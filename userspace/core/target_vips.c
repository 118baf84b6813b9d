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
 *
 * Where numbers are too few for all rows, prefixes share that could have one: new
 * ones before those that stand, so that these keep their own, of either the longest
 * first. One that shares goes on to as long as it stands, as a number does.
 */
#include "core/vip_walk.h"
#include "core/target.h"

#define VIP_ID_SEED 0xa4093822299f31d0ull

/* Numbers below are for single ones first, those from there on for rows. */
#define VIP_ID_ROWS (TUNDISH_VIPS_MAX / 2)

struct want {
	struct td_prefix vip;
	bool service, endpoint;
	const struct td_vip_state *in; /* what stands, NULL: nothing */
	uint32_t id;		       /* 0: not given yet */
	uint32_t mask;		       /* numbers that it shall have, less one */
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

/* A number goes on as long as its VIP stands, also where those after it are given
 * back. It is left only where the state is none of ours: numbers that two have, or beyond
 * the last. */
static bool keeps_id(const struct td_vip_state *in, uint32_t mask, const uint8_t *taken)
{
	if (!in || !in->value.id || in->value.mask < mask ||
	    in->value.id >= TUNDISH_VIPS_MAX - mask)
		return false;
	for (uint32_t i = 0; i <= mask; i++)
		if (taken[in->value.id + i] == USE_STAYS)
			return false;
	return true;
}

/* In the order in which rows are given up. */
static int by_sacrifice(const void *a, const void *b)
{
	const struct want *x = *(struct want *const *)a, *y = *(struct want *const *)b;

	if (!x->in != !y->in)
		return x->in ? 1 : -1;
	if (x->mask != y->mask)
		return x->mask < y->mask ? 1 : -1;
	return x < y ? 1 : -1;
}

/* Gives up rows until there are as many numbers as are wanted. As the longer ones are
 * given first, at their own multiples, there is room for the others then, but among
 * numbers that stay. */
static int give_up_rows(struct want *wants, size_t n)
{
	_cleanup_free_ struct want **rows = calloc(n + 1, sizeof(*rows));
	size_t n_rows = 0, n_new = 0, gone = 0;
	uint64_t need = 0;

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		need += wants[i].mask + 1;
		if (!wants[i].mask)
			continue;
		rows[n_rows++] = &wants[i];
		n_new += !wants[i].in;
	}
	if (n_rows)
		qsort(rows, n_rows, sizeof(*rows), by_sacrifice);
	while (need >= TUNDISH_VIPS_MAX && gone < n_rows)
		need -= rows[gone++]->mask;
	/* One that stood may have made room for new ones after all. */
	if (gone > n_new)
		for (size_t i = n_new; i-- && need + rows[i]->mask < TUNDISH_VIPS_MAX;) {
			need += rows[i]->mask;
			rows[i] = NULL;
		}
	for (size_t i = 0; i < gone; i++)
		if (rows[i])
			rows[i]->mask = 0;
	return 0;
}

static int keep_ids(struct want *wants, size_t n, const struct td_state *installed, uint8_t *taken)
{
	int r;

	for (size_t i = 0; i < installed->n_vips; i++) {
		const struct tundish_vip *v = &installed->vips[i].value;

		take(taken, v->id, TD_MIN(v->mask, TUNDISH_VIPS_MAX), USE_LEAVING);
	}
	for (size_t i = 0; i < n; i++) {
		struct want *w = &wants[i];

		w->in = td_state_prefix(installed, &w->vip);
		w->mask = td_vip_mask(&w->vip);
		if (w->in && w->in->value.mask < w->mask)
			w->mask = 0;
	}
	r = give_up_rows(wants, n);
	for (size_t i = 0; !r && i < n; i++) {
		struct want *w = &wants[i];

		if (!keeps_id(w->in, w->mask, taken))
			continue;
		w->id = w->in->value.id;
		take(taken, w->id, w->mask, USE_STAYS);
	}
	return r;
}

/* Long rows first, which find room hardest. One that finds none shares. */
static int give_ids(struct want *wants, size_t n, const struct td_state *installed, uint8_t *taken,
		    struct td_error *error)
{
	char text[TD_PREFIX_TEXT];
	int r = keep_ids(wants, n, installed, taken);

	for (uint32_t length = TD_VIP_BLOCK; !r && length; length /= 2)
		for (size_t i = 0; i < n; i++) {
			struct want *w = &wants[i];

			if (w->id || w->mask != length - 1)
				continue;
			w->id = give_id(&w->vip, w->mask, taken);
			if (w->id)
				continue;
			if (!w->mask)
				return td_fail(error, ENOSPC,
					       "no number is left for VIP %s, of %u by which flows "
					       "name theirs: take fewer VIPs, or larger prefixes",
					       td_prefix_print(&w->vip, text),
					       TUNDISH_VIPS_MAX - 1);
			w->mask = 0; /* and has its turn among the single ones */
		}
	return r;
}

static bool is_given_again(const struct tundish_vip *v, const uint8_t *taken)
{
	for (uint32_t i = v->id; i - v->id <= v->mask && i < TUNDISH_VIPS_MAX; i++)
		if (taken[i] == USE_STAYS)
			return true;
	return false;
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

static const char *why_put(const struct want *w)
{
	bool shares = w->mask < td_vip_mask(&w->vip);

	if (w->in && w->in->value.mask > w->mask && shares)
		return "its connections are counted together, as numbers for its addresses are "
		       "short";
	if (w->in)
		return "its services or ports changed";
	if (!w->service)
		return "tunnels to this host's own address end here";
	return shares ? "new in the file; its connections are counted together, as numbers for its "
			"addresses are short"
		      : "new in the file";
}

/* memcmp would see the padding of what the kernel gave us; there is none. */
_Static_assert(sizeof(struct tundish_vip) == 12 + 8 * TUNDISH_RANGES_MAX, "no padding in a VIP");
_Static_assert(sizeof(struct tundish_service) == TUNDISH_NAME_LEN + 16, "nor in a service");

int td_target_vips(struct td_target *t, const struct td_state *installed,
		   const struct td_config *config, const struct tundish_addr *endpoints,
		   size_t n_endpoints, const struct tundish_settings *limits,
		   struct td_error *error)
{
	_cleanup_free_ struct td_vip_use *uses = NULL;
	_cleanup_free_ struct want *wants = NULL;
	uint8_t taken[TUNDISH_VIPS_MAX] = {0};
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
	r = give_ids(wants, n, installed, taken, error);
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
		v->change = in && in->value.mask > wants[i].mask ? TD_CHANGE_NARROW : TD_CHANGE_PUT;
		snprintf(v->why, sizeof(v->why), "%s", why_put(&wants[i]));
	}
	for (size_t i = 0; i < installed->n_vips; i++) {
		struct want key = {.vip = {installed->vips[i].address, installed->vips[i].prefix}};
		struct td_target_vip *v = &t->vips[t->n_vips];

		if (n && bsearch(&key, wants, n, sizeof(*wants), by_vip))
			continue;
		t->n_vips++;
		v->v = installed->vips[i];
		v->change = is_given_again(&v->v.value, taken) ? TD_CHANGE_DELETE_FIRST
							       : TD_CHANGE_DELETE;
		v->installed_index = i;
		snprintf(v->why, sizeof(v->why), "no service stands on it any more");
	}
	return 0;
}
