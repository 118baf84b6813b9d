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
 * A slot that is taken stays taken, so a member may look ahead: several free slots of its
 * permutation are found at a time, in a loop without a branch that cannot be foreseen, and
 * one that somebody else took meanwhile is passed over when its turn comes. The row is the same.
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
	uint64_t interval; /* virtual time between two turns */
	uint64_t step;	   /* from its turn to that of the next one of the same weight */
	uint32_t backend;
	uint32_t position, skip;
	uint32_t inverse;	   /* of skip, modulo SLOTS; 0: not asked for yet */
	uint32_t ahead, ahead_end; /* of row.ahead: what it has found and not used */
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

/* Gives the top of the heap a larger key, and puts it where that belongs. */
static void sift_down(uint64_t *heap, size_t n, uint64_t key)
{
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

/* The key that the top of the heap may grow to and stay there. */
static uint64_t second(const uint64_t *heap, size_t n)
{
	uint64_t key = n > 1 ? heap[1] : UINT64_MAX;

	return n > 2 ? TD_MIN(key, heap[2]) : key;
}

struct row {
	uint8_t free[SLOTS]; /* 1, or 0: looks are all over it, so it is small */
	uint32_t *slots;
	uint32_t n_free;
	uint32_t *ahead; /* AHEAD_ROOM for each member */
};

#define AHEAD	   16u /* that a member looks for at a time, at most */
#define AHEAD_STEP 4u
#define AHEAD_ROOM (AHEAD + AHEAD_STEP - 1)

static uint32_t is_free(const struct row *r, uint32_t slot)
{
	return r->free[slot];
}

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

/* a + b modulo SLOTS, both below it */
static uint32_t plus(uint32_t a, uint32_t b)
{
	uint32_t sum = a + b;

	return sum >= SLOTS ? sum - SLOTS : sum;
}

/* The next free slots of the member's permutation, from its position on: at least `wanted`, of
 * which there must be so many. Four chains of additions, as one would wait for itself. */
static void look_ahead(struct row *r, struct member *m, uint32_t *found, uint32_t wanted)
{
	uint32_t skip = m->skip, skip2 = plus(skip, skip), skip4 = plus(skip2, skip2), n = 0;
	uint32_t a = m->position, b = plus(a, skip), c = plus(a, skip2), d = plus(b, skip2);

	while (n < wanted) {
		found[n] = a;
		n += is_free(r, a);
		a = plus(a, skip4);
		found[n] = b;
		n += is_free(r, b);
		b = plus(b, skip4);
		found[n] = c;
		n += is_free(r, c);
		c = plus(c, skip4);
		found[n] = d;
		n += is_free(r, d);
		d = plus(d, skip4);
	}
	m->position = a;
	m->ahead = (uint32_t)(found - r->ahead);
	m->ahead_end = m->ahead + n;
}

static uint32_t look_once(struct row *r, struct member *m)
{
	uint32_t at = m->position;

	while (!is_free(r, at))
		at = plus(at, m->skip);
	m->position = plus(at, m->skip);
	return at;
}

/* The first free slot of the member's permutation. */
static uint32_t look(struct row *r, struct member *m, size_t rank, uint32_t wanted)
{
	for (;;) {
		while (m->ahead < m->ahead_end) {
			uint32_t at = r->ahead[m->ahead++];

			if (is_free(r, at))
				return at;
		}
		if (wanted == 1)
			return look_once(r, m);
		look_ahead(r, m, r->ahead + rank * AHEAD_ROOM, wanted);
	}
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

static void give(struct row *r, const struct member *m, uint32_t at)
{
	r->free[at] = 0;
	r->slots[at] = m->backend;
}

/* With F slots free a look takes SLOTS / F steps on the average: half of all steps would be
 * for the last 256 slots. */
#define FEW 256u

/* Not so far that most of it is taken when it is asked for. All that a member looks for is
 * there: those that are free, but for what it has found already, are more than FEW. */
static uint32_t how_far(const struct row *r, size_t n_members)
{
	return (uint32_t)TD_MIN(TD_MAX(r->n_free / (4 * n_members), 1), AHEAD);
}

_Static_assert(AHEAD < FEW, "free slots that a look finds");

#define RANK(key) ((key) & ((1u << RANK_BITS) - 1))

/* All but the last few slots. Most turns are followed by one of the same weight, for which
 * the heap need not be asked. */
static void take_most(struct row *r, struct member *members, size_t n_members, uint64_t *heap,
		      size_t n)
{
	while (r->n_free > FEW) {
		uint32_t wanted = how_far(r, n_members), turns = TD_MIN(r->n_free - FEW, FEW);
		uint64_t key = heap[0], limit = second(heap, n);

		for (; turns && key < limit; turns--, r->n_free--) {
			struct member *m = &members[RANK(key)];

			give(r, m, look(r, m, RANK(key), wanted));
			key += m->step;
		}
		sift_down(heap, n, key);
	}
}

static void take_last(struct row *r, struct member *members, size_t n_members, uint64_t *heap,
		      size_t n)
{
	uint32_t few[FEW], n_few = 0;

	for (uint32_t i = 0; i < SLOTS; i++)
		if (is_free(r, i))
			few[n_few++] = i;
	/* What was found ahead comes before the position. */
	for (size_t i = 0; i < n_members; i++)
		if (members[i].ahead < members[i].ahead_end)
			members[i].position = r->ahead[members[i].ahead];
	while (n_few) {
		struct member *m = &members[RANK(heap[0])];
		uint32_t index, at = nearest(few, n_few, m, &index);

		few[index] = few[--n_few];
		m->position = at;
		give(r, m, at);
		sift_down(heap, n, heap[0] + m->step);
	}
}

static int fill(struct member *members, size_t n_members, uint64_t *heap, size_t n, uint32_t *slots)
{
	struct row r = {.slots = slots, .n_free = SLOTS};
	_cleanup_free_ uint32_t *ahead = malloc(n_members * AHEAD_ROOM * sizeof(*ahead));

	if (!ahead)
		return -ENOMEM;
	r.ahead = ahead;
	memset(r.free, 1, sizeof(r.free));
	take_most(&r, members, n_members, heap, n);
	take_last(&r, members, n_members, heap, n);
	return 0;
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
			order[end - 1]->step = (uint64_t)(order[end] - order[end - 1]);
		}
		/* Round once, which makes the rank less and the time more. */
		order[end - 1]->step = (order[first]->interval << RANK_BITS) -
				       (uint64_t)(order[end - 1] - order[first]);
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

	if (rings)
		return fill(m, used, heap, (size_t)rings, ret_slots);
	memset(ret_slots, 0, SLOTS * sizeof(*ret_slots));
	return 0;
}
