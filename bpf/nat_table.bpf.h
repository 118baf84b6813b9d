/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Translated connections, found from either side. The rules that make it right
 * without locks stand in include/tundish/nat.h.
 *
 * All working space is a query in the map nat_queries. Two of one CPU: the
 * packet's own, and one to look up what is met on the way (the reply's key of
 * a new connection, the owner of a port that may give way).
 */
#ifndef TUNDISH_NAT_TABLE_BPF_H
#define TUNDISH_NAT_TABLE_BPF_H

#include "nat_maps.bpf.h"
#include "table.h"
#include "tuples.bpf.h"

/* Working space of lane.bpf.h and lane_reclaim.bpf.h. */
struct lane_search {
	__u32 base, n, start; /* lanes of the port: from base on, n of them, beginning at start */
	__u32 best, used, usable;
	__u32 yielding; /* the most that any full one has */
	__u32 fallback; /* that one */
};

struct lane_walk {
	__u32 ports; /* index into lane_ports */
	__u32 word;  /* of the sequential part, the next one */
	__u32 found; /* a port; 0: none */
};

struct lane_hand {
	__u32 ports;
	__u32 ticket, bit; /* the word, and the port in it, that is looked at next */
	__u32 tries;
	__u32 found, early;
};

struct nat_query {
	/* Asked. */
	struct tundish_addr far; /* the client; of a reply, who it goes to */
	struct tundish_addr vip; /* the client's side alone */
	__be16 far_port;
	__be16 port; /* the service's; of a reply, the server's */
	__u32 id;    /* of the VIP; of a reply, the server's number */
	__u32 side;  /* enum tundish_nat_side */
	__u32 udp;
	__u32 now; /* tick */
	/* For a new one. */
	__u32 backend, lane, hop;
	__be16 source_port;
	__u16 hairpin;
	struct tundish_nat_syn syn;
	/* A segment, for nat_step(). */
	struct tundish_nat_segment segment;
	/* Answer: a copy that was whole at one moment. */
	struct tundish_nat record;
	__u32 place;
	__u32 effects; /* enum tundish_nat_effect of the last step */
	/* Working space. */
	__u32 except; /* place + 1 of a record to pass over; 0: none */
	__u32 making; /* records that are being made count too */
	__u64 hash;
	struct lane_search search;
	struct lane_walk walk;
	struct lane_hand hand;
	struct tuple_change change;
	__u32 held;    /* the step's connection is among its backend's active ones already */
	__u32 crowded; /* its backend has no place for it */
	__u32 owed;    /* `change` is not yet applied, see nat_settle() */
};

enum { NAT_QUERY_LIVE, NAT_QUERY_MET, NAT_QUERY_DRY, NAT_QUERIES };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NAT_QUERIES);
	__type(key, __u32);
	__type(value, struct nat_query);
} nat_queries SEC(".maps");

/* The lowest bit that is set, of eight (de Bruijn). */
#define NAT_LOWEST8(bits) (0x56374210u >> (((((bits) & -(bits)) * 0x17u) & 0xe0u) >> 3) & 7)

#define NAT_BITS8(b, x)                                                                            \
	(is_zero(x((b)->tag[0])) << 0 | is_zero(x((b)->tag[1])) << 1 |                             \
	 is_zero(x((b)->tag[2])) << 2 | is_zero(x((b)->tag[3])) << 3 |                             \
	 is_zero(x((b)->tag[4])) << 4 | is_zero(x((b)->tag[5])) << 5 |                             \
	 is_zero(x((b)->tag[6])) << 6 | is_zero(x((b)->tag[7])) << 7)

/* The two buckets of a key. */
static __always_inline void nat_buckets(__u32 side, __u64 hash, __u32 *ret_first, __u32 *ret_second)
{
	__u32 zero = 0;
	struct tundish_nat_settings *set = bpf_map_lookup_elem(&nat_settings, &zero);
	__u32 n = set ? set->buckets : 1, base = side == TUNDISH_NAT_CLIENT ? 0 : n;

	*ret_first = base + tundish_bucket((__u32)hash, n);
	*ret_second = base + tundish_bucket((__u32)(hash >> 32), n);
}

/* Both buckets of a key begin their way from memory. */
static __always_inline void nat_touch(__u32 side, __u64 hash)
{
	struct tundish_nat_bucket *b;
	__u32 first, second;

	nat_buckets(side, hash, &first, &second);
	b = bpf_map_lookup_elem(&nat_tags, &first);
	if (b)
		READ_ONCE(b->tag[0]);
	b = bpf_map_lookup_elem(&nat_tags, &second);
	if (b)
		READ_ONCE(b->tag[0]);
}

static __always_inline __u64 nat_query_hash(const struct nat_query *q)
{
	__u32 zero = 0;
	struct tundish_nat_settings *set = bpf_map_lookup_elem(&nat_settings, &zero);

	if (!set)
		return 0;
	return tundish_nat_hash(&set->secret, &q->far, q->far_port, q->port, q->id, q->udp);
}

/* ---- finding ------------------------------------------------------------------------- */

typedef __u64 __attribute__((may_alias)) nat_line_t; /* an eighth of one */

