/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bucket tables: an array map whose elements are buckets of four entries, two
 * buckets per key (Azar et al., "Balanced Allocations", 1999), exact keys, no
 * locks and no moves.
 *
 * An entry is a key and a 64-bit value word; all changes of state are one
 * compare-and-swap of that word, by the data path on any CPU or by the daemon
 * through its mapping.
 *
 *   0     free; the key means nothing
 *   ~0    being written: the writer owns key and value until it stores another
 *
 * A writer takes an entry by swapping its word for BUSY, writes the key, then
 * stores the new word. A reader loads the word, compares the key and loads the
 * word again: if it did not change, the key belonged to it. x86 keeps loads and
 * stores of this kind in order; elsewhere the atomic operations that the
 * barrier below is made of do.
 *
 * Narrow entries (16 bytes) have a 64-bit key and compare further bits within
 * the word; wide ones (32 bytes) have a 160-bit key.
 */
#ifndef TUNDISH_TABLE_H
#define TUNDISH_TABLE_H

#include "verdict.h"

#define ENTRY_FREE 0ull
#define ENTRY_BUSY (~0ull)

/* BPF has no fence before kernel 6.14. Its atomics with fetch are full barriers
 * on every JIT but cost 20 cycles, where x86 needs none; the build names the
 * architecture with -D__TARGET_ARCH_*. */
#if defined(__TARGET_ARCH_x86) || defined(__x86_64__)
#define entry_barrier(word) asm volatile("" ::: "memory")
#else
/* changes nothing; its result is used, or clang would leave the fetch out */
#define entry_barrier(word) ((void)__sync_val_compare_and_swap((word), ENTRY_BUSY, ENTRY_BUSY))
#endif

struct narrow_key {
	__u64 key;
	__u64 mask, want; /* bits of the word that belong to the key */
};

struct wide_key {
	__u64 key[2];
	__u32 key2;
	__u32 padding; /* zero: the verifier reads all of it */
	__u64 mask, want;
};

struct narrow_entry {
	__u64 key;
	__u64 word;
};

struct wide_entry {
	__u64 key[2];
	__u32 key2;
	__u32 extra;
	__u64 word;
};

struct narrow_bucket {
	struct narrow_entry entry[TUNDISH_BUCKET_ENTRIES];
};

struct wide_bucket {
	struct wide_entry entry[TUNDISH_BUCKET_ENTRIES];
};

static __always_inline int narrow_equal(struct narrow_entry *e, const struct narrow_key *k)
{
	return READ_ONCE(e->key) == k->key;
}

static __always_inline void narrow_store(struct narrow_entry *e, const struct narrow_key *k)
{
	WRITE_ONCE(e->key, k->key);
}

static __always_inline int wide_equal(struct wide_entry *e, const struct wide_key *k)
{
	return READ_ONCE(e->key[0]) == k->key[0] && READ_ONCE(e->key[1]) == k->key[1] &&
	       READ_ONCE(e->key2) == k->key2;
}

static __always_inline void wide_store(struct wide_entry *e, const struct wide_key *k)
{
	WRITE_ONCE(e->key[0], k->key[0]);
	WRITE_ONCE(e->key[1], k->key[1]);
	WRITE_ONCE(e->key2, k->key2);
}

/* Where an entry stands: 0-3 in the first bucket, 4-7 in the second. */
#define ENTRY_NONE 8u

#define DEFINE_AT(size)                                                                            \
	static __always_inline struct size##_entry *size##_at(                                     \
		struct size##_bucket *first, struct size##_bucket *second, __u32 at)               \
	{                                                                                          \
		struct size##_bucket *b = at < TUNDISH_BUCKET_ENTRIES ? first : second;            \
                                                                                                   \
		forget(at);                                                                        \
		return &b->entry[at & (TUNDISH_BUCKET_ENTRIES - 1)];                               \
	}

/*
 * SIZE_find: where the entry of a key is, or ENTRY_NONE.
 * @except:   a place to pass over, to see whether there is a second entry of the
 *            key; ENTRY_NONE passes over none
 * *ret_word: the word that was seen together with the key.
 */
