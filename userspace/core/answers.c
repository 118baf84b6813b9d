// SPDX-License-Identifier: GPL-2.0-only
/*
 * The last half minute: what was answered and what was not, since the look before the last
 * two. One answer shows that the way is right, so it ends the silence at once; and so does
 * half a minute in which nobody asks.
 */
#include "core/answers.h"

bool td_answers_look(struct td_answers *a, uint32_t answered, uint32_t unanswered, uint32_t waiting)
{
	uint32_t at = a->looks % TD_ANSWERS_LOOKS;
	uint32_t first = a->looks >= TD_ANSWERS_LOOKS ? at : 0;
	bool was = a->silent;

	a->heard = a->looks && answered != a->answered[first];
	a->missed = waiting + (a->looks ? unanswered - a->unanswered[first] : 0);
	if (a->heard || !a->missed)
		a->silent = false;
	else if (a->looks >= TD_ANSWERS_LOOKS && a->missed >= TD_ANSWERS_LEAST)
		a->silent = true;
	a->answered[at] = answered;
	a->unanswered[at] = unanswered;
	a->looks++;
	/* only whether it is beyond the first few counts */
	if (a->looks >= 4 * TD_ANSWERS_LOOKS)
		a->looks -= TD_ANSWERS_LOOKS;
	return a->silent != was;
}
