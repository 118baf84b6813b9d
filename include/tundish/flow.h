/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Life of a flow, as a pure function.
 *
 * Only a client's segments pass the edge (dsr and ipip hide the server's), so
 * the states are fewer than TCP's (RFC 9293, section 3.3.2):
 *
 *   SYN --------- ACK with SEQ = ISN + 1 --------> ESTABLISHED
 *   ESTABLISHED - SYN with another ISN ----------> REOPEN
 *   REOPEN ------ ACK with SEQ = ISN + 1 --------> ESTABLISHED (a new connection)
 *   REOPEN ------ any other segment -------------> ESTABLISHED (the old one lives)
 *   ESTABLISHED - FIN or RST --------------------> CLOSING
 *   CLOSING ----- SYN ---------------------------> SYN (the port is used again)
 *
 *   UDP_NEW ----- a packet of a later tick ------> UDP
 *
 * An entry in ESTABLISHED, REOPEN or CLOSING never gives way to a SYN of
 * another flow, nor one in UDP before its timeout. REOPEN is how a SYN on a live flow, which may be spoofed, is
 * remembered without believing it. UDP has no handshake: a flow that is seen again
 * after a tick is no flood's, which would need each of its addresses twice.
 */
#ifndef TUNDISH_FLOW_H
#define TUNDISH_FLOW_H

#include <tundish/maps.h>

/* The clock of flow entries: ticks of 2^30 ns (1.07 s) of CLOCK_MONOTONIC. */
#define TUNDISH_TICK_SHIFT 30
#define TUNDISH_TICKS_MAX  0x4000u /* longest timeout: four hours and a half */

TUNDISH_INLINE __u32 tundish_tick(__u64 now_ns)
{
	return (__u32)(now_ns >> TUNDISH_TICK_SHIFT);
}

/* Ticks since `seen`, of which the low `bits` bits were kept. Who read the clock before
 * another one wrote the entry may meet the tick to come: no age, not the highest. */
TUNDISH_INLINE __u32 tundish_age(__u32 now_tick, __u32 seen, unsigned int bits)
{
	__u32 most = (1u << bits) - 1, age = (now_tick - seen) & most;

	return age == most ? 0 : age;
}

enum tundish_segment {
	TUNDISH_SEGMENT_SYN = 1 << 0, /* SYN without ACK */
	TUNDISH_SEGMENT_ACK = 1 << 1,
	TUNDISH_SEGMENT_FIN = 1 << 2,
	TUNDISH_SEGMENT_RST = 1 << 3,
	TUNDISH_SEGMENT_UDP = 1 << 4, /* no segment, a UDP packet; no other bit with it */
};

/* What a step means for the counts; the caller carries it out once the new
 * value has taken the old one's place, so that each is counted exactly once. */
enum tundish_flow_effect {
	TUNDISH_EFFECT_PENDING_ADD = 1 << 0, /* a half-open flow more in the slot */
	TUNDISH_EFFECT_PENDING_SUB = 1 << 1,
	TUNDISH_EFFECT_OPENED = 1 << 2,	  /* a connection more, active and total */
	TUNDISH_EFFECT_REOPENED = 1 << 3, /* total only: it takes the old one's place */
	TUNDISH_EFFECT_CLOSED = 1 << 4,	  /* an active connection less */
	TUNDISH_EFFECT_FREED = 1 << 5,	  /* the entry is free now */
};

struct tundish_flow_step {
	union tundish_flow_value value; /* what the entry becomes */
	__u32 effects;			/* enum tundish_flow_effect */
};

/* Whether it is a connection in the counts. */
TUNDISH_INLINE int tundish_flow_open(union tundish_flow_value v)
{
	return v.live.state == TUNDISH_FLOW_ESTABLISHED || v.live.state == TUNDISH_FLOW_REOPEN ||
	       v.live.state == TUNDISH_FLOW_UDP;
}

TUNDISH_INLINE int tundish_flow_half_open(union tundish_flow_value v)
{
	return v.live.state == TUNDISH_FLOW_SYN || v.live.state == TUNDISH_FLOW_REOPEN;
}

