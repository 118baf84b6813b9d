// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation.
 *
 * Each member has a permutation of all slots, made from its address alone:
 * slot(k) = (offset + k * skip) mod M, with M prime. Members take turns; in its
 * turn a member takes the first slot of its permutation that is still free,
 * until none is.
 *
 * Weights decide how often a member has its turn: the k-th one comes at the
 * virtual time k / weight, and all begin at 0, so that a weight above zero
 * always gets a slot. This is Envoy's weighted Maglev (a turn when iteration *
 * weight reaches a target) without its iterations: time does not depend on the
 * largest weight, so changing that one member does not shift all others'
 * turns, and a heap finds the next turn without asking every member: members of
 * one weight take turns in one order for ever, so the heap holds one of each
 * weight. With equal weights it is the paper's algorithm. Ties go by address.
 *
 * Changing the hash, the order or the clock below moves flows in a fleet whose
 * hosts run different versions; tests/unit/test_maglev.c holds a checksum.
 */
#include "core/maglev.h"

#define SLOTS	    TUNDISH_MAGLEV_SLOTS
#define SEED_OFFSET 0x243f6a8885a308d3ull /* digits of pi: nothing up the sleeve */
#define SEED_SKIP   0x13198a2e03707344ull

/* A turn is one word: virtual time above, the member's rank below. 46 bits hold
 * SLOTS turns of weight 1, the rank any number of backends. */
#define RANK_BITS 17
#define TIME_UNIT (1ull << 29) /* the time between two turns of weight 1 */

_Static_assert((1u << RANK_BITS) >= TUNDISH_BACKENDS_MAX, "rank of a member");
_Static_assert(SLOTS < (1u << 17), "turns of a member");

struct member {
	struct tundish_addr address;
	uint32_t backend;
	uint32_t position, skip;
	uint32_t inverse;  /* of skip, modulo SLOTS; 0: not asked for yet */
	uint64_t interval; /* virtual time between two turns */
	uint32_t next; /* rank of the next one of the same weight; the last one's is the first */
};

static uint64_t address_hash(const struct tundish_addr *a, uint64_t seed)
{
	uint64_t h = tundish_mix64(seed ^ ((uint64_t)a->word[0] << 32 | a->word[1]));

	return tundish_mix64(h ^ ((uint64_t)a->word[2] << 32 | a->word[3]));
}

static int by_address(const void *a, const void *b)
{
	return memcmp(&((const struct member *)a)->address, &((const struct member *)b)->address,
		      sizeof(struct tundish_addr));
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Puts the top of the heap, whose key has grown, where it belongs. */
static void sift_down(uint64_t *heap, size_t n)
{
	uint64_t key = heap[0];
	size_t hole = 0, child;

	while ((child = 2 * hole + 1) < n) {
		if (child + 1 < n && heap[child + 1] < heap[child])
			child++;
		if (heap[child] >= key)
			break;
		heap[hole] = heap[child];
		hole = child;
	}
	heap[hole] = key;
}

/* Bits of the slots that are taken: looks are all over the row, and these stay in the
 * nearest cache. */
struct row {
	uint64_t taken[(SLOTS + 63) / 64];
	uint32_t *slots;
	uint32_t n_free;
};

/* a * b modulo SLOTS, which is 2^16 + 1: 2^16 is the same as -1. */
static uint32_t times(uint32_t a, uint32_t b)
{
	uint64_t p = (uint64_t)a * b;
	uint32_t low = p & 0xffff, high = (uint32_t)(p >> 16);

	return low - high + (low < high ? SLOTS : 0);
}

_Static_assert(SLOTS == 65537, "the modulus of times()");

/* skip^(SLOTS - 2), which is its inverse (Fermat), as SLOTS is prime */
static uint32_t inverse(uint32_t skip)
{
	uint32_t result = 1, power = skip;

	for (uint32_t n = SLOTS - 2; n; n >>= 1) {
		if (n & 1)
			result = times(result, power);
		power = times(power, power);
	}
	return result;
}

/* The first free slot of the member's permutation from its position on. */
static uint32_t look(const struct row *r, const struct member *m)
{
	uint32_t at = m->position;

	while (r->taken[at / 64] >> at % 64 & 1) {
		at += m->skip;
		if (at >= SLOTS)
			at -= SLOTS;
	}
	return at;
}

/* The same, asked the other way round: of the few that are free, the one with the fewest
 * steps to it. *ret_index: which of them it is. */
static uint32_t nearest(const uint32_t *free_slots, uint32_t n, struct member *m,
			uint32_t *ret_index)
{
	uint32_t best = UINT32_MAX, index = 0;

	if (!m->inverse)
		m->inverse = inverse(m->skip);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t ahead =
			free_slots[i] - m->position + (free_slots[i] < m->position ? SLOTS : 0);
		uint32_t steps = times(ahead, m->inverse);

		if (steps < best) {
			best = steps;
			index = i;
		}
	}
	*ret_index = index;
	return free_slots[index];
}

