// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "core/since.h"

void td_since_begin(struct td_since *s)
{
	s->round++;
}

uint64_t td_since_found(struct td_since *s, const char *what, const char *kind, uint64_t now_ns)
{
	struct td_since_entry *e;

	for (size_t i = 0; i < s->n; i++) {
		e = &s->of[i];
		if (!strncmp(e->what, what, sizeof(e->what) - 1) &&
		    !strncmp(e->kind, kind, sizeof(e->kind) - 1)) {
			e->round = s->round;
			return e->since_ns;
		}
	}
	if (s->n == TD_SINCE_MAX)
		return 0;
	e = &s->of[s->n++];
	snprintf(e->what, sizeof(e->what), "%s", what);
	snprintf(e->kind, sizeof(e->kind), "%s", kind);
	e->since_ns = now_ns;
	e->round = s->round;
	return now_ns;
}

void td_since_end(struct td_since *s)
{
	for (size_t i = 0; i < s->n;)
		if (s->of[i].round == s->round)
			i++;
		else
			s->of[i] = s->of[--s->n];
}
