// SPDX-License-Identifier: GPL-2.0-only
/* What a service's backends come to, and why, in a word and a sentence. */
#include "api/api.h"

const char *td_backend_unreachable(const struct td_daemon *d, uint32_t backend)
{
	const struct td_backend_memory *m = &d->memory[backend];

	return m->resolved < 0 && m->told_unreachable ? m->trouble : NULL;
}

static bool has_way(const struct td_daemon *d, const struct td_backend_state *v)
{
	return td_translates(v->value.delivery) ? td_nat_has_way(d, v->id)
						: td_backend_hop_known(d, v->id);
}

void td_outlook_add(const struct td_daemon *d, const struct td_backend_state *v,
		    struct td_outlook *o)
{
	const struct tundish_backend *b = &v->value;
	const char *reason, *unreachable = td_backend_unreachable(d, v->id);
	bool gone = b->state == TUNDISH_BACKEND_GONE;
	bool down = !gone && td_backend_state_wanted(b) == TUNDISH_BACKEND_DOWN;
	bool up = b->state == TUNDISH_BACKEND_UP;

	o->all += !gone;
	o->up += up && !down;
	/* Others are tried although health says down, where no other is left; this host's own
	 * workers are not there, and no try finds them, nor one without a way. */
	o->usable += up && b->weight && !(down && b->delivery == TUNDISH_DELIVERY_WORKERS) &&
		     (!unreachable || has_way(d, v));
	if (gone || (!down && !(up && unreachable)) || o->trouble++)
		return;
	if (!down) {
		snprintf(o->first, sizeof(o->first), "%.63s has no next hop: %s", b->name,
			 unreachable);
		return;
	}
	td_backend_health(d, v->id, &reason);
	snprintf(o->first, sizeof(o->first), "%.63s is down: %s", b->name, reason ?: "unknown");
}

void td_outlook_workers(struct td_daemon *d, const struct td_state *s,
			const struct td_service_state *v, struct td_outlook *o)
{
	uint32_t has, lacks = td_group_lacks(d, s, v, &has);

	if (!lacks)
		return;
	if (!o->trouble++)
		snprintf(o->first, sizeof(o->first), "no worker takes %s", td_families_name(lacks));
	if (!has && o->all == 1)
		o->usable = 0; /* there is nowhere else */
}

void td_outlook_json(const struct td_outlook *l, json_t *o)
{
	json_object_set_new(o, "backends", json_integer(l->all));
	json_object_set_new(o, "backends_up", json_integer(l->up));
	json_object_set_new(o, "state",
			    json_string(!l->usable   ? "down"
					: l->trouble ? "degraded"
						     : "up"));
	if (json_object_get(o, "reason"))
		return;
	if (l->trouble > 1)
		json_object_set_new(o, "reason",
				    json_sprintf("%s, and %u more", l->first, l->trouble - 1));
	else if (l->trouble)
		json_object_set_new(o, "reason", json_string(l->first));
	else if (!l->usable)
		json_object_set_new(o, "reason", json_string("no backend takes connections"));
}