/* A fresh half-open entry. @isn: the SYN's sequence number, host byte order. */
TUNDISH_INLINE union tundish_flow_value tundish_flow_syn(__u32 vip, __u32 backend, __u32 isn,
							 __u32 now_tick)
{
	union tundish_flow_value v = {.raw = 0};

	v.syn.backend = backend;
	v.syn.vip = vip;
	v.syn.state = TUNDISH_FLOW_SYN;
	v.syn.isn_low = isn;
	v.syn.seen = now_tick;
	return v;
}

/* A fresh UDP entry. */
TUNDISH_INLINE union tundish_flow_value tundish_flow_udp(__u32 vip, __u32 backend, __u32 now_tick)
{
	union tundish_flow_value v = {.raw = 0};

	v.live.backend = backend;
	v.live.vip = vip;
	v.live.state = TUNDISH_FLOW_UDP_NEW;
	v.live.udp = 1;
	v.live.seen = now_tick;
	return v;
}

TUNDISH_INLINE union tundish_flow_value
tundish_flow_as_live(union tundish_flow_value v, __u32 state, __u32 isn_low, __u32 now_tick)
{
	union tundish_flow_value n = {.raw = 0};

	n.live.backend = v.live.backend;
	n.live.vip = v.live.vip;
	n.live.state = state;
	n.live.counted = v.live.counted;
	n.live.isn_low = isn_low;
	n.live.seen = now_tick;
	return n;
}

/*
 * The next value of a known flow when a segment of its client passes. Flows of TCP
 * meet segments alone, and those of UDP packets: the protocol is part of the key.
 *
 * @old:      the entry's value, neither FREE nor BUSY
 * @segment:  enum tundish_segment
 * @seq:      the segment's sequence number, host byte order
 * @owner:    the backend that owns the flow's Maglev slot now: a connection
 *            that begins goes there
 * Returns the new value (equal to the old where nothing changes) and effects.
 */
TUNDISH_INLINE struct tundish_flow_step tundish_flow_next(union tundish_flow_value old,
							  __u32 segment, __u32 seq, __u32 owner,
							  __u32 now_tick)
{
	struct tundish_flow_step s = {.value = old, .effects = 0};
	int half_open = tundish_flow_half_open(old);
	int reopen = old.live.state == TUNDISH_FLOW_REOPEN;

	if (segment & TUNDISH_SEGMENT_UDP) {
		if (!tundish_age(now_tick, old.live.seen, 16))
			return s; /* one write a tick, not one a packet */
		s.value.live.seen = now_tick;
		if (old.live.state == TUNDISH_FLOW_UDP_NEW) {
			s.value.live.state = TUNDISH_FLOW_UDP;
			s.value.live.counted = 1;
			s.effects = TUNDISH_EFFECT_OPENED;
		}
		return s;
	}
	if (segment & TUNDISH_SEGMENT_SYN) {
		switch (old.live.state) {
		case TUNDISH_FLOW_SYN:
			if (old.syn.isn_low != TUNDISH_ISN_OF_SYN(seq))
				s.value = tundish_flow_syn(old.syn.vip, owner, seq, now_tick);
			else
				s.value.syn.seen = now_tick;
			break;
		case TUNDISH_FLOW_CLOSING:
			s.value = tundish_flow_syn(old.live.vip, owner, seq, now_tick);
			s.effects = TUNDISH_EFFECT_PENDING_ADD;
			break;
		case TUNDISH_FLOW_ESTABLISHED:
			if (old.live.isn_low == TUNDISH_ISN_OF_LIVE(seq))
				break; /* the SYN of this very connection, late */
			s.effects = TUNDISH_EFFECT_PENDING_ADD;
			/* fall through */
		case TUNDISH_FLOW_REOPEN:
			s.value = tundish_flow_syn(old.live.vip, old.live.backend, seq, now_tick);
			s.value.syn.state = TUNDISH_FLOW_REOPEN;
			s.value.syn.counted = old.live.counted;
			break;
		}
		return s;
	}

	if (half_open) {
		int fits = (segment & TUNDISH_SEGMENT_ACK) && !(segment & TUNDISH_SEGMENT_RST) &&
			   old.syn.isn_low == TUNDISH_ISN_OF_SYN(seq - 1);

		if (!fits && !reopen) {
			if (segment & TUNDISH_SEGMENT_RST) { /* the client gave up */
				s.value.raw = 0;
				s.effects = TUNDISH_EFFECT_PENDING_SUB | TUNDISH_EFFECT_FREED;
			}
			return s;
		}
		s.value = tundish_flow_as_live(old, TUNDISH_FLOW_ESTABLISHED,
					       TUNDISH_ISN_OF_LIVE(old.syn.isn_low), now_tick);
		s.effects = TUNDISH_EFFECT_PENDING_SUB;
		if (fits)
			s.effects |= reopen ? TUNDISH_EFFECT_REOPENED : TUNDISH_EFFECT_OPENED;
		if (s.effects & TUNDISH_EFFECT_OPENED)
			s.value.live.counted =
				1; /* taken back by the caller where the tuples are full */
	} else {
		s.value.live.seen = now_tick;
		s.value.live.watched = 0;
	}

	if ((segment & (TUNDISH_SEGMENT_FIN | TUNDISH_SEGMENT_RST)) &&
	    s.value.live.state == TUNDISH_FLOW_ESTABLISHED) {
		s.value.live.state = TUNDISH_FLOW_CLOSING;
		s.effects |= TUNDISH_EFFECT_CLOSED;
	}
	return s;
}

