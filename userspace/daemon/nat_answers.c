// SPDX-License-Identifier: GPL-2.0-only
/*
 * Backends whose answers do not come by: where connections are translated both directions must
 * pass here, and what is answered by another way, or not at all, looks alike from here. Told
 * when it begins and when it ends; `status` names them meanwhile.
 */
#include "daemon/nat.h"

/* Sums over the backend's lanes; a lane that it shares counts for each, for it is the same
 * server. */
static void sum_lanes(struct td_daemon *d, uint32_t backend, uint32_t *ret_answered,
		      uint32_t *ret_unanswered, uint32_t *ret_waiting)
{
	const struct tundish_fan *f = &td_kernel_fans(d->kernel)[backend];
	const struct tundish_lane *lanes = td_kernel_lanes(d->kernel);
	uint32_t answered = 0, unanswered = 0, waiting = 0;

	for (uint32_t i = 0; i < TUNDISH_FAN_LANES; i++) {
		uint32_t lane = f->lane[i];

		if (!lane || lane >= d->settings.lanes_max)
			continue;
		answered += __atomic_load_n(&lanes[lane].answered, __ATOMIC_RELAXED);
		unanswered += __atomic_load_n(&lanes[lane].unanswered, __ATOMIC_RELAXED);
		waiting += td_nat_sweep_lane(d->nat->sweep, lane)->waiting;
	}
	*ret_answered = answered;
	*ret_unanswered = unanswered;
	*ret_waiting = waiting;
}

static bool is_asked(const struct tundish_backend *b)
{
	return (b->delivery == TUNDISH_DELIVERY_NAT || b->delivery == TUNDISH_DELIVERY_FULLNAT) &&
	       (b->state == TUNDISH_BACKEND_UP || b->state == TUNDISH_BACKEND_DRAIN);
}

const char *td_nat_answers_remedy(const struct tundish_backend *b)
{
	return b->delivery == TUNDISH_DELIVERY_NAT
		       ? "if it is up, its default route must lead to this host; or use delivery: "
			 "fullnat"
		       : "if it is up, its answers to the service's sources must come to this "
			 "host; see `ip neighbour` there, and its firewall";
}

bool td_nat_is_silent(const struct td_daemon *d, uint32_t backend)
{
	const char *reason;

	return d->nat->answers[backend].silent &&
	       strcmp(td_backend_health(d, backend, &reason), "down") != 0;
}

void td_nat_answers_look(struct td_daemon *d)
{
	const struct tundish_backend *b = td_kernel_backends(d->kernel);
	_cleanup_(td_state_done) struct td_state s = {0};

	for (uint32_t id = 1; id < d->settings.backends_max; id++) {
		struct td_answers *a = &d->nat->answers[id];
		uint32_t answered, unanswered, waiting;
		char object[160];

		if (!is_asked(&b[id])) {
			*a = (struct td_answers){0};
			continue;
		}
		sum_lanes(d, id, &answered, &unanswered, &waiting);
		if (!td_answers_look(a, answered, unanswered, waiting))
			continue;
		if (!s.n_backends && td_kernel_read_state(d->kernel, &s) < 0)
			return;
		snprintf(object, sizeof(object), "backend %.63s/%.63s",
			 td_service_name(&s, b[id].service), b[id].name);
		if (a->silent)
			td_event(d, "no-answers", object,
				 "nobody hears its answers: %u SYNs within half a minute and none "
				 "answered; %s",
				 a->missed, td_nat_answers_remedy(&b[id]));
		else
			td_event(d, "answers", object,
				 a->heard ? "they are heard" : "nobody asks it any more");
	}
}