#define DEFINE_FIND(size)                                                                          \
	CHECKED_ALONE __u32 size##_find(struct size##_bucket *first, struct size##_bucket *second, \
					const struct size##_key *k, __u64 *ret_word, __u32 except) \
	{                                                                                          \
		struct size##_entry *e;                                                            \
		__u64 word, again;                                                                 \
		__u32 i, look;                                                                     \
                                                                                                   \
		if (!first || !second || !k || !ret_word)                                          \
			return ENTRY_NONE;                                                         \
		/* The second bucket is on its way from memory while the first is read. */         \
		READ_ONCE(second->entry[0].word);                                                  \
		for (i = 0; i < 2 * TUNDISH_BUCKET_ENTRIES; i++) {                                 \
			if (i == except || (first == second && i >= TUNDISH_BUCKET_ENTRIES))       \
				continue;                                                          \
			e = size##_at(first, second, i);                                           \
			word = READ_ONCE(e->word);                                                 \
			for (look = 0; look < 4; look++) {                                         \
				if (word == ENTRY_FREE || word == ENTRY_BUSY ||                    \
				    (word & k->mask) != k->want)                                   \
					break;                                                     \
				entry_barrier(&e->word);                                           \
				if (!size##_equal(e, k))                                           \
					break;                                                     \
				entry_barrier(&e->word);                                           \
				again = READ_ONCE(e->word);                                        \
				if (again == word) {                                               \
					*ret_word = word;                                          \
					return i;                                                  \
				}                                                                  \
				/* stepped by another CPU, or given to another key */              \
				word = again;                                                      \
			}                                                                          \
		}                                                                                  \
		return ENTRY_NONE;                                                                 \
	}

/* How gladly entries are given up, and what that needs to know. */
struct claim_rule {
	__u32 now;    /* tick */
	__u32 limits; /* what the kind's rank goes by beside it */
};

/*
 * SIZE_claim_KIND: takes an entry for a new key and returns where it is, in
 * state BUSY, or ENTRY_NONE where both buckets are full of what must stay. The
 * key is the caller's to write, by SIZE_give(): one argument less is a stack that
 * 6.1 rounds to 32 bytes less.
 *
 * rank(word, now, limits) says how gladly an entry is given up: 0
 * never, up to 255 for what competes by the room in its bucket first, from
 * 0x8000 below 0x10000 for what does not. Free entries come first, and of two
 * buckets the one with fewer entries that must stay: under a flood, too, live
 * flows spread over both choices as if the flood's entries were free.
 * *ret_former: what the entry held (its word 0: it was free).
 *
 * The choice is folded through SIZE_better_KIND, whose answer the verifier takes
 * as unknown: with the comparisons in the loop, 6.1 follows each of their
 * combinations and gives up after a million steps.
 */
#define CANDIDATE_SHIFT 4 /* score above, place below */

/* 1 for zero, else 0, without a branch that the verifier would follow. */
static __always_inline __u32 is_zero(__u64 x)
{
	__u64 minus = -x;

	forget(minus);
	return (__u32)((x | minus) >> 63) ^ 1;
}

/* For each value of four bits: how many are set, and the lowest that is. */
#define NIBBLE_COUNT(bits)  ((__u32)(0x4332322132212110ull >> ((bits)*4)) & 7)
#define NIBBLE_LOWEST(bits) ((__u32)(0x0102010301020100ull >> ((bits)*4)) & 3)

/* Which entries are free, in bits: 0-3 the first bucket, 4-7 the second. */
#define FREE_BITS(first, second)                                                                   \
	(is_zero(READ_ONCE((first)->entry[0].word)) << 0 |                                         \
	 is_zero(READ_ONCE((first)->entry[1].word)) << 1 |                                         \
	 is_zero(READ_ONCE((first)->entry[2].word)) << 2 |                                         \
	 is_zero(READ_ONCE((first)->entry[3].word)) << 3 |                                         \
	 is_zero(READ_ONCE((second)->entry[0].word)) << 4 |                                        \
	 is_zero(READ_ONCE((second)->entry[1].word)) << 5 |                                        \
	 is_zero(READ_ONCE((second)->entry[2].word)) << 6 |                                        \
	 is_zero(READ_ONCE((second)->entry[3].word)) << 7)

/* A free entry in the bucket that has more of them, of equals in the first: most
 * flows are found in their first bucket then. @bits is not zero. */
static __always_inline __u32 pick_free(__u32 bits)
{
	__u32 in_first = bits & 15, in_second = bits >> 4 & 15;

	if (NIBBLE_COUNT(in_second) > NIBBLE_COUNT(in_first))
		return TUNDISH_BUCKET_ENTRIES + NIBBLE_LOWEST(in_second);
	return NIBBLE_LOWEST(in_first);
}

#define DEFINE_CLAIM(size, kind, rank)                                                             \
	CHECKED_ALONE __u32 size##_better_##kind(__u32 best, __u64 word, __u32 room_at, __u32 now, \
						 __u32 limits)                                     \
	{                                                                                          \
		__u32 score, candidate, room = room_at >> CANDIDATE_SHIFT;                         \
                                                                                                   \
		if (word == ENTRY_BUSY)                                                            \
			return best;                                                               \
		score = word == ENTRY_FREE ? 0x10000 : rank(word, now, limits);                    \
		if (!score)                                                                        \
			return best;                                                               \
		score += room << 8;                                                                \
		/* of equals the first: most flows are found in their first bucket then */         \
		candidate = score << CANDIDATE_SHIFT | (~room_at & ((1 << CANDIDATE_SHIFT) - 1));  \
		return candidate > best ? candidate : best;                                        \
	}                                                                                          \
                                                                                                   \
	CHECKED_ALONE __u32 size##_room_##kind(const struct size##_bucket *b, __u32 now,           \
					       __u32 limits)                                       \
	{                                                                                          \
		__u32 i, room = 0;                                                                 \
                                                                                                   \
		if (!b)                                                                            \
			return 0;                                                                  \
		_Pragma("unroll") for (i = 0; i < TUNDISH_BUCKET_ENTRIES; i++) room +=             \
			!!size##_better_##kind(0, READ_ONCE(b->entry[i].word), 0, now, limits);    \
		return room;                                                                       \
	}                                                                                          \
                                                                                                   \
	CHECKED_ALONE __u32 size##_claim_##kind(                                                   \
		struct size##_bucket *first, struct size##_bucket *second,                         \
		const struct claim_rule *rule, struct size##_entry *ret_former)                    \
	{                                                                                          \
		__u32 i, attempt, best, room0, room1;                                              \
		struct size##_entry *e;                                                            \
		__u64 word;                                                                        \
                                                                                                   \
		if (!first || !second || !rule || !ret_former)                                     \
			return ENTRY_NONE;                                                         \
		/* Most often something is free, and the rest of this is not needed. */            \
		i = FREE_BITS(first, second);                                                      \
		if (i) {                                                                           \
			best = pick_free(i);                                                       \
			e = size##_at(first, second, best);                                        \
			if (__sync_val_compare_and_swap(&e->word, ENTRY_FREE, ENTRY_BUSY) ==       \
			    ENTRY_FREE) {                                                          \
				ret_former->word = ENTRY_FREE;                                     \
				return best;                                                       \
			}                                                                          \
		}                                                                                  \
		for (attempt = 0; attempt < 3; attempt++) {                                        \
			room0 = size##_room_##kind(first, rule->now, rule->limits)                 \
				<< CANDIDATE_SHIFT;                                                \
			room1 = size##_room_##kind(second, rule->now, rule->limits)                \
				<< CANDIDATE_SHIFT;                                                \
			best = 0;                                                                  \
			for (i = 0; i < 2 * TUNDISH_BUCKET_ENTRIES; i++) {                         \
				e = size##_at(first, second, i);                                   \
				best = size##_better_##kind(                                       \
					best, READ_ONCE(e->word),                                  \
					(i < TUNDISH_BUCKET_ENTRIES ? room0 : room1) | i,          \
					rule->now, rule->limits);                                  \
			}                                                                          \
			if (!best)                                                                 \
				return ENTRY_NONE;                                                 \
			/* both choices may be one bucket, whose entries have one name each */     \
			best = ~best & ((first == second ? 1 : 2) * TUNDISH_BUCKET_ENTRIES - 1);   \
			e = size##_at(first, second, best);                                        \
			word = READ_ONCE(e->word);                                                 \
			/* not what was judged any more? Then look again. */                       \
			if (!size##_better_##kind(0, word, 0, rule->now, rule->limits))            \
				continue;                                                          \
			*ret_former = *e;                                                          \
			ret_former->word = word;                                                   \
			if (__sync_val_compare_and_swap(&e->word, word, ENTRY_BUSY) != word)       \
				continue; /* somebody was quicker */                               \
			return best;                                                               \
		}                                                                                  \
		return ENTRY_NONE;                                                                 \
	}

/* SIZE_give: writes the key of an entry that was taken, before its word says so. */
#define DEFINE_GIVE(size)                                                                          \
	static __always_inline struct size##_entry *size##_give(                                   \
		struct size##_bucket *first, struct size##_bucket *second, __u32 at,               \
		const struct size##_key *k)                                                        \
	{                                                                                          \
		struct size##_entry *e = size##_at(first, second, at);                             \
                                                                                                   \
		size##_store(e, k);                                                                \
		entry_barrier(&e->word);                                                           \
		return e;                                                                          \
	}

DEFINE_AT(narrow)
DEFINE_AT(wide)
DEFINE_GIVE(narrow)
DEFINE_GIVE(wide)
DEFINE_FIND(narrow)
DEFINE_FIND(wide)

#endif
