/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is thought of a backend's health, by whom, and why.
 *
 * Each source has one verdict on a backend, and gives it anew whenever it looks;
 * damping is the source's own affair. One that says "down" is enough. What follows
 * from it is the plan's affair (target.c): the backend's entry carries the sum as a
 * flag, so that it outlives the daemon as a command's setting does.
 *
 * One source is the worker group of a backend that is this host: it can take
 * connections, or nobody listens, or no listener has room. The others are checks
 * (checks.h), and what a server says of itself.
 *
 * Pure: no I/O, no clock, no log.
 */
#ifndef TD_CORE_HEALTH_H
#define TD_CORE_HEALTH_H

#include "lib/util.h"

enum td_health_source {
	TD_HEALTH_GROUP,   /* the listeners of this host */
	TD_HEALTH_CHECK,   /* checks */
	TD_HEALTH_AGENT,   /* the server itself, asked by an agent check */
	TD_HEALTH_PASSIVE, /* connections of clients that fail (passive.h) */
	TD_HEALTH_SOURCES,
};

enum td_opinion {
	TD_OPINION_NONE, /* it does not look at this backend */
	TD_OPINION_UP,
	TD_OPINION_DOWN,
};

struct td_verdict {
	enum td_opinion says;
	char reason[160]; /* half a sentence: "nothing listens on [::]:8080" */
};

struct td_health {
	struct td_verdict of[TD_HEALTH_SOURCES];
};

/* The verdict that counts: the first "down", else an "up", else none. */
const struct td_verdict *td_health_sum(const struct td_health *h);

/* "none", "up", "down" */
const char *td_opinion_name(enum td_opinion says);

/* ---- a group's --------------------------------------------------------------- */

/* From one look without room to another one, a second later but for the timer's jitter;
 * and from one with room to another one. */
#define TD_GROUP_STUCK_NS 900000000ull
#define TD_GROUP_ROOM_NS  2000000000ull

/* A group at one moment. */
struct td_group_look {
	const char *name;     /* "[::]:8080" */
	uint32_t workers;     /* that listen */
	uint32_t drained;     /* of them: told to take none */
	uint32_t full;	      /* of the others: with no place in their accept queue */
	uint64_t empty_since; /* 0: not known, or not empty */
};

/* What is remembered from look to look; all zero at first, but for `down` where that
 * is what was thought last. */
struct td_group_health {
	bool down;
	uint64_t stuck_since; /* the first look in a row without room, though somebody listens */
	uint64_t room_since;
	char reason[sizeof(((struct td_verdict *)0)->reason)]; /* while down */
};

/*
 * One look. The group goes down where nobody has listened for `grace_ns`, or where
 * in two looks in a row no worker had room: each one drained or its queue full. It
 * comes up again when in all looks of two seconds one had room. So it changes at
 * most once in some seconds, however its queues go up and down.
 */
void td_group_health_look(struct td_group_health *g, const struct td_group_look *look,
			  uint64_t grace_ns, uint64_t now_ns, struct td_verdict *ret);

#endif