/* Copies the record of a tag. Returns whether it is the one asked for. */
CHECKED_ALONE int nat_look(struct nat_query *q, __u64 tag)
{
	__u32 place = tundish_nat_tag_place(tag), lane;
	union tundish_nat_word word;
	const nat_line_t *from;
	struct tundish_lane *l;
	struct tundish_nat *r, *c;
	nat_line_t *to;

	if (!q || place + 1 == q->except)
		return 0;
	r = bpf_map_lookup_elem(&nat, &place);
	if (!r)
		return 0;
	word.raw = READ_ONCE(r->word.raw);
	if (word.generation != tundish_nat_tag_generation(tag) ||
	    (word.state == TUNDISH_NAT_FREE && !q->making))
		return 0;
	/* Copied first, then compared: what counts is what the copy says, and that only if
	 * the generation is still the same. */
	entry_barrier(&r->word.raw);
	from = (const nat_line_t *)r;
	to = (nat_line_t *)&q->record;
	to[1] = READ_ONCE(from[1]);
	to[2] = READ_ONCE(from[2]);
	to[3] = READ_ONCE(from[3]);
	to[4] = READ_ONCE(from[4]);
	to[5] = READ_ONCE(from[5]);
	to[6] = READ_ONCE(from[6]);
	to[7] = READ_ONCE(from[7]);
	entry_barrier(&r->word.raw);
	if ((READ_ONCE(r->word.raw) ^ word.raw) >> 48)
		return 0;
	c = &q->record;
	c->word = word;
	q->place = place;
	if (word.udp != q->udp)
		return 0;
	if (q->side == TUNDISH_NAT_CLIENT)
		return c->client_port_be == q->far_port && c->port_be == q->port &&
		       c->vip_id == q->id && tundish_addr_equal(&c->client, &q->far) &&
		       tundish_addr_equal(&c->vip, &q->vip);
	lane = TUNDISH_NAT_LANE(c->lane_hop);
	l = bpf_map_lookup_elem(&lanes, &lane);
	return l && l->number == q->id && c->source_port_be == q->far_port &&
	       tundish_lane_port(l, c->port_be) == q->port &&
	       tundish_addr_equal(tundish_lane_source(l, &c->client), &q->far);
}

#define NAT_DIFFERS(x) ((READ_ONCE(x) ^ want) & TUNDISH_NAT_TAG_MASK)

CHECKED_ALONE int nat_search_bucket(struct nat_query *q, __u32 index)
{
	struct tundish_nat_bucket *b;
	__u32 bits, look;
	__u64 want;

	if (!q)
		return 0;
	b = bpf_map_lookup_elem(&nat_tags, &index);
	if (!b)
		return 0;
	want = tundish_nat_tag(q->hash, 0, 0);
	bits = NAT_BITS8(b, NAT_DIFFERS);
	for (look = 0; look < TUNDISH_NAT_SLOTS; look++) {
		__u32 slot = NAT_LOWEST8(bits);

		if (!bits)
			break;
		bits &= bits - 1;
		forget(slot);
		if (nat_look(q, READ_ONCE(b->tag[slot & (TUNDISH_NAT_SLOTS - 1)])))
			return 1;
	}
	return 0;
}

/* As nat_find(), with q->hash there. The kernel allows eight frames of functions: so deep
 * that one more in between would be too many. */
CHECKED_ALONE int nat_search(struct nat_query *q)
{
	struct tundish_nat_bucket *b;
	__u32 first, second;

	if (!q)
		return 0;
	nat_buckets(q->side, q->hash, &first, &second);
	b = bpf_map_lookup_elem(&nat_tags, &second);
	if (!b)
		return 0;
	/* The second bucket is on its way from memory while the first is read. */
	READ_ONCE(b->tag[0]);
	/* So is the page, if not the very line, where the client's record lies most likely: its
	 * translation is as dear as the line. */
	if (q->side == TUNDISH_NAT_CLIENT) {
		__u32 place = first * TUNDISH_NAT_SLOTS;
		struct tundish_nat *r = bpf_map_lookup_elem(&nat, &place);

		if (r)
			READ_ONCE(r->word.raw);
	}
	if (nat_search_bucket(q, first))
		return 1;
	return first != second && nat_search_bucket(q, second);
}

/* Finds the connection of the key that was asked for; returns 1 with q->record and
 * q->place, or 0. Leaves q->hash for nat_make(). */
static __always_inline int nat_find(struct nat_query *q)
{
	q->except = 0;
	q->making = 0;
	q->hash = nat_query_hash(q);
	return nat_search(q);
}

/* Notes that a packet of one side passed: once in a tick, so that a line which two CPUs
 * read stays with both. */
static __always_inline void nat_seen(struct nat_query *q)
{
	__u32 place = q->place;
	struct tundish_nat *r;

	if (q->record.seen[q->side & 1] == (__u16)q->now)
		return;
	r = bpf_map_lookup_elem(&nat, &place);
	if (r)
		WRITE_ONCE(r->seen[q->side & 1], (__u16)q->now);
}

/* The client's packets come by another way now. The lane must not change under it, so
 * it is a swap: a record that was freed and made anew meanwhile keeps its own. */
CHECKED_ALONE int nat_hop(struct nat_query *q, __u32 hop)
{
	struct tundish_nat *r;
	__u32 place, old;

	if (!q)
		return 0;
	place = q->place;
	old = q->record.lane_hop;
	r = bpf_map_lookup_elem(&nat, &place);
	if (!r)
		return 0;
	q->record.lane_hop = TUNDISH_NAT_LANE(old) | hop * TUNDISH_NAT_HOP_ONE;
	return __sync_val_compare_and_swap(&r->lane_hop, old, q->record.lane_hop) == old;
}

#endif
