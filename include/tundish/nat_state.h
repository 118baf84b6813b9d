/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Life of a translated connection, as pure functions: both ends' segments pass,
 * so the states are TCP's own, of both ends together (RFC 9293, 3.3.2).
 *
 *   SYN_SENT -- SYN-ACK --> SYN_RECEIVED -- ACK --> ESTABLISHED
 *   ESTABLISHED -- FIN --> FIN_CLIENT, FIN_SERVER -- other FIN --> CLOSING
 *   CLOSING -- both acknowledged --> TIME_WAIT where the server is in it, else RESTING
 *   any -- RST --> RESET_CLIENT, RESET_SERVER
 *
 * Each state has a timeout, counted from the last packet of either end, and some
 * an age from which they yield: their port and their record go to a new
 * connection that would find none otherwise. ESTABLISHED and half closed never
 * yield. Timeouts are those of RFC 5382 (REQ-5: 2 h 4 min), RFC 7857 (2.1, 2.2:
 * 4 min) and, for UDP, RFC 4787 (REQ-5); when a port may be used again before
 * the server's TIME_WAIT is over is RFC 1122 (4.2.2.13) and RFC 6191.
 *
 * What comes from a client may be spoofed (RFC 5961). A SYN on a live connection
 * changes nothing: the server's challenge ACK and the client's answer do. A RST
 * does not end a live connection's record: its sender's next segment takes it
 * back; a segment of the other end does so on trial, with the shorter timeout,
 * since it may have been on its way already. The ACK that establishes has to
 * fit the server's sequence number to 16 bits, or a flood of blind ACKs would
 * take ports for hours.
 */
#ifndef TUNDISH_NAT_STATE_H
#define TUNDISH_NAT_STATE_H

#include <tundish/nat.h>

enum tundish_nat_side {
	TUNDISH_NAT_CLIENT = 0, /* index of `seen` */
	TUNDISH_NAT_SERVER = 1,
};

/* A segment as the machine sees it; all in host byte order. */
struct tundish_nat_segment {
	__u32 side;  /* enum tundish_nat_side */
	__u32 flags; /* enum tundish_segment; SYN is set with ACK too */
	__u32 seq, ack;
	__u32 end; /* seq + payload + 1 for SYN, + 1 for FIN */
	__u32 has_ts;
	__u32 tsval, tsecr;
	__u32 toa; /* the service tells the server the client's address */
};

/* What a step means for the counts and beside the word; carried out by whoever
 * swapped the word, so once. */
enum tundish_nat_effect {
	TUNDISH_NAT_OPENED = 1 << 0,   /* a connection more, active and total */
	TUNDISH_NAT_REVIVED = 1 << 1,  /* active only */
	TUNDISH_NAT_CLOSED = 1 << 2,   /* an active connection less */
	TUNDISH_NAT_YIELDS = 1 << 3,   /* tundish_nat_is_marked() from here on */
	TUNDISH_NAT_HOLDS = 1 << 4,    /* no more */
	TUNDISH_NAT_ANSWERED = 1 << 5, /* the server hears us, and we hear it */
	TUNDISH_NAT_ENTERED = 1 << 6,  /* the server is in TIME_WAIT from here on */
	TUNDISH_NAT_AGAIN = 1 << 7,    /* a new connection of the same client from the same port */
	TUNDISH_NAT_STORE_CLIENT = 1 << 8, /* client_seq has changed */
	TUNDISH_NAT_STORE_SERVER = 1 << 9,
	TUNDISH_NAT_REFUSED = 1 << 10, /* the server answered the SYN with RST */
};

struct tundish_nat_step {
	union tundish_nat_word word;
	__u32 client_seq, server_seq;
	__u32 effects; /* enum tundish_nat_effect */
};

/* What a third ACK may be beyond the server's first byte: data sent before it (RFC 7413). */
#define TUNDISH_NAT_FIRST_WINDOW 65536u

TUNDISH_INLINE int tundish_nat_is_active(__u32 state)
{
	return state == TUNDISH_NAT_ESTABLISHED || state == TUNDISH_NAT_FIN_CLIENT ||
	       state == TUNDISH_NAT_FIN_SERVER || state == TUNDISH_NAT_UDP_LIVE;
}

