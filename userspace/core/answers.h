/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a server's answers come by here. Where connections are translated both directions
 * must: one whose SYNs are seen and nobody's answers has another way back to its clients, or
 * is not there. Pure: counts come in, at regular looks.
 */
#ifndef TD_CORE_ANSWERS_H
#define TD_CORE_ANSWERS_H

#include "lib/util.h"

#define TD_ANSWERS_LOOK_S 10u
#define TD_ANSWERS_LOOKS  3u /* of one judgement: half a minute */
#define TD_ANSWERS_LEAST  5u /* SYNs without an answer: one client may have gone away */

/* What is remembered of one server. All zero: nothing yet. */
struct td_answers {
	uint32_t answered[TD_ANSWERS_LOOKS], unanswered[TD_ANSWERS_LOOKS];
	uint32_t looks;	 /* so many were taken */
	uint32_t missed; /* within the last half minute, with those that wait still */
	bool silent;
	bool heard; /* an answer within the last half minute */
};

/*
 * Every ten seconds. @answered, unanswered: SYNs that ever were, and were given up; they may
 * wrap. @waiting: SYNs that have waited for some seconds. Returns whether `silent` has changed.
 */
bool td_answers_look(struct td_answers *a, uint32_t answered, uint32_t unanswered,
		     uint32_t waiting);

#endif
