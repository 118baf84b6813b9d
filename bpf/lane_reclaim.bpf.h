/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A full lane: a port that rests, or was never answered, goes to a new connection
 * if that one's SYN fits (tundish_nat_yields()). So a port is given early only
 * where all others are in use, and only to whom the server will hear.
 *
 * All ports of a lane that may be worth it are marked; they are gone through in the order
 * in which ports are given, so those come first that have rested longest, and none is
 * asked twice before all were.
 */
#ifndef TUNDISH_LANE_RECLAIM_BPF_H
#define TUNDISH_LANE_RECLAIM_BPF_H

#include "nat_step.bpf.h"

#define LANE_HERE 16u /* tries where the turn is; then anywhere: ports of a word are of an age */

/* Whether the record that `met` has found may go, and its end. Returns 1 where the port
 * is the caller's. */
CHECKED_ALONE int lane_take_back(struct nat_query *q, struct nat_query *met)
{
	struct tundish_nat_settings *set;
	__u32 zero = 0, idle, backend, expired;
	union tundish_nat_word word;
	struct tundish_fan *fan;

	set = bpf_map_lookup_elem(&nat_settings, &zero);
	if (!q || !met || !set)
		return 0;
	word = met->record.word;
	backend = word.backend;
	fan = bpf_map_lookup_elem(&fans, &backend);
	if (!fan)
		return 0;
	idle = tundish_nat_idle(word, met->record.seen[0], met->record.seen[1], q->now);
	expired = tundish_nat_expired(word, idle, &set->timeouts, fan->time_wait);
	if (!expired &&
	    !tundish_nat_yields(word, idle, met->record.client_seq, met->record.server_seq, &q->syn,
				fan->flags & TUNDISH_FAN_EARLY, q->now))
		return 0;
	if (!nat_free(met, met->place, word.raw, 1))
		return 0;
	return 1 + !expired;
}

static long lane_try(__u32 i, struct lane_round *r)
{
	__u32 index = NAT_QUERY_MET, lane, ports, port, ticket;
	struct tundish_lane_ports *p;
	struct nat_query *q = r->q, *met;
	struct tundish_lane *l;
	struct lane_hand *h;
	__u64 bits;
	int back;

	if (!q)
		return 1;
	h = &q->hand;
	lane = q->lane;
	ports = h->ports;
	met = bpf_map_lookup_elem(&nat_queries, &index);
	l = bpf_map_lookup_elem(&lanes, &lane);
	p = bpf_map_lookup_elem(&lane_ports, &ports);
	if (!p || !l || !met || h->tries >= LANE_TRIES)
		return 1;
	ticket = h->ticket;
	port = tundish_lane_word(ticket, l->stride, l->first, l->last) << 6 | (h->bit & 63);
	bits = READ_ONCE(p->yielding[LANE_WORD(port)]) >> (port & 63);
	if (!bits || h->bit > 63) { /* on with the next word, unless another CPU has done so */
		if (h->tries < LANE_HERE)
			__sync_val_compare_and_swap(&l->next, ticket, ticket + 1);
		h->ticket = ticket + 1;
		h->bit = 0;
		return 0;
	}
	port += lane_lowest(bits);
	h->bit = (port & 63) + 1;
	h->tries++;
	met->far = l->source;
	met->far_port = bpf_htons((__u16)port);
	met->port = tundish_lane_port(l, q->port);
	met->id = l->number;
	met->side = TUNDISH_NAT_SERVER;
	met->udp = q->udp;
	met->now = q->now;
	/* not of another lane, where one of all ports meets one of this port alone */
	back = nat_find(met) && TUNDISH_NAT_LANE(met->record.lane_hop) == lane
		       ? lane_take_back(q, met)
		       : 0;
	if (!back) {
		/* too young here, although it has its turn: ports that time gave back were
		 * taken in between */
		if (h->tries >= LANE_HERE) {
			h->ticket = bpf_get_prandom_u32();
			h->bit = 0;
		}
		return 0;
	}
	h->found = port;
	h->early = back > 1;
	return 1;
}

/* As lane_take(), of a lane that is full. `used` stays: the port changes hands. */
CHECKED_ALONE int lane_reclaim(struct nat_query *q)
{
	struct lane_round r = {.q = q};
	struct tundish_lane *l;
	struct lane_hand *h;
	__u32 lane;

	if (!q)
		return 0;
	h = &q->hand;
	lane = q->lane;
	l = bpf_map_lookup_elem(&lanes, &lane);
	if (!l || !l->ports || !READ_ONCE(l->yielding))
		return 0;
	h->ports = l->ports;
	h->ticket = READ_ONCE(l->next);
	h->bit = READ_ONCE(l->hand);
	h->bit = h->bit >> 8 == (h->ticket & 0xffffff) ? h->bit & 0x7f : 0;
	h->tries = h->found = h->early = 0;
	bpf_loop(LANE_TRIES + TUNDISH_LANE_WORDS, lane_try, &r, 0);
	if (h->tries < LANE_HERE)
		WRITE_ONCE(l->hand, h->ticket << 8 | h->bit);
	if (!h->found)
		return 0;
	__sync_fetch_and_add(&l->opened, 1);
	if (h->early)
		__sync_fetch_and_add(&l->early, 1);
	q->source_port = bpf_htons((__u16)h->found);
	return 1;
}

#endif