TUNDISH_INLINE int tundish_nat_is_reset(__u32 state)
{
	return state == TUNDISH_NAT_RESET_SERVER || state == TUNDISH_NAT_RESET_CLIENT;
}

/* Whether its port is marked as worth a look: from some age on it yields. */
TUNDISH_INLINE int tundish_nat_is_marked(__u32 state)
{
	return state != TUNDISH_NAT_FREE && state != TUNDISH_NAT_CLOSING &&
	       !tundish_nat_is_active(state);
}

/* Over, or given up: a SYN of the same client begins anew in the same record. */
TUNDISH_INLINE int tundish_nat_is_over(union tundish_nat_word w)
{
	return w.state == TUNDISH_NAT_RESTING || w.state == TUNDISH_NAT_TIME_WAIT ||
	       (tundish_nat_is_reset(w.state) && !w.opened);
}

/*
 * Whether a SYN of the same client may go to another server where its own is down: one that is over; one that
 * was never answered; and one that a RST may have ended. The latter is kept for a server that answers (RFC 5961:
 * whether the RST was true is between the two), but a dead one does not, and the client, who has no such
 * connection any more or would not send a SYN, would ask it in vain until the record is old.
 */
TUNDISH_INLINE int tundish_nat_leaves_dead(union tundish_nat_word w)
{
	return w.state == TUNDISH_NAT_SYN_SENT || tundish_nat_is_reset(w.state) ||
	       tundish_nat_is_over(w);
}

/* A fresh word in a record of this generation. */
TUNDISH_INLINE union tundish_nat_word tundish_nat_fresh(__u32 backend, __u32 generation, __u32 udp,
							__u32 toa, __u32 now)
{
	union tundish_nat_word w = {.raw = 0};

	w.backend = backend;
	w.state = udp ? TUNDISH_NAT_UDP_NEW : TUNDISH_NAT_SYN_SENT;
	w.udp = !!udp;
	w.toa_due = !!toa;
	w.since = now;
	w.generation = generation;
	return w;
}

TUNDISH_INLINE union tundish_nat_word tundish_nat_freed(union tundish_nat_word old)
{
	union tundish_nat_word w = {.raw = 0};

	w.generation = old.generation + 1;
	return w;
}

/*
 * Whether a segment may change anything: where not, it is enough to note that it
 * passed. Nearly all of a connection's segments are of this kind.
 */
TUNDISH_INLINE int tundish_nat_wants(union tundish_nat_word w, __u32 side, __u32 flags)
{
	if (w.udp)
		return w.state == TUNDISH_NAT_UDP_NEW && side == TUNDISH_NAT_SERVER;
	return (flags & (TUNDISH_SEGMENT_SYN | TUNDISH_SEGMENT_FIN | TUNDISH_SEGMENT_RST)) ||
	       w.state != TUNDISH_NAT_ESTABLISHED || w.revived || w.toa_due;
}

#define TUNDISH_NAT_ENTER(s, to)                                                                   \
	do {                                                                                       \
		(s).word.state = (to);                                                             \
		(s).word.since = now;                                                              \
	} while (0)

/*
 * The step of a segment of a known connection. Where `word` comes back as it
 * was and there are no effects, nothing has changed.
 *
 * @old: neither FREE nor of another generation than the segment was found with
 */
