// SPDX-License-Identifier: GPL-2.0-only
/* /v1/doctor: what `tundish doctor` tells, of the network namespace that the daemon is in and as far
 * as the daemon may see it. */
#include "api/api.h"
#include "daemon/looks.h"
#include "doctor/json.h"

/* What the command asks the daemon for. */
static void take_own(struct td_daemon *d, const struct td_state *s, struct td_facts *f)
{
	json_t *tuple = td_fullest_port_json(d, s), *nat = td_nat_json(d, s);

	td_doctor_take_tuple(tuple, &f->tuple);
	td_doctor_take_nat(nat, &f->nat);
	json_decref(tuple);
	json_decref(nat);
}

void td_answer_doctor(struct td_daemon *d, const struct td_request *q, struct td_reply *reply)
{
	_cleanup_free_ struct td_report *report = NULL;
	_cleanup_(td_state_done) struct td_state s = {0};
	const struct td_facts *was, *now;
	uint32_t connections = 0;
	struct td_facts facts;

	if (td_read_number(q, "connections", TD_DOCTOR_CONNECTIONS_MAX, &connections, reply) < 0 ||
	    !td_looks_ready(d, q, &was, &now, reply) || td_read_state(d, &s, reply) < 0)
		return;
	report = calloc(1, sizeof(*report));
	if (!report) {
		td_reply_error(reply, 500, 1, "out of memory");
		return;
	}
	facts = *now; /* what it points to stays the looks' */
	take_own(d, &s, &facts);
	td_doctor_check(was, &facts, connections, report);
	reply->json = td_doctor_json(report);
}
