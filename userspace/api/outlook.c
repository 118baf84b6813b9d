// SPDX-License-Identifier: GPL-2.0-only
/* What a service's backends come to, and why, in a word and a sentence. */
#include "api/api.h"

void td_outlook_add(const struct td_daemon *d, const struct td_backend_state *v,
		    struct td_outlook *o)
{
	const struct tundish_backend *b = &v->value;
	const char *reason;

	o->usable += b->state == TUNDISH_BACKEND_UP && b->weight;
	if (b->state == TUNDISH_BACKEND_GONE || td_backend_state_wanted(b) != TUNDISH_BACKEND_DOWN)
		return;
	if (o->down++)
		return;
	td_backend_health(d, v->id, &reason);
	snprintf(o->first, sizeof(o->first), "%.63s is down: %s", b->name, reason ?: "unknown");
}

void td_outlook_json(const struct td_outlook *l, json_t *o)
{
	json_object_set_new(o, "state",
			    json_string(!l->usable ? "down"
					: l->down  ? "degraded"
						   : "up"));
	if (json_object_get(o, "reason"))
		return;
	if (l->down > 1)
		json_object_set_new(o, "reason",
				    json_sprintf("%s, and %u more", l->first, l->down - 1));
	else if (l->down)
		json_object_set_new(o, "reason", json_string(l->first));
	else if (!l->usable)
		json_object_set_new(o, "reason", json_string("no backend takes connections"));
}