static void give(struct row *r, struct member *members, struct member *m, uint32_t at,
		 uint64_t *heap, size_t n)
{
	r->taken[at / 64] |= 1ull << at % 64;
	r->n_free--;
	m->position = at;
	r->slots[at] = m->backend;
	heap[0] = heap[0] - (uint32_t)(m - members) + m->next;
	if (m->next <= m - members) /* round once */
		heap[0] += m->interval << RANK_BITS;
	sift_down(heap, n);
}

/* With F slots free a look takes SLOTS / F steps on the average: half of all steps would be
 * for the last 256 slots. */
#define FEW 256u

static void take_turns(struct member *members, uint64_t *heap, size_t n, uint32_t *slots)
{
	struct row r = {.slots = slots, .n_free = SLOTS};
	uint32_t few[FEW], n_few = 0;

	while (r.n_free > FEW) {
		struct member *m = &members[heap[0] & ((1u << RANK_BITS) - 1)];

		give(&r, members, m, look(&r, m), heap, n);
	}
	for (uint32_t i = 0; i < SLOTS; i++)
		if (!(r.taken[i / 64] >> i % 64 & 1))
			few[n_few++] = i;
	while (n_few) {
		struct member *m = &members[heap[0] & ((1u << RANK_BITS) - 1)];
		uint32_t index, at = nearest(few, n_few, m, &index);

		few[index] = few[--n_few];
		give(&r, members, m, at, heap, n);
	}
}

static int by_interval(const void *a, const void *b)
{
	const struct member *x = *(struct member *const *)a, *y = *(struct member *const *)b;

	if (x->interval != y->interval)
		return x->interval < y->interval ? -1 : 1;
	return (x > y) - (x < y);
}

/* Joins those of one weight to rings, and fills the heap with the first of each, all at
 * time 0 and in order. Returns how many, or -ENOMEM. */
static int make_rings(struct member *members, size_t n, uint64_t *heap)
{
	_cleanup_free_ struct member **order = calloc(n + 1, sizeof(struct member *));
	int rings = 0;

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		order[i] = &members[i];
	if (n)
		qsort(order, n, sizeof(struct member *), by_interval);
	for (size_t first = 0, end; first < n; first = end) {
		for (end = first + 1; end < n; end++) {
			if (order[end]->interval != order[first]->interval)
				break;
			order[end - 1]->next = (uint32_t)(order[end] - members);
		}
		order[end - 1]->next = (uint32_t)(order[first] - members);
		heap[rings++] = (uint64_t)(order[first] - members);
	}
	qsort(heap, rings, sizeof(*heap), by_number);
	return rings;
}

int td_maglev_fill(const struct td_maglev_member *members, size_t n, uint32_t *ret_slots)
{
	_cleanup_free_ struct member *m = NULL;
	_cleanup_free_ uint64_t *heap = NULL;
	size_t used = 0;
	int rings;

	if (n >= TUNDISH_BACKENDS_MAX)
		return -EINVAL;
	m = calloc(n + 1, sizeof(*m));
	heap = calloc(n + 1, sizeof(*heap));
	if (!m || !heap)
		return -ENOMEM;

	for (size_t i = 0; i < n; i++) {
		m[i].address = members[i].address;
		m[i].backend = members[i].backend;
		if (members[i].weight)
			m[i].interval = TD_MAX(TIME_UNIT / members[i].weight, 1ull);
	}
	qsort(m, n, sizeof(*m), by_address);
	for (size_t i = 1; i < n; i++)
		if (!by_address(&m[i - 1], &m[i]))
			return -EINVAL;

	for (size_t i = 0; i < n; i++) {
		if (!m[i].interval)
			continue;
		m[used] = m[i];
		m[used].position = address_hash(&m[i].address, SEED_OFFSET) % SLOTS;
		m[used].skip = address_hash(&m[i].address, SEED_SKIP) % (SLOTS - 1) + 1;
		used++;
	}
	rings = make_rings(m, used, heap);
	if (rings < 0)
		return rings;

	memset(ret_slots, 0, SLOTS * sizeof(*ret_slots));
	if (rings)
		take_turns(m, heap, rings, ret_slots);
	return 0;
}