TUNDISH_INLINE struct tundish_nat_step tundish_nat_next(union tundish_nat_word old,
							__u32 client_seq, __u32 server_seq,
							const struct tundish_nat_segment *g,
							__u32 now)
{
	struct tundish_nat_step s = {
		.word = old, .client_seq = client_seq, .server_seq = server_seq, .effects = 0};
	__u32 state = old.state;
	int client = g->side == TUNDISH_NAT_CLIENT, ack = !!(g->flags & TUNDISH_SEGMENT_ACK);
	int fin = (g->flags & (TUNDISH_SEGMENT_FIN | TUNDISH_SEGMENT_SYN)) == TUNDISH_SEGMENT_FIN;
	int reset = tundish_nat_is_reset(state);

	if (old.udp) {
		if (!client && state == TUNDISH_NAT_UDP_NEW) {
			TUNDISH_NAT_ENTER(s, TUNDISH_NAT_UDP_LIVE);
			s.word.answered = s.word.counted = 1;
			s.effects = TUNDISH_NAT_OPENED | TUNDISH_NAT_HOLDS | TUNDISH_NAT_ANSWERED;
		}
		return s;
	}

	if (g->flags & TUNDISH_SEGMENT_RST) {
		if (client && (reset || tundish_nat_is_over(old)))
			return s;
		if (state == TUNDISH_NAT_TIME_WAIT || state == TUNDISH_NAT_RESTING) {
			TUNDISH_NAT_ENTER(s, TUNDISH_NAT_RESTING);
			return s;
		}
		TUNDISH_NAT_ENTER(s, client ? TUNDISH_NAT_RESET_CLIENT : TUNDISH_NAT_RESET_SERVER);
		s.effects = TUNDISH_NAT_YIELDS;
		if (tundish_nat_is_active(state))
			s.effects |= TUNDISH_NAT_CLOSED;
		/* One of a connection that the server has accepted is no refusal, whoever is the
		 * cause of it; nor is one that does not acknowledge the SYN. */
		if (!client && state == TUNDISH_NAT_SYN_SENT && ack &&
		    g->ack - (client_seq + 1) < TUNDISH_NAT_FIRST_WINDOW)
			s.effects |= TUNDISH_NAT_REFUSED;
		return s;
	}

	if (g->flags & TUNDISH_SEGMENT_SYN) {
		if (client) {
			if (ack)
				return s;
			if (tundish_nat_is_over(old)) {
				/* Whether the server takes it is between the two, as without us. */
				s.word = tundish_nat_fresh(old.backend, old.generation, 0, g->toa,
							   now);
				s.effects = TUNDISH_NAT_AGAIN | TUNDISH_NAT_YIELDS;
			} else if (state == TUNDISH_NAT_SYN_SENT && g->seq != client_seq) {
				s.word.since = now;
			} else if (!reset) {
				return s;
			}
			/* After a RST that may be false it is remembered, not believed. */
			s.client_seq = g->seq;
			s.effects |= TUNDISH_NAT_STORE_CLIENT;
			return s;
		}
		if (!ack)
			return s;
		if ((state == TUNDISH_NAT_SYN_SENT || reset) && g->ack == client_seq + 1) {
			TUNDISH_NAT_ENTER(s, TUNDISH_NAT_SYN_RECEIVED);
			s.word.answered = 1;
			s.server_seq = g->seq;
			s.effects = TUNDISH_NAT_STORE_SERVER | TUNDISH_NAT_YIELDS;
			if (!old.answered)
				s.effects |= TUNDISH_NAT_ANSWERED;
			if (old.opened)
				s.effects |= TUNDISH_NAT_AGAIN;
			s.word.opened = s.word.counted = s.word.revived = 0;
			return s;
		}
		if (!reset || !old.opened)
			return s;
	}

	switch (state) {
	case TUNDISH_NAT_RESET_CLIENT:
	case TUNDISH_NAT_RESET_SERVER:
		if (old.opened) {
			int doubtful = client != (state == TUNDISH_NAT_RESET_CLIENT);

			if (doubtful && fin) /* the end that heard the RST closes */
				return s;
			TUNDISH_NAT_ENTER(s, TUNDISH_NAT_ESTABLISHED);
			s.effects = TUNDISH_NAT_REVIVED | TUNDISH_NAT_HOLDS;
			s.word.revived = doubtful;
			s.word.server_first = state == TUNDISH_NAT_RESET_SERVER;
			break;
		}
		if (!old.answered)
			return s;
		/* fall through */
	case TUNDISH_NAT_SYN_RECEIVED:
		if (!client || !ack || g->ack - (server_seq + 1) >= TUNDISH_NAT_FIRST_WINDOW)
			return s;
		TUNDISH_NAT_ENTER(s, TUNDISH_NAT_ESTABLISHED);
		s.word.opened = 1;
		s.word.counted = 1; /* taken back by the caller where the tuples are full */
		s.effects = TUNDISH_NAT_OPENED | TUNDISH_NAT_HOLDS;
		break;
	case TUNDISH_NAT_ESTABLISHED:
		/* server_first is whose RST is in doubt, until there is a FIN */
		if (old.revived && client != old.server_first)
			s.word.revived = 0;
		if (!client && (g->end != g->seq || (ack && g->ack != client_seq + 1)))
			s.word.toa_due = 0;
		break;
	case TUNDISH_NAT_FIN_CLIENT:
		if (client)
			return s;
		if (ack && g->ack == client_seq)
			s.word.client_acked = 1;
		if (fin) {
			TUNDISH_NAT_ENTER(s, TUNDISH_NAT_CLOSING);
			s.server_seq = g->end;
			s.word.server_waits = !s.word.client_acked;
			s.effects = TUNDISH_NAT_CLOSED | TUNDISH_NAT_STORE_SERVER;
			s.word.opened = s.word.answered = 0;
		}
		return s;
	case TUNDISH_NAT_FIN_SERVER:
		if (!client)
			return s;
		if (ack && g->ack == server_seq)
			s.word.server_acked = 1;
		if (fin) {
			TUNDISH_NAT_ENTER(s, TUNDISH_NAT_CLOSING);
			s.client_seq = g->end;
			s.word.server_waits = 1;
			s.effects = TUNDISH_NAT_CLOSED | TUNDISH_NAT_STORE_CLIENT;
			s.word.opened = s.word.answered = 0;
		}
		return s;
	case TUNDISH_NAT_CLOSING:
		if (ack && client && g->ack == server_seq)
			s.word.server_acked = 1;
		if (ack && !client && g->ack == client_seq)
			s.word.client_acked = 1;
		if (!s.word.server_acked || !s.word.client_acked)
			return s;
		s.effects = TUNDISH_NAT_YIELDS;
		if (!s.word.server_waits) {
			TUNDISH_NAT_ENTER(s, TUNDISH_NAT_RESTING);
			return s;
		}
		TUNDISH_NAT_ENTER(s, TUNDISH_NAT_TIME_WAIT);
		s.effects |= TUNDISH_NAT_ENTERED;
		s.word.has_ts = !!g->has_ts;
		if (g->has_ts) {
			/* what the server echoes is what it remembers */
			s.server_seq = client ? g->tsval : g->tsecr;
			s.effects |= TUNDISH_NAT_STORE_SERVER;
		}
		return s;
	case TUNDISH_NAT_TIME_WAIT:
		if (client && old.has_ts && g->has_ts && (__s32)(g->tsval - server_seq) > 0) {
			s.server_seq = g->tsval;
			s.effects = TUNDISH_NAT_STORE_SERVER;
		}
		/* fall through */
	case TUNDISH_NAT_RESTING: s.word.since = now; return s;
	default: return s;
	}

	/* ESTABLISHED, now or before */
	if (fin) {
		TUNDISH_NAT_ENTER(s, client ? TUNDISH_NAT_FIN_CLIENT : TUNDISH_NAT_FIN_SERVER);
		s.word.client_acked = s.word.server_acked = s.word.revived = 0;
		s.word.server_first = !client;
		if (client)
			s.client_seq = g->end;
		else
			s.server_seq = g->end;
		s.effects |= client ? TUNDISH_NAT_STORE_CLIENT : TUNDISH_NAT_STORE_SERVER;
	}
	return s;
}

