// SPDX-License-Identifier: GPL-2.0-only
/*
 * Giving ports to lanes and taking them away, while the data path uses them.
 *
 * Who takes a port raises `used` first and needs a number below `usable`; then there is a
 * free bit. So `usable` is lowered before bits are taken away and raised after bits
 * are given; a bit that is in use when it is to go stays, until it is found free.
 */
#include "core/lanes.h"

#include "core/address.h"

#define WORDS TUNDISH_LANE_WORDS

void td_port_bits_set(struct td_port_bits *b, uint32_t first, uint32_t last, bool on)
{
	for (uint32_t p = first; p <= last && p <= UINT16_MAX; p++)
		if (on)
			b->word[p / 64] |= 1ull << (p % 64);
		else
			b->word[p / 64] &= ~(1ull << (p % 64));
}

bool td_port_bits_get(const struct td_port_bits *b, uint32_t port)
{
	return port <= UINT16_MAX && b->word[port / 64] >> (port % 64) & 1;
}

uint32_t td_port_bits_count(const struct td_port_bits *b)
{
	uint32_t n = 0;

	for (size_t i = 0; i < WORDS; i++)
		n += (uint32_t)__builtin_popcountll(b->word[i]);
	return n;
}

static void block_claims(const struct tundish_lane *l, const struct td_config *c,
			 struct td_port_bits *ret)
{
	for (size_t i = 0; i < c->n_services; i++) {
		const struct td_service_conf *s = &c->services[i];
		bool here = false;

		for (size_t k = 0; k < s->n_vips && !here; k++) {
			struct td_prefix p = {s->vips[k].address, s->vips[k].prefix};

			here = td_prefix_holds(&p, &l->source);
		}
		for (size_t k = 0; here && s->protocol == l->protocol && k < s->n_ports; k++)
			td_port_bits_set(ret, s->ports[k].first, s->ports[k].last, true);
	}
}

void td_lane_wanted(const struct tundish_lane *l, const struct td_range_conf *ports,
		    const struct td_port_bits *local, const struct td_config *config,
		    struct td_port_bits *ret_blocked)
{
	memset(ret_blocked, 0xff, sizeof(*ret_blocked));
	if (l->flags & TUNDISH_LANE_GONE) /* what it has ends with its connections */
		return;
	if (ports->last) {
		td_port_bits_set(ret_blocked, ports->first, ports->last, false);
		return;
	}
	td_port_bits_set(ret_blocked, TD_PORTS_FIRST, UINT16_MAX, false);
	for (size_t i = 0; l->flags & TUNDISH_LANE_SHARED && i < WORDS; i++)
		ret_blocked->word[i] |= local->word[i];
	block_claims(l, config, ret_blocked);
}

bool td_lane_kept(const struct tundish_lane *l, struct td_range_conf *ret)
{
	if (!l->number || !(l->flags & TUNDISH_LANE_RESERVED))
		return false;
	/* Former builds noted none. */
	*ret = l->kept_last ? (struct td_range_conf){l->kept_first, l->kept_last}
			    : (struct td_range_conf){l->first, l->last};
	return true;
}

/* Nearly golden, with no divisor in common with n: the words come far apart. */
static uint16_t stride_of(uint32_t n)
{
	uint32_t stride = n * 5 / 8 | 1;

	for (; stride > 1; stride -= 2) {
		uint32_t a = n, b = stride;

		while (b) {
			uint32_t rest = a % b;

			a = b;
			b = rest;
		}
		if (a == 1)
			return (uint16_t)stride;
	}
	return 1;
}

static void set_range(struct tundish_lane *l, const struct td_port_bits *blocked)
{
	uint32_t first = TD_PORTS_FIRST, last = TD_PORTS_FIRST;

	for (uint32_t w = 0; w < WORDS; w++)
		if (~blocked->word[w]) {
			first = w * 64 + (uint32_t)__builtin_ctzll(~blocked->word[w]);
			break;
		}
	for (uint32_t w = WORDS; w--;)
		if (~blocked->word[w]) {
			last = w * 64 + 63 - (uint32_t)__builtin_clzll(~blocked->word[w]);
			break;
		}
	__atomic_store_n(&l->first, (uint16_t)first, __ATOMIC_RELAXED);
	__atomic_store_n(&l->last, (uint16_t)last, __ATOMIC_RELAXED);
	__atomic_store_n(&l->stride, stride_of((last >> 6) - (first >> 6) + 1), __ATOMIC_RELAXED);
}

uint32_t td_lane_fit(struct tundish_lane *l, struct tundish_lane_ports *p,
		     struct td_port_bits *blocked, const struct td_port_bits *wanted)
{
	uint32_t in_use = 0, usable = 65536 - td_port_bits_count(blocked), less = 0;

	for (size_t i = 0; i < WORDS; i++)
		less += (uint32_t)__builtin_popcountll(wanted->word[i] & ~blocked->word[i]);
	if (less) /* those that are gone and those that may be */
		__atomic_store_n(&l->usable, usable - less, __ATOMIC_SEQ_CST);
	for (size_t i = 0; less && i < WORDS; i++) {
		uint64_t take = wanted->word[i] & ~blocked->word[i], was;

		if (!take)
			continue;
		was = __atomic_fetch_or(&p->taken[i], take, __ATOMIC_SEQ_CST);
		blocked->word[i] |= take & ~was;
		in_use += (uint32_t)__builtin_popcountll(take & was);
	}
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t give = blocked->word[i] & ~wanted->word[i];

		if (!give)
			continue;
		blocked->word[i] &= ~give;
		__atomic_fetch_and(&p->taken[i], ~give, __ATOMIC_SEQ_CST);
	}
	set_range(l, blocked);
	__atomic_store_n(&l->usable, 65536 - td_port_bits_count(blocked), __ATOMIC_SEQ_CST);
	return in_use;
}

void td_lanes_named(const struct tundish_nat *nat, size_t n, struct td_port_bits *const *lanes,
		    uint32_t lanes_max)
{
	for (size_t i = 0; i < n; i++) {
		union tundish_nat_word word = {
			.raw = __atomic_load_n(&nat[i].word.raw, __ATOMIC_ACQUIRE)};
		uint32_t lane =
			TUNDISH_NAT_LANE(__atomic_load_n(&nat[i].lane_hop, __ATOMIC_RELAXED));
		uint32_t port = __builtin_bswap16(
			__atomic_load_n(&nat[i].source_port_be, __ATOMIC_RELAXED));

		if (word.state != TUNDISH_NAT_FREE && lane < lanes_max && lanes[lane])
			td_port_bits_set(lanes[lane], port, port, true);
	}
}