/*
 * What time does to an entry, for the sweep.
 *
 * Packets of an established flow do not touch its entry one by one, so `seen`
 * is early. An entry that looks idle for half its timeout is therefore watched
 * (its slot asks about each packet) for a whole timeout before it is removed:
 * no flow that sends at least one packet per timeout is ever removed, and one
 * that sends none is gone after one and a half. Each UDP packet asks, so there `seen`
 * is right.
 */
enum tundish_ageing {
	TUNDISH_AGEING_KEEP,
	TUNDISH_AGEING_WATCH,	/* set `watched`, make the slot ask */
	TUNDISH_AGEING_REMOVE,	/* and take back what it stands for in the counts */
	TUNDISH_AGEING_RESTORE, /* a SYN on a live flow that came to nothing */
};

struct tundish_timeouts {
	__u32 syn, established, closing, udp_new, udp; /* ticks */
};

TUNDISH_INLINE enum tundish_ageing
tundish_flow_ageing(union tundish_flow_value v, const struct tundish_timeouts *t, __u32 now_tick)
{
	__u32 timeout, age;

	switch (v.live.state) {
	case TUNDISH_FLOW_SYN:
	case TUNDISH_FLOW_REOPEN:
		if (tundish_age(now_tick, v.syn.seen, 7) < t->syn)
			return TUNDISH_AGEING_KEEP;
		return v.live.state == TUNDISH_FLOW_SYN ? TUNDISH_AGEING_REMOVE
							: TUNDISH_AGEING_RESTORE;
	case TUNDISH_FLOW_ESTABLISHED: timeout = t->established; break;
	case TUNDISH_FLOW_CLOSING: timeout = t->closing; break;
	case TUNDISH_FLOW_UDP_NEW: timeout = t->udp_new; break;
	case TUNDISH_FLOW_UDP: timeout = t->udp; break;
	default: return TUNDISH_AGEING_KEEP;
	}
	age = tundish_age(now_tick, v.live.seen, 16);
	if (v.live.state != TUNDISH_FLOW_ESTABLISHED)
		return age >= timeout ? TUNDISH_AGEING_REMOVE : TUNDISH_AGEING_KEEP;
	if (v.live.watched)
		return age >= timeout ? TUNDISH_AGEING_REMOVE : TUNDISH_AGEING_KEEP;
	return age >= timeout / 2 ? TUNDISH_AGEING_WATCH : TUNDISH_AGEING_KEEP;
}

#endif