/* ---- time -------------------------------------------------------------------------- */

/* So many ticks apart are at least so many seconds. */
#define TUNDISH_NAT_TICKS(seconds)                                                                 \
	((__u16)((((seconds)*1000000000ull - 1) >> TUNDISH_TICK_SHIFT) + 2))

/* From when on a port is given to another where there is no free one. */
#define TUNDISH_NAT_YIELD_SENT	   TUNDISH_NAT_TICKS(3)
#define TUNDISH_NAT_YIELD_RECEIVED TUNDISH_NAT_TICKS(10)
#define TUNDISH_NAT_YIELD_REST	   TUNDISH_NAT_TICKS(1)
/* A server whose last ACK was seen is in TIME_WAIT for certain, and takes what fits at once;
 * where it is the server that waits for the last ACK, that may be lost: the second above. */
#define TUNDISH_NAT_YIELD_WAIT 1

/* A tick that is ahead of `now` by a little, as another CPU's may be, is now. */
TUNDISH_INLINE __u32 tundish_nat_age(__u32 now, __u32 tick)
{
	__u32 age = (now - tick) & 0xffff;

	return age < 0xf000 ? age : 0;
}

/* Ticks since anything happened. */
TUNDISH_INLINE __u32 tundish_nat_idle(union tundish_nat_word w, __u32 seen_client,
				      __u32 seen_server, __u32 now)
{
	__u32 idle = tundish_nat_age(now, w.since), age = tundish_nat_age(now, seen_client);

	if (age < idle)
		idle = age;
	age = tundish_nat_age(now, seen_server);
	return age < idle ? age : idle;
}

