/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What clients' own connections say of a server: SYNs that it refused or never answered, as the
 * data path has counted them.
 *
 *   in  -> out    after `failures` in a row, no SYN being answered between them; where trials are
 *                 wanted, only if one connection of this host fails too
 *   out -> in     `hold` later, times the number of ejections in a row, at most `hold_max`; where
 *                 it has checks, after `rise` good ones since; where trials are wanted, after a
 *                 good one. One in vain counts as an ejection more
 *
 * Each `hold` that it stays in takes one off the number.
 *
 * A trial is what keeps strangers from ejecting servers: whoever sends SYNs that a server must
 * drop (with a wrong checksum, say) makes as many failures as he likes, and no trial fail.
 *
 * Pure: no I/O, no clock, no log.
 */
#ifndef TD_CORE_PASSIVE_H
#define TD_CORE_PASSIVE_H

#include "lib/util.h"

/* ---- counting -------------------------------------------------------------------- */

/* Of one way to a server: its address and port. They may wrap. */
struct td_passive_counts {
	uint32_t answered, refused; /* SYNs, ever */
	uint32_t unanswered; /* given up, ever, and those that have waited for some seconds */
};

/* What is remembered of it; all zero: nothing. */
struct td_passive_way {
	bool begun;
	struct td_passive_counts base; /* as they were when one was answered last */
};

struct td_passive_row {
	uint32_t refused, unanswered; /* in a row */
	bool answered;		      /* one was, since the look before */
};

/* One look. Where counts have gone back they are another one's, and all begins anew. */
struct td_passive_row td_passive_count(struct td_passive_way *w, const struct td_passive_counts *c);

/* ---- judging ----------------------------------------------------------------------- */

struct td_passive_rules {
	uint16_t failures; /* at least 1 */
	bool trials;
	uint16_t rise; /* good checks that bring it back; 0: it has no checks */
	uint64_t hold_ns, hold_max_ns;
};

/* All zero: it is in, and was never out. */
struct td_passive_state {
	bool out;
	uint16_t times;	   /* ejections in a row */
	uint16_t good;	   /* checks in a row, since it went */
	uint64_t since_ns; /* when it went, was tried in vain, or came back */
};

enum td_passive_act {
	TD_PASSIVE_STAY,
	TD_PASSIVE_TRY,	 /* make a connection, and tell with td_passive_tried() */
	TD_PASSIVE_TURN, /* td_passive_turn() */
};

/* @row: failures in a row, on the way that has most of them */
enum td_passive_act td_passive_judge(const struct td_passive_state *s,
				     const struct td_passive_rules *r, uint32_t row,
				     uint64_t now_ns);
/* Out, or back in. */
void td_passive_turn(struct td_passive_state *s, const struct td_passive_rules *r, uint64_t now_ns);
/* The result of a trial. Returns whether it is out now and was not, or the other way round. */
bool td_passive_tried(struct td_passive_state *s, const struct td_passive_rules *r, bool good,
		      uint64_t now_ns);
/* The result of a check. */
void td_passive_checked(struct td_passive_state *s, bool good);

/* How long it stays out this time, at least. */
uint64_t td_passive_hold(const struct td_passive_state *s, const struct td_passive_rules *r);

/* As a former daemon left it; @ejected_ns: when it went last, or was tried in vain. */
void td_passive_resume(struct td_passive_state *s, const struct td_passive_rules *r, bool out,
		       uint16_t times, uint64_t ejected_ns);

#endif
