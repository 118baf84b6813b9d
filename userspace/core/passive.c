// SPDX-License-Identifier: GPL-2.0-only
/* What clients' connections say of a server; see passive.h. */
#include "core/passive.h"

/* ---- counting -------------------------------------------------------------------------- */

/* Counts only grow, but for what waited and was answered after all. */
static bool went_back(uint32_t now, uint32_t before)
{
	return (int32_t)(now - before) < 0;
}

struct td_passive_row td_passive_count(struct td_passive_way *w, const struct td_passive_counts *c)
{
	struct td_passive_row row = {0};
	bool another =
		went_back(c->answered, w->base.answered) || went_back(c->refused, w->base.refused);

	row.answered = w->begun && !another && c->answered != w->base.answered;
	if (!w->begun || another || row.answered) {
		w->begun = true;
		w->base = *c;
		return row;
	}
	if (went_back(c->unanswered, w->base.unanswered))
		w->base.unanswered = c->unanswered;
	row.refused = c->refused - w->base.refused;
	row.unanswered = c->unanswered - w->base.unanswered;
	return row;
}

/* ---- judging ----------------------------------------------------------------------------- */

uint64_t td_passive_hold(const struct td_passive_state *s, const struct td_passive_rules *r)
{
	uint64_t most = TD_MAX(r->hold_ns, r->hold_max_ns);

	/* hold_ns is an hour at most, so this does not overflow */
	return TD_MIN(r->hold_ns * TD_MAX(s->times, 1), most);
}

enum td_passive_act td_passive_judge(const struct td_passive_state *s,
				     const struct td_passive_rules *r, uint32_t row,
				     uint64_t now_ns)
{
	bool due = s->out ? now_ns - s->since_ns >= td_passive_hold(s, r) && s->good >= r->rise
			  : row >= r->failures;

	if (!due)
		return TD_PASSIVE_STAY;
	return r->trials ? TD_PASSIVE_TRY : TD_PASSIVE_TURN;
}

static void count_ejection(struct td_passive_state *s, uint64_t now_ns)
{
	s->times = (uint16_t)TD_MIN(s->times + 1u, UINT16_MAX);
	s->since_ns = now_ns;
	s->good = 0;
}

void td_passive_turn(struct td_passive_state *s, const struct td_passive_rules *r, uint64_t now_ns)
{
	uint64_t in;

	s->out = !s->out;
	if (!s->out) {
		s->since_ns = now_ns;
		return;
	}
	in = r->hold_ns ? (now_ns - s->since_ns) / r->hold_ns : UINT64_MAX;
	s->times -= (uint16_t)TD_MIN(in, s->times);
	count_ejection(s, now_ns);
}

bool td_passive_tried(struct td_passive_state *s, const struct td_passive_rules *r, bool good,
		      uint64_t now_ns)
{
	if (good == s->out) {
		td_passive_turn(s, r, now_ns);
		return true;
	}
	if (s->out)
		count_ejection(s, now_ns);
	return false;
}

void td_passive_checked(struct td_passive_state *s, bool good)
{
	s->good = good ? (uint16_t)TD_MIN(s->good + 1u, UINT16_MAX) : 0;
}

void td_passive_resume(struct td_passive_state *s, const struct td_passive_rules *r, bool out,
		       uint16_t times, uint64_t ejected_ns)
{
	*s = (struct td_passive_state){.out = out, .times = times, .since_ns = ejected_ns};
	if (!out && times)
		s->since_ns += td_passive_hold(s, r); /* not before that did it come back */
}