TUNDISH_INLINE __u32 tundish_nat_timeout(union tundish_nat_word w,
					 const struct tundish_nat_timeouts *t, __u32 time_wait)
{
	switch (w.state) {
	case TUNDISH_NAT_SYN_SENT:
	case TUNDISH_NAT_SYN_RECEIVED: return t->syn;
	case TUNDISH_NAT_ESTABLISHED: return w.revived ? t->half_closed : t->established;
	case TUNDISH_NAT_FIN_CLIENT:
	case TUNDISH_NAT_FIN_SERVER: return t->half_closed;
	case TUNDISH_NAT_CLOSING: return t->closing;
	case TUNDISH_NAT_RESTING: return t->resting;
	case TUNDISH_NAT_TIME_WAIT: return time_wait;
	case TUNDISH_NAT_RESET_SERVER: return t->reset_server;
	case TUNDISH_NAT_RESET_CLIENT: return t->reset_client;
	case TUNDISH_NAT_UDP_NEW: return t->udp_new;
	case TUNDISH_NAT_UDP_LIVE: return t->udp;
	default: return 0xffff; /* FREE */
	}
}

TUNDISH_INLINE int tundish_nat_expired(union tundish_nat_word w, __u32 idle,
				       const struct tundish_nat_timeouts *t, __u32 time_wait)
{
	return idle >= tundish_nat_timeout(w, t, time_wait);
}

/* The SYN that asks for another's port. */
struct tundish_nat_syn {
	__u32 isn, tsval; /* host byte order */
	__u32 has_ts;
};

/*
 * Whether a server in TIME_WAIT takes the SYN: by its timestamp (RFC 6191, and PAWS
 * must not reject it: RFC 7323, 5), or where one of the two has none by its sequence
 * number (RFC 1122, 4.2.2.13). Linux asks for no more.
 */
TUNDISH_INLINE int tundish_nat_fits(union tundish_nat_word w, __u32 client_seq, __u32 server_seq,
				    const struct tundish_nat_syn *syn)
{
	if (w.has_ts && syn->has_ts)
		return (__s32)(syn->tsval - server_seq) > 0;
	return (__s32)(syn->isn - client_seq) > 0;
}

/* Whether the port may be given to this SYN, its time not being over. @early: the
 * server's TIME_WAIT is known to work so. */
TUNDISH_INLINE int tundish_nat_yields(union tundish_nat_word w, __u32 idle, __u32 client_seq,
				      __u32 server_seq, const struct tundish_nat_syn *syn,
				      int early, __u32 now)
{
	switch (w.state) {
	case TUNDISH_NAT_SYN_SENT: return tundish_nat_age(now, w.since) >= TUNDISH_NAT_YIELD_SENT;
	case TUNDISH_NAT_SYN_RECEIVED:
		return tundish_nat_age(now, w.since) >= TUNDISH_NAT_YIELD_RECEIVED;
	case TUNDISH_NAT_RESTING:
	case TUNDISH_NAT_RESET_SERVER:
	case TUNDISH_NAT_RESET_CLIENT: return idle >= TUNDISH_NAT_YIELD_REST;
	case TUNDISH_NAT_TIME_WAIT:
		return early && idle >= TUNDISH_NAT_YIELD_WAIT &&
		       tundish_nat_fits(w, client_seq, server_seq, syn);
	default: return 0;
	}
}

/*
 * How gladly a record is given up where both buckets of another are full: 0 never.
 * There the next user of the port is not known, so a TIME_WAIT goes last, the oldest
 * first; its port comes up again only after all others of its lane.
 */
TUNDISH_INLINE __u32 tundish_nat_rank(union tundish_nat_word w, __u32 idle, __u32 expired,
				      __u32 now)
{
	struct tundish_nat_syn none = {.isn = 0, .tsval = 0, .has_ts = 0};

	if (expired)
		return 0x20000;
	if (w.state == TUNDISH_NAT_TIME_WAIT)
		return idle >= TUNDISH_NAT_YIELD_REST ? idle : 0;
	return tundish_nat_yields(w, idle, 0, 0, &none, 0, now) ? 0x10000 | idle : 0;
}

#endif
